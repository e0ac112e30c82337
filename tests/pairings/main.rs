//! Every object between every two languages, in separate processes: C with the shared and with the
//! static library, C++ and Rust on either end, with one end killed, and 16 processes at once.
//!
//! What crosses is random, from a seed that is printed (`SHMKEY_SEED=…` repeats it). Without a
//! compiler of C or C++ the pairings with it are listed as ignored; where `CI` is set, that is a
//! failure.

mod peer;
#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use peer::Part;
use shmkey::{Mutex, Place, Semaphore};
use std::{
    collections::HashMap,
    env,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};
use support::{Artifacts, Ending, GXX, Name, Process, Random};

/// A language, and how the library gets into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    CSo,
    CA,
    Cpp,
    Rust,
}

impl Form {
    const ALL: [Form; 4] = [Form::CSo, Form::CA, Form::Cpp, Form::Rust];

    fn name(self) -> &'static str {
        match self {
            Form::CSo => "C .so",
            Form::CA => "C .a",
            Form::Cpp => "C++",
            Form::Rust => "Rust",
        }
    }
}

/// The two ends of an object. Both do their part to the end.
const PAIRS: [(&str, [&str; 2], u64); 5] = [
    ("mutex", ["mutex count", "mutex count"], 2000),
    ("semaphore", ["semaphore first", "semaphore second"], 300),
    ("latest", ["latest publish", "latest read"], 1000),
    ("ring", ["ring send", "ring receive"], 1000),
    ("ring of many", ["many send", "many receive"], 1000),
];

/// One end is killed when it has said "ready", and the other goes on. Whether it begins only then.
const DEATHS: [(&str, [&str; 2], bool); 6] = [
    (
        "mutex, the owner",
        ["mutex victim", "mutex survivor"],
        false,
    ),
    (
        "semaphore, who waits",
        ["semaphore victim", "semaphore survivor"],
        false,
    ),
    (
        "latest, the publisher",
        ["latest publisher victim", "latest reader survivor"],
        false,
    ),
    (
        "ring, the sender",
        ["ring sender victim", "ring receiver survivor"],
        false,
    ),
    (
        "ring, the receiver",
        ["ring receiver victim", "ring sender survivor"],
        true,
    ),
    (
        "ring of many, a sender",
        ["many victim", "many survivor"],
        false,
    ),
];

/// The programs, and the seed of what they say.
struct Matrix {
    artifacts: Arc<Artifacts>,
    programs: HashMap<Form, PathBuf>,
    seed: u64,
}

