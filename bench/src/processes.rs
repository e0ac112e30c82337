//! Processes that run one measurement together, each on a CPU of its own.
//!
//! This process, which has one thread, forks them. They inherit the objects that it has made: these need no names, and
//! a segment that was removed before the fork cannot stay behind.

use std::{
    cell::Cell,
    io, mem,
    ops::Deref,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    thread,
};

/// The largest number of workers.
const MOST: usize = 16;
/// A process is killed after this many seconds, because it hangs.
const SECONDS: u32 = 20;

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error>;

/// The two CPUs of all measurements.
#[derive(Clone, Copy, Debug)]
pub struct Cpus(pub usize, pub usize);

impl Cpus {
    /// Returns the first two CPUs that this process may use.
    pub fn first_two() -> Result<Cpus, Failure> {
        // SAFETY: the set is plain bits, and zero is a set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the size is the set's.
        if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: the numbers are below the set's size.
        let mut allowed =
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) });
        match (allowed.next(), allowed.next()) {
            (Some(one), Some(other)) => Ok(Cpus(one, other)),
            _ => Err("two CPUs are needed".into()),
        }
    }
}

/// The CPU of a worker; `None` for any.
pub type Home = Option<usize>;

/// A process, or a thread, that runs a part of a measurement.
pub struct Worker<'a> {
    /// Its number, from 0 on.
    pub rank: usize,
    common: &'a Common,
    workers: u32,
    meetings: Cell<u32>,
}

impl Worker<'_> {
    /// Waits until all workers have called this as many times.
    pub fn meet(&self) {
        self.meetings.set(self.meetings.get() + 1);
        self.common.arrived.fetch_add(1, SeqCst);
        while self.common.arrived.load(SeqCst) < self.meetings.get() * self.workers {
            thread::yield_now(); // another worker may need this CPU
        }
    }

    /// Records this worker's result.
    pub fn report(&self, nanoseconds: f64) {
        self.common.results[self.rank].store(nanoseconds.to_bits(), SeqCst);
    }

    /// Makes `ended` return true in all workers.
    pub fn end_all(&self) {
        self.common.ended.store(true, SeqCst);
    }

    /// Returns whether a worker has called `end_all`.
    pub fn ended(&self) -> bool {
        self.common.ended.load(SeqCst)
    }
}

/// The memory that the workers share.
#[derive(Default)]
struct Common {
    arrived: AtomicU32,
    ended: AtomicBool,
    results: [AtomicU64; MOST],
}

/// Runs `part` in one process for each home. Returns the results that they reported.
pub fn processes(homes: &[Home], part: impl Fn(&Worker)) -> Result<Vec<f64>, Failure> {
    let common: Shared<Common> = Shared::new()?;
    let mut children = Vec::new();
    for (rank, &home) in homes.iter().enumerate() {
        let child = fork(|| {
            pin(home);
            part(&worker(&common, rank, homes.len()));
        });
        match child {
            Ok(pid) => children.push(pid),
            Err(error) => {
                let _ = wait_for(children, true);
                return Err(error.into());
            }
        }
    }
    wait_for(children, false)?;
    Ok(results(&common, homes.len()))
}

/// Does the same in threads of one process.
pub fn threads(homes: &[Home], part: impl Fn(&Worker) + Sync) -> Result<Vec<f64>, Failure> {
    let common: Shared<Common> = Shared::new()?;
    let child = fork(|| {
        thread::scope(|scope| {
            for (rank, &home) in homes.iter().enumerate() {
                let (common, part) = (&common, &part);
                scope.spawn(move || {
                    pin(home);
                    part(&worker(common, rank, homes.len()));
                });
            }
        });
    })?;
    wait_for(vec![child], false)?;
    Ok(results(&common, homes.len()))
}

fn worker(common: &Common, rank: usize, workers: usize) -> Worker<'_> {
    Worker {
        rank,
        common,
        workers: workers as u32,
        meetings: Cell::new(0),
    }
}

fn results(common: &Common, workers: usize) -> Vec<f64> {
    let bits = common.results[..workers].iter().map(|r| r.load(SeqCst));
    bits.map(f64::from_bits).collect()
}

/// Runs `work` in a child, which the kernel ends with this process at the latest.
pub fn fork(work: impl FnOnce()) -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, so its child may call any function.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: these only make signals end the child.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(SECONDS);
            }
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends without running the parent's destructors.
            unsafe { libc::_exit(done.is_err().into()) }
        }
        pid => Ok(pid),
    }
}

/// Waits until all children have ended. Kills the others if one fails, or at once if `failed`.
pub fn wait_for(mut children: Vec<libc::pid_t>, mut failed: bool) -> Result<(), Failure> {
    let mut failure = String::from("could not start");
    while !children.is_empty() {
        if failed {
            for &pid in &children {
                // SAFETY: a child that was not waited for, so no other process has its id.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let mut status = 0;
        // SAFETY: the status may be written.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid == -1 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Err(io::Error::last_os_error().into());
        }
        // A child that is not among these is a peer's server.
        let Some(place) = children.iter().position(|&child| child == pid) else {
            continue;
        };
        children.swap_remove(place);
        if status != 0 && !failed {
            failed = true;
            failure = match status & 0x7f {
                libc::SIGALRM => format!("not finished after {SECONDS} s"),
                0 => "a process failed".into(),
                signal => format!("a process was ended by signal {signal}"),
            };
        }
    }
    if failed { Err(failure.into()) } else { Ok(()) }
}

/// Binds the calling thread to a CPU.
fn pin(home: Home) {
    let Some(cpu) = home else { return };
    // SAFETY: the set is plain bits, and the size is its own.
    let bound = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    assert_eq!(bound, 0, "CPU {cpu}: {}", io::Error::last_os_error());
}

/// Blocks all signals until it is dropped.
pub struct Undisturbed(libc::sigset_t);

impl Undisturbed {
    pub fn new() -> Undisturbed {
        // SAFETY: the sets are plain bits, zero is a set, and both may be written.
        unsafe {
            let mut all: libc::sigset_t = mem::zeroed();
            let mut before = all;
            libc::sigfillset(&mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &all, &mut before);
            Undisturbed(before)
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: the set is the one that `new` has stored.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}

/// A value in memory that this process shares with those that it forks later. The value is never dropped.
pub struct Shared<T> {
    memory: Memory,
    value: std::marker::PhantomData<T>,
}

// SAFETY: it owns its memory, and allows only `&T`.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T: Default> Shared<T> {
    pub fn new() -> Result<Shared<T>, Failure> {
        let memory = Memory::new(size_of::<T>())?;
        // SAFETY: the memory is as large as a `T`, aligned to a page, and not shared yet.
        unsafe { memory.as_ptr().cast::<T>().write(T::default()) };
        Ok(Shared {
            memory,
            value: std::marker::PhantomData,
        })
    }
}

impl<T: Sync> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `new` has written a `T` there.
        unsafe { &*self.memory.as_ptr().cast() }
    }
}

/// Anonymous memory that this process shares with those that it forks later.
pub struct Memory {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: it is an address; the code that uses the address states why that is sound.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub fn new(size: usize) -> Result<Memory, Failure> {
        // SAFETY: the kernel chooses the address, so no mapping is replaced.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let start = NonNull::new(start.cast()).expect("memory is not at 0");
        Ok(Memory { start, size })
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no borrow outlives this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}
