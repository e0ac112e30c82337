//! A child that executes one instruction at a time, and children that run to a point on its path at full
//! speed.

use std::{collections::HashMap, io, ptr};

/// Forks a child that prepares, stops, and then acts.
pub fn start(prepare: impl Fn(), act: impl Fn()) -> Result<libc::pid_t, String> {
    // SAFETY: no other thread of this process can hold a lock of the allocator; the thread that waits for
    // signals holds none.
    let child = unsafe { libc::fork() };
    if child == 0 {
        prepare();
        crate::support::stop_for_tracer();
        act();
        // SAFETY: the child ends without running the parent's destructors.
        unsafe { libc::_exit(0) };
    }
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(child),
        status => Err(format!("the child did not stop: status {status:#x}")),
    }
}

/// Executes one instruction. Returns false if it was the last.
pub fn step(child: libc::pid_t) -> Result<bool, String> {
    Ok(go_on(child, libc::PTRACE_SINGLESTEP)?.is_some())
}

/// Continues a child. Returns the signal that stops it, or `None` if it finishes.
fn go_on(child: libc::pid_t, how: libc::c_uint) -> Result<Option<i32>, String> {
    // SAFETY: the child is stopped and traced by this thread.
    unsafe { libc::ptrace(how, child, ptr::null_mut::<libc::c_void>(), 0) };
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(Some(libc::WSTOPSIG(status))),
        status if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 => Ok(None),
        status => Err(format!("the child ended by itself: status {status:#x}")),
    }
}

/// The path of a child: the addresses of its instructions, in order. Another child of the same parent has
/// the same memory, and follows the same path, except in loops that wait for time to pass.
pub struct Way {
    places: Vec<u64>,
    /// How often it has reached each of them; the first instruction does not count.
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
            // An instruction with `rep` takes many steps, but is reached once.
            *time += usize::from(pair[0] != pair[1]);
            visits.push(*time);
        }
        Ok(Way { places, visits })
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether this is between two repetitions of one instruction; `rep movsb` repeats for each
    /// byte.
    pub fn repeats(&self, k: usize) -> bool {
        let around = self.places.get(k.wrapping_sub(1)..k + 2);
        around.is_some_and(|around| around.iter().all(|&place| place == around[0]))
    }

    /// Runs a child to the point where the first one was after `k` instructions. Returns false if it ends
    /// before.
    pub fn send(&self, child: libc::pid_t, k: usize) -> Result<bool, String> {
        if k >= self.len() {
            return match go_on(child, libc::PTRACE_CONT)? {
                None => Ok(false),
                Some(signal) => Err(stopped_by(signal)),
            };
        }
        /// The cost of a breakpoint hit, in steps.
        const VISIT: usize = 6;
        /// The largest distance in steps for which stepping is cheaper.
        const FAR: usize = 10_000;
        let is_new = |i: &usize| *i == 0 || self.places[*i] != self.places[*i - 1];
        let cost = |i: &usize| VISIT * self.visits[*i] + (k - *i);
        // For a point in a loop, it is cheaper to stop before the loop, and to step from there.
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

/// Executes one instruction if a child is at this address.
fn leave(child: libc::pid_t, from: u64) -> Result<bool, String> {
    while place(child)? == from {
        if !step(child)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs a child until it reaches an address. Returns false if it ends before.
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

/// Makes a child continue at the breakpoint's address, not behind it.
#[cfg(target_arch = "x86_64")]
fn back_from_breakpoint(child: libc::pid_t, target: u64) -> Result<(), String> {
    let mut registers = registers(child)?;
    // It has executed the breakpoint, which is one byte long.
    registers.rip -= 1;
    if registers.rip != target {
        return Err(format!("the child stopped at {:#x}", registers.rip));
    }
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: the child is stopped and traced by this thread; the registers are its own.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, child, nothing, &raw mut registers) };
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn place(child: libc::pid_t) -> Result<u64, String> {
    Ok(registers(child)?.rip)
}

#[cfg(target_arch = "x86_64")]
fn registers(child: libc::pid_t) -> Result<libc::user_regs_struct, String> {
    // SAFETY: plain data, for which zeroes are valid.
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

/// Returns the eight bytes at an address in the child.
fn peek(child: libc::pid_t, address: u64) -> Result<i64, String> {
    // SAFETY: this thread's errno is set, because a word may be -1.
    unsafe { *libc::__errno_location() = 0 };
    let address = ptr::without_provenance_mut::<libc::c_void>(address as usize);
    // SAFETY: the child is stopped and traced by this thread; its memory is read, not ours.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, child, address, 0) };
    match io::Error::last_os_error() {
        error if word == -1 && error.raw_os_error() != Some(0) => Err(format!("its code: {error}")),
        _ => Ok(word),
    }
}

/// Changes the child's own copy of its code.
fn poke(child: libc::pid_t, address: u64, word: i64) -> Result<(), String> {
    let address = ptr::without_provenance_mut::<libc::c_void>(address as usize);
    // SAFETY: the child is stopped and traced by this thread; its memory is changed, not ours.
    match unsafe { libc::ptrace(libc::PTRACE_POKETEXT, child, address, word) } {
        0 => Ok(()),
        _ => Err(format!("its code: {}", io::Error::last_os_error())),
    }
}

fn wait_for(child: libc::pid_t) -> Result<i32, String> {
    let mut status = 0;
    // SAFETY: the kernel writes the status, a local variable.
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
