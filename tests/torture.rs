//! Killed at any instruction: a child does one operation, is stepped through it instruction by
//! instruction, and is killed after the k-th. Then the survivors must find everything in order.
//!
//! By default a sample of all k, from a seed that is printed (`SHMKEY_SEED=…` repeats it); `cargo
//! test --release --test torture -- --ignored` takes every k.

mod stage;

use libtest_mimic::{Arguments, Failed, Trial};
use shmkey::{ErrorKind, Key, Mutex, Place, Segment, Semaphore};
use stage::Random;
use std::{env, process::ExitCode, ptr, time::Duration};

/// Nobody waits for ever; far longer than anything takes.
const AGES: Duration = Duration::from_secs(60);

/// How many k a sample has at most, and how many instructions all its children may make together.
const SAMPLE: usize = 150;
const BUDGET: usize = 400_000;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The processes are forked, and a fork copies one thread.
    arguments.test_threads = Some(1);
    stage::directory(); // cleans up when this process is stopped
    stay_on_one_core();
    let seed = env::var("SHMKEY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Random::new().next());
    println!("SHMKEY_SEED={seed}");

    let mut trials = Vec::new();
    for (name, victim) in VICTIMS {
        trials.push(Trial::test(format!("sample: {name}"), move || {
            kill_at_some(victim, &mut Random::seeded(seed)).map_err(Failed::from)
        }));
        trials.push(
            Trial::test(format!("torture: {name}"), move || {
                kill_at_all(victim).map_err(Failed::from)
            })
            .with_ignored_flag(true),
        );
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    match conclusion.has_failed() {
        true => ExitCode::from(101),
        false => ExitCode::SUCCESS,
    }
}

/// Stepping goes back and forth between two processes that never run at the same time: on one core
/// that is twenty times faster.
fn stay_on_one_core() {
    // SAFETY: the set is plain data, of which zeroes are valid, and the kernel reads its size.
    unsafe {
        let mut cores: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut cores);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &cores);
    }
}

/// Something that a child does, and what the survivors must find after its death.
#[derive(Clone, Copy)]
struct Victim {
    /// What the child does before it is stepped.
    prepare: fn(&Scene),
    act: fn(&Scene),
    /// What the survivors see and do. `done` if the child came to its end.
    check: fn(&Scene, done: bool) -> Result<(), String>,
}

/// What both sides have: opened before the fork.
struct Scene {
    mutex: Mutex<[u64; 4]>,
    semaphore: Semaphore,
    /// The name of an object that is not there yet.
    fresh: String,
}

const OLD: [u64; 4] = [1; 4];
const NEW: [u64; 4] = [2; 4];

const VICTIMS: [(&str, Victim); 6] = [
    (
        "lock, set, unlock",
        Victim {
            prepare: know_oneself,
            act: lock_and_set,
            check: check_value,
        },
    ),
    (
        "lock that is taken",
        Victim {
            prepare: know_oneself,
            act: lock_in_vain,
            check: check_value,
        },
    ),
    (
        "post",
        Victim {
            prepare: know_oneself,
            act: post,
            check: check_posted,
        },
    ),
    (
        "wait",
        Victim {
            prepare: know_oneself,
            act: wait,
            check: check_taken,
        },
    ),
    (
        "open a mutex",
        Victim {
            prepare: |_| {},
            act: open_mutex,
            check: check_opened,
        },
    ),
    (
        "lock for the first time",
        Victim {
            prepare: |_| {},
            act: lock_and_set,
            check: check_value,
        },
    ),
];

