//! The other two kinds of System V IPC: semaphore arrays and message queues.

use crate::{
    columns::{Field, Form, extra, process, usual, when},
    list::Kind,
    output::Failure,
    process::{Census, Named},
    table::{Cell, left, right, text},
    target::Target,
    words,
};
use shmkey::Key;
use shmkey_core::{
    backend::{messages, semaphores},
    sys::{Errno, key_of},
};
use std::{
    ffi::c_int,
    time::{Duration, SystemTime},
};

/// A semaphore array or a message queue. What its kind does not have is 0 or `None`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    pub id: i32,
    pub key: Key,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    /// When it was created, or its owner or mode last changed.
    pub changed_at: Option<SystemTime>,
    /// When the last operation, send or receive was.
    pub used_at: Option<SystemTime>,
    /// How many semaphores, or messages.
    pub count: u64,
    /// How many bytes the messages have, and may have, together.
    pub bytes: u64,
    pub limit: u64,
    pub sent_at: Option<SystemTime>,
    pub received_at: Option<SystemTime>,
    /// The processes that sent and received last.
    pub sender: Option<Named>,
    pub receiver: Option<Named>,
}

impl Entry {
    fn new(
        kind: Kind,
        id: i32,
        permissions: &libc::ipc_perm,
        [changed_at, used_at]: [libc::time_t; 2],
        count: u64,
    ) -> Entry {
        Entry {
            kind,
            id,
            key: Key::from_raw(key_of(permissions)),
            uid: permissions.uid,
            gid: permissions.gid,
            cuid: permissions.cuid,
            cgid: permissions.cgid,
            // The type of the field is not the same in each libc.
            mode: u32::from(permissions.mode) & 0o777,
            changed_at: time(changed_at),
            used_at: time(used_at),
            count,
            bytes: 0,
            limit: 0,
            sent_at: None,
            received_at: None,
            sender: None,
            receiver: None,
        }
    }
}

/// The kernel counts seconds since 1970, and has 0 for never.
fn time(seconds: libc::time_t) -> Option<SystemTime> {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => None,
        Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
    }
}

/// Returns the semaphore arrays of this IPC namespace.
fn semaphores() -> Result<Vec<Entry>, Failure> {
    let failed = |errno| failed("semctl SEM_STAT_ANY", errno);
    let (highest, _) = semaphores::usage().map_err(failed)?;
    let all = occupied(highest, semaphores::stat_at).map_err(failed)?;
    let entry = |(id, record): (c_int, semaphores::Record)| {
        let times = [record.sem_ctime, record.sem_otime];
        Entry::new(
            Kind::SEMAPHORES,
            id,
            &record.sem_perm,
            times,
            record.sem_nsems,
        )
    };
    Ok(all.into_iter().map(entry).collect())
}

/// Returns the message queues of this IPC namespace.
fn messages() -> Result<Vec<Entry>, Failure> {
    let failed = |errno| failed("msgctl MSG_STAT_ANY", errno);
    let (highest, _) = messages::usage().map_err(failed)?;
    let all = occupied(highest, messages::stat_at).map_err(failed)?;
    let mut census = Census::default();
    let mut at = |pid, time: Option<SystemTime>| time.map(|_| census.at(pid, time));
    let entry = |(id, record): (c_int, libc::msqid_ds)| {
        let times = [record.msg_ctime, record.msg_stime.max(record.msg_rtime)];
        let (sent_at, received_at) = (time(record.msg_stime), time(record.msg_rtime));
        Entry {
            bytes: record.__msg_cbytes,
            limit: record.msg_qbytes,
            sent_at,
            received_at,
            sender: at(record.msg_lspid, sent_at),
            receiver: at(record.msg_lrpid, received_at),
            ..Entry::new(Kind::MESSAGES, id, &record.msg_perm, times, record.msg_qnum)
        }
    };
    Ok(all.into_iter().map(entry).collect())
}

