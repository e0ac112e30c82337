//! The version, for compile time and run time.

use core::ffi::{CStr, c_char, c_int};

/// The version of this header. shm_version() returns that of the library in use.
pub const SHMKEY_VERSION_MAJOR: c_int = 0;
/// The second number: it rises with new functions (before 1.0, also with incompatible changes).
pub const SHMKEY_VERSION_MINOR: c_int = 1;
/// The third number: it rises with corrections.
pub const SHMKEY_VERSION_PATCH: c_int = 0;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };

/// Returns the version of the library in use, such as "0.1.0".
///
/// Returns: a string that lives as long as the library, never NULL.
/// Threads: any, also in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_version() -> *const c_char {
    VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_and_the_package_have_one_version() {
        let header =
            format!("{SHMKEY_VERSION_MAJOR}.{SHMKEY_VERSION_MINOR}.{SHMKEY_VERSION_PATCH}");
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
    }
}
