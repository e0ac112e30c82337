//! The C API as C programs use it, well and badly, through the shared and the static library.

mod support;

use std::path::Path;
use support::{Artifacts, Environment, needs::UNDER_VALGRIND};

/// A way in which a program gets the library: its file, and options of the linker.
type Way = (&'static str, &'static [&'static str]);

const SHARED: Way = ("libshmkey.so", &[]);
const STATIC: Way = ("libshmkey.a", &[]);
/// glibc warns of functions that Rust's standard library has and no code here calls.
const ALL_STATIC: Way = ("libshmkey.a", &["-static", "-Wl,--no-warnings"]);

/// Runs one of the programs in `tests/c` in each way. It is to print nothing.
fn run(name: &str) {
    let artifacts = Artifacts::shared();
    for way in [SHARED, STATIC, ALL_STATIC] {
        run_under(&[], name, way, &artifacts);
    }
}

/// The same in one way, by another program, such as valgrind.
fn run_under(runner: &[&str], name: &str, (library, options): Way, artifacts: &Artifacts) {
    let program = format!("{name}-{library}-{}", options.len());
    let program = artifacts.directory().join(program);
    let source = format!("tests/c/{name}.c");
    let linked = artifacts.link(&source, Some(library), options, &program);
    linked.expect("the program can be linked");
    let test =
        Environment::with_names(&["mutex", "semaphore", "latest", "ring", "broadcast", "other"]);
    let words = [runner, &[program.to_str().unwrap(), test.name()]].concat();
    let mut command = artifacts.command(Path::new(words[0]));
    command.args(&words[1..]);
    if !runner.is_empty() {
        command.arg("under valgrind");
    }
    let ended = test.run(command).expect("");
    ended.unwrap_or_else(|error| panic!("with {library} {options:?}: {error}"));
    test.expect_gone(test.keys.writer_reader).unwrap();
}

#[test]
fn bad_arguments_are_errors() {
    run("hostile");
}

#[test]
fn objects_do_what_the_header_says() {
    run("objects");
}

#[test]
fn places_owners_and_modes_do_what_the_header_says() {
    run("places");
}

#[test]
fn misused_objects_are_errors() {
    run("hostile_objects");
}

#[test]
fn descriptors_and_several_objects_do_what_the_header_says() {
    run("waiting");
}

#[test]
fn the_weakest_alignment_is_enough() {
    run("alignment");
}

#[test]
fn refused_calls_name_the_call_and_the_object() {
    run("sentences");
}

/// The linker passes the library's calls of the allocator to the program's, which refuses some.
#[test]
fn refused_memory_is_an_error() {
    let wrapped = &["-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign"];
    run_under(
        &[],
        "allocation",
        ("libshmkey.a", wrapped),
        &Artifacts::shared(),
    );
}

#[test]
fn objects_under_valgrind_access_no_invalid_memory_and_leak_none() {
    needs!(VALGRIND);
    let artifacts = Artifacts::shared();
    for name in ["objects", "hostile_objects", "alignment", "waiting"] {
        for way in [SHARED, STATIC] {
            run_under(&UNDER_VALGRIND, name, way, &artifacts);
        }
    }
}
