//! Programs on which a library could have an effect that libc's functions have not, in every way of
//! loading it, without a trace and with one.

#[path = "../support/mod.rs"]
mod support;

use std::{fs, sync::LazyLock};
use support::{
    Artifacts, Environment, Process,
    hosts::{DROPIN, Host, Library, SHMKEY, Way},
};

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
            let test = Environment::new();
            let trace = test.path().join("trace");
            let mut command = host.command(&artifacts);
            command.current_dir(test.path());
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

/// It makes the calls on stacks of the sizes that the system recommends and demands, too.
#[test]
fn a_traced_call_needs_little_stack() {
    let artifacts = Artifacts::shared();
    let mut wrong = Vec::new();
    for way in Way::ALL {
        let host = Host::link(&artifacts, &DROPIN, "stack", &[], way).unwrap();
        for (trace, format, most) in [
            ("", "text", 1 << 10),
            ("1", "text", 7 << 10),
            // The lines with the longest names become more than twice as long.
            ("./trace", "json", 9 << 10),
            ("./trace.%p", "text", 9 << 10),
        ] {
            let test = Environment::new();
            let mut command = host.command(&artifacts);
            command.current_dir(test.path());
            command.env("SHMKEY_TRACE", trace);
            command.env("SHMKEY_TRACE_FORMAT", format);
            // The dynamic linker's own work takes stack, too, at the first call of each function.
            command.env("LD_BIND_NOW", "1");
            let what = format!("by {way:?}, trace: {trace}, {format}");
            match Process::run(&what, command, b"") {
                Ok(ending) => {
                    let said = String::from_utf8_lossy(&ending.stdout);
                    let bytes = said.strip_suffix(" bytes\n").and_then(|n| n.parse().ok());
                    if !ending.status.success() || bytes.is_none_or(|bytes: u32| bytes > most) {
                        wrong.push(format!("{what}: {}: {said}", ending.status));
                    }
                }
                Err(error) => wrong.push(error),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

#[test]
fn a_process_goes_on_when_its_first_thread_has_ended() {
    let artifacts = Artifacts::shared();
    let host = Host::link(&artifacts, &SHMKEY, "first_thread", &[], Way::LinkOrder).unwrap();
    let ending = Process::run("first_thread", host.command(&artifacts), b"").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ending.stdout),
        "lock: EOWNERDEAD\nsize: 10000\nprefault: 0\nopen: 0\n"
    );
}

/// Where nothing but what a library itself asks for is loaded.
#[test]
fn a_library_in_a_namespace_of_its_own() {
    let artifacts = Artifacts::shared();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/namespace.c");
    let program = artifacts.directory().join("namespace");
    artifacts
        .link_files(&[source.as_ref()], None, &[], &program)
        .unwrap();
    for (library, function) in [
        ("libshmkey_dropin.so", "shmget"),
        ("libshmkey.so", "shm_remove"),
    ] {
        let mut command = artifacts.command(&program);
        command.arg(function).arg(artifacts.built(library));
        command.env("SHMKEY_TRACE", "1");
        let ending = Process::run(library, command, b"").unwrap();
        let said = String::from_utf8_lossy(&ending.stdout);
        assert_eq!((said.trim_end(), ending.status.code()), ("-1", Some(0)));
        let traced = String::from_utf8_lossy(&ending.stderr);
        assert_eq!(
            traced.contains("shmget(key 0x7b5a4321"),
            function == "shmget",
            "{traced}"
        );
    }
}

/// Runs a situation of `observer.c` on the drop-in in every way: without a trace, with one to standard
/// error, and with one to a file. It has to say the first, second and third of these.
fn observe(situation: &str, [untraced, traced, to_file]: [&str; 3]) {
    observe_traces(
        situation,
        &[("", untraced), ("1", traced), ("./trace", to_file)],
    );
}

/// Runs it with each of these as `SHMKEY_TRACE`; it has to say what is beside it.
fn observe_traces(situation: &str, traces: &[(&str, &str)]) {
    static HOSTS: LazyLock<Vec<Host>> = LazyLock::new(|| {
        let artifacts = Artifacts::shared();
        let link = |way| Host::link(&artifacts, &DROPIN, "observer", &[], way).unwrap();
        Way::ALL.map(link).into()
    });
    let artifacts = Artifacts::shared();
    let mut wrong = Vec::new();
    for host in HOSTS.iter() {
        for &(trace, expected) in traces {
            let test = Environment::new();
            let mut command = host.command(&artifacts);
            command.current_dir(test.path()).arg(situation);
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

/// A file that standard error is, too, is treated as standard error.
#[test]
fn a_daemon_leaves_no_duplicate_of_standard_error_by_another_name() {
    let names = ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"];
    observe_traces("daemon", &names.map(|name| (name, "0 left open")));
}

#[test]
fn a_session_that_has_left_its_terminal_goes_on_to_be_traced() {
    let none = "0 lines, 0 on another terminal";
    observe("session", [none, "2 lines, 0 on another terminal", none]);
}

#[test]
fn a_child_has_a_trace_of_its_own_below_a_lower_limit() {
    observe_traces("lowered", &[("", "0 lines"), ("./trace.%p", "1 lines")]);
}

#[test]
fn a_child_that_shares_memory_leaves_no_descriptor() {
    let traces = ["", "1", "./trace", "./trace.%p"];
    observe_traces("vfork", &traces.map(|trace| (trace, "0 more open")));
}

#[test]
fn a_signal_that_is_pending_stays_so_once() {
    observe("pending", ["1 1, 1 1, 0 0"; 3]);
}

#[test]
fn a_handler_that_jumps_out_of_a_call_finds_the_signal_mask_as_it_was() {
    observe("jump", ["0 blocked"; 3]);
}

#[test]
fn a_full_pipe_does_not_stop_a_program() {
    observe("full", ["went on", "went on, 3 lost, traced", "went on"]);
}

/// A short line that still fits into the last page does not mean that a process reads the pipe.
#[test]
fn a_full_pipe_that_is_not_read_costs_one_wait() {
    let none = "0 with time";
    observe("stalled", [none, "1 with time", none]);
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
