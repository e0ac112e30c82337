//! C and Rust processes talk through the same shared memory: all programs of `c_examples/`, in all
//! their forms and all pairings, and a race.
//!
//! `cargo run --release --example demo`. Ends with status 0 only if every pairing worked, and
//! leaves nothing behind.

#[path = "../tests/support/mod.rs"]
mod support;

use console::{Term, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{Environment, Form, Process, Programs, examples, shorten};

/// How many pairings play at once. They wait for each other most of the time.
const LANES: usize = 6;

/// Prints a line. That nobody reads it (`demo | head`) is no reason to leave things behind.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(io::stdout(), $($text)*);
    }};
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> support::Result<bool> {
    console::set_colors_enabled(
        console::colors_enabled() && std::env::var_os("NO_COLOR").is_none(),
    );
    title("C and Rust processes talk through the same shared memory.");
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
            "There is no C compiler on this machine, so only the Rust programs play; with gcc there are {} forms of each.",
            Form::ALL.len()
        );
    }
    legend(&forms);

    kernel_list("The kernel's list of segments, before:", None)?;
    during(&programs, &forms)?;
    let good = play_all(&programs, &forms) & race_all(&programs, &forms);
    kernel_list("The kernel's list of segments, after:", None)?;
    Ok(good)
}

fn title(text: &str) {
    say!("{}", style(text).bold());
}

fn progress_bar(len: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What the names in the table mean.
fn legend(forms: &[Form]) {
    say!(
        "\nEach program exists in {} form{}:",
        forms.len(),
        if forms.len() == 1 { "" } else { "s" }
    );
    for &form in forms {
        let meaning = match form {
            Form::Libc => "plain System V C, as the tutorials have it, on libc",
            Form::Preload => "the same binary with libshmkey_dropin.so preloaded",
            Form::DropinSo => "the same source linked with libshmkey_dropin.so",
            Form::DropinA => "the same source linked with libshmkey_dropin.a",
            Form::CSo => "C on <shmkey.h>, linked with libshmkey.so",
            Form::CA => "C on <shmkey.h>, linked with libshmkey.a",
            Form::Cpp => "C++ on <shmkey.hpp>, linked with libshmkey.so",
            Form::Rust => "Rust, with the crate shmkey",
        };
        say!("  {:<14}  {meaning}", form.name());
    }
    say!(
        "The programs in raw/ pair on raw segments, in all forms; the others on objects, in our own."
    );
}

/// The kernel's own list, as `/proc/sysvipc/shm` has it, with a remark beside one segment.
fn kernel_list(heading: &str, remark: Option<(i32, &str)>) -> support::Result<()> {
    const FILE: &str = "/proc/sysvipc/shm";
    let text = match fs::read_to_string(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            say!("\n{heading} this system has no {FILE}");
            return Ok(());
        }
        text => text.map_err(|error| format!("{FILE}: {error}"))?,
    };
    say!("\n{}", style(heading).bold());
    say!(
        "  {:<10}  {:>10}  {:>6}  {:>12}  {:>6}  {:>8}",
        "key",
        "shmid",
        "perms",
        "bytes",
        "nattch",
        "creator"
    );
    let mut none = true;
    for line in text.lines().skip(1) {
        let field: Vec<&str> = line.split_whitespace().collect();
        let [key, shmid, perms, size, cpid, _, nattch, ..] = field[..] else {
            continue;
        };
        none = false;
        let key = key
            .parse::<i32>()
            .map_or(key.to_owned(), |key| format!("{key:#010x}"));
        let beside = match remark {
            Some((id, remark)) if shmid == id.to_string() => format!("  <- {remark}"),
            _ => String::new(),
        };
        say!(
            "  {key:<10}  {shmid:>10}  {perms:>6}  {size:>12}  {nattch:>6}  {cpid:>8}{}",
            style(beside).green()
        );
    }
    if none {
        say!("  {}", style("(none)").dim());
    }
    Ok(())
}

/// Stops in the middle of a conversation, to look at the kernel's list: a server has written and
/// waits for its client.
fn during(programs: &Programs, forms: &[Form]) -> support::Result<()> {
    let form = if forms.contains(&Form::CSo) {
        Form::CSo
    } else {
        Form::Rust
    };
    let environment = Environment::new();
    let command = |name| {
        let mut command = programs.command(name, form)?;
        command.current_dir(environment.path());
        Ok::<_, String>(command)
    };
    let server = Process::start("server", command("server")?, b"")?;
    server.wait_until("wait for its client", |out| {
        out.ends_with(b"Waiting for client...\n")
    })?;
    let segment =
        shmkey::Segment::open(environment.keys.server_client).map_err(|error| error.to_string())?;
    let remark = format!("{} server", form.name());
    kernel_list(
        "The kernel's list of segments, during:",
        Some((segment.id(), &remark)),
    )?;
    Process::run("client", command("client")?, b"")?;
    server
        .finish()?
        .expect_end("server", |status| status.success())
}

