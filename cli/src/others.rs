//! The other two kinds of System V IPC: semaphore arrays and message queues.

use crate::{
    columns::{Field, Form, when},
    list::Kind,
    output::Failure,
    process::{Census, Named},
    table::{Cell, Column},
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

/// A semaphore array or a message queue.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: i32,
    pub key: Key,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    /// When it was created, or its owner or mode last changed.
    pub changed_at: Option<SystemTime>,
    pub detail: Detail,
}

/// What only one of the kinds has.
#[derive(Clone, Debug)]
pub enum Detail {
    Semaphores {
        count: u64,
        /// When the last operation was.
        operated_at: Option<SystemTime>,
    },
    Messages {
        messages: u64,
        bytes: u64,
        /// How many bytes the messages may have together.
        limit: u64,
        sent_at: Option<SystemTime>,
        received_at: Option<SystemTime>,
        /// Which processes sent and received last.
        sender: Option<Named>,
        receiver: Option<Named>,
    },
}

impl Entry {
    fn new(
        id: i32,
        permissions: &libc::ipc_perm,
        changed_at: libc::time_t,
        detail: Detail,
    ) -> Entry {
        Entry {
            id,
            key: Key::from_raw(key_of(permissions)),
            uid: permissions.uid,
            gid: permissions.gid,
            cuid: permissions.cuid,
            cgid: permissions.cgid,
            // The type of the field is not the same in each libc.
            mode: u32::from(permissions.mode) & 0o777,
            changed_at: time(changed_at),
            detail,
        }
    }

    /// How many semaphores it has, or how many bytes its messages have.
    pub fn size(&self) -> u64 {
        match self.detail {
            Detail::Semaphores { count, .. } => count,
            Detail::Messages { bytes, .. } => bytes,
        }
    }

    /// When it was last used.
    pub fn used_at(&self) -> Option<SystemTime> {
        match self.detail {
            Detail::Semaphores { operated_at, .. } => operated_at,
            Detail::Messages {
                sent_at,
                received_at,
                ..
            } => sent_at.max(received_at),
        }
    }

    fn messages(&self) -> u64 {
        match self.detail {
            Detail::Semaphores { .. } => 0,
            Detail::Messages { messages, .. } => messages,
        }
    }

    fn processes(&self) -> (Option<&Named>, Option<&Named>) {
        match &self.detail {
            Detail::Semaphores { .. } => (None, None),
            Detail::Messages {
                sender, receiver, ..
            } => (sender.as_ref(), receiver.as_ref()),
        }
    }

    fn times(&self) -> (Option<SystemTime>, Option<SystemTime>) {
        match self.detail {
            Detail::Semaphores { .. } => (None, None),
            Detail::Messages {
                sent_at,
                received_at,
                ..
            } => (sent_at, received_at),
        }
    }

