//! C and Rust processes talk through the same shared memory: the programs of `c_examples/`, in all
//! their forms and all pairings, with some of them killed, and a race at full speed.
//!
//! `cargo run --release --example demo [-- --verbose]`. Exits with status 0 only if everything worked,
//! and leaves nothing behind.

#[path = "../tests/support/mod.rs"]
mod support;

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    env,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::{Form, Programs, Result, examples, shorten};

/// How many jobs run at once. Their processes wait for each other most of the time.
const LANES: usize = 6;

/// Messages of the race, and how long one is, as in `c_examples/race.c`.
const COUNT: u64 = 1_000_000;
const LENGTH: usize = 256;

/// The argument that makes this program the reader of a pipe.
const READ_PIPE: &str = "--read-pipe";

/// Prints a line. A reader that has gone (`demo | head`) is no reason to leave things behind.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(io::stdout(), $($text)*);
    }};
}

fn main() -> ExitCode {
    if let Some((task, directory)) = support::helper_task() {
        assert_eq!(task, examples::DYING_CLIENT);
        examples::dying_client(&directory).expect("there is a server");
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(false),
        ["-v" | "--verbose"] => run(true),
        [READ_PIPE] => read_pipe().map(|()| true),
        _ => {
            eprintln!("usage: demo [--verbose]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything worked.
fn run(verbose: bool) -> Result<bool> {
    console::set_colors_enabled(console::colors_enabled() && env::var_os("NO_COLOR").is_none());
    say!(
        "{}",
        style("C and Rust processes talk through the same shared memory.").bold()
    );
    say!("It is {}.", support::backend::name());
    if !support::backend::is_kernel() {
        say!("Programs on libc are left out, because libc calls the kernel.");
    }
    let building = progress_bar(0, "{spinner} {msg}");
    let programs = Programs::build(|doing| {
        building.set_message(doing.to_owned());
        building.tick();
    });
    building.finish_and_clear();
    let programs = programs?;
    let forms = programs.forms();
    if programs.artifacts().compiler().is_none() {
        say!(
            "There is no C compiler on this machine, so only the Rust programs run; with gcc there are {} forms of each.",
            Form::ALL.len()
        );
    }

    let pairings = pairings(&programs, &forms);
    let deaths = deaths(&programs, &forms);
    let bar = progress_bar(
        (pairings.len() + deaths.len()) as u64,
        "  {bar:40} {pos} of {len}, {elapsed}",
    );
    let started = Instant::now();
    let pairings = run_all(&pairings, &bar, verbose);
    let time = started.elapsed();
    let deaths = run_all(&deaths, &bar, verbose);
    bar.finish_and_clear();

    show_matrix(&pairings, &forms, time);
    let races = show_races(&programs, &forms);
    show_deaths(&deaths);
    let speed = show_speed(&races);

    let failures: Vec<String> = pairings
        .iter()
        .chain(&deaths)
        .filter_map(Outcome::failure)
        .chain(races.into_iter().filter_map(Result::err))
        .chain(speed.err())
        .collect();
    for failure in &failures {
        say!("{} {failure}", style("FAILED:").red().bold());
    }
    Ok(failures.is_empty())
}

fn progress_bar(len: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A program, or two, to be run once.
struct Job<'a> {
    name: String,
    writer: Form,
    reader: Form,
    /// How many processes it kills.
    kills: usize,
    /// Returns what crossed.
    run: Box<dyn Fn() -> Result<Vec<u8>> + Send + Sync + 'a>,
}

impl Job<'_> {
    /// Whether a plain System V program in it waits with `sleep(1)`.
    fn sleeps(&self) -> bool {
        self.writer.is_plain() && (self.name == "parent_child" || self.name.contains("raw/server"))
    }
}

struct Outcome<'a> {
    job: &'a Job<'a>,
    result: Result<Vec<u8>>,
    time: Duration,
}

impl Outcome<'_> {
    fn failure(&self) -> Option<String> {
        let reason = self.result.as_ref().err()?;
        let Job {
            name,
            writer,
            reader,
            ..
        } = self.job;
        Some(format!(
            "{name}, {} to {}: {reason}",
            writer.name(),
            reader.name()
        ))
    }

    /// All that is known of it, in one row.
    fn row(&self) -> String {
        let Job {
            name,
            writer,
            reader,
            ..
        } = self.job;
        let crossed = match &self.result {
            Ok(value) => shorten(value, 34),
            Err(_) => style("FAILED").red().to_string(),
        };
        let remark = if self.job.sleeps() {
            "  waits with sleep(1)"
        } else {
            ""
        };
        format!(
            "  {name:<33} {:<14} {:<14} {crossed:<34} {:>7.1} ms{remark}",
            writer.name(),
            reader.name(),
            self.time.as_secs_f64() * 1e3
        )
    }
}

/// Every program that forks, and every pair of programs, in all forms.
fn pairings<'a>(programs: &'a Programs, forms: &'a [Form]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for single in &examples::SINGLES {
        let forms = forms.iter().filter(|form| single.forms.contains(form));
        jobs.extend(forms.map(|&form| Job {
            name: single.program.to_owned(),
            writer: form,
            reader: form,
            kills: 0,
            run: Box::new(move || {
                examples::single(programs, single, form)?;
                let last = single.prints.lines().last().unwrap_or_default();
                Ok(last.split_once(": ").unwrap_or_default().1.into())
            }),
        }));
    }
    for pair in &examples::PAIRS {
        let forms: Vec<Form> = forms
            .iter()
            .copied()
            .filter(|form| pair.forms.contains(form))
            .collect();
        jobs.extend(
            square(&forms).map(|(writer, reader)| pairing(programs, pair, writer, reader, false)),
        );
    }
    jobs
}

