//! Killed at any instruction: one child does an operation, instruction by instruction, while its way
//! is written down. Each further child is sent along that way up to the k-th instruction, and killed
//! there. Then the survivors must find everything in order.
//!
//! By default a sample of all k, from a seed that is printed (`SHMKEY_SEED=…` repeats it); `cargo
//! test --release --test torture -- --ignored` takes every k, but not each turn of an instruction that
//! repeats itself.

mod stepping;
#[path = "../support/mod.rs"]
mod support;
mod victims;

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use stepping::Way;
use support::Random;
use victims::{Objects, VICTIMS, Victim};

/// How many k a sample has.
const SAMPLE: usize = if cfg!(debug_assertions) {
    40 // the same instructions, and many more between them
} else {
    150
};

fn main() -> ExitCode {
    if !cfg!(target_arch = "x86_64") {
        println!("no process was stepped through: that is written for x86-64");
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // The processes are forked, and a fork copies one thread.
    arguments.test_threads = Some(1);
    support::directory(); // cleans up when this process is stopped
    stay_on_one_core();
    let seed = Random::seed_of_run();

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

fn kill_at_some(victim: Victim, random: &mut Random) -> Result<(), String> {
    let way = way(victim)?;
    for _ in 0..SAMPLE {
        kill_after(victim, &way, random.below(way.len() + 1))?;
    }
    Ok(())
}

fn kill_at_all(victim: Victim) -> Result<(), String> {
    /// One turn in so many of an instruction that repeats itself.
    const TURNS: usize = 61;
    let way = way(victim)?;
    for k in (0..=way.len()).filter(|&k| !way.repeats(k) || k % TURNS == 0) {
        kill_after(victim, &way, k)?;
    }
    Ok(())
}

/// The instructions that an operation makes, undisturbed.
fn way(victim: Victim) -> Result<Way, String> {
    let objects = Objects::new()?;
    let child = stepping::start(|| (victim.prepare)(&objects), || (victim.act)(&objects))?;
    let way = Way::of(child)?;
    (victim.check)(&objects, true).map_err(|error| format!("not killed: {error}"))?;
    Ok(way)
}

/// Kills a child after so many instructions of its act, or lets it come to its end.
fn kill_after(victim: Victim, way: &Way, k: usize) -> Result<(), String> {
    let objects = Objects::new()?;
    let child = stepping::start(|| (victim.prepare)(&objects), || (victim.act)(&objects))?;
    let done = !way.send(child, k)?;
    if !done {
        stepping::kill(child)?;
    }
    (victim.check)(&objects, done).map_err(|error| format!("killed after instruction {k}: {error}"))
}