    fn limit(&self) -> u64 {
        match self.detail {
            Detail::Semaphores { .. } => 0,
            Detail::Messages { limit, .. } => limit,
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
pub fn semaphores() -> Result<Vec<Entry>, Failure> {
    let failed = |errno| failed("semctl SEM_STAT_ANY", errno);
    let (highest, _) = semaphores::usage().map_err(failed)?;
    let all = occupied(highest, semaphores::stat_at).map_err(failed)?;
    let entry = |(id, record): (c_int, semaphores::Record)| {
        let detail = Detail::Semaphores {
            count: record.sem_nsems,
            operated_at: time(record.sem_otime),
        };
        Entry::new(id, &record.sem_perm, record.sem_ctime, detail)
    };
    Ok(all.into_iter().map(entry).collect())
}

/// Returns the message queues of this IPC namespace.
pub fn messages() -> Result<Vec<Entry>, Failure> {
    let failed = |errno| failed("msgctl MSG_STAT_ANY", errno);
    let (highest, _) = messages::usage().map_err(failed)?;
    let all = occupied(highest, messages::stat_at).map_err(failed)?;
    let mut census = Census::default();
    let mut at = |pid, time: Option<SystemTime>| time.map(|_| census.at(pid, time));
    let entry = |(id, record): (c_int, libc::msqid_ds)| {
        let (sent_at, received_at) = (time(record.msg_stime), time(record.msg_rtime));
        let detail = Detail::Messages {
            messages: record.msg_qnum,
            bytes: record.__msg_cbytes,
            limit: record.msg_qbytes,
            sent_at,
            received_at,
            sender: at(record.msg_lspid, sent_at),
            receiver: at(record.msg_lrpid, received_at),
        };
        Entry::new(id, &record.msg_perm, record.msg_ctime, detail)
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
    let mut values = vec![0; entry.size() as usize];
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

macro_rules! shared {
    ($($own:expr),* $(,)?) => {
        &[
            Field::usual(Column::right("id", 0), |one: &Entry, _| one.id.to_string().into()),
            Field::usual(Column::left("key", 0), |one, _| words::key(one.key).into()),
            Field::usual(Column::left("owner", 2).cut_to(8), |one, _| words::user(one.uid).into()),
            Field::usual(Column::left("mode", 3), |one, _| format!("{:04o}", one.mode).into()),
            $($own,)*
            Field::usual(Column::right("age", 4), |one, form| since(one.changed_at, form)),
            Field::usual(Column::right("used", 5), |one, form| since(one.used_at(), form)),
            Field::extra(Column::right("uid", 0), |one, _| one.uid.to_string().into()),
            Field::extra(Column::right("gid", 0), |one, _| one.gid.to_string().into()),
            Field::extra(Column::left("group", 0), |one, _| words::group(one.gid).into()),
            Field::extra(Column::right("cuid", 0), |one, _| one.cuid.to_string().into()),
            Field::extra(Column::left("cuser", 0), |one, _| words::user(one.cuid).into()),
            Field::extra(Column::right("cgid", 0), |one, _| one.cgid.to_string().into()),
            Field::extra(Column::left("cgroup", 0), |one, _| words::group(one.cgid).into()),
            Field::extra(Column::left("ctime", 0), |one, _| when(one.changed_at)),
        ]
    };
}

/// The columns of semaphore arrays.
pub const SEMAPHORES: &[Field<Entry>] = shared![
    Field::usual(Column::right("semaphores", 0), |one, _| {
        one.size().to_string().into()
    }),
    Field::extra(Column::left("otime", 0), |one, _| when(one.used_at())),
];

/// The columns of message queues.
pub const MESSAGES: &[Field<Entry>] = shared![
    Field::usual(Column::right("messages", 0), |one, _| {
        one.messages().to_string().into()
    }),
    Field::usual(Column::right("size", 0), |one, form| form
        .size(one.size())
        .into()),
    Field::usual(Column::left("sender", 1).cut_to(12), |one, _| process(
        one.processes().0
    )),
    Field::usual(Column::left("receiver", 1).cut_to(12), |one, _| process(
        one.processes().1
    )),
    Field::extra(Column::right("limit", 0), |one, form| form
        .size(one.limit())
        .into()),
    Field::extra(Column::right("lspid", 0), |one, _| pid(one.processes().0)),
    Field::extra(Column::right("lrpid", 0), |one, _| pid(one.processes().1)),
    Field::extra(Column::left("stime", 0), |one, _| when(one.times().0)),
    Field::extra(Column::left("rtime", 0), |one, _| when(one.times().1)),
];

fn since(time: Option<SystemTime>, form: Form) -> Cell {
    form.span(time.and_then(|time| time.elapsed().ok())).into()
}

fn process(named: Option<&Named>) -> Cell {
    named.map_or("-".to_owned(), words::process).into()
}

fn pid(named: Option<&Named>) -> Cell {
    named.map_or(0, |named| named.pid).to_string().into()
}
