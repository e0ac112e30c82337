//! A child that makes one instruction at a time, and children that run to a place on its way at full speed.

use std::{collections::HashMap, io, ptr};

/// Forks a child that prepares, stops, and then acts.
pub fn start(prepare: impl Fn(), act: impl Fn()) -> Result<libc::pid_t, String> {
    // SAFETY: this process has no other thread that could hold a lock of the allocator's; the one
    // that waits for signals holds none.
    let child = unsafe { libc::fork() };
    if child == 0 {
        prepare();
        // SAFETY: asks to be traced, stops, and ends without the destructors that are the parent's.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<libc::c_void>(), 0);
            libc::raise(libc::SIGSTOP);
            act();
            libc::_exit(0);
        }
    }
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(child),
        status => Err(format!("the child did not stop: status {status:#x}")),
    }
}

/// One instruction. False if that was the last.
pub fn step(child: libc::pid_t) -> Result<bool, String> {
    Ok(go_on(child, libc::PTRACE_SINGLESTEP)?.is_some())
}

/// Lets a child go on. The signal that stops it, or none if it comes to its end.
fn go_on(child: libc::pid_t, how: libc::c_uint) -> Result<Option<i32>, String> {
    // SAFETY: the child is stopped and traced by this thread.
    unsafe { libc::ptrace(how, child, ptr::null_mut::<libc::c_void>(), 0) };
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(Some(libc::WSTOPSIG(status))),
        status if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 => Ok(None),
        status => Err(format!("the child ended by itself: status {status:#x}")),
    }
}

/// The way that a child goes: where its instructions are, in order. Another child of the same parent
/// has the same memory, and goes the same way, but for loops that wait for the time.
pub struct Way {
    places: Vec<u64>,
    /// How often it has come to each of them, not counting where it begins.
    visits: Vec<usize>,
}

