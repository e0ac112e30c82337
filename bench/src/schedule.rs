//! The order of the measurements: short runs in random order, those that are compared next to each other, each
//! between two probes.

use crate::{
    placement::{Placement, Probe},
    processes::{Cpus, Failure},
    progress::Progress,
    stopwatch::Amount,
};
use std::{
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

/// An entry that fails this many times is no longer measured.
const GIVE_UP_AFTER: u32 = 3;

/// Runs a measurement once, and returns nanoseconds.
pub type Run = Box<dyn Fn(Cpus, Amount) -> Result<f64, Failure>>;

/// Things that are compared with each other.
pub struct Group {
    pub title: &'static str,
    pub entries: Vec<Entry>,
}

/// One thing that is measured.
pub struct Entry {
    pub name: &'static str,
    pub goals: Vec<Goal>,
    pub samples: Vec<Sample>,
    /// Why there are no samples, or no more of them.
    pub failure: Option<Failure>,
    failures: u32,
    run: Run,
    /// The length of a batch, and the number of batches in a run.
    batch: Duration,
    batches: u64,
    /// The nanoseconds of an operation in the last run.
    guess: f64,
}

/// What the result should not exceed.
#[derive(Clone, Copy)]
pub struct Goal {
    pub against: Against,
    pub at_most: f64,
}

#[derive(Clone, Copy)]
pub enum Against {
    /// The bare round trip before and after the run.
    Bare,
    /// Another entry of the group, in the same pass.
    Peer(&'static str),
    /// The fastest entry of the group that is not shmkey's, in the same pass.
    FastestPeer,
    Nanoseconds,
}

/// The result of a run.
#[derive(Clone, Copy)]
pub struct Sample {
    pub nanoseconds: f64,
    /// The mean of the bare round trips before and after it.
    pub bare: f64,
    pub placement: Placement,
    /// The number of its pass through the group.
    pub pass: usize,
}

impl Entry {
    pub fn new(
        name: &'static str,
        run: impl Fn(Cpus, Amount) -> Result<f64, Failure> + 'static,
    ) -> Entry {
        Entry {
            name,
            goals: Vec::new(),
            samples: Vec::new(),
            failure: None,
            failures: 0,
            run: Box::new(run),
            batch: Duration::from_millis(2),
            batches: 9,
            guess: 0.0,
        }
    }

    /// Adds a goal: at most this many times what `against` takes.
    pub fn at_most(mut self, at_most: f64, against: Against) -> Entry {
        self.goals.push(Goal { against, at_most });
        self
    }

    /// Sets the number of batches in a run, and the length of each.
    pub fn batches(mut self, batches: u64, each: Duration) -> Entry {
        self.batches = batches;
        self.batch = each;
        self
    }

    fn amount(&self) -> Amount {
        let batch = self.batch.as_nanos() as f64 / self.guess.max(0.5);
        Amount {
            batch: (batch as u64).max(1),
            batches: self.batches,
        }
    }

    fn counted(&self) -> usize {
        let near = |sample: &&Sample| sample.placement == Placement::Near;
        self.samples.iter().filter(near).count()
    }
}

/// The arguments of `shmkey-bench sync` for measuring.
pub struct Plan {
    pub cpus: Cpus,
    /// The number of runs of each entry that must count.
    pub runs: usize,
    /// The bare round trips that count as near, in nanoseconds.
    pub near: RangeInclusive<f64>,
    /// How long to wait until the host places the CPUs near each other.
    pub patience: Duration,
}

impl Plan {
    /// Measures until each entry has enough runs. Returns whether some of them were not near.
    pub fn measure(&self, groups: &mut [Group]) -> Result<bool, Failure> {
        self.try_out(groups)?;
        let progress = Progress::new();
        let mut waiting_since = None;
        let mut gave_up = false;
        let mut pass = 0;
        loop {
            let mut open: Vec<&mut Group> = groups
                .iter_mut()
                .filter(|group| group.entries.iter().any(|entry| self.wants(entry, gave_up)))
                .collect();
            if open.is_empty() {
                return Ok(gave_up);
            }
            fastrand::shuffle(&mut open);
            for group in open {
                let placement = Probe::take(self.cpus)?.placement(&self.near);
                if placement == Placement::Near {
                    waiting_since = None;
                } else if !gave_up {
                    let since = *waiting_since.get_or_insert_with(Instant::now);
                    progress.show(&format!(
                        "CPUs are {placement}; waiting until they are near"
                    ));
                    gave_up = since.elapsed() > self.patience;
                    if gave_up {
                        progress.say(&format!(
                            "The host has not placed the CPUs near each other for {} s; \
                             measuring in any placement.",
                            self.patience.as_secs()
                        ));
                    }
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
                pass += 1;
                progress.show(&format!("pass {pass}, {placement}: {}", group.title));
                self.pass(group, pass)?;
            }
        }
    }

    fn wants(&self, entry: &Entry, any_placement: bool) -> bool {
        let counted = if any_placement {
            entry.samples.len()
        } else {
            entry.counted()
        };
        entry.failure.is_none() && counted < self.runs
    }

    /// Runs each entry once, to learn whether it works, and about how long an operation takes.
    fn try_out(&self, groups: &mut [Group]) -> Result<(), Failure> {
        let progress = Progress::new();
        for group in groups {
            for entry in &mut group.entries {
                progress.show(&format!("trying {}: {}", group.title, entry.name));
                let (batch, batches) = (50, 3);
                match (entry.run)(self.cpus, Amount { batch, batches }) {
                    Ok(nanoseconds) => entry.guess = nanoseconds,
                    Err(failure) => {
                        progress.say(&format!("{}: {}: {failure}", group.title, entry.name));
                        entry.failure = Some(failure);
                    }
                }
            }
        }
        Ok(())
    }

    /// Runs each entry of the group once, in random order.
    fn pass(&self, group: &mut Group, pass: usize) -> Result<(), Failure> {
        let mut before = Probe::take(self.cpus)?;
        let mut entries: Vec<&mut Entry> = group.entries.iter_mut().collect();
        fastrand::shuffle(&mut entries);
        for entry in entries {
            if entry.failure.is_some() {
                continue;
            }
            let result = (entry.run)(self.cpus, entry.amount());
            let after = Probe::take(self.cpus)?;
            match result {
                Ok(nanoseconds) => {
                    entry.guess = nanoseconds;
                    let (one, other) = (before.placement(&self.near), after.placement(&self.near));
                    entry.samples.push(Sample {
                        nanoseconds,
                        bare: (before.bare + after.bare) / 2.0,
                        placement: if one == other { one } else { Placement::Moved },
                        pass,
                    });
                }
                Err(failure) => {
                    entry.failures += 1;
                    if entry.failures == GIVE_UP_AFTER {
                        entry.failure = Some(failure);
                    }
                }
            }
            before = after;
        }
        Ok(())
    }
}
