//! Who holds something, said so that other processes can ask whether that one still lives.
//!
//! A thread's id alone does not do: it is given again after the thread's death. Together with the
//! thread's start time, in clock ticks since boot, it is unique as long as the system runs. Source:
//! `proc(5)`, `/proc/pid/stat`.

use super::{
    Errno,
    errno::check,
    file::{Descriptor, Path},
    process::{process_id, thread_id},
};
use core::{
    cell::Cell,
    ffi::{CStr, c_int, c_void},
    ptr,
    sync::atomic::{
        AtomicPtr, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// A thread of some process, in 63 bits: its id in the lower 22 (which is what the kernel's limit,
/// 4,194,304, needs), its start time in the 41 above (which last 697 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task(u64);

/// What could be found out about a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    Dead,
    /// `/proc` does not tell. Nothing may be taken from such a one.
    Unknown,
}

thread_local! {
    /// What this thread has found out about itself, and the mark of the process in which it did.
    static KNOWN: Cell<(u64, Task)> = const { Cell::new((0, Task(0))) };
}

const TID_BITS: u32 = 22;
const TID_MASK: u64 = (1 << TID_BITS) - 1;
const START_MASK: u64 = (1 << 41) - 1;

impl Task {
    /// The calling thread.
    #[inline]
    pub fn current() -> Task {
        Task::current_in_process().0
    }

    /// The calling thread, and a number that its process has for itself and no child of it; 0 where
    /// there is no such number.
    #[inline]
    pub fn current_in_process() -> (Task, u64) {
        let (process, task) = KNOWN.get();
        // Acquire: as in `ProcessMark::get`.
        match ProcessMark::at(PAGE.load(Acquire)) {
            Some(mark) if process != 0 && process == mark.load() => (task, process),
            _ => Task::get_to_know(),
        }
    }

    #[cold]
    fn get_to_know() -> (Task, u64) {
        let task = Task::ask();
        let process = ProcessMark::get().settle(task);
        KNOWN.set((process, task));
        (task, process)
    }

    /// Asks the kernel who this is.
    fn ask() -> Task {
        // Without /proc the start time is 0, and life can only be asked by the id.
        let start = Stat::read(c"/proc/thread-self/stat").map_or(0, |stat| stat.start);
        Task::new(thread_id() as u64, start)
    }

    /// The calling process: its first thread stands for it, also when that has ended and others go
    /// on.
    pub fn process() -> Task {
        let start = Stat::read(c"/proc/self/stat").map_or(0, |stat| stat.start);
        Task::new(process_id() as u64, start)
    }

    fn new(tid: u64, start: u64) -> Task {
        Task(tid & TID_MASK | (start & START_MASK) << TID_BITS)
    }

    /// Whether this process has a thread of this id.
    pub fn may_be_of_this_process(self) -> bool {
        // SAFETY: signal 0 asks whether this process has such a thread, and sends nothing.
        let found =
            check(unsafe { libc::syscall(libc::SYS_tgkill, process_id(), self.tid() as c_int, 0) });
        found.is_ok()
    }

    /// The number that stands for it: never 0, and below 2⁶³.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// What a number stands for, which may have come from anywhere.
    pub fn from_bits(bits: u64) -> Task {
        Task(bits & (u64::MAX >> 1))
    }

    pub fn tid(self) -> u64 {
        self.0 & TID_MASK
    }

    /// When it started, in clock ticks since boot; 0 if that is not known.
    pub fn start(self) -> u64 {
        self.0 >> TID_BITS
    }

    /// Whether it lives, as far as this process' PID namespace tells. A thread that has ended and
    /// was not yet waited for is dead.
    pub fn life(self) -> Life {
        self.look_up(|stat| stat.lives)
    }

    /// Whether the process lives that it stands for: a first thread that has ended does not mean
    /// that the others have.
    pub fn life_of_process(self) -> Life {
        self.look_up(|stat| stat.lives || stat.threads > 1)
    }

    fn look_up(self, lives: impl Fn(&Stat) -> bool) -> Life {
        let tid = self.tid() as c_int;
        // SAFETY: signal 0 asks whether the thread exists and sends nothing.
        let exists = check(unsafe { libc::syscall(libc::SYS_tkill, tid, 0) });
        if let Err(Errno(libc::ESRCH | libc::EINVAL)) = exists {
            return Life::Dead;
        }
        let path = Path::new(format_args!("/proc/{tid}/stat"));
        match path.and_then(|path| Stat::read(path.as_c_str())) {
            Some(stat) if !lives(&stat) => Life::Dead,
            Some(stat) if stat.start & START_MASK == self.start() => Life::Alive,
            // The id was given again; or whoever wrote it had no /proc to read its start time from.
            Some(_) if self.start() != 0 => Life::Dead,
            _ => Life::Unknown,
        }
    }
}

/// A mark that each process has for itself, so that a thread's cached identity is not believed in a
/// child: it stands in a page that the kernel clears in a child made by `fork`.
#[derive(Clone, Copy)]
pub(crate) struct ProcessMark(Option<&'static AtomicU64>);

impl ProcessMark {
    #[inline]
    pub fn get() -> ProcessMark {
        // Acquire: whoever sees the page's address sees the page, which its maker has put there.
        ProcessMark::at(PAGE.load(Acquire)).unwrap_or_else(ProcessMark::make)
    }

    #[inline]
    fn at(page: *mut AtomicU64) -> Option<ProcessMark> {
        match page {
            page if page.is_null() => None,
            page if page == NO_PAGE => Some(ProcessMark(None)),
            // SAFETY: any other address in PAGE is that of a page that is never unmapped.
            page => Some(ProcessMark(Some(unsafe { &*page }))),
        }
    }

    #[cold]
    fn make() -> ProcessMark {
        let page = super::memory::wiped_on_fork().map_or(NO_PAGE, |page| page.cast());
        // Release in AcqRel: a new page is complete before others see its address. Acquire: as
        // above.
        match PAGE.compare_exchange(ptr::null_mut(), page, AcqRel, Acquire) {
            Ok(_) => ProcessMark::at(page),
            Err(others) => {
                if page != NO_PAGE {
                    // SAFETY: nobody else has seen this page.
                    unsafe { super::memory::release(page.cast::<c_void>(), super::page_size()) };
                }
                ProcessMark::at(others)
            }
        }
        .unwrap_or(ProcessMark(None))
    }

    /// The mark: a number that this process has for itself and no child of it, once a thread of it has
    /// asked who it is; else, and where there is no such page, 0.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        // Relaxed: the mark says nothing of other memory.
        self.0.map_or(0, |mark| mark.load(Relaxed))
    }

    /// The process' mark, which becomes this task's number if there is none yet: no other process
    /// can have that.
    fn settle(&self, task: Task) -> u64 {
        let Some(mark) = self.0 else {
            return 0;
        };
        // Relaxed: as above.
        match mark.compare_exchange(0, task.bits(), Relaxed, Relaxed) {
            Ok(_) => task.bits(),
            Err(others) => others,
        }
    }
}

static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// In place of an address: this kernel clears no pages in a child (before Linux 4.14), so nothing
/// is cached.
const NO_PAGE: *mut AtomicU64 = ptr::without_provenance_mut(1);

/// Whether `/proc` is there, and tells of this process' own PID namespace. Needs no descriptor, of
/// which there may be none left.
pub(crate) fn proc_is_ours() -> bool {
    let mut buffer = [0; 64];
    // `PID/task/TID`
    let link = super::file::read_link(c"/proc/thread-self", &mut buffer);
    let name = link
        .ok()
        .and_then(|link| link.rsplit(|&byte| byte == b'/').next());
    let name = name.and_then(|name| core::str::from_utf8(name).ok());
    name.and_then(|name| name.parse().ok()) == Some(thread_id())
}

/// What `/proc/tid/stat` says.
struct Stat {
    lives: bool,
    /// How many threads its process has.
    threads: u64,
    start: u64,
}

impl Stat {
    /// Reads such a file, without allocating.
    fn read(path: &CStr) -> Option<Stat> {
        let mut buffer = [0; 1024];
        let len = Descriptor::open(path).ok()?.read(&mut buffer).ok()?;
        Stat::parse(buffer.get(..len)?)
    }

    /// `pid (name) state ppid …`: the name can hold anything, parentheses too, so what counts comes
    /// behind the last one. The state is field 3, the number of threads field 20, the start time
    /// field 22.
    fn parse(text: &[u8]) -> Option<Stat> {
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        let rest = core::str::from_utf8(&text[name_end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Stat {
            lives: !matches!(state, "Z" | "X" | "x"),
            threads: fields.nth(16)?.parse().ok()?,
            start: fields.nth(1)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{process::Command, thread};

    #[test]
    fn a_thread_is_one_and_the_same_while_it_lives() {
        let me = Task::current();
        assert_eq!(me, Task::current());
        assert_eq!(me, Task::ask());
        assert_eq!(me.life(), Life::Alive);
        assert!(me.start() > 0);
        let other = thread::spawn(|| (Task::current(), Task::current().life()));
        let (other, alive) = other.join().unwrap();
        assert_ne!(me, other);
        assert_eq!(alive, Life::Alive);
        // The kernel may take a moment to clear away a thread that was joined.
        while other.life() == Life::Alive {
            thread::yield_now();
        }
    }

    #[test]
    fn an_id_that_was_given_again_is_another_ones() {
        let me = Task::current();
        let earlier = Task::new(me.tid(), me.start() - 1);
        assert_eq!(earlier.life(), Life::Dead);
        assert_eq!(Task::from_bits(0).life(), Life::Dead);
        assert_eq!(Task::from_bits(u64::MAX).life(), Life::Dead);
    }

    #[test]
    fn a_child_that_nobody_has_waited_for_is_dead() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let path = std::ffi::CString::new(format!("/proc/{}/stat", child.id())).unwrap();
        let task = Task::new(u64::from(child.id()), Stat::read(&path).unwrap().start);
        assert_eq!(task.life(), Life::Alive);
        child.kill().unwrap();
        while task.life() == Life::Alive {
            thread::yield_now();
        }
        assert_eq!(task.life(), Life::Dead);
        child.wait().unwrap();
        assert_eq!(task.life(), Life::Dead);
    }

    #[test]
    fn a_forked_child_is_somebody_else() {
        let me = Task::current();
        // SAFETY: the child makes system calls and compares numbers, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let same = Task::current() == me || Task::current() != Task::ask();
            // SAFETY: ends this process, without the destructors that are the parent's.
            unsafe { libc::_exit(same.into()) };
        }
        let mut status = 0;
        // SAFETY: the status is ours to write.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        assert_eq!(Task::current(), me);
    }

    #[test]
    fn a_name_with_parentheses_confuses_nobody() {
        let text = b"7 (a) R 1) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        let stat = Stat::parse(text).unwrap();
        assert!(!stat.lives);
        assert_eq!(stat.start, 4242);
        assert!(Stat::parse(b"").is_none());
        assert!(Stat::parse(b"7 (a").is_none());
        assert!(Stat::parse(b"7 (a) R 1").is_none());
        assert!(Stat::parse(b"7 (a) \xff").is_none());
    }
}
