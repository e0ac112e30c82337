//! The drop-in answers each call exactly as libc and the kernel do, in whichever way a program loads it.

mod support;

use object::{Object, ObjectSymbol};
use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::{Arc, Mutex},
};
use support::{Artifacts, Environment, Process, Random};

const PROGRAM: &str = "tests/c/conformance.c";

/// How a program whose source does not know the drop-in gets its functions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Route {
    Libc,
    Preload,
    /// Preloaded, with each call traced.
    Traced,
    LinkOrder,
    StaticLibrary,
    /// Everything static, libc included: without and with the drop-in before it.
    AllStaticLibc,
    AllStatic,
}

const ROUTES: [Route; 7] = [
    Route::Libc,
    Route::Preload,
    Route::Traced,
    Route::LinkOrder,
    Route::StaticLibrary,
    Route::AllStaticLibc,
    Route::AllStatic,
];

/// Links the program for every route, unless another test has done so.
fn link_all() -> Arc<Artifacts> {
    static LINKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LINKING.lock();
    let artifacts = Artifacts::shared();
    for route in ROUTES {
        let (library, options): (_, &[&str]) = match route {
            Route::Libc | Route::Preload | Route::Traced => (None, &[]),
            Route::LinkOrder => (Some("libshmkey_dropin.so"), &[]),
            Route::StaticLibrary => (Some("libshmkey_dropin.a"), &[]),
            Route::AllStaticLibc => (None, &["-static"]),
            Route::AllStatic => (Some("libshmkey_dropin.a"), &["-static"]),
        };
        let program = program(&artifacts, route);
        if !program.exists() {
            artifacts
                .link(PROGRAM, library, options, &program)
                .expect("the program can be linked");
        }
    }
    artifacts
}

fn program(artifacts: &Artifacts, route: Route) -> PathBuf {
    artifacts.directory().join(format!("conformance-{route:?}"))
}

fn command(artifacts: &Artifacts, route: Route, test: &Environment, arguments: &[&str]) -> Command {
    let mut command = artifacts.command(&program(artifacts, route));
    command.current_dir(test.path()).args(arguments);
    if [Route::Preload, Route::Traced].contains(&route) {
        artifacts.preload(&mut command);
    }
    if route == Route::Traced {
        command.env("SHMKEY_TRACE", "/dev/null");
    }
    command
}

/// Runs the program on every route in one directory, one after the other, and compares what it says
/// with what it says on libc.
fn all_routes_agree(arguments: &[&str]) {
    let artifacts = link_all();
    let test = Environment::new();
    let mut expected = String::new();
    for route in ROUTES {
        let command = command(&artifacts, route, &test, arguments);
        let ending = Process::run("conformance", command, b"").unwrap();
        let code = ending.status.code();
        assert_ne!(code, Some(77), "this machine does not allow it");
        ending.expect_end(ExitStatus::success).unwrap();
        let said = String::from_utf8(ending.stdout).unwrap();
        if route == Route::Libc {
            assert!(said.lines().count() >= 5, "too little: {said}");
            expected = said;
            continue;
        }
        for (line, (is, should)) in said.lines().zip(expected.lines()).enumerate() {
            assert_eq!(is, should, "line {} by {route:?}, {arguments:?}", line + 1);
        }
        assert_eq!(said.len(), expected.len(), "{route:?}");
    }
}

#[test]
fn every_call_answers_as_the_kernel_does() {
    all_routes_agree(&["calls"]);
}

#[test]
fn random_calls_answer_as_the_kernel_does() {
    let seed = Random::new().next().to_string();
    println!("seed {seed}");
    all_routes_agree(&["random", &seed]);
}

#[test]
fn the_key_minus_one_of_a_failed_ftok_works() {
    needs!(IPC_NAMESPACE);
    all_routes_agree(&["minus-one"]);
}

#[test]
fn another_user_is_refused_as_the_kernel_does() {
    needs!(ROOT);
    all_routes_agree(&["stranger"]);
}

const NAMES: [&str; 5] = ["ftok", "shmget", "shmat", "shmdt", "shmctl"];

/// The tests above prove nothing if the dynamic linker has bound the functions of libc.
#[test]
fn the_program_calls_the_functions_of_the_drop_in() {
    let artifacts = link_all();
    let test = Environment::new();
    for (route, from) in [
        (Route::Libc, "libc.so"),
        (Route::Preload, "libshmkey_dropin.so"),
        (Route::LinkOrder, "libshmkey_dropin.so"),
    ] {
        let mut command = command(&artifacts, route, &test, &["calls"]);
        command.env("LD_DEBUG", "bindings");
        let ending = Process::run("conformance", command, b"").unwrap();
        let bindings = String::from_utf8_lossy(&ending.stderr);
        let of_program = bindings
            .lines()
            .filter(|line| line.contains("conformance-"));
        for name in NAMES {
            let symbol = format!("`{name}'");
            let mut bound = of_program
                .clone()
                .filter(|line| line.contains(&symbol))
                .peekable();
            assert!(bound.peek().is_some(), "{name} is not bound by {route:?}");
            assert!(bound.all(|line| line.contains(from)), "{name} by {route:?}");
        }
    }
}

/// The same of a program that is linked statically: it has the functions itself.
#[test]
fn a_program_with_the_static_drop_in_has_its_functions() {
    let artifacts = link_all();
    for (route, ours) in [(Route::StaticLibrary, true), (Route::Libc, false)] {
        let bytes = fs::read(program(&artifacts, route)).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let defined = |name| {
            let mut symbols = file.symbols();
            symbols.any(|symbol| symbol.name() == Ok(name) && symbol.is_definition())
        };
        for name in NAMES {
            assert_eq!(defined(name), ours, "{name} by {route:?}");
        }
    }
}
