//! How the traced program ended, and what it and the processes it started have left behind. The
//! kernel's records name the creator of each segment, and the drop-in has taken notes, so this works
//! for a program that could not say anything any more.

use super::{notes::Told, output::Output};
use crate::{attached::Attachments, process::Census, words::count};
use shmkey::{Life, Segment, Status};
use shmkey_core::explain::{Leftover, Removal, Segments};
use std::{
    collections::HashSet,
    fmt::Write as _,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, SystemTime},
};

/// How things were before the program started.
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

/// A segment, who has left it, and the processes that have it attached.
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
}

impl Report {
    /// Looks at what is left of a process that has ended.
    pub fn new(pid: i32, before: &Before, status: ExitStatus, told: Told) -> Report {
        // The kernel keeps whole seconds.
        let since = before.time - Duration::from_secs(1);
        let mut census = Census::default();
        let mut creator = |segment: &Status| {
            let is_new = segment.changed_at.is_some_and(|time| time >= since);
            if segment.cpid == pid && is_new {
                return Some(pid);
            }
            // The library's calls are not traced: the kernel alone names the creator.
            let by_library = is_new && told.with_library.contains(&segment.cpid);
            let perhaps = told.perhaps_created.get(&segment.id);
            let confirmed = perhaps.filter(|&&creator| is_new && creator == segment.cpid);
            let noted = told.created.get(&segment.id).or(confirmed).copied();
            let creator = noted.or(by_library.then_some(segment.cpid))?;
            // Who goes on has not left it.
            let life = census.at(segment.cpid, segment.changed_at).life;
            (life != Life::Alive).then_some(creator)
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

    /// Writes it where the trace is.
    pub fn write(&self, json: bool, output: Output) {
        output.write(self.pid, if json { self.json() } else { self.text() });
    }

    /// What its own process has not told already.
    fn untold(&self) -> impl Iterator<Item = &Left> {
        let told = &self.told.told;
        let left = self.left.iter().flatten();
        left.filter(|left| !told.contains(&left.creator))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let pid = self.pid;
        // Writing into a string does not fail.
        for left in self.untold() {
            let (segment, pid) = (&left.segment, left.creator);
            let leftover = Leftover {
                id: segment.id,
                key: segment.key.as_raw(),
                size: segment.size,
                mode: segment.mode,
            };
            let _ = write!(text, "shmkey[{pid}] has left behind {leftover}, which ");
            let _ = match (&left.users[..], segment.nattch) {
                (_, 0) => write!(text, "no process has attached"),
                ([], n) => {
                    let times = count(n, "time");
                    write!(text, "others have attached ({times} in all)")
                }
                (users, _) => write!(
                    text,
                    "is attached by {}",
                    users.join(", ").replace(", and", " and")
                ),
            };
            let _ = writeln!(text, "; {}", left.removal());
        }
        let end = match (self.status.code(), self.status.signal()) {
            (Some(0), _) => "has ended".to_owned(),
            (Some(code), _) => format!("has ended with status {code}"),
            (_, Some(signal)) => format!("was killed by {}", signal_name(signal)),
            _ => "has ended".to_owned(),
        };
        let left = match &self.left {
            None => "; which segments it has left behind is unknown".to_owned(),
            Some(left) => {
                let count = Segments(left.len() as u64);
                if left.iter().all(|left| left.creator == self.pid) {
                    format!(" and has left {count} behind")
                } else {
                    format!("; with the processes it started, it has left {count} behind")
                }
            }
        };
        let elsewhere = match self.told.elsewhere {
            0 => "",
            _ => "; what was created in another IPC namespace cannot be seen from here",
        };
        let silence = match (self.told.called, self.told.library) {
            (true, false) => "",
            (true, true) => {
                "; calls that were made through the library shmkey were not traced: it makes its system calls directly"
            }
            (false, false) => "; no call was traced",
            (false, true) => {
                "; no call was traced, because it is linked with the library shmkey, which makes its system calls directly (its \
                 errors say what the trace would say)"
            }
        };
        let lost = match self.told.lost {
            0 => String::new(),
            1 => "; 1 line of the trace was lost".to_owned(),
            n => format!("; {} of the trace were lost", count(n, "line")),
        };
        let _ = writeln!(text, "shmkey[{pid}] {end}{left}{elsewhere}{silence}{lost}");
        text
    }

    fn json(&self) -> String {
        let mut text = String::new();
        let (pid, now) = (self.pid, SystemTime::now());
        let time = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let time = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
        for left in self.untold() {
            let (segment, pid) = (&left.segment, left.creator);
            let id = segment.id;
            let _ = writeln!(
                text,
                r#"{{"event":"left","time":{time},"pid":{pid},"id":{id},"key":{},"bytes":{},"mode":{},"attached_by_others":{},"remedy":"{}"}}"#,
                segment.key.as_raw(),
                segment.size,
                segment.mode,
                segment.nattch,
                left.removal()
            );
        }
        if self.told.lost > 0 {
            let lost = self.told.lost;
            let _ = writeln!(
                text,
                r#"{{"event":"lost","time":{time},"pid":{pid},"lines":{lost}}}"#
            );
        }
        let or_null =
            |value: Option<i32>| value.map_or("null".to_owned(), |value| value.to_string());
        let _ = writeln!(
            text,
            r#"{{"event":"exit","time":{time},"pid":{pid},"attachments":null,"segments":{},"status":{},"signal":{},"called":{},"library":{}}}"#,
            or_null(self.left.as_ref().map(|left| left.len() as i32)),
            or_null(self.status.code()),
            or_null(self.status.signal()),
            self.told.called,
            self.told.library,
        );
        text
    }
}

/// Finds the processes that have the segments attached, as far as this user may look.
fn name_users(left: &mut [Left]) {
    // Of more, the rest are not named.
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
