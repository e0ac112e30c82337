//! A process is killed at any instruction. One child executes an operation, instruction by instruction, while the
//! test records its path. Each further child follows that path up to the k-th instruction, and is killed there. Then
//! other processes must find the objects in a valid state.
//!
//! By default the test takes a random sample of all k, and prints its seed (`SHMKEY_SEED=…` repeats it).
//! `SHMKEY_TORTURE=1 cargo test --release --test torture` takes every k, in half an hour, but not each repetition of
//! an instruction with the prefix `rep`.

mod stepping;
#[path = "../support/mod.rs"]
mod support;
mod victims;

use libtest_mimic::{Arguments, Failed, Trial};
use std::{env, process::ExitCode};
use stepping::Way;
use support::Random;
use victims::{Objects, VICTIMS, Victim};

/// The number of k in a sample.
const SAMPLE: usize = if cfg!(debug_assertions) {
    15 // the same instructions, and many more between them
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
    support::directory(); // removes the directory when this process is stopped
    stay_on_one_core();
    let seed = Random::seed_of_run();

    let all = env::var_os("SHMKEY_TORTURE").is_some();
    let trials = VICTIMS.map(|(name, victim)| {
        let how = if all { "all" } else { "sample" };
        Trial::test(format!("{how}: {name}"), move || {
            let tried = if all {
                kill_at_all(victim)
            } else {
                kill_at_some(victim, &mut Random::seeded(seed))
            };
            tried.map_err(Failed::from)
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Pins both processes to one core. They never run at the same time, and stepping is twenty times faster there.
fn stay_on_one_core() {
    // SAFETY: the set is plain data, for which zeroes are valid, and the kernel reads exactly its size.
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
    /// Of the repetitions of an instruction, one in this many is taken.
    const TURNS: usize = 61;
    let way = way(victim)?;
    for k in (0..=way.len()).filter(|&k| !way.repeats(k) || k % TURNS == 0) {
        kill_after(victim, &way, k)?;
    }
    Ok(())
}

/// Records the instructions that an operation executes if it is not killed.
fn way(victim: Victim) -> Result<Way, String> {
    let objects = Objects::new()?;
    let child = stepping::start(|| (victim.prepare)(&objects), || (victim.act)(&objects))?;
    let way = Way::of(child)?;
    (victim.check)(&objects, true).map_err(|error| format!("not killed: {error}"))?;
    Ok(way)
}

/// Kills a child after this many instructions of its act, or lets it finish.
fn kill_after(victim: Victim, way: &Way, k: usize) -> Result<(), String> {
    let objects = Objects::new()?;
    let child = stepping::start(|| (victim.prepare)(&objects), || (victim.act)(&objects))?;
    let done = !way.send(child, k)?;
    if !done {
        stepping::kill(child)?;
    }
    (victim.check)(&objects, done).map_err(|error| format!("killed after instruction {k}: {error}"))
}