impl Scene {
    fn new() -> Result<Scene, String> {
        let name = |what| format!("torture {} {what}", std::process::id());
        let text = |error: shmkey::Error| error.to_string();
        for what in ["mutex", "semaphore", "fresh"] {
            remove(&name(what));
            stage::watch(Key::from_name(name(what)).map_err(text)?);
        }
        Ok(Scene {
            mutex: Mutex::open(name("mutex").as_str(), OLD).map_err(text)?,
            semaphore: Semaphore::open(name("semaphore").as_str(), 1).map_err(text)?,
            fresh: name("fresh"),
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.mutex.remove();
        let _ = self.semaphore.remove();
        remove(&self.fresh);
    }
}

fn remove(name: &str) {
    if let Ok(segment) = Key::from_name(name).and_then(Segment::open) {
        let _ = segment.remove();
    }
}

/// A thread finds out who it is once, at its first lock. That has a test of its own.
fn know_oneself(scene: &Scene) {
    drop(scene.mutex.lock());
}

fn lock_and_set(scene: &Scene) {
    if let Ok(mut guard) = scene.mutex.lock() {
        guard.set(NEW);
    }
}

/// The parent has the lock, or the child itself has just been refused it.
fn lock_in_vain(scene: &Scene) {
    let Ok(_guard) = scene.mutex.lock() else {
        return;
    };
    // The same word again: taken, so this goes all the way to refusal.
    let _ = scene.mutex.lock_timeout(Duration::from_millis(1));
}

fn check_value(scene: &Scene, done: bool) -> Result<(), String> {
    let mut guard = scene
        .mutex
        .lock_timeout(AGES)
        .map_err(|error| error.to_string())?;
    let value = guard.get();
    if done && guard.owner_died() {
        return Err("the owner unlocked, and is said to have died with the lock".into());
    }
    if !guard.owner_died() && value != OLD && value != NEW {
        return Err(format!(
            "{value:?} is torn, and nobody is said to have died"
        ));
    }
    guard.mark_consistent();
    guard.set(OLD);
    drop(guard);
    match scene.mutex.lock_timeout(Duration::ZERO) {
        Ok(guard) if !guard.owner_died() => Ok(()),
        other => Err(format!("after the repair: {other:?}")),
    }
}

fn post(scene: &Scene) {
    let _ = scene.semaphore.post();
}

/// One there was, one more there may be.
fn check_posted(scene: &Scene, done: bool) -> Result<(), String> {
    expect_count(drain(scene)?, 2, done)
}

fn wait(scene: &Scene) {
    let _ = scene.semaphore.wait_timeout(AGES);
}

/// One there was, and it may be gone.
fn check_taken(scene: &Scene, done: bool) -> Result<(), String> {
    expect_count(drain(scene)?, 0, done)
}

/// The count is what the act makes of it; or 1, as before, if the act did not come to its end.
fn expect_count(count: u32, after: u32, done: bool) -> Result<(), String> {
    if count == after || count == 1 && !done {
        Ok(())
    } else {
        Err(format!("the count is {count}"))
    }
}

/// Takes all there is, and sees that it still works.
fn drain(scene: &Scene) -> Result<u32, String> {
    let text = |error: shmkey::Error| error.to_string();
    let mut count = 0;
    while scene.semaphore.try_wait() {
        count += 1;
    }
    if scene
        .semaphore
        .wait_timeout(Duration::ZERO)
        .map_err(|e| e.kind())
        != Err(ErrorKind::WouldBlock)
    {
        return Err("something was left".into());
    }
    scene.semaphore.post().map_err(text)?;
    scene.semaphore.wait_timeout(AGES).map_err(text)?;
    Ok(count)
}

fn open_mutex(scene: &Scene) {
    let _ = Mutex::open(scene.fresh.as_str(), NEW);
}

fn check_opened(scene: &Scene, done: bool) -> Result<(), String> {
    let place = Place::named(&scene.fresh).timeout(AGES);
    let mutex = Mutex::open(place, OLD).map_err(|error| error.to_string())?;
    let guard = mutex
        .lock_timeout(AGES)
        .map_err(|error| error.to_string())?;
    match guard.get() {
        NEW => Ok(()),
        OLD if !done => Ok(()),
        value => Err(format!("its first value is {value:?}")),
    }
}

fn kill_at_some(victim: Victim, random: &mut Random) -> Result<(), String> {
    let all = kill_after(victim, usize::MAX)?;
    for _ in 0..(BUDGET / all).clamp(3, SAMPLE) {
        kill_after(victim, random.below(all + 1))?;
    }
    Ok(())
}

fn kill_at_all(victim: Victim) -> Result<(), String> {
    let all = kill_after(victim, usize::MAX)?;
    for k in 0..=all {
        kill_after(victim, k)?;
    }
    Ok(())
}

/// Kills a child after so many instructions of its act, or lets it come to its end. Returns how
/// many instructions it made.
fn kill_after(victim: Victim, instructions: usize) -> Result<usize, String> {
    let scene = Scene::new()?;
    let child = start(|| (victim.prepare)(&scene), || (victim.act)(&scene))?;
    let mut made = 0;
    let mut done = false;
    while made < instructions && !done {
        done = !step(child)?;
        made += 1;
    }
    if !done {
        // SAFETY: the child is stopped and not yet waited for.
        unsafe { libc::kill(child, libc::SIGKILL) };
        wait_for(child)?;
    }
    (victim.check)(&scene, done)
        .map_err(|error| format!("killed after instruction {made}: {error}"))?;
    Ok(made)
}

/// Forks a child that prepares, stops, and then acts.
fn start(prepare: impl Fn(), act: impl Fn()) -> Result<libc::pid_t, String> {
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
fn step(child: libc::pid_t) -> Result<bool, String> {
    // SAFETY: the child is stopped and traced by this thread.
    unsafe {
        libc::ptrace(
            libc::PTRACE_SINGLESTEP,
            child,
            ptr::null_mut::<libc::c_void>(),
            0,
        )
    };
    match wait_for(child)? {
        status if libc::WIFSTOPPED(status) => Ok(true),
        status if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 => Ok(false),
        status => Err(format!("the child ended by itself: status {status:#x}")),
    }
}

fn wait_for(child: libc::pid_t) -> Result<i32, String> {
    let mut status = 0;
    // SAFETY: the status is ours to write.
    match unsafe { libc::waitpid(child, &mut status, 0) } {
        id if id == child => Ok(status),
        _ => Err(format!("waitpid: {}", std::io::Error::last_os_error())),
    }
}
