//! Two ways of doing one thing, measured in turn.
//!
//! A shared machine changes its speed while one looks. So the two alternate in short batches, each
//! batch is compared with its neighbour only, and what counts is the median of these ratios.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How long a batch takes, about: short enough that both of a round see the same machine.
const BATCH: Duration = Duration::from_micros(500);
/// So many rounds make a difference of some thousandths visible.
pub const MANY_ROUNDS: usize = 2001;

/// Two ways of doing one thing.
pub struct Pair {
    pub name: String,
    bare: Box<dyn FnMut(u32) -> Duration>,
    ours: Box<dyn FnMut(u32) -> Duration>,
}

/// What was measured: nanoseconds an operation, and the ratio of the two.
pub struct Measured<'a> {
    name: &'a str,
    bare: f64,
    ours: f64,
    /// Lower quartile, median, upper quartile.
    ratio: [f64; 3],
}

impl Pair {
    pub fn new(name: String, bare: impl FnMut() + 'static, ours: impl FnMut() + 'static) -> Pair {
        Pair {
            name,
            bare: Box::new(batch(bare)),
            ours: Box::new(batch(ours)),
        }
    }

    pub fn measure(&mut self, rounds: usize) -> Measured<'_> {
        let (bare_count, ours_count) = (count(&mut self.bare), count(&mut self.ours));
        let mut bare_time = || per_operation((self.bare)(bare_count), bare_count);
        let mut ours_time = || per_operation((self.ours)(ours_count), ours_count);
        let mut bare = Vec::with_capacity(rounds);
        let mut ours = Vec::with_capacity(rounds);
        let mut ratio = Vec::with_capacity(rounds);
        for round in 0..rounds {
            // The first of the two is sometimes at a disadvantage, so they take turns in being first.
            let (b, o) = if round % 2 == 0 {
                let b = bare_time();
                (b, ours_time())
            } else {
                let o = ours_time();
                (bare_time(), o)
            };
            bare.push(b);
            ours.push(o);
            ratio.push(o / b);
        }
        Measured {
            name: &self.name,
            bare: quartiles(bare)[1],
            ours: quartiles(ours)[1],
            ratio: quartiles(ratio),
        }
    }
}

/// How many operations make a batch.
fn count(batch: &mut dyn FnMut(u32) -> Duration) -> u32 {
    let mut count = 1;
    while batch(count) < BATCH {
        count *= 2;
    }
    count
}

fn per_operation(time: Duration, count: u32) -> f64 {
    time.as_nanos() as f64 / f64::from(count)
}

/// Does something a number of times, and tells how long that took.
fn batch(mut operation: impl FnMut()) -> impl FnMut(u32) -> Duration {
    move |count| {
        let start = Instant::now();
        for _ in 0..count {
            operation();
        }
        start.elapsed()
    }
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}

/// A row of a Markdown table.
impl fmt::Display for Measured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lower, median, upper] = self.ratio;
        write!(
            f,
            "| {} | {} | {} | **{median:.3}** ({lower:.3} to {upper:.3}) |",
            self.name,
            Time(self.bare),
            Time(self.ours)
        )
    }
}

/// Nanoseconds, with decimals where they matter.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.0 < 10.0 { 1 } else { 0 };
        write!(f, "{:.decimals$} ns", self.0)
    }
}
