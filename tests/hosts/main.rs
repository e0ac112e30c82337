//! Programs that a library could disturb, as libc's functions do not, in every way of loading it, without a trace and
//! with one.

#[path = "../support/mod.rs"]
mod support;

use std::{fs, path::PathBuf, process::Command, sync::LazyLock};
use support::{
    Artifacts, Environment, Process,
    hosts::{DROPIN, Host, Library, SHMKEY, Way},
};

/// Runs a program of this folder on the drop-in in every way.
fn run_everywhere(name: &str, beside: &[&str]) -> Vec<String> {
    run(&DROPIN, &Way::ALL, name, beside)
}

/// Runs a program in these ways, without a trace and with one. It is to succeed, and to be traced where a trace is
/// asked for. Returns what it prints each time.
fn run(library: &Library, ways: &[Way], name: &str, beside: &[&str]) -> Vec<String> {
    let artifacts = Artifacts::shared();
    let mut wrong = Vec::new();
    let mut printed = Vec::new();
    for &way in ways {
        match Host::link(&artifacts, library, name, beside, way) {
            Ok(host) => {
                for traced in [false, true] {
                    let run = run_one(&host, library, name, traced);
                    run.map_or_else(|error| wrong.push(error), |text| printed.push(text));
                }
            }
            Err(error) => wrong.push(format!("{way:?}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    printed
}

fn run_one(host: &Host, library: &Library, name: &str, traced: bool) -> support::Result<String> {
    let test = Environment::new();
    let trace = test.path().join("trace");
    let mut command = host.command(&Artifacts::shared());
    if traced {
        command.env("SHMKEY_TRACE", &trace);
    }
    let what = format!("{name} by {:?}, traced: {traced}", host.way);
    let printed = succeed(&what, command, &test)?;
    let lines = fs::read_to_string(&trace).unwrap_or_default();
    if lines.contains("shmget(") != (traced && library.name == DROPIN.name) {
        return Err(format!("{what}: the trace is \"{lines}\""));
    }
    Ok(printed)
}

/// Runs a program, which is to succeed. Returns what it prints.
fn succeed(what: &str, mut command: Command, test: &Environment) -> support::Result<String> {
    command.current_dir(test.path());
    let ending = Process::run(what, command, b"")?;
    let [out, errors] =
        [ending.stdout, ending.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if ending.status.success() {
        return Ok(out);
    }
    Err(format!(
        "{what} ended with {}: {out}{errors}",
        ending.status
    ))
}

#[test]
fn a_program_with_an_allocator_of_its_own() {
    for said in run_everywhere("own_malloc", &["allocator.c"]) {
        let results = "- ENOENT ENOENT - - EINVAL - EINVAL - EINVAL -\n";
        assert_eq!(said, format!("{results}0 allocations\n"));
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

/// `SHMKEY_TRACE`, `SHMKEY_TRACE_FORMAT`, and how many bytes of stack a call takes at most.
const STACKS: [(&str, &str, u32); 4] = [
    ("", "text", 1 << 10),
    ("1", "text", 7 << 10),
    // The lines with the longest names become more than twice as long.
    ("./trace", "json", 9 << 10),
    ("./trace.%p", "text", 9 << 10),
];

/// The program makes the calls on stacks of the sizes that the system recommends and demands, too.
#[test]
fn a_traced_call_needs_little_stack() {
    let artifacts = Artifacts::shared();
    let mut wrong = Vec::new();
    for way in Way::ALL {
        let host = Host::link(&artifacts, &DROPIN, "stack", &[], way).unwrap();
        for (trace, format, most) in STACKS {
            let mut command = host.command(&artifacts);
            command.env("SHMKEY_TRACE", trace);
            command.env("SHMKEY_TRACE_FORMAT", format);
            // The dynamic linker's own work takes stack, too, at the first call of each function.
            command.env("LD_BIND_NOW", "1");
            let what = format!("by {way:?}, trace: {trace}, {format}");
            let printed = succeed(&what, command, &Environment::new());
            let bytes = printed
                .as_ref()
                .ok()
                .and_then(|text| text.strip_suffix(" bytes\n")?.parse().ok());
            if bytes.is_none_or(|bytes: u32| bytes > most) {
                wrong.push(format!("{what}: {printed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The calls that the library allows in a signal handler, in threads that have just begun. A static program that
/// brings an allocator of its own cannot be linked with Rust's standard library.
#[test]
fn the_librarys_own_calls_allocate_nothing() {
    for said in run(&SHMKEY, Way::DYNAMIC, "own_malloc", &["allocator.c"]) {
        let results = "ENOENT ENOENT - - - - EINVAL EINVAL EINVAL shmctl IPC_RMID(id -1): EINVAL: ";
        assert!(said.starts_with(results), "{said}");
        assert!(said.ends_with("\n0 allocations\n"), "{said}");
    }
}

#[test]
fn the_librarys_own_calls_out_of_memory() {
    let results = "ENOENT ENOENT - ENOMEM - - EINVAL EINVAL EINVAL ";
    let why =
        "a call has failed, and there was no memory to keep the reason: errno has its number\n";
    for said in run(&SHMKEY, Way::LINKED, "out_of_memory", &[]) {
        assert_eq!(said, [results, why].concat());
    }
}

/// Loaded by `dlopen`, the library needs malloc for a thread's first lock, and for nothing after that.
#[test]
fn a_thread_that_has_locked_before_uses_objects_out_of_memory() {
    for said in run(&SHMKEY, Way::LINKED, "objects", &[]) {
        assert_eq!(said, "- - EDEADLK - - EAGAIN \n");
    }
}

/// Links a program of this folder with no library.
fn link_alone(name: &str) -> PathBuf {
    let source = format!("{}/tests/hosts/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let artifacts = Artifacts::shared();
    let program = artifacts.directory().join(name);
    let linked = artifacts.link_files(&[source.as_ref()], None, &["-pthread"], &program);
    linked.unwrap();
    program
}

#[test]
fn a_thread_with_a_failed_call_outlives_the_library() {
    let artifacts = Artifacts::shared();
    let mut command = artifacts.command(&link_alone("unloaded"));
    command.arg(artifacts.built("libshmkey.so"));
    let ending = Process::run("unloaded", command, b"").unwrap();
    ending.expect("unloaded\n").unwrap();
}

#[test]
fn a_process_goes_on_when_its_first_thread_has_ended() {
    let artifacts = Artifacts::shared();
    let host = Host::link(&artifacts, &SHMKEY, "first_thread", &[], Way::LinkOrder).unwrap();
    let ending = Process::run("first_thread", host.command(&artifacts), b"").unwrap();
    let printed = "lock: EOWNERDEAD\nsize: 10000\nprefault: 0\nopen: 0\n";
    ending.expect(printed).unwrap();
}

/// Where only what a library itself needs is loaded.
#[test]
fn a_library_works_in_a_linker_namespace_of_its_own() {
    let artifacts = Artifacts::shared();
    let program = link_alone("namespace");
    for (library, function) in [
        ("libshmkey_dropin.so", "shmget"),
        ("libshmkey.so", "shm_remove"),
    ] {
        let mut command = artifacts.command(&program);
        command.arg(function).arg(artifacts.built(library));
        command.env("SHMKEY_TRACE", "1");
        let ending = Process::run(library, command, b"").unwrap();
        assert_eq!(
            (&ending.stdout[..], ending.status.code()),
            (&b"-1\n"[..], Some(0))
        );
        let traced = String::from_utf8_lossy(&ending.stderr).contains("shmget(key 0x7b5a4321");
        assert_eq!(traced, function == "shmget");
    }
}

/// Runs a situation of `observer.c` on the drop-in in every way, and expects it to print the first of these without a
/// trace, the second with one to standard error, and the third with one to a file.
fn observe(situation: &str, [untraced, traced, to_file]: [&str; 3]) {
    let traces = [("", untraced), ("1", traced), ("./trace", to_file)];
    observe_traces(situation, &traces);
}

/// Runs it with each of these as `SHMKEY_TRACE`, and expects it to print what stands beside.
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
            let mut command = host.command(&artifacts);
            command.arg(situation).env("SHMKEY_TRACE", trace);
            let what = format!("{situation} by {:?}, trace: {trace}", host.way);
            let printed = succeed(&what, command, &Environment::new());
            if printed.as_ref().map(|text| text.trim_end()) != Ok(expected) {
                wrong.push(format!("{what}: {printed:?}"));
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
