//! How the traced program ended, and which segments the program and the processes that it started left behind. The
//! kernel records the creator of each segment, and the drop-in sends notes, so this works for a program that was
//! killed, too.

use super::{notes::Told, output::Output};
use crate::{
    attached::Attachments,
    json::{self, object},
    process::Census,
    words::count,
};
use shmkey::{Life, Segment, Status};
use shmkey_core::explain::{Leftover, Removal, Segments};
use std::{
    collections::HashSet,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, SystemTime},
};

/// The state before the program started.
pub(super) struct Before {
    time: SystemTime,
    segments: HashSet<i32>,
}

impl Before {
    pub fn look() -> Before {
        let all = Segment::list().unwrap_or_default();
        Before {
            time: SystemTime::now(),
            segments: all.into_iter().map(|segment| segment.id).collect(),
        }
    }
}

pub(super) struct Report {
    pid: i32,
    status: ExitStatus,
    /// The segments that are left; `None` if they cannot be listed.
    left: Option<Vec<Left>>,
    told: Told,
}

/// A segment that was left behind, by which process, and the processes that have it attached.
struct Left {
    segment: Status,
    creator: i32,
    users: Vec<String>,
}

impl Left {
    fn removal(&self) -> Removal {
        Removal {
            id: self.segment.id,
            in_use: self.segment.nattch > 0,
        }
    }

    /// A line that says what was left behind, and what to do.
    fn line(&self) -> String {
        let segment = &self.segment;
        let leftover = Leftover {
            id: segment.id,
            key: segment.key.as_raw(),
            size: segment.size,
            mode: segment.mode,
        };
        let users = match (&self.users[..], segment.nattch) {
            (_, 0) => "no process has attached".to_owned(),
            ([], n) => format!("others have attached ({} in all)", count(n, "time")),
            (users, _) => {
                let users = users.join(", ").replace(", and", " and");
                format!("is attached by {users}")
            }
        };
        let (pid, removal) = (self.creator, self.removal());
        format!("shmkey[{pid}] has left behind {leftover}, which {users}; {removal}\n")
    }
}

impl Report {
    /// Finds what a process that has ended left behind.
    pub fn new(pid: i32, before: &Before, status: ExitStatus, told: Told) -> Report {
        // The kernel keeps whole seconds.
        let since = before.time - Duration::from_secs(1);
        let mut census = Census::default();
        let mut creator = |segment: &Status| {
            let is_new = segment.changed_at.is_some_and(|time| time >= since);
            if segment.cpid == pid && is_new {
                return Some(pid);
            }
            // Calls of the library are not traced: only the kernel knows the creator.
            let by_library = is_new && told.with_library.contains(&segment.cpid);
            let perhaps = told.perhaps_created.get(&segment.id);
            let confirmed = perhaps.filter(|&&creator| is_new && creator == segment.cpid);
            let noted = told.created.get(&segment.id).or(confirmed).copied();
            let creator = noted.or(by_library.then_some(segment.cpid))?;
            // A process that is still running has not left it behind.
            let life = census.at(segment.cpid, segment.changed_at).life;
            (life != Life::Live).then_some(creator)
        };
        let left = Segment::list().ok().map(|segments| {
            let left = segments
                .into_iter()
                .filter(|segment| !segment.removed && !before.segments.contains(&segment.id));
            let mut left: Vec<Left> = left
                .filter_map(|segment| {
                    Some(Left {
                        creator: creator(&segment)?,
                        users: Vec::new(),
                        segment,
                    })
                })
                .collect();
            name_users(&mut left);
            left
        });
        Report {
            pid,
            status,
            left,
            told,
        }
    }

    /// Writes the report to the trace.
    pub fn write(&self, json: bool, output: Output) {
        output.write(self.pid, if json { self.json() } else { self.text() });
    }

    /// The segments that the process which left them behind has not reported itself.
    fn untold(&self) -> impl Iterator<Item = &Left> {
        let told = &self.told.told;
        let left = self.left.iter().flatten();
        left.filter(|left| !told.contains(&left.creator))
    }

    fn text(&self) -> String {
        let left: String = self.untold().map(Left::line).collect();
        format!(
            "{left}shmkey[{}] {}{}\n",
            self.pid,
            self.end(),
            self.limits()
        )
    }

    /// How the program ended, and how many segments it left behind.
    fn end(&self) -> String {
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code @ 1..), _) => format!("has ended with status {code}"),
            (_, Some(signal)) => format!("was killed by {}", signal_name(signal)),
            _ => "has ended".to_owned(),
        };
        let Some(left) = &self.left else {
            return end + "; which segments it has left behind is unknown";
        };
        let count = Segments(left.len() as u64);
        if left.iter().all(|left| left.creator == self.pid) {
            format!("{end} and has left {count} behind")
        } else {
            format!("{end}; with the processes it started, it has left {count} behind")
        }
    }

    /// What the trace does not contain, and why.
    fn limits(&self) -> String {
        let elsewhere = if self.told.elsewhere == 0 {
            ""
        } else {
            "; what was created in another IPC namespace cannot be seen from here"
        };
        let silence = match (self.told.called, self.told.library) {
            (true, false) => "",
            (true, true) => {
                "; calls that were made through the library shmkey were not traced: it makes its system calls directly"
            }
            (false, false) => "; no call was traced",
            (false, true) => {
                "; no call was traced, because it is linked with the library shmkey, which makes its system calls \
                 directly (its errors say what the trace would say)"
            }
        };
        let lost = match self.told.lost {
            0 => String::new(),
            1 => "; 1 line of the trace was lost".to_owned(),
            n => format!("; {} of the trace were lost", count(n, "line")),
        };
        format!("{elsewhere}{silence}{lost}")
    }

    fn json(&self) -> String {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = since.unwrap_or_default().as_micros() as f64 / 1e6;
        let mut text = String::new();
        for left in self.untold() {
            text += &json::line(&object! {
                event: "left",
                time: time,
                pid: left.creator,
                id: left.segment.id,
                key: left.segment.key.as_raw(),
                bytes: left.segment.size,
                mode: left.segment.mode,
                attached_by_others: left.segment.nattch,
                remedy: left.removal().to_string(),
            });
        }
        let lost = self.told.lost;
        if lost > 0 {
            text += &json::line(&object! { event: "lost", time: time, pid: self.pid, lines: lost });
        }
        text + &json::line(&object! {
            event: "exit",
            time: time,
            pid: self.pid,
            attachments: None::<u64>,
            segments: self.left.as_ref().map(Vec::len),
            status: self.status.code(),
            signal: self.status.signal(),
            called: self.told.called,
            library: self.told.library,
        })
    }
}

/// Finds the processes that have the segments attached, as far as this user has permission to.
fn name_users(left: &mut [Left]) {
    // The others are not named.
    const NAMED: usize = 4;
    let mut attachments = Attachments::of(left.iter().map(|left| &left.segment));
    for left in left {
        let users = attachments.take(left.segment.id);
        left.users = users
            .iter()
            .take(NAMED)
            .map(|user| format!("process {} ({})", user.pid, user.name.escape_debug()))
            .collect();
        if users.len() > NAMED {
            left.users.push("and others".to_owned());
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    format!("{name} (signal {signal})")
}
