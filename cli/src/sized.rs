//! Locks and latest values whose size is known only at run time. In the Rust types, the size is that of the value's
//! type, so these call the functions of the C API.

use crate::{
    output::{Failure, rearranged},
    target::Target,
};
use shmkey::capi::{
    SHMKEY_ANY_OWNER, SHMKEY_CREATE, SHMKEY_FOREVER, shm_last_error, shm_latest, shm_latest_close,
    shm_latest_id, shm_latest_open_at, shm_latest_publish, shm_latest_read_newer, shm_mutex,
    shm_mutex_close, shm_mutex_consistent, shm_mutex_id, shm_mutex_lock, shm_mutex_open_at,
    shm_mutex_removed, shm_mutex_unlock, shm_place, shm_rwlock, shm_rwlock_close,
    shm_rwlock_consistent, shm_rwlock_id, shm_rwlock_open_at, shm_rwlock_read, shm_rwlock_removed,
    shm_rwlock_unlock, shm_rwlock_write,
};
use std::{
    ffi::{CStr, CString, c_char, c_int},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr::{self, NonNull},
    time::Duration,
};

/// The place of an object.
pub enum Site<'a> {
    Id(i32),
    Name(&'a str),
    File(&'a Path, i32),
}

impl Site<'_> {
    /// Returns the place of the object at the beginning of a target's segment, which has this id. If the target is a
    /// name, errors contain it.
    pub fn of(target: &Target, id: i32) -> Site<'_> {
        match target {
            Target::Name(name) => Site::Name(name),
            _ => Site::Id(id),
        }
    }
}

/// How to open an object.
pub struct Opening<'a> {
    pub site: Site<'a>,
    /// The size of the value in bytes.
    pub size: usize,
    /// The name of the layout; empty for none.
    pub layout: &'a [u8],
    /// The permission bits of an object that is created; `None` opens one that exists.
    pub create: Option<u32>,
}

/// Why a call failed.
#[derive(Debug)]
pub struct Refused {
    pub errno: i32,
    why: String,
}

impl Refused {
    /// Returns the failure of the last call of this thread.
    fn last() -> Refused {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        // SAFETY: the string is valid until this thread's next call.
        let why = unsafe { CStr::from_ptr(shm_last_error()) };
        Refused {
            errno,
            why: rearranged(&why.to_string_lossy(), errno),
        }
    }

    /// Returns whether a wait has ended at its timeout, or a try would have had to wait.
    pub fn is_late(&self) -> bool {
        matches!(self.errno, libc::ETIMEDOUT | libc::EAGAIN)
    }

    pub fn why(self) -> String {
        self.why
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure::Because(refused.why)
    }
}

type OpenAt<T> = unsafe extern "C" fn(*const shm_place, usize, *const c_char, c_int) -> *mut T;

impl Opening<'_> {
    fn open<T>(&self, open: OpenAt<T>) -> Result<NonNull<T>, Refused> {
        let string = |bytes: &[u8]| {
            CString::new(bytes).map_err(|_| Refused {
                errno: libc::EINVAL,
                why: "a name, a path and the name of a layout cannot contain a NUL in C".to_owned(),
            })
        };
        let (name, path, proj_id, id) = match self.site {
            Site::Id(id) => (None, None, 0, id),
            Site::Name(name) => (Some(string(name.as_bytes())?), None, 0, -1),
            Site::File(path, project) => (
                None,
                Some(string(path.as_os_str().as_bytes())?),
                project,
                -1,
            ),
        };
        let address =
            |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let place = shm_place {
            name: address(&name),
            path: address(&path),
            offset: 0,
            timeout: 5_000_000_000,
            owner: SHMKEY_ANY_OWNER,
            proj_id,
            id,
            reserved: [0; 5],
        };
        let layout = string(self.layout)?;
        let flags = self.create.map_or(0, |mode| SHMKEY_CREATE | mode as c_int);
        // SAFETY: the structure and the strings live until after the call.
        let handle = unsafe { open(&place, self.size, layout.as_ptr(), flags) };
        NonNull::new(handle).ok_or_else(Refused::last)
    }
}

/// Converts a timeout to nanoseconds. One of more than 292 years has no end.
fn nanoseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_nanos()).unwrap_or(SHMKEY_FOREVER)
}

fn done(result: c_int) -> Result<c_int, Refused> {
    if result < 0 {
        Err(Refused::last())
    } else {
        Ok(result)
    }
}

/// A mutex or a reader-writer lock. Dropping it closes the handle.
pub enum Lock {
    Mutex(NonNull<shm_mutex>),
    RwLock(NonNull<shm_rwlock>),
}

impl Lock {
    pub fn open_mutex(opening: &Opening) -> Result<Lock, Refused> {
        opening.open(shm_mutex_open_at).map(Lock::Mutex)
    }

    pub fn open_rwlock(opening: &Opening) -> Result<Lock, Refused> {
        opening.open(shm_rwlock_open_at).map(Lock::RwLock)
    }

