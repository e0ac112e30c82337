//! How the traced program ended, and what it has left behind. The kernel's records name the creator
//! of each segment, so this works for a program that could not say anything any more.

use shmkey::{Segment, Status};
use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
    time::{Duration, SystemTime},
};

pub(super) struct Report {
    pid: i32,
    status: ExitStatus,
    /// The segments that are left, each with the processes that have it attached; `None` if they
    /// cannot be listed.
    left: Option<Vec<(Status, Vec<String>)>>,
}

impl Report {
    /// Looks at what is left of a process that was started after a time and has ended.
    pub fn new(pid: i32, started_after: SystemTime, status: ExitStatus) -> Report {
        // The kernel keeps whole seconds.
        let since = started_after - Duration::from_secs(1);
        let left = Segment::list().ok().map(|segments| {
            segments
                .into_iter()
                .filter(|segment| segment.cpid == pid && !segment.removed)
                .filter(|segment| segment.changed_at.is_some_and(|time| time >= since))
                .map(|segment| {
                    let users = users_of(segment.id);
                    (segment, users)
                })
                .collect()
        });
        Report { pid, status, left }
    }

    /// Writes it where the trace is.
    pub fn write(&self, json: bool, output: Option<&Path>) {
        let text = if json { self.json() } else { self.text() };
        let file = output.map(|path| {
            let name = path.to_string_lossy().replace("%p", &self.pid.to_string());
            OpenOptions::new().append(true).create(true).open(name)
        });
        // Whoever does not read it has gone.
        let _ = match file {
            None => std::io::stderr().write_all(text.as_bytes()),
            Some(Ok(mut file)) => file.write_all(text.as_bytes()),
            Some(Err(error)) => writeln!(std::io::stderr(), "shmkey: {error}\n{text}"),
        };
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let pid = self.pid;
        // Writing into a string does not fail.
        for (segment, users) in self.left.iter().flatten() {
            let id = segment.id;
            let _ = write!(text, "shmkey[{pid}] has left behind the segment {id} (");
            if !segment.key.is_private() {
                let _ = write!(text, "key {}, ", segment.key);
            }
            let (size, mode) = (segment.size, segment.mode);
            let _ = write!(text, "{size} bytes, mode {mode:04o}), which ");
            let _ = match (&users[..], segment.nattch) {
                (_, 0) => write!(text, "nobody has attached"),
                ([], n) => write!(text, "others have attached ({n} times in all)"),
                (users, _) => write!(text, "is attached by {}", users.join(", ")),
            };
            let _ = writeln!(
                text,
                "; if nobody needs it any more, remove it: shmkey remove {id}, or ipcrm -m {id}"
            );
        }
        let end = match (self.status.code(), self.status.signal()) {
            (Some(0), _) => "has ended".to_owned(),
            (Some(code), _) => format!("has ended with status {code}"),
            (_, Some(signal)) => format!("was killed by {}", signal_name(signal)),
            _ => "has ended somehow".to_owned(),
        };
        let left = match &self.left {
            None => "; what it has left behind cannot be told".to_owned(),
            Some(left) => match left.len() {
                0 => " and has left no segment behind".to_owned(),
                1 => " and has left 1 segment behind".to_owned(),
                n => format!(" and has left {n} segments behind"),
            },
        };
        let _ = writeln!(text, "shmkey[{pid}] {end}{left}");
        text
    }

    fn json(&self) -> String {
        let mut text = String::new();
        let (pid, now) = (self.pid, SystemTime::now());
        let time = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let time = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
        for (segment, _) in self.left.iter().flatten() {
            let id = segment.id;
            let _ = writeln!(
                text,
                r#"{{"event":"left","time":{time},"pid":{pid},"id":{id},"key":{},"bytes":{},"mode":{},"attached_by_others":{},"remedy":"shmkey remove {id}"}}"#,
                segment.key.as_raw(),
                segment.size,
                segment.mode,
                segment.nattch
            );
        }
        let or_null =
            |value: Option<i32>| value.map_or("null".to_owned(), |value| value.to_string());
        let _ = writeln!(
            text,
            r#"{{"event":"exit","time":{time},"pid":{pid},"segments":{},"status":{},"signal":{}}}"#,
            or_null(self.left.as_ref().map(|left| left.len() as i32)),
            or_null(self.status.code()),
            or_null(self.status.signal()),
        );
        text
    }
}

/// The processes that have a segment attached, as far as this user may look.
fn users_of(id: i32) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut users: Vec<String> = processes
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let maps = fs::read_to_string(entry.path().join("maps")).ok()?;
            // start-end perms offset device id /SYSVkey (deleted)
            let has_it = maps.lines().any(|line| {
                let mut fields = line.split_ascii_whitespace().skip(4);
                fields.next() == Some(&id.to_string())
                    && fields.next().is_some_and(|name| name.starts_with("/SYSV"))
            });
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            has_it.then(|| format!("process {pid} ({})", name.trim_end().escape_debug()))
        })
        .collect();
    users.sort();
    users
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