fn main() -> ExitCode {
    if let Ok(role) = env::var("SHMKEY_PEER") {
        return be_a_peer(role);
    }
    let mut arguments = Arguments::from_args();
    // The processes wait for each other most of the time.
    arguments.test_threads.get_or_insert(4);
    let seed = Random::seed_of_run();
    let matrix = match Matrix::build(seed) {
        Ok(matrix) => Arc::new(matrix),
        Err(error) => {
            eprintln!("the programs could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let complete = matrix.programs.len() == Form::ALL.len();
    let mut trials = vec![Trial::test("the programs could be built", move || {
        match complete || env::var_os("CI").is_none() {
            true => Ok(()),
            false => Err("a compiler of C or C++ is missing, and CI needs both".into()),
        }
    })];
    for one in Form::ALL {
        for other in Form::ALL {
            let both = format!("{} and {}", one.name(), other.name());
            for (object, roles, count) in PAIRS {
                let name = format!("{object}: {both}");
                trials.push(trial(&matrix, &[one, other], name, move |matrix| {
                    matrix.together(&[(one, roles[0]), (other, roles[1])], count)
                }));
            }
            for (object, roles, at_once) in DEATHS {
                let name = format!("{object} dies: {both}");
                trials.push(trial(&matrix, &[one, other], name, move |matrix| {
                    matrix.death((one, roles[0]), (other, roles[1]), at_once)
                }));
            }
            let name = format!("latest, a reader dies: {both}");
            trials.push(trial(&matrix, &[one, other], name, move |matrix| {
                matrix.death(
                    (one, "latest reader victim"),
                    (other, "latest publish"),
                    true,
                )
            }));
        }
    }
    for (object, first, others, count) in [
        ("mutex", "mutex count", "mutex count", 500),
        ("semaphore", "semaphore share", "semaphore share", 500),
        ("latest", "latest publish", "latest read", 2000),
        ("ring of many", "many receive", "many send", 100),
    ] {
        let name = format!("{object}: 16 processes at once");
        trials.push(trial(&matrix, &Form::ALL, name, move |matrix| {
            let crowd: Vec<_> = (0..16)
                .map(|i| (Form::ALL[i % 4], if i == 0 { first } else { others }))
                .collect();
            matrix.together(&crowd, count)
        }));
    }
    trials.push(trial(
        &matrix,
        &Form::ALL,
        "ring: 16 processes at once".into(),
        Matrix::eight_rings,
    ));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(matrix); // its directory goes with it
    match conclusion.has_failed() {
        true => ExitCode::from(101),
        false => ExitCode::SUCCESS,
    }
}

fn trial(
    matrix: &Arc<Matrix>,
    forms: &[Form],
    name: String,
    run: impl FnOnce(&Matrix) -> support::Result<()> + Send + 'static,
) -> Trial {
    let available = forms.iter().all(|form| matrix.programs.contains_key(form));
    let matrix = Arc::clone(matrix);
    Trial::test(name, move || run(&matrix).map_err(Failed::from)).with_ignored_flag(!available)
}

/// This program, started again as one end of an object.
fn be_a_peer(role: String) -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, name, seed, count, number] = &arguments[..] else {
        return ExitCode::from(2);
    };
    let part = Part {
        role,
        name: name.clone(),
        seed: seed.parse().unwrap(),
        count: count.parse().unwrap(),
        number: number.parse().unwrap(),
    };
    match part.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Matrix {
    fn build(seed: u64) -> support::Result<Matrix> {
        support::directory(); // cleans up when this process is stopped
        let artifacts = Artifacts::shared();
        let mut programs = HashMap::from([(
            Form::Rust,
            env::current_exe().map_err(|error| error.to_string())?,
        )]);
        for (form, library) in [(Form::CSo, "libshmkey.so"), (Form::CA, "libshmkey.a")] {
            let program = artifacts.directory().join(format!("peer-{library}"));
            if artifacts.compiler().is_some() {
                artifacts.link("tests/c/peer.c", Some(library), &[], &program)?;
                programs.insert(form, program);
            }
        }
        if GXX.is_there() && artifacts.compiler().is_some() {
            let program = artifacts.directory().join("peer-c++");
            let source = Path::new("tests/cpp/peer.cpp");
            GXX.link("c++17", &[], &[source], "libshmkey.so", &program)?;
            programs.insert(Form::Cpp, program);
        }
        Ok(Matrix {
            artifacts,
            programs,
            seed,
        })
    }

    fn start(
        &self,
        (form, role): (Form, &str),
        name: &Name,
        count: u64,
        number: usize,
    ) -> support::Result<Process> {
        let mut command: Command = self.artifacts.command(&self.programs[&form]);
        match form {
            Form::Rust => command.env("SHMKEY_PEER", role),
            _ => command.arg(role),
        };
        command.args([&name.0, &self.seed.to_string(), &count.to_string()]);
        command.arg(number.to_string());
        Process::start(&format!("{role} in {}", form.name()), command, b"")
    }

    /// All of these at once, to their end.
    fn together(&self, peers: &[(Form, &str)], count: u64) -> support::Result<()> {
        let names = names();
        let senders = peers.len() as u64 - 1;
        let mut running = Vec::new();
        for (number, &peer) in peers.iter().enumerate() {
            let count = match peer.1 {
                "many receive" => count * senders,
                _ => count,
            };
            running.push((peer, self.start(peer, &names[0], count, number)?));
        }
        for ((form, role), process) in running {
            let what = format!("{role} in {}", form.name());
            expect_well(&what, &process.finish()?)?;
        }
        let name = &names[0].0;
        let counted = peers.len() as u64 * count;
        match peers[0].1 {
            "mutex count" => {
                let place = Place::named(name).layout("a value");
                let mutex = Mutex::<[u64; 25]>::open(place, [0; 25]).unwrap();
                expect_number("the mutex", mutex.lock().unwrap().get()[0], counted)
            }
            "semaphore share" => {
                let tokens = Semaphore::open(name.as_str(), 9).unwrap();
                expect_number("the semaphore", tokens.value().into(), 3)
            }
            _ => Ok(()),
        }
    }

    /// One is killed, and the other goes on.
    fn death(
        &self,
        victim: (Form, &str),
        survivor: (Form, &str),
        at_once: bool,
    ) -> support::Result<()> {
        let names = names();
        let count = 200;
        let dying = self.start(victim, &names[0], count, 1)?;
        let mut other = None;
        if at_once {
            other = Some(self.start(survivor, &names[0], count, 2)?);
        }
        let is_ready = |said: &[u8]| said.windows(6).any(|word| word == b"ready\n");
        dying.wait_until("say that it is ready", is_ready)?;
        dying.signal(libc::SIGKILL);
        let end = dying.finish()?;
        end.expect_end(victim.1, |status| status.signal() == Some(libc::SIGKILL))?;
        let other = match other {
            Some(other) => other,
            None => self.start(survivor, &names[0], count, 2)?,
        };
        expect_well(survivor.1, &other.finish()?)
    }

    /// A sender and a receiver for each of eight rings.
    fn eight_rings(&self) -> support::Result<()> {
        let names: Vec<Name> = (0..8).map(|_| Name::new()).collect();
        let mut running = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let (one, other) = (Form::ALL[i % 4], Form::ALL[(i / 2 + i) % 4]);
            for peer in [(one, "ring send"), (other, "ring receive")] {
                running.push((peer.1, self.start(peer, name, 500, i)?));
            }
        }
        for (role, process) in running {
            expect_well(role, &process.finish()?)?;
        }
        Ok(())
    }
}

/// It ended well; if not, what it printed says why.
fn expect_well(what: &str, ending: &Ending) -> support::Result<()> {
    let said = ending.stdout.escape_ascii();
    ending
        .expect(what, b"")
        .map_err(|error| format!("{error}, and printed \"{said}\""))
}

/// The name of an object, and those of what goes with it.
fn names() -> Vec<Name> {
    Name::family(&["ping", "pong", "plain"])
}

fn expect_number(what: &str, is: u64, should_be: u64) -> support::Result<()> {
    match is == should_be {
        true => Ok(()),
        false => Err(format!("{what} has {is} and should have {should_be}")),
    }
}
