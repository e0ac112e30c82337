//! Every form of each program against every form of the one it talks to: on raw segments 4 pairs ×
//! 7 × 7, on objects 5 pairs × 3 × 3; and two programs alone in 7 forms.
//!
//! Those on objects also play with the other side coming first, stopped and killed. What crosses is
//! random in each run. On a machine without a C compiler the pairings with C are
//! listed as ignored; where `CI` is set, that is a failure.

mod stage;

use libtest_mimic::{Arguments, Failed, Trial};
use stage::{Form, Troupe, plays};
use std::{env, process::ExitCode, sync::Arc};

fn main() -> ExitCode {
    if let Some((task, directory)) = stage::helper_task() {
        assert_eq!(task, plays::DYING_CLIENT);
        plays::dying_client(&directory).expect("there is a server");
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // The programs wait for each other most of the time.
    arguments.test_threads.get_or_insert(8);
    let troupe = match Troupe::assemble(|_| {}) {
        Ok(troupe) => Arc::new(troupe),
        Err(error) => {
            eprintln!("the programs could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = vec![Trial::test("the C programs could be built", {
        let complete = troupe.forms() == Form::ALL;
        move || match complete || env::var_os("CI").is_none() {
            true => Ok(()),
            false => Err("there is no C compiler, and CI needs one".into()),
        }
    })];
    for solo in &plays::SOLOS {
        for form in Form::ALL {
            trials.push(trial(
                &troupe,
                [form, form],
                solo.program.into(),
                move |troupe| plays::solo(troupe, solo, form),
            ));
        }
    }
    for pair in &plays::PAIRS {
        for &writer in pair.forms {
            for &reader in pair.forms {
                let name = format!("{}→{}", pair.writer, pair.reader);
                trials.push(trial(&troupe, [writer, reader], name, move |troupe| {
                    let cast = plays::Cast {
                        troupe,
                        pair,
                        writer,
                        reader,
                        thorough: true,
                    };
                    cast.play().map(drop)
                }));
            }
        }
    }
    for form in Form::OURS {
        let forms = [form, form];
        let name = "server, and a client that dies".to_owned();
        trials.push(trial(&troupe, forms, name, move |troupe| {
            plays::server_and_dying_client(troupe, form)
        }));
        trials.push(trial(&troupe, forms, "race".into(), move |troupe| {
            plays::race(troupe, form, 200_000).map(drop)
        }));
    }
    let forms = [Form::CSo, Form::Rust];
    trials.push(trial(&troupe, forms, "record".into(), |troupe| {
        plays::record(troupe, troupe.artifacts().directory())
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(troupe); // its directory goes with it
    if conclusion.has_failed() {
        ExitCode::from(101)
    } else {
        ExitCode::SUCCESS
    }
}

fn trial(
    troupe: &Arc<Troupe>,
    forms: [Form; 2],
    name: String,
    play: impl FnOnce(&Troupe) -> stage::Result<()> + Send + 'static,
) -> Trial {
    let available = forms.iter().all(|form| troupe.forms().contains(form));
    let name = match forms {
        [only, other] if only == other && !name.contains('→') => {
            format!("{name}: {}", only.name())
        }
        [writer, reader] => format!("{name}: {} → {}", writer.name(), reader.name()),
    };
    let troupe = Arc::clone(troupe);
    Trial::test(name, move || play(&troupe).map_err(Failed::from)).with_ignored_flag(!available)
}
