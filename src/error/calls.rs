//! Calls that have failed: each function returns the error that its name says, or adds what its caller knows.

use super::{
    Error, ErrorKind, Repr,
    details::{KeptPath, Reason, Subject, Wanted},
};
use crate::{
    backend,
    explain::{self, Call},
    kind::Kind,
    sys::Errno,
};
use core::ffi::{CStr, c_int};

impl Error {
    /// Reports that one of the five calls failed, and looks for the cause.
    #[cold]
    fn found(errno: Errno, name: &'static str, subject: Subject, call: Call<'_>) -> Error {
        let cause = explain::why(call, errno);
        Error::new(ErrorKind::of(errno, &cause), errno.0, name)
            .about(subject)
            .because(Reason::Found(cause))
    }

    /// Reports a file that gives no key.
    #[cold]
    pub(crate) fn ftok(errno: Errno, path: &CStr, proj_id: c_int) -> Error {
        let path = path.to_bytes();
        let call = Call::Ftok {
            path: Some(path),
            proj_id,
        };
        Error::found(errno, "ftok", Subject::Path(KeptPath::new(path)), call)
    }

    /// Reports that `shmget` failed.
    #[cold]
    pub(crate) fn open(errno: Errno, key: c_int, size: usize, flags: c_int) -> Error {
        let call = Call::Get { key, size, flags };
        Error::found(errno, "shmget", Subject::Key { key, size }, call)
    }

    /// Reports that `shmat` failed, or that the library refused its arguments.
    #[cold]
    pub(crate) fn attach_at(errno: Errno, id: c_int, address: usize, flags: c_int) -> Error {
        let call = Call::Attach { id, address, flags };
        Error::found(errno, "shmat", Subject::Id(id), call)
    }

    /// Reports that `shmctl` failed with this command.
    #[cold]
    pub(crate) fn control(errno: Errno, name: &'static str, id: c_int, command: c_int) -> Error {
        let call = Call::Control {
            id,
            command,
            buffer: 0,
        };
        Error::found(errno, name, Subject::Id(id), call)
    }

    /// Reports that the segments cannot be listed.
    #[cold]
    pub(crate) fn list(errno: Errno) -> Error {
        let call = Call::Control {
            id: 0,
            command: backend::SHM_INFO,
            buffer: 0,
        };
        Error::found(errno, "shmctl SHM_INFO", Subject::None, call)
    }

    /// Reports that `shmctl` failed to set what is in this record.
    #[cold]
    pub(crate) fn set(errno: Errno, id: c_int, record: &libc::shmid_ds) -> Error {
        let call = Call::Control {
            id,
            command: libc::IPC_SET,
            buffer: core::ptr::from_ref(record).addr(),
        };
        Error::found(errno, "shmctl IPC_SET", Subject::Id(id), call)
    }

    /// Reports that a call on the memory of an attached segment failed.
    #[cold]
    pub(crate) fn on_memory(errno: Errno, name: &'static str, id: c_int) -> Error {
        let kind = match errno.0 {
            libc::ENOMEM => ErrorKind::OutOfMemory,
            libc::EINVAL => ErrorKind::InvalidArgument,
            _ => ErrorKind::Other,
        };
        Error::new(kind, errno.0, name).about(Subject::Id(id))
    }

    /// Reports that no segment is attached at an address.
    #[cold]
    pub(crate) fn on_address(errno: Errno, name: &'static str, address: usize) -> Error {
        let call = Call::Detach { address };
        Error::found(errno, name, Subject::Address(address), call)
    }

    /// Reports that the list of attachments cannot be read.
    pub(crate) fn no_proc(errno: Errno) -> Error {
        Error::new(ErrorKind::Other, errno.0, "open /proc/self/maps").because(match errno.0 {
            libc::ENOENT => Reason::Because(
                "/proc/self/maps, which tells what is attached where, is not there; mount /proc",
            ),
            _ => Reason::Kind,
        })
    }

    /// Refuses a segment that does not belong to the expected user.
    pub(crate) fn other_owner(id: c_int, expected: u32, owner: u32, creator: u32) -> Error {
        let reason = Reason::OtherOwner {
            expected,
            owner,
            creator,
        };
        Error::new(ErrorKind::PermissionDenied, libc::EPERM, "open")
            .about(Subject::Id(id))
            .because(reason)
    }

    /// Adds which object was to be opened, unless that is known already.
    #[cold]
    pub(crate) fn opening(mut self, kind: Kind, name: &[u8]) -> Error {
        if let Repr::Call(details) = &mut self.0 {
            let name = KeptPath::new(name);
            details.opening.get_or_insert(Wanted { kind, name });
        }
        self
    }

    /// Explains that no segment has the id 0, which in C may come from a structure of zeroes.
    pub(crate) fn perhaps_of_zeroes(self, id: c_int) -> Error {
        if id == 0 && self.kind() == ErrorKind::NoSuchSegment {
            return self.because(Reason::IdZero);
        }
        self
    }

    /// Adds that an object which is opened for reading only is not created.
    pub(crate) fn not_created_read_only(self) -> Error {
        self.none_there(Reason::NotCreatedReadOnly)
    }

    /// Adds that the capacity 0 opens only a ring that exists.
    pub(crate) fn no_ring(self) -> Error {
        self.none_there(Reason::Because(
            "there is no such ring; the capacity 0 opens one that exists, \
             and creating one needs a capacity",
        ))
    }

    /// The same for a broadcast.
    pub(crate) fn no_broadcast(self) -> Error {
        self.none_there(Reason::Because(
            "there is no such broadcast; the capacity 0 opens one that exists, \
             and creating one needs a capacity",
        ))
    }

    fn none_there(self, why: Reason) -> Error {
        match self.kind() {
            ErrorKind::KeyNotFound => self.because(why),
            _ => self,
        }
    }
}
