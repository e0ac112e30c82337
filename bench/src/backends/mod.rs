//! The cost of the user backend, as ratios to that of the kernel's System V shared memory.
//!
//! A process uses one backend. So each backend has a process of its own (`worker`), and the two take turns: each
//! sample of one is compared with the next sample of the other.

mod operations;
pub mod worker;

use crate::{
    pairs::alternate,
    processes::Failure,
    progress::Progress,
    report::{Nanoseconds, significant},
};
use operations::ROWS;
use std::time::Duration;
use worker::Worker;

/// An operation that is measured on both backends.
pub struct Row {
    name: &'static str,
    /// The number of pairs of samples, and the shortest duration of a sample.
    rounds: usize,
    sample: Duration,
    /// The largest ratio of the user backend to the kernel that meets the goal.
    goal: Option<f64>,
    /// For a row with 4,000 segments: the number of the row with one segment, and the largest ratio of the user
    /// backend in this row to the user backend in that row that meets the goal.
    growth: Option<(usize, f64)>,
    prepare: fn() -> Result<operations::Operation, Failure>,
}

/// Measures, and prints the table.
pub fn print() -> Result<(), Failure> {
    // In a new IPC namespace, the kernel's limit of 4096 segments is not reached. Without the privilege to make one,
    // the rows with 4,000 segments may fail.
    // SAFETY: affects this thread, which is the only one so far, and the programs that it starts.
    let _ = unsafe { libc::unshare(libc::CLONE_NEWIPC) };
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let mut kernel = Worker::start("kernel", directory.path())?;
    let mut user = Worker::start("user", directory.path())?;
    println!("| what | kernel | user | user / kernel (quartiles) | goal | met |");
    println!("|---|--:|--:|--:|---|---|");
    let progress = Progress::new();
    let mut medians = Vec::new();
    for (number, row) in ROWS.iter().enumerate() {
        progress.show(&format!("measuring {}", row.name));
        let counts = (
            kernel.calibrate(number, row.sample)?,
            user.calibrate(number, row.sample)?,
        );
        let [kernels, users, ratios] = alternate(
            row.rounds,
            || kernel.sample(number, counts.0),
            || user.sample(number, counts.1),
        )?;
        medians.push(users[1]);
        progress.clear();
        println!("{}", row.line(kernels[1], users[1], ratios, &medians));
    }
    Ok(())
}

impl Row {
    fn line(&self, kernel: f64, user: f64, ratios: [f64; 3], medians: &[f64]) -> String {
        let [low, middle, high] = ratios.map(significant);
        let mut goals = Vec::new();
        let mut met = true;
        if let Some(goal) = self.goal {
            goals.push(format!("≤ {goal} × the kernel"));
            met &= ratios[1] <= goal;
        }
        if let Some((row, goal)) = self.growth
            && let Some(before) = medians.get(row)
        {
            let grown = significant(user / before);
            goals.push(format!("≤ {goal} × the same with one segment: {grown}"));
            met &= user / before <= goal;
        }
        let met = match (goals.is_empty(), met) {
            (true, _) => "",
            (false, true) => "yes",
            (false, false) => "no",
        };
        format!(
            "| {} | {} | {} | **{middle}** ({low} to {high}) | {} | {met} |",
            self.name,
            Nanoseconds(kernel),
            Nanoseconds(user),
            goals.join("; "),
        )
    }
}
