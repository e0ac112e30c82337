//! The C API as C programs use it, well and badly, through the shared and the static library.

mod support;

use std::path::Path;
use support::{Artifacts, Environment, needs::UNDER_VALGRIND};

/// The ways in which a program gets the library.
const SHARED: (&str, &[&str]) = ("libshmkey.so", &[]);
const STATIC: (&str, &[&str]) = ("libshmkey.a", &[]);
/// glibc warns of functions that Rust's library has and no code here calls.
const ALL_STATIC: (&str, &[&str]) = ("libshmkey.a", &["-static", "-Wl,--no-warnings"]);

/// Runs one of the programs in `tests/c` and expects it to print nothing.
fn run(name: &str, library: (&str, &[&str])) {
    run_under(&[], name, library);
}

/// The same by another program, such as valgrind.
fn run_under(runner: &[&str], name: &str, (library, options): (&str, &[&str])) {
    let artifacts = Artifacts::shared();
    let program = artifacts
        .directory()
        .join(format!("{name}-{library}-{}", options.len()));
    artifacts
        .link(
            &format!("tests/c/{name}.c"),
            Some(library),
            options,
            &program,
        )
        .expect("the program can be linked");
    let test = Environment::with_names(&["mutex", "semaphore", "latest", "ring", "other"]);
    let mut command = match runner {
        [] => artifacts.command(&program),
        [runner, options @ ..] => {
            let mut command = artifacts.command(Path::new(runner));
            command.args(options).arg(&program);
            command
        }
    };
    match runner {
        [] if ["objects", "places"].contains(&name) => command.arg(test.name()),
        [] => &mut command,
        _ => command.args([test.name(), "under valgrind"]),
    };
    test.run(command).expect(name, b"").unwrap();
    test.expect_gone(test.keys.writer_reader).unwrap();
}

#[test]
fn bad_arguments_are_errors_by_the_shared_library() {
    run("hostile", SHARED);
}

#[test]
fn bad_arguments_are_errors_by_the_static_library() {
    run("hostile", STATIC);
}

#[test]
fn bad_arguments_are_errors_in_a_program_that_is_all_static() {
    run("hostile", ALL_STATIC);
}

#[test]
fn objects_do_what_the_header_says_by_the_shared_library() {
    run("objects", SHARED);
}

#[test]
fn objects_do_what_the_header_says_by_the_static_library() {
    run("objects", STATIC);
}

#[test]
fn objects_do_what_the_header_says_in_a_program_that_is_all_static() {
    run("objects", ALL_STATIC);
}

#[test]
fn places_owners_and_modes_by_the_shared_library() {
    run("places", SHARED);
}

#[test]
fn places_owners_and_modes_by_the_static_library() {
    run("places", STATIC);
}

#[test]
fn misused_objects_are_errors_by_the_shared_library() {
    run("hostile_objects", SHARED);
}

#[test]
fn misused_objects_are_errors_by_the_static_library() {
    run("hostile_objects", STATIC);
}

#[test]
fn misused_objects_are_errors_in_a_program_that_is_all_static() {
    run("hostile_objects", ALL_STATIC);
}

#[test]
fn the_weakest_alignment_is_enough_for_the_shared_library() {
    run("alignment", SHARED);
}

#[test]
fn the_weakest_alignment_is_enough_for_the_static_library() {
    run("alignment", STATIC);
}

#[test]
fn the_weakest_alignment_is_enough_in_a_program_that_is_all_static() {
    run("alignment", ALL_STATIC);
}

#[test]
fn objects_under_valgrind_access_no_invalid_memory_and_leak_none() {
    needs!(VALGRIND);
    for name in ["objects", "hostile_objects", "alignment"] {
        run_under(&UNDER_VALGRIND, name, SHARED);
        run_under(&UNDER_VALGRIND, name, STATIC);
    }
}