    /// Returns the name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Lock::Mutex(_) => "mutex",
            Lock::RwLock(_) => "reader-writer lock",
        }
    }

    pub fn id(&self) -> i32 {
        // SAFETY: an open handle.
        unsafe {
            match self {
                Lock::Mutex(mutex) => shm_mutex_id(mutex.as_ptr()),
                Lock::RwLock(lock) => shm_rwlock_id(lock.as_ptr()),
            }
        }
    }

    /// Locks it for this thread, a reader-writer lock for writing. Returns whether the last holder died while it had
    /// the lock.
    pub fn lock(&self, timeout: Duration) -> Result<bool, Refused> {
        let timeout = nanoseconds(timeout);
        // SAFETY: an open handle.
        let locked = unsafe {
            match self {
                Lock::Mutex(mutex) => shm_mutex_lock(mutex.as_ptr(), timeout),
                Lock::RwLock(lock) => shm_rwlock_write(lock.as_ptr(), timeout),
            }
        };
        Ok(done(locked)? == libc::EOWNERDEAD)
    }

    /// Locks a reader-writer lock for reading, for this thread; `None` if it is a mutex. Returns what `lock` does.
    pub fn lock_shared(&self, timeout: Duration) -> Option<Result<bool, Refused>> {
        let Lock::RwLock(lock) = self else {
            return None;
        };
        // SAFETY: an open handle.
        let locked = done(unsafe { shm_rwlock_read(lock.as_ptr(), nanoseconds(timeout)) });
        Some(locked.map(|locked| locked == libc::EOWNERDEAD))
    }

    /// Marks the value as consistent. A reader of a reader-writer lock cannot do that.
    pub fn mark_consistent(&self) -> Result<(), Refused> {
        // SAFETY: an open handle.
        let marked = unsafe {
            match self {
                Lock::Mutex(mutex) => shm_mutex_consistent(mutex.as_ptr()),
                Lock::RwLock(lock) => shm_rwlock_consistent(lock.as_ptr()),
            }
        };
        done(marked).map(|_| ())
    }

    pub fn unlock(&self) -> Result<(), Refused> {
        // SAFETY: an open handle.
        let unlocked = unsafe {
            match self {
                Lock::Mutex(mutex) => shm_mutex_unlock(mutex.as_ptr()),
                Lock::RwLock(lock) => shm_rwlock_unlock(lock.as_ptr()),
            }
        };
        done(unlocked).map(|_| ())
    }

    /// Returns whether its segment has been removed.
    pub fn is_removed(&self) -> Result<bool, Refused> {
        // SAFETY: an open handle.
        let removed = unsafe {
            match self {
                Lock::Mutex(mutex) => shm_mutex_removed(mutex.as_ptr()),
                Lock::RwLock(lock) => shm_rwlock_removed(lock.as_ptr()),
            }
        };
        Ok(done(removed)? == 1)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: an open handle, which is not used afterwards.
        unsafe {
            match self {
                Lock::Mutex(mutex) => shm_mutex_close(mutex.as_ptr()),
                Lock::RwLock(lock) => shm_rwlock_close(lock.as_ptr()),
            };
        }
    }
}

/// A latest value. Dropping it closes the handle, and releases the role of the publisher.
pub struct Latest {
    handle: NonNull<shm_latest>,
    size: usize,
}

impl Latest {
    pub fn open(opening: &Opening) -> Result<Latest, Refused> {
        let size = opening.size;
        let handle = opening.open(shm_latest_open_at)?;
        Ok(Latest { handle, size })
    }

    pub fn id(&self) -> i32 {
        // SAFETY: an open handle.
        unsafe { shm_latest_id(self.handle.as_ptr()) }
    }

    /// Waits for a version other than `seen`, and returns it and its value.
    pub fn read_newer(&self, seen: i64, timeout: Duration) -> Result<(i64, Vec<u8>), Refused> {
        let mut value = vec![0; self.size];
        let (handle, timeout) = (self.handle.as_ptr(), nanoseconds(timeout));
        // SAFETY: an open handle, and room for a value of its size.
        let version =
            unsafe { shm_latest_read_newer(handle, seen, value.as_mut_ptr().cast(), timeout) };
        if version < 0 {
            return Err(Refused::last());
        }
        Ok((version, value))
    }

    /// Publishes a value, which must have the size of the latest value.
    pub fn publish(&mut self, value: &[u8]) -> Result<(), Refused> {
        assert_eq!(value.len(), self.size);
        // SAFETY: an open handle, and a value of its size.
        done(unsafe { shm_latest_publish(self.handle.as_ptr(), value.as_ptr().cast()) }).map(|_| ())
    }
}

impl Drop for Latest {
    fn drop(&mut self) {
        // SAFETY: an open handle, which is not used afterwards.
        unsafe { shm_latest_close(self.handle.as_ptr()) };
    }
}
