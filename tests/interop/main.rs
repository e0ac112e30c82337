//! Programs in each language, linked in each form, together with programs of every other form, each in a process of its
//! own.
//!
//! - `examples:` the programs of `c_examples/`, on raw segments in 7 forms and on objects in 3. Either side starts
//!   first, and is stopped or killed;
//! - `valgrind:` the same C programs, which access no invalid memory and leak none;
//! - `peers:` every kind of object between C, C++, Rust and Python: both sides work to the end, one side is killed, and 16
//!   processes work at once.
//!
//! Python takes part if the variable `SHMKEY_PYTHON` names an interpreter that has the package; `.ci/python` makes one, and
//! runs these tests with the word `python` in their names. With `CI` set, it must be named, or left out by `SHMKEY_PYTHON=`.
//!
//! The data is random. The peers make it from a seed that is printed (`SHMKEY_SEED=…` repeats it).

mod peer;
mod peers;
#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Trial};
use std::{env, process::ExitCode, sync::LazyLock};
use support::{
    Form, Programs,
    examples::{self, Pairing},
    needs::{self, C_COMPILER, GXX, Need, PYTHON, VALGRIND},
};

/// Built when the first test needs them.
static PROGRAMS: LazyLock<Programs> =
    LazyLock::new(|| Programs::new().expect("the programs can be built"));

/// The same programs, run by valgrind.
static UNDER_VALGRIND: LazyLock<Programs> =
    LazyLock::new(|| PROGRAMS.under(&needs::UNDER_VALGRIND));

fn main() -> ExitCode {
    if let Some((task, directory)) = support::helper_task() {
        assert_eq!(task, examples::DYING_CLIENT);
        examples::dying_client(&directory).expect("there is a server");
        return ExitCode::SUCCESS;
    }
    if let Ok(role) = env::var("SHMKEY_PEER") {
        return peer::main(role);
    }
    support::directory(); // cleans up when this process is stopped
    println!("\nThe programs use {}.", support::backend::name());
    let mut arguments = Arguments::from_args();
    // The programs wait for each other most of the time.
    arguments.test_threads.get_or_insert(8);
    let mut trials = vec![
        available("the pairings with C", &[C_COMPILER]),
        available("the pairings with C++", &[GXX]),
        available("the programs under valgrind", &[VALGRIND]),
    ];
    if !needs::is_without_python() {
        trials.push(available("the pairings with python", &[PYTHON]));
    }
    trials.extend(example_programs());
    trials.extend(under_valgrind());
    trials.extend(peers::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that prints what is skipped, or fails if `CI` is set and something is missing.
fn available(what: &'static str, needs: &'static [Need]) -> Trial {
    Trial::test(format!("{what} can run"), move || {
        if let Some(missing) = needs::missing(needs) {
            needs::skip(what, missing);
        }
        Ok(())
    })
}

/// A test of programs in these forms. If they cannot be built, the test is listed as ignored, or fails if `CI` is set. It
/// is also ignored if programs on libc do not meet the others.
fn trial(
    name: String,
    forms: &[Form],
    test: impl FnOnce() -> support::Result<()> + Send + 'static,
) -> Trial {
    let can_be_built = forms.iter().all(|form| form.can_be_built());
    let are_usable = forms.iter().all(|form| form.is_usable());
    let ignored = !are_usable || !can_be_built && env::var_os("CI").is_none();
    Trial::test(name, move || Ok(test()?)).with_ignored_flag(ignored)
}

fn example_programs() -> Vec<Trial> {
    let mut trials = Vec::new();
    for single in &examples::SINGLES {
        trials.extend(Form::with_python(single.forms).into_iter().map(|form| {
            let name = format!("examples: {}: {}", single.program, form.name());
            trial(name, &[form], move || {
                examples::single(&PROGRAMS, single, form)
            })
        }));
    }
    for pair in &examples::PAIRS {
        let forms = Form::with_python(pair.forms);
        for &writer in &forms {
            let readers = forms.iter().filter(|&&reader| writer.meets(reader));
            trials.extend(readers.map(|&reader| {
                let (from, to) = (writer.name(), reader.name());
                let name = format!("examples: {}→{}: {from} → {to}", pair.writer, pair.reader);
                trial(name, &[writer, reader], move || {
                    let pairing = Pairing {
                        programs: &PROGRAMS,
                        pair,
                        writer,
                        reader,
                        thorough: true,
                    };
                    pairing.run().map(drop)
                })
            }));
        }
    }
    for form in Form::OURS {
        let name = |what| format!("examples: {what}: {}", form.name());
        trials.push(trial(
            name("server, and a client that dies"),
            &[form],
            move || examples::server_and_dying_client(&PROGRAMS, form),
        ));
        trials.push(trial(name("race"), &[form], move || {
            examples::race(&PROGRAMS, form, 200_000).map(drop)
        }));
    }
    let name = "examples: the layout of a record in C and in Rust".to_owned();
    trials.push(trial(name, &[Form::CSo], || {
        examples::record(&PROGRAMS, PROGRAMS.artifacts().directory())
    }));
    trials
}

/// The forms with code of this project in them that valgrind can watch.
const WATCHED: [Form; 5] = [
    Form::Preload,
    Form::DropinSo,
    Form::DropinA,
    Form::CSo,
    Form::CA,
];

fn under_valgrind() -> Vec<Trial> {
    let mut trials = Vec::new();
    for form in WATCHED {
        let name = |what: &str| format!("valgrind: {what}: {}", form.name());
        let singles = examples::SINGLES.iter();
        let singles = singles.filter(|single| single.forms.contains(&form));
        trials.extend(singles.map(|single| {
            trial(name(single.program), &[form], move || {
                examples::single(&UNDER_VALGRIND, single, form)
            })
        }));
        let pairs = examples::PAIRS.iter();
        trials.extend(pairs.filter(|pair| pair.forms.contains(&form)).map(|pair| {
            let name = name(&format!("{}→{}", pair.writer, pair.reader));
            trial(name, &[form], move || {
                let pairing = Pairing {
                    programs: &UNDER_VALGRIND,
                    pair,
                    writer: form,
                    reader: form,
                    thorough: false,
                };
                pairing.run().map(drop)
            })
        }));
        if Form::OURS.contains(&form) {
            trials.push(trial(name("race"), &[form], move || {
                examples::race(&UNDER_VALGRIND, form, 1000).map(drop)
            }));
        }
    }
    let there = needs::missing(&[VALGRIND]).is_none() || env::var_os("CI").is_some();
    let run = |trial: Trial| {
        let ignored = trial.has_ignored_flag();
        trial.with_ignored_flag(ignored || !there)
    };
    trials.into_iter().map(run).collect()
}
