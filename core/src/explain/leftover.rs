//! A segment that a process leaves behind: the drop-in reports it when the process ends, and `shmkey
//! trace` if the process could not.

use super::{files::RemoveCommand, names::SYSTEM_V, words::Bytes};
use crate::backend::{self, Backend};
use core::{ffi::c_int, fmt};

/// `the segment 7 (key 0x4102002f, 100 bytes, mode 0600)`
pub struct Leftover {
    pub id: c_int,
    pub key: c_int,
    /// In bytes.
    pub size: usize,
    /// The nine permission bits.
    pub mode: u32,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leftover {
            id,
            key,
            size,
            mode,
        } = *self;
        write!(f, "the segment {id} (")?;
        if key != libc::IPC_PRIVATE {
            write!(f, "key {key:#010x}, ")?;
        }
        write!(f, "{}, mode {mode:04o})", Bytes(size))
    }
}

/// How to remove a segment that a process leaves behind.
pub struct Removal {
    pub id: c_int,
    /// Another process has it attached.
    pub in_use: bool,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Removal { id, in_use } = *self;
        f.write_str(if in_use {
            "it is in use; once no process needs its content, remove it: "
        } else {
            "if its content is not needed, remove it: "
        })?;
        if backend::chosen() == Backend::Kernel {
            write!(f, "shmkey remove {id}, ")?;
        }
        let command = RemoveCommand(id, &SYSTEM_V);
        write!(
            f,
            "{command}, or in the program shmctl({id}, IPC_RMID, NULL)"
        )
    }
}

/// The end of a report, for a process that leaves this many segments behind: `1 segment`, `no segment`.
pub struct Segments(pub u64);

impl fmt::Display for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("no segment");
        }
        super::words::Count(self.0, "segment").fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_segment_has_no_key() {
        let private = Leftover {
            id: 7,
            key: libc::IPC_PRIVATE,
            size: 1,
            mode: 0o600,
        };
        assert_eq!(private.to_string(), "the segment 7 (1 byte, mode 0600)");
        let keyed = Leftover { key: 42, ..private };
        assert_eq!(
            keyed.to_string(),
            "the segment 7 (key 0x0000002a, 1 byte, mode 0600)"
        );
        assert_eq!(Segments(0).to_string(), "no segment");
        assert_eq!(Segments(1).to_string(), "1 segment");
    }
}