/// Returns what there is at the indices of one of the kernel's tables.
fn occupied<T>(
    highest: c_int,
    stat_at: impl Fn(c_int) -> Result<T, Errno>,
) -> Result<Vec<T>, Errno> {
    let mut found = Vec::new();
    for index in 0..=highest {
        match stat_at(index) {
            Ok(record) => found.push(record),
            // An empty place; or one that a kernel before 4.17 keeps from this user.
            Err(Errno(libc::EINVAL | libc::EIDRM | libc::EACCES)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}

fn failed(call: &str, errno: Errno) -> Failure {
    let why = match errno.0 {
        libc::EACCES | libc::EPERM => "you have no permission",
        libc::EINVAL | libc::EIDRM => "it has been removed",
        libc::ENOSYS => "this kernel does not have this kind of System V IPC",
        _ => "the call failed",
    };
    Failure::Because(format!("{why} ({call}: {errno})"))
}

impl Kind {
    pub const SEMAPHORES: Kind = Kind {
        semaphores: true,
        messages: false,
    };
    pub const MESSAGES: Kind = Kind {
        semaphores: false,
        messages: true,
    };

    /// `semaphore array`.
    pub fn name(self) -> &'static str {
        match (self.semaphores, self.messages) {
            (true, _) => "semaphore array",
            (_, true) => "message queue",
            _ => "segment",
        }
    }

    /// Returns whether it is a kind other than segments.
    pub fn is_other(self) -> bool {
        self.semaphores || self.messages
    }

    /// Returns the semaphore array or message queue that is meant.
    pub fn find(self, target: &Target) -> Result<Entry, Failure> {
        let mut all = self.list()?.into_iter();
        let found = match target {
            Target::Id(id) => all.find(|one| one.id == *id),
            Target::Key(key) => all.find(|one| one.key == *key),
            Target::Name(name) => {
                let key = Key::from_name(name)?;
                all.find(|one| one.key == key)
            }
        };
        let (what, option) = (self.name(), self.option());
        found.ok_or_else(|| {
            Failure::Because(format!(
                "there is no {what} {target} (shmkey list {option} shows all)"
            ))
        })
    }

    fn option(self) -> &'static str {
        if self.semaphores {
            "--semaphores"
        } else {
            "--messages"
        }
    }

    pub fn list(self) -> Result<Vec<Entry>, Failure> {
        if self.semaphores {
            semaphores()
        } else {
            messages()
        }
    }

    pub fn remove(self, id: i32) -> Result<(), Failure> {
        if self.semaphores {
            semaphores::remove(id).map_err(|errno| failed("semctl IPC_RMID", errno))
        } else {
            messages::remove(id).map_err(|errno| failed("msgctl IPC_RMID", errno))
        }
    }
}

/// What is known of one semaphore of an array.
pub struct Semaphore {
    pub value: u16,
    /// The process that changed it last; 0 if none has.
    pub pid: i32,
    /// How many threads wait for it to grow, and to become zero.
    pub waiting: (i32, i32),
}

/// Returns the semaphores of an array. Needs read permission.
pub fn semaphores_of(entry: &Entry) -> Result<Vec<Semaphore>, Failure> {
    let mut values = vec![0; entry.count as usize];
    semaphores::values(entry.id, &mut values).map_err(|errno| failed("semctl GETALL", errno))?;
    let semaphore = |(number, value)| {
        let state = semaphores::state(entry.id, number);
        let (pid, growth, zero) = state.map_err(|errno| failed("semctl GETPID", errno))?;
        Ok(Semaphore {
            value,
            pid,
            waiting: (growth, zero),
        })
    };
    (0..).zip(values).map(semaphore).collect()
}

macro_rules! columns {
    ($($own:expr),* $(,)?) => {
        &[
            usual(right("id", 0), |one: &Entry, _| text(one.id)),
            usual(left("key", 0), |one, _| text(words::key(one.key))),
            usual(left("owner", 2).cut_to(8), |one, _| text(words::user(one.uid))),
            usual(left("mode", 3), |one, _| text(format_args!("{:04o}", one.mode))),
            $($own,)*
            usual(right("age", 4), |one, form| since(one.changed_at, form)),
            usual(right("used", 5), |one, form| since(one.used_at, form)),
            extra(right("uid", 0), |one, _| text(one.uid)),
            extra(right("gid", 0), |one, _| text(one.gid)),
            extra(left("group", 0), |one, _| text(words::group(one.gid))),
            extra(right("cuid", 0), |one, _| text(one.cuid)),
            extra(left("cuser", 0), |one, _| text(words::user(one.cuid))),
            extra(right("cgid", 0), |one, _| text(one.cgid)),
            extra(left("cgroup", 0), |one, _| text(words::group(one.cgid))),
            extra(left("ctime", 0), |one, _| when(one.changed_at)),
        ]
    };
}

/// The columns of semaphore arrays.
pub const SEMAPHORES: &[Field<Entry>] = columns![
    usual(right("semaphores", 0), |one, _| text(one.count)),
    extra(left("otime", 0), |one, _| when(one.used_at)),
];

/// The columns of message queues.
pub const MESSAGES: &[Field<Entry>] = columns![
    usual(right("messages", 0), |one, _| text(one.count)),
    usual(right("size", 0), |one, form| text(form.size(one.bytes))),
    usual(left("sender", 1).cut_to(12), |one, _| process(&one.sender)),
    usual(left("receiver", 1).cut_to(12), |one, _| process(
        &one.receiver
    )),
    extra(right("limit", 0), |one, form| text(form.size(one.limit))),
    extra(right("lspid", 0), |one, _| pid(&one.sender)),
    extra(right("lrpid", 0), |one, _| pid(&one.receiver)),
    extra(left("stime", 0), |one, _| when(one.sent_at)),
    extra(left("rtime", 0), |one, _| when(one.received_at)),
];

fn since(time: Option<SystemTime>, form: Form) -> Cell {
    text(form.span(time.and_then(|time| time.elapsed().ok())))
}

fn pid(named: &Option<Named>) -> Cell {
    text(named.as_ref().map_or(0, |named| named.pid))
}