/// One line of the table.
struct Scene<'a> {
    writer: Form,
    reader: Form,
    play: Box<dyn Fn() -> support::Result<Vec<u8>> + Send + Sync + 'a>,
}

/// All scenes, each program or pair of programs under its name.
fn scenes<'a>(programs: &'a Programs, forms: &'a [Form]) -> Vec<(String, Vec<Scene<'a>>)> {
    let singles = examples::SINGLES.iter().map(|single| {
        let scene = |&form| Scene {
            writer: form,
            reader: form,
            play: Box::new(move || {
                examples::single(programs, single, form)?;
                let last = single.prints.lines().last().unwrap_or_default();
                Ok(last.split_once(": ").unwrap_or_default().1.into())
            }),
        };
        (single.program.to_owned(), forms.iter().map(scene).collect())
    });
    let pairs = examples::PAIRS.iter().map(|pair| {
        let scene = |(&writer, &reader)| Scene {
            writer,
            reader,
            play: Box::new(move || {
                let pairing = examples::Pairing {
                    programs,
                    pair,
                    writer,
                    reader,
                    thorough: false,
                };
                pairing.run()
            }),
        };
        let forms = || forms.iter().filter(|form| pair.forms.contains(form));
        let casts = forms().flat_map(|writer| forms().map(move |reader| (writer, reader)));
        (
            format!("{}, {}", pair.writer, pair.reader),
            casts.map(scene).collect(),
        )
    });
    singles.chain(pairs).collect()
}

/// Plays everything and shows each pairing as it ends. True if all went well.
fn play_all(programs: &Programs, forms: &[Form]) -> bool {
    let scenes = scenes(programs, forms);
    let count: usize = scenes.iter().map(|(_, scenes)| scenes.len()).sum();
    let table = Table::new();
    say!("\n{}", style(format!("All {count} pairings:")).bold());
    say!("{}", table.row("wrote", "read", "what crossed", "", "time"));

    let bar = progress_bar(
        count as u64,
        "  {bar:40} {pos} of {len} pairings, {elapsed}",
    );
    let started = Instant::now();
    let mut failures = Vec::new();
    for (programs, scenes) in &scenes {
        bar.suspend(|| say!("{}", style(programs).cyan()));
        failures.extend(play_group(programs, scenes, &table, &bar));
    }
    bar.finish_and_clear();

    for failure in &failures {
        say!("\n{failure}");
    }
    let summary = format!(
        "{} of {count} pairings worked, in {:.1} s.",
        count - failures.len(),
        started.elapsed().as_secs_f64()
    );
    let summary = if failures.is_empty() {
        style(summary).green()
    } else {
        style(summary).red()
    };
    say!("\n{}", summary.bold());
    failures.is_empty()
}

/// Plays all pairings of one pair of programs, several at once. Returns what went wrong.
fn play_group(programs: &str, scenes: &[Scene], table: &Table, bar: &ProgressBar) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(scene) = scenes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    let result = (scene.play)();
                    let time = format!("{:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
                    let (writer, reader) = (scene.writer.name(), scene.reader.name());
                    let line = match result {
                        Ok(value) => {
                            let crossed = shorten(&value, table.crossed);
                            table.row(writer, reader, &crossed, "ok", &time)
                        }
                        Err(reason) => {
                            let failure = format!("{programs}, {writer} to {reader}: {reason}");
                            failures.lock().unwrap().push(failure);
                            style(table.row(writer, reader, "", "FAIL", &time))
                                .red()
                                .to_string()
                        }
                    };
                    bar.suspend(|| say!("{line}"));
                    bar.inc(1);
                }
            });
        }
    });
    failures.into_inner().unwrap_or_default()
}

/// Shows what plain memory does at full speed, and a latest value and a ring do not. True if all
/// went well.
fn race_all(programs: &Programs, forms: &[Form]) -> bool {
    const COUNT: u64 = 1_000_000;
    let mut good = true;
    say!(
        "\n{}",
        style("The race: messages of 256 bytes at full speed, and how many are torn:").bold()
    );
    for &form in [Form::CSo, Form::Rust]
        .iter()
        .filter(|form| forms.contains(form))
    {
        say!("{}", style(form.name()).cyan());
        match examples::race(programs, form, COUNT) {
            Ok(table) => table.lines().for_each(|line| say!("  {line}")),
            Err(reason) => {
                good = false;
                say!("  {}", style(reason).red());
            }
        }
    }
    good
}

/// The columns, fitted to the terminal.
struct Table {
    /// The width of the column for what crossed.
    crossed: usize,
}

impl Table {
    fn new() -> Table {
        let columns = Term::stdout()
            .size_checked()
            .map_or(100, |(_, columns)| columns);
        Table {
            crossed: usize::from(columns).saturating_sub(50).clamp(20, 60),
        }
    }

    fn row(&self, writer: &str, reader: &str, crossed: &str, ok: &str, time: &str) -> String {
        let width = self.crossed;
        format!("  {writer:<14} {reader:<14} {crossed:<width$} {ok:<4} {time:>10}")
    }
}
