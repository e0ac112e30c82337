//! The queue that jobs and worker share: a mutex around three numbers, and a condition variable, in one
//! segment.

#![allow(dead_code)] // each program uses a part

use crate::support::{self, SLICE, StopSignals};
use shmkey::{Condvar, Error, Key, Mutex, MutexGuard, Place, Segment};
use std::{sync::Arc, time::Duration};

const CHANGED: usize = 4096;
const SIZE: usize = 8192;
const ROOM: u64 = 4;

/// The number of jobs that were added, the number that were taken, and 1 when no more will come.
pub type Jobs = [u64; 3];

pub fn has_room([added, taken, _]: &Jobs) -> bool {
    added.wrapping_sub(*taken) < ROOM
}

pub fn all_are_taken([added, taken, _]: &Jobs) -> bool {
    added == taken
}

pub fn has_job_or_end(jobs: &Jobs) -> bool {
    jobs[2] != 0 || !all_are_taken(jobs)
}

pub struct Queue {
    segment: Segment,
    jobs: Mutex<Jobs>,
    pub changed: Condvar,
}

impl Queue {
    /// Opens the queue, or creates it.
    pub fn open() -> Result<Queue, Error> {
        let segment = Segment::options()
            .create(true)
            .size(SIZE)
            .open(Key::from_path(".", i32::from(b'J'))?)?;
        let memory = Arc::new(support::attach(&segment)?);
        let start = Place::within(Arc::clone(&memory), 0).layout("jobs");
        Ok(Queue {
            segment,
            jobs: Mutex::open(start, [0; 3])?,
            changed: Condvar::open(Place::within(memory, CHANGED))?,
        })
    }

    /// Closes the queue. The last process to close it removes the segment.
    pub fn close(self) {
        drop((self.jobs, self.changed));
        support::remove_if_last(&self.segment);
    }

    /// Waits until `is_ready` returns true, and locks the queue. `None` if a stop signal has come.
    pub fn lock_when(
        &self,
        is_ready: fn(&Jobs) -> bool,
        signals: &StopSignals,
    ) -> Result<Option<MutexGuard<'_, Jobs>>, Error> {
        let Some(mut guard) = signals.unless(|time| self.jobs.lock_timeout(time))? else {
            return Ok(None);
        };
        loop {
            if guard.owner_died() {
                // Each number is whole, and none depends on another.
                guard.mark_consistent();
            }
            if is_ready(&guard.get()) {
                return Ok(Some(guard));
            }
            let waited;
            (guard, waited) = self.changed.wait_timeout(guard, SLICE)?;
            if waited.timed_out() && signals.pause(Duration::ZERO) {
                return Ok(None);
            }
        }
    }
}
