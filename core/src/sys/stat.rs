//! The line of a thread or a process in `/proc/PID/stat`. Source: `proc(5)`.

use super::{
    file::{Descriptor, Path},
    process::proc_is_ours,
};
use core::ffi::{CStr, c_int};

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// It has not ended; false of a zombie.
    pub lives: bool,
    /// The number of threads of its process.
    pub threads: u64,
    /// It is a kernel thread.
    pub is_kernel: bool,
    /// Its start time, in clock ticks since boot.
    pub start: u64,
}

impl Stat {
    /// Reads the line of the calling thread.
    pub fn of_this_thread() -> Option<Stat> {
        Stat::read(c"/proc/thread-self/stat")
    }

    /// Reads the line of the calling process.
    pub fn of_this_process() -> Option<Stat> {
        Stat::read(c"/proc/self/stat")
    }

    /// Reads the line of a thread; `None` also if `/proc` shows another PID namespace.
    pub fn of(tid: c_int) -> Option<Stat> {
        if !proc_is_ours() {
            return None;
        }
        Stat::read(Path::new(format_args!("/proc/{tid}/stat"))?.as_c_str())
    }

    fn read(path: &CStr) -> Option<Stat> {
        // Only the first 22 fields are needed.
        let mut buffer = [0; 512];
        let len = Descriptor::open(path).ok()?.read(&mut buffer).ok()?;
        Stat::parse(buffer.get(..len)?)
    }

    /// Parses `pid (name) state ppid …`. The name may contain anything, also parentheses, so the fields are counted from
    /// the last parenthesis on: the state is field 3, the flags field 9, the number of threads field 20, the start
    /// time field 22.
    fn parse(text: &[u8]) -> Option<Stat> {
        /// See `<linux/sched.h>`.
        const PF_KTHREAD: u32 = 0x0020_0000;
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        let rest = core::str::from_utf8(&text[name_end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Stat {
            lives: !matches!(state, "Z" | "X" | "x"),
            is_kernel: fields.nth(5)?.parse::<u32>().ok()? & PF_KTHREAD != 0,
            threads: fields.nth(10)?.parse().ok()?,
            start: fields.nth(1)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_parentheses() {
        let text = b"7 (a) R 1) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        let stat = Stat::parse(text).unwrap();
        assert!(!stat.lives);
        assert_eq!((stat.threads, stat.start), (17, 4242));
        assert!(!stat.is_kernel);
        assert!(Stat::parse(b"").is_none());
        assert!(Stat::parse(b"7 (a").is_none());
        assert!(Stat::parse(b"7 (a) R 1").is_none());
        assert!(Stat::parse(b"7 (a) \xff").is_none());
    }

    #[test]
    fn kernel_threads_are_marked() {
        let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 10 0 0";
        assert!(Stat::parse(text).unwrap().is_kernel);
        assert!(!Stat::of_this_thread().unwrap().is_kernel);
    }
}
