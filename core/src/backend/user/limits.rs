//! The limits of a namespace: those in the file `limits` of its directory, or else the kernel's defaults.
//!
//! The file has lines such as `shmmni 4096`, `shmmax 1073741824` and `shmall 262144`: the largest number of segments
//! (at most 32768), the size of the largest segment in bytes, and the largest number of pages of all segments
//! together. A process reads the file when it maps the table, which is at its first call. The file is ignored unless
//! it belongs to the directory's owner, to root or to the caller, and only its owner may write to it.

use super::path::FilePath;
use crate::sys::{self, Descriptor};
use core::str;

/// The limits of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The largest number of segments.
    pub shmmni: u64,
    /// The largest segment, in bytes.
    pub shmmax: u64,
    /// The largest number of pages of all segments together.
    pub shmall: u64,
}

impl Limits {
    /// The kernel's defaults, as <linux/shm.h> defines them.
    pub(super) const DEFAULT: Limits = Limits {
        shmmni: 4096,
        shmmax: u64::MAX - (1 << 24),
        shmall: u64::MAX - (1 << 24),
    };

    /// Reads the first 512 bytes of the file. A limit that they do not set has its default.
    pub(super) fn read(directory: &FilePath, owner: u32) -> Limits {
        let path = directory.file(format_args!("limits"));
        let mut text = [0; 512];
        let mut read = || {
            let file = Descriptor::open_file(path.as_c_str(), libc::O_RDONLY, 0).ok()?;
            let facts = file.facts().ok()?;
            let is_trusted = [owner, 0, sys::effective_user()].contains(&facts.user)
                && facts.mode & 0o022 == 0
                && facts.is_regular();
            is_trusted.then_some(())?;
            file.read(&mut text).ok()
        };
        let len = read().unwrap_or(0);
        Limits::parse(text.get(..len).unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Limits {
        let mut limits = Limits::DEFAULT;
        for line in text.split(|&byte| byte == b'\n') {
            let mut words = str::from_utf8(line)
                .unwrap_or_default()
                .split_ascii_whitespace();
            let (name, number) = (
                words.next(),
                words.next().and_then(|word| word.parse().ok()),
            );
            match (name, number) {
                (Some("shmmni"), Some(number)) => limits.shmmni = 32768.min(number),
                (Some("shmmax"), Some(number)) => limits.shmmax = number,
                (Some("shmall"), Some(number)) => limits.shmall = number,
                _ => {}
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_understood_change_nothing() {
        let text = b"# x\nshmmni 7\nshmmax -1\nshmall\nshmmni x\n\xff\n shmall\t9 z";
        let limits = Limits::parse(text);
        assert_eq!((limits.shmmni, limits.shmall), (7, 9));
        assert_eq!(limits.shmmax, Limits::DEFAULT.shmmax);
        assert_eq!(Limits::parse(b"shmmni 99999").shmmni, 32768);
    }
}
