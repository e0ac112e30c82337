//! What publishing and reading the newest value costs; the value has 64 bytes.

use crate::{
    peers::seqlock::SeqLock,
    processes::{self, Cpus, Failure, Home, Shared},
    stopwatch::{Amount, time, time_own},
};
use std::{hint::black_box, thread, time::Duration};

pub type Value = [u64; 8];

/// What is published in turn. They are not made on the way: the first bytes of a value would still
/// be on their way to the cache when it is copied.
const VALUES: Lines = Lines([[1; 8], [2; 8]]);

/// Each on one line of the cache.
#[repr(align(64))]
struct Lines([Value; 2]);

/// Where one publishes, and any number read.
pub trait Board: Sync + Sized {
    type Publisher<'a>: Publisher
    where
        Self: 'a;

    fn new() -> Result<Self, Failure>;
    fn publisher(&self) -> Self::Publisher<'_>;
    /// Copies the newest value to where it is wanted.
    fn read(&self, value: &mut Value);
}

pub trait Publisher {
    fn publish(&mut self, value: &Value);
}

/// Reading what does not change.
pub fn reading<B: Board>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let board = B::new()?;
    alone(cpus, amount, || {
        board.publisher().publish(&[1; 8]);
        |count| repeat(count, |value| board.read(value))
    })
}

/// Publishing, one value after the other, with so many readers that read all the time. Half of
/// them are on the publisher's CPU; its time is what it had of that.
pub fn publishing<B: Board>(readers: usize, cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let board = B::new()?;
    with_readers(&board, readers, cpus, || {
        let mut publisher = board.publisher();
        let mut batch = |count| {
            for number in 0..count {
                publisher.publish(&black_box(&VALUES.0)[number as usize % 2]);
            }
        };
        batch(amount.batch);
        time_own(amount, batch)
    })
}

/// The same with a pause of a microsecond before each value. The time is that between two readings
/// of the clock, one before and one after publishing: compare it with that of `nothing`. The
/// stores may reach the cache later.
pub fn paced<B: Board>(readers: usize, cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let board = B::new()?;
    with_readers(&board, readers, cpus, || {
        let clock = Ticks::new();
        let mut publisher = board.publisher();
        clock.paced(amount, |number| {
            publisher.publish(&black_box(&VALUES.0)[number as usize % 2]);
        })
    })
}

/// What the clock itself takes, in `paced`.
pub fn nothing(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let results = processes::processes(&[Some(cpus.0)], |player| {
        player.report(Ticks::new().paced(amount, |_| ()));
    })?;
    Ok(results[0])
}

/// Copying a value that does not change.
pub fn copying(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let value: Value = [1; 8];
    alone(cpus, amount, || {
        |count| repeat(count, |to| *to = *black_box(&value))
    })
}

/// Reads so often, whatever becomes of it.
#[inline]
fn repeat(count: u64, read: impl Fn(&mut Value)) {
    // On one line of the cache, or the figure depends on where the stack happens to begin.
    #[repr(align(64))]
    struct Line(Value);
    let mut line = Line(Value::default());
    for _ in 0..count {
        read(black_box(&mut line.0));
    }
}

/// Times batches in one process, after one that is not timed.
fn alone<B: FnMut(u64)>(
    cpus: Cpus,
    amount: Amount,
    prepare: impl Fn() -> B,
) -> Result<f64, Failure> {
    let results = processes::processes(&[Some(cpus.1)], |player| {
        let mut batch = prepare();
        batch(amount.batch);
        player.report(time(amount, batch));
    })?;
    Ok(results[0])
}

/// Measures in one process while others read.
fn with_readers<B: Board>(
    board: &B,
    readers: usize,
    cpus: Cpus,
    measure: impl Fn() -> f64,
) -> Result<f64, Failure> {
    let home = |rank| Some(if rank % 2 == 0 { cpus.0 } else { cpus.1 });
    let homes: Vec<Home> = (0..1 + readers).map(home).collect();
    let results = processes::processes(&homes, |player| {
        player.meet();
        if player.rank == 0 {
            thread::sleep(Duration::from_millis(1)); // until all read
            player.report(measure());
            player.end_all();
        } else {
            while !player.ended() {
                repeat(64, |value| board.read(value));
            }
        }
    })?;
    Ok(results[0])
}

/// The processor's own clock, to time what takes a few nanoseconds.
struct Ticks {
    per_nanosecond: f64,
}

impl Ticks {
    fn new() -> Ticks {
        let (time, ticks) = (std::time::Instant::now(), Ticks::now());
        thread::sleep(Duration::from_millis(2));
        let nanoseconds = time.elapsed().as_nanos() as f64;
        Ticks {
            per_nanosecond: (Ticks::now() - ticks) as f64 / nanoseconds,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn now() -> u64 {
        use std::arch::x86_64::{__rdtscp, _mm_lfence};
        // SAFETY: every 64-bit processor that Linux runs on in this decade has the instruction.
        unsafe {
            let ticks = __rdtscp(&mut 0); // when all before has been done
            _mm_lfence(); // before anything after begins
            ticks
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn now() -> u64 {
        use std::{sync::OnceLock, time::Instant};
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    /// Times each on its own, a microsecond after the one before; in nanoseconds. The mean of the
    /// middle half: a few are interrupted, and the clock of some processors goes in steps of 10 ns.
    fn paced(&self, amount: Amount, mut each: impl FnMut(u64)) -> f64 {
        let timed = (0..amount.total()).map(|number| {
            self.wait(1000.0);
            let start = Ticks::now();
            each(number);
            (Ticks::now() - start) as f64 / self.per_nanosecond
        });
        let mut timed: Vec<f64> = timed.collect();
        timed.sort_by(f64::total_cmp);
        let middle = &timed[timed.len() / 4..timed.len() - timed.len() / 4];
        middle.iter().sum::<f64>() / middle.len() as f64
    }

    fn wait(&self, nanoseconds: f64) {
        let start = Ticks::now();
        while ((Ticks::now() - start) as f64) < nanoseconds * self.per_nanosecond {}
    }
}

impl Board for Shared<SeqLock> {
    type Publisher<'a> = &'a SeqLock;

    fn new() -> Result<Self, Failure> {
        Shared::new()
    }
    fn publisher(&self) -> &SeqLock {
        self
    }
    #[inline]
    fn read(&self, value: &mut Value) {
        *value = SeqLock::read(self);
    }
}

impl Publisher for &SeqLock {
    #[inline]
    fn publish(&mut self, value: &Value) {
        SeqLock::publish(self, value);
    }
}
