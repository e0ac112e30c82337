//! Where the segments of the tests and the demonstration are.

use shmkey_core::backend::{self, Backend};

/// Returns whether they are the kernel's. Otherwise programs that call libc's functions do not meet the others.
pub fn is_kernel() -> bool {
    backend::chosen() == Backend::Kernel
}

/// `the kernel's System V shared memory`, `the user backend, in /dev/shm/shmkey-0`.
pub fn name() -> String {
    if is_kernel() {
        return "the kernel's System V shared memory".to_owned();
    }
    let directory = backend::directory();
    let directory = directory.map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned());
    format!("the user backend, in {}", directory.unwrap_or_default())
}
