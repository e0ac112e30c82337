//! The five calls, their arguments and their results, in words and in numbers.

use super::line::{Json, OrNull};
use crate::{
    backend::{IPC_INFO, SHM_INFO, SHM_STAT, SHM_STAT_ANY},
    explain::{Bytes, Call, ShownPath, Times},
    sys,
};
use core::{
    ffi::c_int,
    fmt::{self, Write as _},
};

/// The arguments of a call in words.
pub(super) struct Words<'a>(pub Call<'a>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Call::Ftok { path, proj_id } => {
                match path {
                    Some(path) => ShownPath(path).fmt(f)?,
                    None => f.write_str("a path that cannot be read")?,
                }
                write!(f, ", project {}", Project(proj_id))
            }
            Call::Get { key, size, flags } => {
                match key {
                    libc::IPC_PRIVATE => f.write_str("without a key")?,
                    key => write!(f, "key {key:#010x}")?,
                }
                // Without a key, a segment is created in any case.
                let creates = key == libc::IPC_PRIVATE || flags & libc::IPC_CREAT != 0;
                match size {
                    0 if !creates => f.write_str(", of any size")?,
                    size => write!(f, ", {}", Bytes(size))?,
                }
                get_flags(f, flags, creates)
            }
            Call::Attach { id, address, flags } => {
                write!(f, "id {id}, ")?;
                match address {
                    0 => f.write_str("anywhere")?,
                    address => write!(f, "at {address:#x}")?,
                }
                attach_flags(f, flags)
            }
            Call::Detach { address } => write!(f, "address {address:#x}"),
            Call::Control { id, command, .. } => match (command, command_in_words(command)) {
                (SHM_INFO | IPC_INFO, Some(words)) => f.write_str(words),
                (SHM_STAT | SHM_STAT_ANY, Some(words)) => write!(f, "index {id}, {words}"),
                (_, Some(words)) => write!(f, "id {id}, {words}"),
                (_, None) => write!(f, "id {id}, unknown command {command}"),
            },
        }
    }
}

fn command_in_words(command: c_int) -> Option<&'static str> {
    Some(match command {
        libc::IPC_RMID => "remove",
        libc::IPC_STAT => "status",
        libc::IPC_SET => "set owner and mode",
        libc::SHM_LOCK => "lock into memory",
        libc::SHM_UNLOCK => "unlock from memory",
        IPC_INFO => "limits of the system",
        SHM_INFO => "usage of the system",
        SHM_STAT => "status of the segment there",
        SHM_STAT_ANY => "status of the segment there, without read permission",
        _ => return None,
    })
}

fn get_flags(f: &mut fmt::Formatter<'_>, flags: c_int, creates: bool) -> fmt::Result {
    let mut rest = flags & !0o777;
    let mut flag = |bit: c_int, words: &str, f: &mut fmt::Formatter<'_>| {
        let set = rest & bit != 0;
        rest &= !bit;
        if set { f.write_str(words) } else { Ok(()) }
    };
    flag(libc::IPC_CREAT, ", create", f)?;
    flag(libc::IPC_EXCL, ", only if there is none yet", f)?;
    flag(libc::SHM_NORESERVE, ", reserve no swap space", f)?;
    flag(libc::SHM_HUGETLB, ", huge pages", f)?;
    if flags & libc::SHM_HUGETLB != 0 {
        let sizes = libc::MAP_HUGE_MASK << libc::MAP_HUGE_SHIFT;
        // The highest of the six bits is an int's sign.
        match (flags & sizes) as u32 >> libc::MAP_HUGE_SHIFT {
            0 => {}
            log @ 20..30 => write!(f, " of {} MiB", 1 << (log - 20))?,
            log @ 30..40 => write!(f, " of {} GiB", 1 << (log - 30))?,
            log => write!(f, " of 2^{log} bytes")?,
        }
        rest &= !sizes;
    }
    match (flags & 0o777, creates) {
        (0, false) => {}
        (mode, false) => write!(f, ", if mode {mode:04o} is allowed")?,
        (mode, true) => write!(f, ", mode {mode:04o}")?,
    }
    match rest {
        0 => Ok(()),
        rest => write!(f, ", unknown flags 0{rest:o}"),
    }
}

