//! The C programs under valgrind: no invalid access, no leak.

mod support;

use std::path::Path;
use support::{Artifacts, Form, Name, Process, Programs, Sandbox, examples};

const VALGRIND: [&str; 5] = [
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect,possible",
];

/// The forms with code of ours in them that valgrind can watch.
const FORMS: [Form; 5] = [
    Form::Preload,
    Form::DropinSo,
    Form::DropinA,
    Form::CSo,
    Form::CA,
];

#[test]
fn the_c_programs_use_memory_as_they_should() {
    needs!(VALGRIND);
    let mut programs = Programs::build(|_| {}).expect("the programs can be built");
    programs.run_under(&VALGRIND);
    for form in FORMS {
        for single in &examples::SINGLES {
            examples::single(&programs, single, form)
                .unwrap_or_else(|error| panic!("{}: {error}", form.name()));
        }
        for pair in examples::PAIRS
            .iter()
            .filter(|pair| pair.forms.contains(&form))
        {
            let pairing = examples::Pairing {
                programs: &programs,
                pair,
                writer: form,
                reader: form,
                thorough: false,
            };
            pairing
                .run()
                .unwrap_or_else(|error| panic!("{}: {error}", form.name()));
        }
        if Form::OURS.contains(&form) {
            examples::race(&programs, form, 1000)
                .unwrap_or_else(|error| panic!("{}: {error}", form.name()));
        }
    }
}

/// The same programs as in `capi`.
#[test]
fn the_objects_use_memory_as_they_should() {
    needs!(VALGRIND);
    let artifacts = Artifacts::shared();
    for name in ["objects", "hostile_objects", "alignment"] {
        for library in ["libshmkey.so", "libshmkey.a"] {
            let program = artifacts.directory().join(format!("{name}-{library}"));
            artifacts
                .link(&format!("tests/c/{name}.c"), Some(library), &[], &program)
                .expect("the program can be linked");
            let sandbox = Sandbox::new().unwrap();
            let own = Name::family(&["mutex", "semaphore", "latest", "ring", "other"]);
            let mut command = artifacts.command(Path::new(VALGRIND[0]));
            command.args(&VALGRIND[1..]).arg(&program);
            command.current_dir(sandbox.path());
            command.args([&own[0].0, "under valgrind"]);
            let ending = Process::run(name, command, b"").unwrap();
            ending.expect(&format!("{name} by {library}"), b"").unwrap();
        }
    }
}
