//! Two ways to do the same, measured in turn.
//!
//! The speed of a shared machine changes. So the two alternate in short batches, each batch is compared with its
//! neighbour alone, and the result is the median of these ratios.

use crate::{processes::Failure, progress::Progress, report::Nanoseconds, stopwatch::quartiles};
use std::time::{Duration, Instant};

/// About how long a batch takes: so short that the machine has the same speed in both batches of a round.
const BATCH: Duration = Duration::from_micros(500);

/// Two ways to do the same.
pub struct Pair {
    name: String,
    bare: Box<dyn FnMut(u32) -> Duration>,
    ours: Box<dyn FnMut(u32) -> Duration>,
}

impl Pair {
    pub fn new(name: String, bare: impl FnMut() + 'static, ours: impl FnMut() + 'static) -> Pair {
        Pair {
            name,
            bare: Box::new(batch(bare)),
            ours: Box::new(batch(ours)),
        }
    }

    /// Measures the pair. Returns a row of a Markdown table.
    fn measure(&mut self, rounds: usize) -> Result<String, Failure> {
        let (bare_count, ours_count) = (count(&mut self.bare), count(&mut self.ours));
        let bare = || Ok(per_operation((self.bare)(bare_count), bare_count));
        let ours = || Ok(per_operation((self.ours)(ours_count), ours_count));
        let [[_, bare, _], [_, ours, _], [lower, median, upper]] = alternate(rounds, bare, ours)?;
        Ok(format!(
            "| {} | {} | {} | **{median:.3}** ({lower:.3} to {upper:.3}) |",
            self.name,
            Nanoseconds(bare),
            Nanoseconds(ours)
        ))
    }
}

/// Measures the pairs, and prints the rows of a Markdown table below its heading.
pub fn print(rounds: usize, pairs: impl IntoIterator<Item = Pair>) -> Result<(), Failure> {
    println!("|---|--:|--:|--:|");
    let progress = Progress::new();
    for mut pair in pairs {
        progress.show(&format!("measuring {}", pair.name));
        let row = pair.measure(rounds)?;
        progress.clear();
        println!("{row}");
    }
    Ok(())
}

/// Measures two things in turn. Returns the quartiles of the first, of the second, and of their ratios.
pub fn alternate(
    rounds: usize,
    mut first: impl FnMut() -> Result<f64, Failure>,
    mut second: impl FnMut() -> Result<f64, Failure>,
) -> Result<[[f64; 3]; 3], Failure> {
    let mut values = [const { Vec::new() }; 3];
    for round in 0..rounds {
        // The one that goes first is sometimes at a disadvantage, so they take turns.
        let (one, other) = if round % 2 == 0 {
            let one = first()?;
            (one, second()?)
        } else {
            let other = second()?;
            (first()?, other)
        };
        for (values, value) in values.iter_mut().zip([one, other, other / one]) {
            values.push(value);
        }
    }
    Ok(values.map(quartiles))
}

/// Returns how many operations make a batch.
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

/// Returns a function that repeats an operation, and returns how long that took.
fn batch(mut operation: impl FnMut()) -> impl FnMut(u32) -> Duration {
    move |count| {
        let start = Instant::now();
        for _ in 0..count {
            operation();
        }
        start.elapsed()
    }
}
