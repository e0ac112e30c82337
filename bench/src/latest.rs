//! The cost of publishing and reading a latest value of 64 bytes.

use crate::{
    peers::seqlock::SeqLock,
    processes::{self, Cpus, Failure, Home, Shared},
    stopwatch::{Amount, time, time_own},
};
use std::{hint::black_box, thread, time::Duration};

pub type Value = [u64; 8];

/// The values, published in turn. They are made in advance: the first bytes of a new value would still be on
/// their way to the cache when it is copied.
const VALUES: Lines = Lines([[1; 8], [2; 8]]);

/// Each on one line of the cache.
#[repr(align(64))]
struct Lines([Value; 2]);

/// A latest value of some kind, with one publisher and any number of readers.
pub trait Board: Sync + Sized {
    type Publisher<'a>: Publisher
    where
        Self: 'a;

    fn new() -> Result<Self, Failure>;
    fn publisher(&self) -> Self::Publisher<'_>;
    /// Copies the latest value.
    fn read(&self, value: &mut Value);
}

pub trait Publisher {
    fn publish(&mut self, value: &Value);
}

/// Measures reading a value that does not change.
pub fn reading<B: Board>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let board = B::new()?;
    alone(cpus, amount, || {
        board.publisher().publish(&[1; 8]);
        |count| repeat(count, |value| board.read(value))
    })
}

/// Measures publishing without a pause, while this many processes read all the time. Half of them share the
/// publisher's CPU; the time is the publisher's share of that.
pub fn publishing<B: Board>(readers: usize) -> impl Fn(Cpus, Amount) -> Result<f64, Failure> {
    move |cpus, amount| {
        with_readers::<B>(readers, cpus, |board| {
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
}

/// Measures publishing with a pause of a microsecond before each value. The time is that between two readings of the
/// clock, one before and one after publishing: compare it with that of `nothing`. The stores may reach the cache
/// later.
pub fn paced<B: Board>(readers: usize) -> impl Fn(Cpus, Amount) -> Result<f64, Failure> {
    move |cpus, amount| {
        with_readers::<B>(readers, cpus, |board| {
            let clock = Ticks::new();
            let mut publisher = board.publisher();
            clock.paced(amount, |number| {
                publisher.publish(&black_box(&VALUES.0)[number as usize % 2]);
            })
        })
    }
}

/// Measures the clock that `paced` reads.
pub fn nothing(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let results = processes::processes(&[Some(cpus.0)], |worker| {
        worker.report(Ticks::new().paced(amount, |_| ()));
    })?;
    Ok(results[0])
}

/// Measures copying a value that does not change.
pub fn copying(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let value: Value = [1; 8];
    alone(cpus, amount, || {
        |count| repeat(count, |to| *to = *black_box(&value))
    })
}

/// Reads this many times, into a buffer that is not used.
#[inline]
fn repeat(count: u64, read: impl Fn(&mut Value)) {
    // In one cache line: otherwise the time depends on the address of the stack.
    #[repr(align(64))]
    struct Line(Value);
    let mut line = Line(Value::default());
    for _ in 0..count {
        read(black_box(&mut line.0));
    }
}

/// Measures batches in one process, after a warm-up.
fn alone<B: FnMut(u64)>(
    cpus: Cpus,
    amount: Amount,
    prepare: impl Fn() -> B,
) -> Result<f64, Failure> {
    let results = processes::processes(&[Some(cpus.1)], |worker| {
        let mut batch = prepare();
        batch(amount.batch);
        worker.report(time(amount, batch));
    })?;
    Ok(results[0])
}

/// Measures in one process while others read.
fn with_readers<B: Board>(
    readers: usize,
    cpus: Cpus,
    measure: impl Fn(&B) -> f64,
) -> Result<f64, Failure> {
    let board = B::new()?;
    let home = |rank| Some(if rank % 2 == 0 { cpus.0 } else { cpus.1 });
    let homes: Vec<Home> = (0..1 + readers).map(home).collect();
    let results = processes::processes(&homes, |worker| {
        worker.meet();
        if worker.rank == 0 {
            thread::sleep(Duration::from_millis(1)); // until all read
            worker.report(measure(&board));
            worker.end_all();
        } else {
            while !worker.ended() {
                repeat(64, |value| board.read(value));
            }
        }
    })?;
    Ok(results[0])
}

/// The processor's own clock, for times of a few nanoseconds.
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
            let ticks = __rdtscp(&mut 0); // after all earlier instructions
            _mm_lfence(); // before all later ones
            ticks
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn now() -> u64 {
        use std::{sync::OnceLock, time::Instant};
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    /// Times each call on its own, a microsecond after the one before. Returns the mean of the middle half in
    /// nanoseconds: a few calls are interrupted, and the clock of some processors has steps of 10 ns.
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