/// Every form with every form.
fn square(forms: &[Form]) -> impl Iterator<Item = (Form, Form)> {
    forms
        .iter()
        .flat_map(move |&one| forms.iter().map(move |&other| (one, other)))
}

fn pairing<'a>(
    programs: &'a Programs,
    pair: &'static examples::Pair,
    writer: Form,
    reader: Form,
    thorough: bool,
) -> Job<'a> {
    let pairing = examples::Pairing {
        programs,
        pair,
        writer,
        reader,
        thorough,
    };
    Job {
        name: format!("{}, {}", pair.writer, pair.reader),
        writer,
        reader,
        kills: 0,
        run: Box::new(move || pairing.run()),
    }
}

/// A server that is killed twice, in all pairings, and a client that is killed.
fn deaths<'a>(programs: &'a Programs, forms: &'a [Form]) -> Vec<Job<'a>> {
    let ours: Vec<Form> = forms
        .iter()
        .copied()
        .filter(|form| !form.is_plain())
        .collect();
    let mut jobs = Vec::new();
    for pair in examples::PAIRS
        .iter()
        .filter(|pair| pair.writer == "server")
    {
        jobs.extend(square(&ours).map(|(writer, reader)| Job {
            kills: 2,
            ..pairing(programs, pair, writer, reader, true)
        }));
    }
    jobs.extend(ours.iter().map(|&form| Job {
        name: "server, client that dies".to_owned(),
        writer: form,
        reader: Form::Rust,
        kills: 1,
        run: Box::new(move || {
            examples::server_and_dying_client(programs, form)?;
            Ok(Vec::new())
        }),
    }));
    jobs
}

/// Runs all jobs, several at once.
fn run_all<'a>(jobs: &'a [Job], bar: &ProgressBar, verbose: bool) -> Vec<Outcome<'a>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let result = (job.run)();
            let outcome = Outcome {
                job,
                result,
                time: begin.elapsed(),
            };
            if verbose {
                bar.suspend(|| say!("{}", outcome.row()));
            }
            bar.inc(1);
            outcomes.push(outcome);
        }
        outcomes
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..LANES).map(|_| scope.spawn(work)).collect();
        let outcomes = workers
            .into_iter()
            .map(|worker| worker.join().expect("no job panics"));
        outcomes.flatten().collect()
    })
}

/// Shows in a row for each form that wrote, and a column for each that read, how many programs worked.
fn show_matrix(outcomes: &[Outcome], forms: &[Form], time: Duration) {
    say!("\nWho wrote (rows), who read (columns), how many programs' messages crossed:");
    let columns: String = (1..=forms.len())
        .map(|column| format!("{column:>4}"))
        .collect();
    say!("{:51}{}", "", style(columns).bold());
    for (row, &writer) in forms.iter().enumerate() {
        let cells: String = forms
            .iter()
            .map(|&reader| cell(outcomes, writer, reader))
            .collect();
        say!(
            "  {} {:<14}  {:<31}{cells}",
            style(row + 1).bold(),
            writer.name(),
            meaning(writer)
        );
    }
    let worked = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_ok())
        .count();
    let asleep = outcomes
        .iter()
        .filter(|outcome| outcome.job.sleeps())
        .count();
    let summary = format!(
        "{worked} of {} runs worked, in {:.1} s.",
        outcomes.len(),
        time.as_secs_f64()
    );
    let summary = if worked == outcomes.len() {
        style(summary).green()
    } else {
        style(summary).red()
    };
    say!("  {summary} A program that forks counts on the diagonal.");
    if asleep > 0 {
        say!(
            "  In {asleep} of them a plain System V program, server or parent_child, waits with sleep(1)."
        );
    }
}

