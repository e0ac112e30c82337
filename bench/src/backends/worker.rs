//! A process of this program that uses one backend, and does what it is asked for on its standard input: a line with the
//! number of a row and a count. It answers with the nanoseconds of an operation.

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

/// The subcommand of such a process.
pub const HIDDEN: &str = "backend-worker";

/// The process, seen from the one that asks it. It ends when its standard input does.
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
            output: BufReader::new(process.stdout.take().ok_or("there is no pipe")?),
            process,
        })
    }

    /// Returns the nanoseconds of an operation.
    pub fn sample(&mut self, row: usize, count: u64) -> Result<f64, Failure> {
        let input = self.input.as_mut().ok_or("there is no pipe")?;
        writeln!(input, "{row} {count}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let answer = answer.trim();
        answer.parse().map_err(|_| {
            let name = ROWS.get(row).map_or("", |row| row.name);
            format!("{name}, on the {}: {answer}", self.backend).into()
        })
    }

    /// Returns how many operations take so long.
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

/// Does what standard input asks for, until it ends.
pub fn work() -> Result<(), Failure> {
    let mut current: Option<(usize, Operation)> = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (row, count) = line.split_once(' ').ok_or("expected a row and a count")?;
        let (row, count): (usize, u64) = (row.parse()?, count.parse()?);
        if current.as_ref().is_none_or(|(number, _)| *number != row) {
            // What the row before has created is removed first.
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
