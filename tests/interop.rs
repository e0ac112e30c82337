//! Every form of each program against every form of the one it talks to: on raw segments 4 pairs ×
//! 7 × 7, on objects 5 pairs × 3 × 3; and two programs alone in 7 forms.
//!
//! Those on objects also run with the other side coming first, stopped and killed. What crosses is
//! random in each run. On a machine without a C compiler the pairings with C are
//! listed as ignored; where `CI` is set, that is a failure.

mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use std::{env, process::ExitCode, sync::Arc};
use support::{Form, Programs, examples};

fn main() -> ExitCode {
    if let Some((task, directory)) = support::helper_task() {
        assert_eq!(task, examples::DYING_CLIENT);
        examples::dying_client(&directory).expect("there is a server");
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // The programs wait for each other most of the time.
    arguments.test_threads.get_or_insert(8);
    let programs = match Programs::build(|_| {}) {
        Ok(programs) => Arc::new(programs),
        Err(error) => {
            eprintln!("the programs could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = vec![Trial::test("the C programs could be built", {
        let complete = programs.forms() == Form::ALL;
        move || match complete || env::var_os("CI").is_none() {
            true => Ok(()),
            false => Err("there is no C compiler, and CI needs one".into()),
        }
    })];
    for single in &examples::SINGLES {
        for form in Form::ALL {
            trials.push(trial(
                &programs,
                [form, form],
                single.program.into(),
                move |programs| examples::single(programs, single, form),
            ));
        }
    }
    for pair in &examples::PAIRS {
        for &writer in pair.forms {
            for &reader in pair.forms {
                let name = format!("{}→{}", pair.writer, pair.reader);
                trials.push(trial(&programs, [writer, reader], name, move |programs| {
                    let pairing = examples::Pairing {
                        programs,
                        pair,
                        writer,
                        reader,
                        thorough: true,
                    };
                    pairing.run().map(drop)
                }));
            }
        }
    }
    for form in Form::OURS {
        let forms = [form, form];
        let name = "server, and a client that dies".to_owned();
        trials.push(trial(&programs, forms, name, move |programs| {
            examples::server_and_dying_client(programs, form)
        }));
        trials.push(trial(&programs, forms, "race".into(), move |programs| {
            examples::race(programs, form, 200_000).map(drop)
        }));
    }
    let forms = [Form::CSo, Form::Rust];
    trials.push(trial(&programs, forms, "record".into(), |programs| {
        examples::record(programs, programs.artifacts().directory())
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(programs); // its directory goes with it
    if conclusion.has_failed() {
        ExitCode::from(101)
    } else {
        ExitCode::SUCCESS
    }
}

fn trial(
    programs: &Arc<Programs>,
    forms: [Form; 2],
    name: String,
    run: impl FnOnce(&Programs) -> support::Result<()> + Send + 'static,
) -> Trial {
    let available = forms.iter().all(|form| programs.forms().contains(form));
    let name = match forms {
        [only, other] if only == other && !name.contains('→') => {
            format!("{name}: {}", only.name())
        }
        [writer, reader] => format!("{name}: {} → {}", writer.name(), reader.name()),
    };
    let programs = Arc::clone(programs);
    Trial::test(name, move || run(&programs).map_err(Failed::from)).with_ignored_flag(!available)
}