fn attach_flags(f: &mut fmt::Formatter<'_>, flags: c_int) -> fmt::Result {
    f.write_str(match flags & libc::SHM_RDONLY {
        0 => ", read and write",
        _ => ", read only",
    })?;
    for (bit, words) in [
        (libc::SHM_RND, ", rounded down to a page"),
        (libc::SHM_REMAP, ", replacing what is mapped there"),
        (libc::SHM_EXEC, ", executable"),
    ] {
        if flags & bit != 0 {
            f.write_str(words)?;
        }
    }
    match flags & !(libc::SHM_RDONLY | libc::SHM_RND | libc::SHM_REMAP | libc::SHM_EXEC) {
        0 => Ok(()),
        rest => write!(f, ", unknown flags 0{rest:o}"),
    }
}

/// A project id: the number, and the character that it was perhaps written as.
pub(super) struct Project(pub c_int);

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match u8::try_from(self.0) {
            Ok(byte) if byte.is_ascii_graphic() => write!(f, " ('{}')", char::from(byte)),
            _ => Ok(()),
        }
    }
}

/// The arguments in numbers, as a JSON object.
pub(super) struct Numbers<'a>(pub Call<'a>);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Call::Ftok { path, proj_id } => {
                let path = OrNull(path.map(|path| Json(ShownPlain(path))));
                write!(f, r#"{{"path":{path},"proj_id":{proj_id}}}"#)
            }
            Call::Get { key, size, flags } => {
                write!(f, r#"{{"key":{key},"size":{size},"flags":{flags}}}"#)
            }
            Call::Attach { id, address, flags } => {
                write!(f, r#"{{"id":{id},"address":{address},"flags":{flags}}}"#)
            }
            Call::Detach { address } => write!(f, r#"{{"address":{address}}}"#),
            Call::Control {
                id,
                command,
                buffer,
            } => write!(f, r#"{{"id":{id},"command":{command},"buffer":{buffer}}}"#),
        }
    }
}

/// A path without quotation marks, with a mark for what is not UTF-8; of a longer one the first 240 bytes, and `…`.
struct ShownPlain<'a>(&'a [u8]);

impl fmt::Display for ShownPlain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 240;
        for chunk in self.0[..self.0.len().min(MOST)].utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        match self.0.len() {
            0..=MOST => Ok(()),
            _ => f.write_char('…'),
        }
    }
}

/// The result of a call that succeeded, in words.
pub(super) struct Outcome<'a> {
    pub call: Call<'a>,
    pub result: i64,
    /// What `IPC_STAT` has answered.
    pub status: Option<libc::shmid_ds>,
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.result;
        match self.call {
            Call::Ftok { .. } => write!(f, "key {:#010x}", result as c_int),
            Call::Get { .. } => write!(f, "id {result}"),
            Call::Attach { .. } => write!(f, "address {result:#x}"),
            Call::Control {
                command: IPC_INFO | SHM_INFO,
                ..
            } => write!(f, "highest index in use {result}"),
            Call::Control {
                command: SHM_STAT | SHM_STAT_ANY,
                ..
            } => write!(f, "id {result}"),
            Call::Detach { .. } | Call::Control { .. } => match &self.status {
                None => f.write_str("done"),
                Some(status) => {
                    match sys::key_of(&status.shm_perm) {
                        libc::IPC_PRIVATE => f.write_str("no key")?,
                        key => write!(f, "key {key:#010x}")?,
                    }
                    write!(
                        f,
                        ", {}, mode {:04o}, attached {}",
                        Bytes(status.shm_segsz),
                        status.shm_perm.mode & 0o777,
                        Times(status.shm_nattch)
                    )
                }
            },
        }
    }
}
