//! The C API as C programs use it, well and badly, through the shared and the static library.

mod support;

use support::{Artifacts, Name, Process, Sandbox};

/// The ways in which a program gets the library.
const SHARED: (&str, &[&str]) = ("libshmkey.so", &[]);
const STATIC: (&str, &[&str]) = ("libshmkey.a", &[]);
/// glibc warns of functions that Rust's library has and no code here calls.
const ALL_STATIC: (&str, &[&str]) = ("libshmkey.a", &["-static", "-Wl,--no-warnings"]);

/// Runs one of the programs in `tests/c` and expects it to have nothing to say.
fn run(name: &str, (library, options): (&str, &[&str])) {
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
    let sandbox = Sandbox::new().unwrap();
    let own = Name::family(&["mutex", "semaphore", "latest", "ring", "other"]);
    let mut command = artifacts.command(&program);
    command.current_dir(sandbox.path());
    if name == "objects" || name == "places" {
        command.arg(&own[0].0);
    }
    let ending = Process::run(name, command, b"").unwrap();
    ending.expect(name, b"").unwrap();
    sandbox.expect_gone(sandbox.keys.writer_reader).unwrap();
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