/// How many programs worked, and of how many if some failed.
fn cell(outcomes: &[Outcome], writer: Form, reader: Form) -> String {
    let here = |outcome: &&Outcome| (outcome.job.writer, outcome.job.reader) == (writer, reader);
    let all = outcomes.iter().filter(here).count();
    let worked = outcomes
        .iter()
        .filter(here)
        .filter(|outcome| outcome.result.is_ok())
        .count();
    if worked == all {
        format!("{worked:>4}")
    } else {
        style(format!("{:>4}", format!("{worked}/{all}")))
            .red()
            .to_string()
    }
}

fn meaning(form: Form) -> &'static str {
    match form {
        Form::Libc => "plain System V C, on libc",
        Form::Preload => "the same, drop-in preloaded",
        Form::DropinSo => "the same, libshmkey_dropin.so",
        Form::DropinA => "the same, libshmkey_dropin.a",
        Form::CSo => "C on <shmkey.h>, libshmkey.so",
        Form::CA => "C on <shmkey.h>, libshmkey.a",
        Form::Cpp => "C++ on <shmkey.hpp>",
        Form::Rust => "the crate shmkey",
        Form::Python => "Python, the package shmkey",
    }
}

/// A row of the table that `race` prints: messages torn, and seconds.
struct Race {
    torn: u64,
    seconds: f64,
}

/// Shows how many messages tear in plain memory, in a latest value and in a ring, in C and in Rust.
fn show_races(programs: &Programs, forms: &[Form]) -> Vec<Result<[Race; 3]>> {
    let forms: Vec<Form> = [Form::CSo, Form::Rust]
        .into_iter()
        .filter(|form| forms.contains(form))
        .collect();
    let races: Vec<_> = forms.iter().map(|&form| race(programs, form)).collect();
    let names: String = forms
        .iter()
        .map(|form| format!("{:>14}", form.name()))
        .collect();
    say!(
        "\n  {:<50}{names}",
        format!("Of {COUNT} messages at full speed are torn:")
    );
    let ways = [
        "in plain memory, by memcpy",
        "in a latest value",
        "in a ring",
    ];
    for (way, name) in ways.into_iter().enumerate() {
        let torn = races.iter().map(|race| match race {
            Ok(rows) => format!("{:>14}", rows[way].torn),
            Err(_) => format!("{:>14}", "FAILED"),
        });
        say!("    {name:<48}{}", torn.collect::<String>());
    }
    races
}

fn race(programs: &Programs, form: Form) -> Result<[Race; 3]> {
    let table = examples::race(programs, form, COUNT)?;
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(Race {
            torn: words.get(2)?.parse().ok()?,
            seconds: words.get(3)?.parse().ok()?,
        })
    };
    let rows: Option<Vec<Race>> = table.lines().skip(1).map(row).collect();
    rows.and_then(|rows| rows.try_into().ok())
        .ok_or_else(|| format!("race printed \"{table}\""))
}

fn show_deaths(outcomes: &[Outcome]) {
    let kills: usize = outcomes.iter().map(|outcome| outcome.job.kills).sum();
    let survived: usize = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_ok())
        .map(|outcome| outcome.job.kills)
        .sum();
    say!(
        "\n  Deaths: the other side survived {survived} of {kills} processes killed (SIGKILL), and cleaned up."
    );
}

/// Shows how long the messages of the race take through a ring, and through a pipe.
fn show_speed(races: &[Result<[Race; 3]>]) -> Result<()> {
    let pipe = through_pipe()?;
    if let Some(Ok([.., ring])) = races.last() {
        say!(
            "  Speed: {COUNT} messages of {LENGTH} bytes take {:.2} s through a ring, {:.2} s through a pipe.",
            ring.seconds,
            pipe.as_secs_f64()
        );
    }
    Ok(())
}

/// Sends the messages to another process through a pipe, one by one as in the race.
fn through_pipe() -> Result<Duration> {
    let failed = |error: io::Error| format!("the pipe: {error}");
    // Not by its path: Cargo may have built another one there since.
    let mut reader = Command::new("/proc/self/exe");
    let mut reader = reader
        .arg(READ_PIPE)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let begin = Instant::now();
    if let Some(mut pipe) = reader.stdin.take() {
        for _ in 0..COUNT {
            pipe.write_all(&[0; LENGTH]).map_err(failed)?;
        }
    }
    let status = reader.wait().map_err(failed)?;
    if status.success() {
        Ok(begin.elapsed())
    } else {
        Err(format!("the reader of the pipe ended with {status}"))
    }
}

fn read_pipe() -> Result<()> {
    let mut input = io::PipeReader::from(
        io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| error.to_string())?,
    );
    let mut message = [0; LENGTH];
    for _ in 0..COUNT {
        input
            .read_exact(&mut message)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
