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
const ROUNDS: usize = 2001;

/// Two ways of doing one thing.
pub struct Pair {
    pub name: String,
    bare: Box<dyn Fn(u32) -> Duration>,
    ours: Box<dyn Fn(u32) -> Duration>,
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
    pub fn new(name: String, bare: impl Fn() + 'static, ours: impl Fn() + 'static) -> Pair {
        Pair {
            name,
            bare: Box::new(batch(bare)),
            ours: Box::new(batch(ours)),
        }
    }

    pub fn measure(&self) -> Measured<'_> {
        let mut count = 1;
        while (self.bare)(count) < BATCH {
            count *= 2;
        }
        (self.ours)(count);
        let per_operation = |time: Duration| time.as_nanos() as f64 / f64::from(count);
        let mut bare = Vec::with_capacity(ROUNDS);
        let mut ours = Vec::with_capacity(ROUNDS);
        let mut ratio = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            // Whoever comes first has a disadvantage now and then, so they take turns in that, too.
            let (b, o) = if round % 2 == 0 {
                let b = (self.bare)(count);
                (b, (self.ours)(count))
            } else {
                let o = (self.ours)(count);
                ((self.bare)(count), o)
            };
            bare.push(per_operation(b));
            ours.push(per_operation(o));
            ratio.push(per_operation(o) / per_operation(b));
        }
        Measured {
            name: &self.name,
            bare: quartiles(bare)[1],
            ours: quartiles(ours)[1],
            ratio: quartiles(ratio),
        }
    }
}

/// Does something a number of times, and tells how long that took.
fn batch(operation: impl Fn()) -> impl Fn(u32) -> Duration {
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
            "| {} | {:.0} ns | {:.0} ns | **{median:.3}** ({lower:.3} to {upper:.3}) |",
            self.name, self.bare, self.ours
        )
    }
}
