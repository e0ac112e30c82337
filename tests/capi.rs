//! The C API as C programs use it, well and badly, through the shared and the static library.

mod stage;

use stage::{Artifacts, Process, Sandbox};

fn hostile(library: &str, options: &[&str]) {
    let artifacts = Artifacts::shared();
    let program = artifacts
        .directory()
        .join(format!("hostile-{library}-{}", options.len()));
    artifacts
        .link("tests/c/hostile.c", Some(library), options, &program)
        .expect("the program can be linked");
    let sandbox = Sandbox::new().unwrap();
    let mut command = artifacts.command(&program);
    command.current_dir(sandbox.path());
    let ending = Process::run("hostile", command, b"").unwrap();
    ending.expect("hostile", b"").unwrap();
}

#[test]
fn bad_arguments_are_errors_by_the_shared_library() {
    hostile("libshmkey.so", &[]);
}

#[test]
fn bad_arguments_are_errors_by_the_static_library() {
    hostile("libshmkey.a", &[]);
}

#[test]
fn bad_arguments_are_errors_in_a_program_that_is_all_static() {
    // glibc warns of functions that Rust's library has and nobody here calls.
    hostile("libshmkey.a", &["-static", "-Wl,--no-warnings"]);
}
