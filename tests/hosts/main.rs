//! Programs on which a library could have an effect that libc's functions have not, in every way of
//! loading it, without a trace and with one.

#[path = "../stage/mod.rs"]
mod stage;

use stage::{
    Artifacts, Process, Sandbox,
    hosts::{DROPIN, Host, Library, SHMKEY, Way},
};
use std::{fs, sync::LazyLock};

/// Runs a program of this folder on the drop-in in every way. Returns what it says each time; it has to
/// end well, and to be traced where it is to be.
fn run_everywhere(name: &str, beside: &[&str]) -> Vec<String> {
    run(&DROPIN, &Way::ALL, name, beside)
}

fn run(library: &Library, ways: &[Way], name: &str, beside: &[&str]) -> Vec<String> {
    let artifacts = Artifacts::shared();
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    for &way in ways {
        let host = match Host::link(&artifacts, library, name, beside, way) {
            Ok(host) => host,
            Err(error) => {
                wrong.push(format!("{way:?}: {error}"));
                continue;
            }
        };
        for traced in [false, true] {
            let sandbox = Sandbox::new().unwrap();
            let trace = sandbox.path().join("trace");
            let mut command = host.command(&artifacts);
            command.current_dir(sandbox.path());
            if traced {
                command.env("SHMKEY_TRACE", &trace);
            }
            let what = format!("{name} by {way:?}, traced: {traced}");
            match Process::run(&what, command, b"") {
                Ok(ending) if ending.status.success() => {
                    said.push(String::from_utf8(ending.stdout).unwrap());
                }
                Ok(ending) => wrong.push(format!(
                    "{what} ended with {}: {}{}",
                    ending.status,
                    String::from_utf8_lossy(&ending.stdout),
                    String::from_utf8_lossy(&ending.stderr)
                )),
                Err(error) => wrong.push(error),
            }
            let lines = fs::read_to_string(&trace).unwrap_or_default();
            if lines.contains("shmget(") != (traced && library.name == DROPIN.name) {
                wrong.push(format!("{what}: the trace is \"{lines}\""));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    said
}

#[test]
fn a_program_with_an_allocator_of_its_own() {
    for said in run_everywhere("own_malloc", &["allocator.c"]) {
        assert_eq!(
            said,
            "- ENOENT ENOENT - - EINVAL - EINVAL - EINVAL -\n0 allocations\n"
        );
    }
}

#[test]
fn a_signal_handler_that_interrupts_malloc() {
    for said in run_everywhere("handler", &[]) {
        assert_eq!(said, "200 handled\n");
    }
}

#[test]
fn a_thread_that_is_out_of_memory() {
    for said in run_everywhere("out_of_memory", &[]) {
        assert_eq!(
            said,
            "- ENOENT ENOENT - ENOMEM EINVAL - EINVAL - EINVAL -\n"
        );
    }
}

/// The calls that the library allows in a signal handler, in threads that have just begun.
#[test]
fn the_librarys_own_calls_allocate_nothing() {
    // A static program that brings an allocator of its own cannot be linked with Rust's standard library.
    let ways: Vec<Way> = Way::LINKED
        .into_iter()
        .filter(|way| !way.is_static())
        .collect();
    for said in run(&SHMKEY, &ways, "own_malloc", &["allocator.c"]) {
        assert!(
            said.starts_with(
                "ENOENT ENOENT - - - - EINVAL EINVAL EINVAL shmctl IPC_RMID(id -1): EINVAL: "
            ),
            "{said}"
        );
        assert!(said.ends_with("\n0 allocations\n"), "{said}");
    }
}

#[test]
fn the_librarys_own_calls_out_of_memory() {
    for said in run(&SHMKEY, &Way::LINKED, "out_of_memory", &[]) {
        let results = "ENOENT ENOENT - ENOMEM - - EINVAL EINVAL EINVAL ";
        assert_eq!(
            said,
            format!(
                "{results}a call has failed, and there was no memory to keep the reason: errno has its number\n"
            )
        );
    }
}

/// Loaded by `dlopen`, the library needs malloc for a thread's first lock, and for nothing after that.
#[test]
fn a_thread_that_has_locked_before_uses_objects_out_of_memory() {
    for said in run(&SHMKEY, &Way::LINKED, "objects", &[]) {
        assert_eq!(said, "- - EDEADLK - - EAGAIN \n");
    }
}

#[test]
fn a_thread_outlives_the_library_in_which_a_call_of_it_failed() {
    let artifacts = Artifacts::shared();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/unloaded.c");
    let program = artifacts.directory().join("unloaded");
    artifacts
        .link_files(&[source.as_ref()], None, &["-pthread"], &program)
        .unwrap();
    let mut command = artifacts.command(&program);
    command.arg(artifacts.built("libshmkey.so"));
    let ending = Process::run("unloaded", command, b"").unwrap();
    assert!(ending.status.success(), "{:?}", ending.status);
    assert_eq!(ending.stdout, b"unloaded\n");
}

/// Runs a situation of `observer.c` on the drop-in in every way: without a trace, with one to standard
/// error, and with one to a file. It has to say the first, second and third of these.
fn observe(situation: &str, [untraced, traced, to_file]: [&str; 3]) {
    static HOSTS: LazyLock<Vec<Host>> = LazyLock::new(|| {
        let artifacts = Artifacts::shared();
        let link = |way| Host::link(&artifacts, &DROPIN, "observer", &[], way).unwrap();
        Way::ALL.map(link).into()
    });
    let artifacts = Artifacts::shared();
    let mut wrong = Vec::new();
    for host in HOSTS.iter() {
        for (trace, expected) in [("", untraced), ("1", traced), ("./trace", to_file)] {
            let sandbox = Sandbox::new().unwrap();
            let mut command = host.command(&artifacts);
            command.current_dir(sandbox.path()).arg(situation);
            command.env("SHMKEY_TRACE", trace);
            let what = format!("{situation} by {:?}, trace: {trace}", host.way);
            match Process::run(&what, command, b"") {
                Ok(ending) => {
                    let said = String::from_utf8_lossy(&ending.stdout);
                    if said.trim_end() != expected || !ending.status.success() {
                        wrong.push(format!("{what}: {}: {said}", ending.status));
                    }
                }
                Err(error) => wrong.push(error),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_daemon_leaves_no_duplicate_of_standard_error() {
    observe("daemon", ["0 left open"; 3]);
}

#[test]
fn a_handler_that_jumps_out_of_a_call_finds_the_signal_mask_as_it_was() {
    observe("jump", ["0 blocked"; 3]);
}

#[test]
fn a_full_pipe_does_not_stop_a_program() {
    observe("full", ["went on", "went on, 3 lost, traced", "went on"]);
}

#[test]
fn a_job_in_the_background_is_not_stopped_by_its_terminal() {
    observe("terminal", ["ended"; 3]);
}

#[test]
fn a_low_limit_leaves_the_lowest_descriptors_to_the_program() {
    observe("few", ["3 first, at most 1 more open"; 3]);
}

#[test]
fn a_trace_to_standard_error_opens_no_descriptor() {
    observe("count", ["0 more open", "0 more open", "1 more open"]);
}
