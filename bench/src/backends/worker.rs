//! A process of this program that uses one backend. A line of its standard input asks for a sample: the number of a
//! row, and a count. The process answers with the nanoseconds of one operation, or with an error.

use super::{
    Row,
    operations::{Operation, ROWS},
};
use crate::processes::Failure;
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

/// The subcommand that makes this program a worker.
pub const HIDDEN: &str = "backend-worker";

/// The worker process, as its parent sees it. Dropping this closes the worker's standard input, which ends it.
pub struct Worker {
    backend: &'static str,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    process: Child,
}

impl Worker {
    pub fn start(backend: &'static str, directory: &Path) -> Result<Worker, Failure> {
        let mut process = Command::new(env::current_exe()?)
            .arg(HIDDEN)
            .env("SHMKEY_BACKEND", backend)
            .env("SHMKEY_DIR", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Worker {
            backend,
            input: process.stdin.take(),
            output: BufReader::new(process.stdout.take().ok_or("the worker has no pipe")?),
            process,
        })
    }

    /// Has an operation of a row run `count` times. Returns the nanoseconds of one.
    pub fn sample(&mut self, row: usize, count: u64) -> Result<f64, Failure> {
        let input = self.input.as_mut().ok_or("the worker has no pipe")?;
        writeln!(input, "{row} {count}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let answer = answer.trim();
        answer.parse().map_err(|_| {
            let name = ROWS.get(row).map_or("", |row| row.name);
            format!("{name}, on the backend {}: {answer}", self.backend).into()
        })
    }

    /// Returns how many operations of a row take at least `time`.
    pub fn calibrate(&mut self, row: usize, time: Duration) -> Result<u64, Failure> {
        let mut count = 1;
        // The first sample also prepares the row.
        self.sample(row, count)?;
        while self.sample(row, count)? * (count as f64) < time.as_nanos() as f64 {
            count *= 2;
        }
        Ok(count)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}

/// Answers the lines of standard input until it is closed.
pub fn work() -> Result<(), Failure> {
    let mut current: Option<(usize, Operation)> = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (row, count) = line.split_once(' ').ok_or("expected a row and a count")?;
        let (row, count): (usize, u64) = (row.parse()?, count.parse()?);
        if current.as_ref().is_none_or(|(number, _)| *number != row) {
            // Removes the segments of the previous row before the next one is prepared.
            current = None;
        }
        let answer = sample(&mut current, row, count);
        match answer {
            Ok(nanoseconds) => println!("{nanoseconds}"),
            Err(failure) => println!("{failure}"),
        }
        io::stdout().flush()?;
    }
    Ok(())
}

fn sample(
    current: &mut Option<(usize, Operation)>,
    number: usize,
    count: u64,
) -> Result<f64, Failure> {
    let row: &Row = ROWS.get(number).ok_or("there is no such row")?;
    let (_, operation) = match current {
        Some(prepared) => prepared,
        None => current.insert((number, (row.prepare)()?)),
    };
    operation(count)
}
