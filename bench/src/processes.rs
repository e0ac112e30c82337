//! Several processes that run one measurement together, each on a CPU of its own.
//!
//! They are forked from this one, which has no threads, and see what was made before: no names need
//! to be agreed on, and what is removed before the fork cannot be left behind.

use std::{
    cell::Cell,
    io, mem,
    ops::Deref,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    thread,
};

/// So many may play at most.
const MOST: usize = 16;
/// A scene that takes longer hangs, and is given up.
const SECONDS: u32 = 20;

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error>;

/// The two CPUs that everything is measured on.
#[derive(Clone, Copy, Debug)]
pub struct Cpus(pub usize, pub usize);

impl Cpus {
    /// The first two that this process may use.
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

/// Where one of them runs: on this CPU, or wherever the system likes.
pub type Home = Option<usize>;

/// What one of them may do besides its part.
pub struct Player<'a> {
    /// Its number, from 0.
    pub rank: usize,
    stage: &'a Stage,
    players: u32,
    meetings: Cell<u32>,
}

impl Player<'_> {
    /// Waits for all others.
    pub fn meet(&self) {
        self.meetings.set(self.meetings.get() + 1);
        self.stage.arrived.fetch_add(1, SeqCst);
        while self.stage.arrived.load(SeqCst) < self.meetings.get() * self.players {
            thread::yield_now(); // some may be on this CPU
        }
    }

    /// Says what it has measured.
    pub fn report(&self, nanoseconds: f64) {
        self.stage.results[self.rank].store(nanoseconds.to_bits(), SeqCst);
    }

    /// Tells those who go on until then to end.
    pub fn end_all(&self) {
        self.stage.ended.store(true, SeqCst);
    }

    /// Whether another process has said so.
    pub fn ended(&self) -> bool {
        self.stage.ended.load(SeqCst)
    }
}

/// What the players share.
#[derive(Default)]
struct Stage {
    arrived: AtomicU32,
    ended: AtomicBool,
    results: [AtomicU64; MOST],
}

/// Plays it in as many processes as there are homes, and gives what they reported.
pub fn processes(homes: &[Home], part: impl Fn(&Player)) -> Result<Vec<f64>, Failure> {
    let stage: Shared<Stage> = Shared::new()?;
    let mut children = Vec::new();
    for (rank, &home) in homes.iter().enumerate() {
        let child = fork(|| {
            pin(home);
            part(&player(&stage, rank, homes.len()));
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
    Ok(results(&stage, homes.len()))
}

/// The same in threads of one process.
pub fn threads(homes: &[Home], part: impl Fn(&Player) + Sync) -> Result<Vec<f64>, Failure> {
    let stage: Shared<Stage> = Shared::new()?;
    let child = fork(|| {
        thread::scope(|scope| {
            for (rank, &home) in homes.iter().enumerate() {
                let (stage, part) = (&stage, &part);
                scope.spawn(move || {
                    pin(home);
                    part(&player(stage, rank, homes.len()));
                });
            }
        });
    })?;
    wait_for(vec![child], false)?;
    Ok(results(&stage, homes.len()))
}

fn player(stage: &Stage, rank: usize, players: usize) -> Player<'_> {
    Player {
        rank,
        stage,
        players: players as u32,
        meetings: Cell::new(0),
    }
}

fn results(stage: &Stage, players: usize) -> Vec<f64> {
    let bits = stage.results[..players].iter().map(|r| r.load(SeqCst));
    bits.map(f64::from_bits).collect()
}

/// Does it in a child, which ends with this process at the latest.
pub fn fork(work: impl FnOnce()) -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, so its child may do whatever it could do itself.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: plain calls; the alarm's default is to kill.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(SECONDS);
            }
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: leaves without the parent's destructors, which are not this process' to run.
            unsafe { libc::_exit(done.is_err().into()) }
        }
        pid => Ok(pid),
    }
}

/// Waits until all have ended; if one fails, the others are ended at once.
pub fn wait_for(mut children: Vec<libc::pid_t>, mut failed: bool) -> Result<(), Failure> {
    let mut failure = String::from("could not start");
    while !children.is_empty() {
        if failed {
            for &pid in &children {
                // SAFETY: a child that has not been waited for, so the number is still its own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let mut status = 0;
        // SAFETY: the status may be written.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid == -1 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Err(io::Error::last_os_error().into());
        }
        // Another child may be a peer's server.
        let Some(place) = children.iter().position(|&child| child == pid) else {
            continue;
        };
        children.swap_remove(place);
        if status != 0 && !failed {
            failed = true;
            failure = match status & 0x7f {
                libc::SIGALRM => format!("not done after {SECONDS} s"),
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

/// While it lives no signal ends this process.
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
        // SAFETY: the set is the one there was.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}

/// A value in memory that processes forked later share; it is never dropped.
pub struct Shared<T> {
    memory: Memory,
    value: std::marker::PhantomData<T>,
}

// SAFETY: it owns its memory, and gives out `&T` only.
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

/// Anonymous memory that processes forked later share.
pub struct Memory {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: an address; the code that uses it states why that is sound.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub fn new(size: usize) -> Result<Memory, Failure> {
        // SAFETY: new memory, nothing is replaced.
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