impl Way {
    /// Follows a child to its end.
    pub fn of(child: libc::pid_t) -> Result<Way, String> {
        let mut places = vec![place(child)?];
        while step(child)? {
            places.push(place(child)?);
        }
        let mut times = HashMap::new();
        let mut visits = vec![0];
        for pair in places.windows(2) {
            let time = times.entry(pair[1]).or_insert(0);
            // An instruction that repeats itself is many steps, and one place to come to.
            *time += usize::from(pair[0] != pair[1]);
            visits.push(*time);
        }
        Ok(Way { places, visits })
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether this is inside an instruction that repeats itself, which `rep movsb` does for each byte.
    pub fn repeats(&self, k: usize) -> bool {
        let around = self.places.get(k.wrapping_sub(1)..k + 2);
        around.is_some_and(|around| around.iter().all(|&place| place == around[0]))
    }

    /// Sends a child to where the first one was after `k` instructions. False if it ends before.
    pub fn send(&self, child: libc::pid_t, k: usize) -> Result<bool, String> {
        if k >= self.len() {
            return match go_on(child, libc::PTRACE_CONT)? {
                None => Ok(false),
                Some(signal) => Err(stopped_by(signal)),
            };
        }
        /// What a visit costs, in steps.
        const VISIT: usize = 6;
        /// From how far back to step is still worth it.
        const FAR: usize = 10_000;
        let is_new = |i: &usize| *i == 0 || self.places[*i] != self.places[*i - 1];
        let cost = |i: &usize| VISIT * self.visits[*i] + (k - *i);
        // Inside a loop, it is better to stop before it, and to step from there.
        let near = (k.saturating_sub(FAR)..=k).filter(is_new);
        let anchor = near.min_by_key(cost).unwrap_or(0);
        let target = self.places[anchor];
        for _ in 0..self.visits[anchor] {
            if !leave(child, target)? || !run_to(child, target)? {
                return Ok(false);
            }
        }
        for _ in anchor..k {
            if !step(child)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn stopped_by(signal: i32) -> String {
    format!("the child was stopped by signal {signal}")
}

/// Steps on, if a child is at a place.
fn leave(child: libc::pid_t, from: u64) -> Result<bool, String> {
    while place(child)? == from {
        if !step(child)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lets a child run until it comes to a place. False if it ends before.
fn run_to(child: libc::pid_t, target: u64) -> Result<bool, String> {
    const BREAKPOINT: i64 = 0xcc;
    if place(child)? == target {
        return Ok(true);
    }
    let there = peek(child, target)?;
    poke(child, target, there & !0xff | BREAKPOINT)?;
    match go_on(child, libc::PTRACE_CONT)? {
        Some(libc::SIGTRAP) => {}
        Some(signal) => return Err(stopped_by(signal)),
        None => return Ok(false),
    }
    poke(child, target, there)?;
    back_from_breakpoint(child, target)?;
    Ok(true)
}

/// Lets a child go on from where the breakpoint was, not from behind it.
#[cfg(target_arch = "x86_64")]
fn back_from_breakpoint(child: libc::pid_t, target: u64) -> Result<(), String> {
    let mut registers = registers(child)?;
    // It has made the breakpoint, which is one byte, and is behind it.
    registers.rip -= 1;
    if registers.rip != target {
        return Err(format!("the child stopped at {:#x}", registers.rip));
    }
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: the child is stopped and traced by this thread; the registers are those that it had.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, child, nothing, &raw mut registers) };
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn place(child: libc::pid_t) -> Result<u64, String> {
    Ok(registers(child)?.rip)
}

#[cfg(target_arch = "x86_64")]
fn registers(child: libc::pid_t) -> Result<libc::user_regs_struct, String> {
    // SAFETY: plain data, of which zeroes are valid.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: the child is stopped and traced by this thread; the kernel writes that structure.
    let done = unsafe { libc::ptrace(libc::PTRACE_GETREGS, child, nothing, &raw mut registers) };
    if done != 0 {
        return Err(format!("its registers: {}", io::Error::last_os_error()));
    }
    Ok(registers)
}

#[cfg(not(target_arch = "x86_64"))]
fn back_from_breakpoint(_: libc::pid_t, _: u64) -> Result<(), String> {
    Err("the breakpoint is one of x86-64".into())
}

#[cfg(not(target_arch = "x86_64"))]
fn place(_: libc::pid_t) -> Result<u64, String> {
    Err("the registers are those of x86-64".into())
}

/// The eight bytes at an address of the child's.
fn peek(child: libc::pid_t, address: u64) -> Result<i64, String> {
    // SAFETY: sets this thread's errno; a word may be -1.
    unsafe { *libc::__errno_location() = 0 };
    let address = ptr::without_provenance_mut::<libc::c_void>(address as usize);
    // SAFETY: the child is stopped and traced by this thread; it is its memory that is read.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, child, address, 0) };
    match io::Error::last_os_error() {
        error if word == -1 && error.raw_os_error() != Some(0) => Err(format!("its code: {error}")),
        _ => Ok(word),
    }
}

/// Changes the child's own copy of its code.
fn poke(child: libc::pid_t, address: u64, word: i64) -> Result<(), String> {
    let address = ptr::without_provenance_mut::<libc::c_void>(address as usize);
    // SAFETY: the child is stopped and traced by this thread; it is its memory that is changed.
    match unsafe { libc::ptrace(libc::PTRACE_POKETEXT, child, address, word) } {
        0 => Ok(()),
        _ => Err(format!("its code: {}", io::Error::last_os_error())),
    }
}

fn wait_for(child: libc::pid_t) -> Result<i32, String> {
    let mut status = 0;
    // SAFETY: the status is ours to write.
    match unsafe { libc::waitpid(child, &mut status, 0) } {
        id if id == child => Ok(status),
        _ => Err(format!("waitpid: {}", io::Error::last_os_error())),
    }
}

/// Kills the child.
pub fn kill(child: libc::pid_t) -> Result<(), String> {
    // SAFETY: the child is stopped and not yet waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    wait_for(child).map(drop)
}
