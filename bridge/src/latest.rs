//! A latest value whose size is known only at run time, by the library's functions for C.

use crate::Failure;
use shmkey::{
    Segment,
    capi::{
        SHMKEY_CREATE, shm_last_error, shm_latest, shm_latest_close, shm_latest_id,
        shm_latest_open, shm_latest_publish, shm_latest_read_newer,
    },
};
use std::{
    ffi::{CStr, CString},
    io, ptr,
    time::Duration,
};

/// An open latest value.
pub struct Latest {
    /// The handle, which is open until this is dropped.
    raw: *mut shm_latest,
    size: usize,
}

// SAFETY: any thread may call the functions, and `&mut self` excludes two threads that publish at the same time.
unsafe impl Send for Latest {}

impl Latest {
    /// Opens a latest value of this size. With a mode, creates it if it does not exist.
    ///
    /// # Errors
    /// Those of `shm_latest_open`.
    pub fn open(
        name: &str,
        size: usize,
        layout: &str,
        mode: Option<u32>,
    ) -> Result<Latest, Failure> {
        let no_nul = |_| {
            Failure(format!(
                "the name {name:?} or the layout {layout:?} contains a NUL byte"
            ))
        };
        let (name, layout) = (
            CString::new(name).map_err(no_nul)?,
            CString::new(layout).map_err(no_nul)?,
        );
        let flags = mode.map_or(0, |mode| SHMKEY_CREATE | mode as i32);
        // SAFETY: both strings live during the call.
        let raw = unsafe { shm_latest_open(name.as_ptr(), size, layout.as_ptr(), flags) };
        if raw.is_null() {
            return Err(last_failure());
        }
        Ok(Latest { raw, size })
    }

    /// Returns the size of a value in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Publishes a value.
    ///
    /// # Errors
    /// If it has another size, or another process is the publisher.
    pub fn publish(&mut self, value: &[u8]) -> Result<(), Failure> {
        if value.len() != self.size {
            return Err(Failure(format!(
                "a value has {} bytes instead of {}",
                value.len(),
                self.size
            )));
        }
        // SAFETY: the handle is open, and the value has its size.
        match unsafe { shm_latest_publish(self.raw, value.as_ptr().cast()) } {
            0 => Ok(()),
            _ => Err(last_failure()),
        }
    }

    /// Waits for a value whose version is not `seen`, and copies it. Returns its version; `None` after the timeout,
    /// or if a signal handler has interrupted the wait.
    ///
    /// # Errors
    /// If the object is damaged.
    pub fn read_newer(
        &self,
        seen: i64,
        value: &mut [u8],
        timeout: Duration,
    ) -> Result<Option<i64>, Failure> {
        assert_eq!(value.len(), self.size, "the buffer has the size of a value");
        let timeout = timeout.as_nanos() as i64;
        // SAFETY: the handle is open, and the buffer has the size of a value.
        let version =
            unsafe { shm_latest_read_newer(self.raw, seen, value.as_mut_ptr().cast(), timeout) };
        if version > 0 {
            return Ok(Some(version));
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN | libc::ETIMEDOUT | libc::EINTR) => Ok(None),
            _ => Err(last_failure()),
        }
    }

    /// Returns the segment in which it lies.
    #[must_use]
    pub fn segment(&self) -> Segment {
        // SAFETY: the handle is open.
        Segment::from_id(unsafe { shm_latest_id(self.raw) })
    }
}

impl Drop for Latest {
    fn drop(&mut self) {
        let raw = std::mem::replace(&mut self.raw, ptr::null_mut());
        // SAFETY: the handle was open until now, and no code uses it from here on.
        unsafe { shm_latest_close(raw) }
    }
}

fn last_failure() -> Failure {
    // SAFETY: the text is valid until this thread's next call.
    let text = unsafe { CStr::from_ptr(shm_last_error()) };
    Failure(text.to_string_lossy().into_owned())
}
