//! Who holds a lock or a role, and whether that holder lives: across PID namespaces, without
//! `/proc`, in children made by `fork` where the kernel does not clear pages for them; and what
//! waiting costs.

use shmkey::{ErrorKind, Latest, Mutex, Ring, Semaphore};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

mod stage;

use stage::{Name, helper_task, say, wait_to_be_told};

const NOW: Duration = Duration::ZERO;
const AGES: Duration = Duration::from_secs(60);

/// How a helper is started: by a program with arguments, or directly.
const NAMESPACE: &[&str] = &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const NO_PROC: &[&str] = &[
    "unshare",
    "--mount",
    "sh",
    "-c",
    "umount --lazy /proc && exec \"$@\"",
    "sh",
];

/// A copy of this program that does a task, in surroundings of its own.
struct Helper {
    child: Child,
    input: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Helper {
    fn start(within: &[&str], task: &str, name: &Name) -> Helper {
        let program = env::current_exe().unwrap();
        let mut command = match within.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(["--exact", "--nocapture", "helper_process"])
            .env("SHMKEY_TEST_TASK", task)
            .env("SHMKEY_TEST_NAME", &name.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Helper {
            child,
            input,
            lines,
        }
    }

    fn expect(&mut self, word: &str) {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        assert!(lines.any(|line| line == word), "no \"{word}\"");
    }

    fn tell(&mut self) {
        writeln!(self.input).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // `unshare` has ended its child, whose end of the pipe is closed when it is gone.
        self.lines.by_ref().for_each(drop);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mutex(name: &str) -> Mutex<u64> {
    Mutex::open(name, 0).unwrap()
}

fn many(name: &str) -> Ring {
    Ring::options().many_senders(true).open(name, 4096).unwrap()
}

fn kind<T>(result: Result<T, shmkey::Error>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it went well"),
        Err(error) => error.kind(),
    }
}

#[test]
fn helper_process() {
    let Some((task, name)) = helper_task() else {
        return;
    };
    match task.as_str() {
        "hold" => {
            let mutex = mutex(&name);
            let _guard = mutex.lock_timeout(AGES).unwrap();
            say("holds");
            wait_to_be_told();
        }
        "take over" => {
            let mutex = mutex(&name);
            assert_eq!(kind(mutex.lock_timeout(NOW)), ErrorKind::WouldBlock);
            assert_eq!(
                kind(mutex.lock_timeout(Duration::from_millis(30))),
                ErrorKind::TimedOut
            );
            say("refused");
            wait_to_be_told();
            let mut guard = mutex.lock_timeout(AGES).unwrap();
            assert!(guard.owner_died());
            guard.mark_consistent();
            say("took over");
        }
        "send" => {
            let ring = many(&name);
            let senders: Vec<_> = (0..64).map(|_| ring.sender().unwrap()).collect();
            say("sends");
            wait_to_be_told();
            drop(senders);
        }
        "stay" => {
            let _mutex = mutex(&name);
            say("stays");
            wait_to_be_told();
        }
        "emigrate with a token" => {
            drop(mutex(&name));
            leave_ipc_namespace();
            let mutex = mutex(&name);
            let _guard = mutex.lock().unwrap();
            Helper::start(&[], "look at it", &Name(name)).expect("it is held");
            say("done");
        }
        "emigrate" => {
            let mutex = mutex(&name);
            say("here");
            wait_to_be_told();
            leave_ipc_namespace();
            let _guard = mutex.lock().unwrap();
            say("holds");
            wait_to_be_told();
        }
        "look at it" => {
            assert_eq!(kind(mutex(&name).lock_timeout(NOW)), ErrorKind::WouldBlock);
            say("it is held");
        }
        "fork" => fork_without_wiping(&name),
        "take turns" => take_turns(&name),
        waiting => wait_for_ever(waiting, &name),
    }
}

/// Two processes that are both the first of their namespace: neither mistakes the other for itself,
/// and the second and a third one, in the initial namespace, learn of the first one's death, though
/// others have the segment attached.
#[test]
#[ignore = "needs root, for PID namespaces"]
fn a_holder_in_another_namespace_is_known() {
    for (first, second) in [
        (NAMESPACE, NAMESPACE),
        (NAMESPACE, &[]),
        (NO_PROC, NAMESPACE),
    ] {
        let name = Name::new();
        let mut stays = Helper::start(second, "stay", &name);
        stays.expect("stays");
        let mut holder = Helper::start(first, "hold", &name);
        holder.expect("holds");
        let mut other = Helper::start(second, "take over", &name);
        other.expect("refused");
        assert_eq!(
            kind(mutex(&name.0).lock_timeout(NOW)),
            ErrorKind::WouldBlock
        );
        holder.kill();
        other.tell();
        other.expect("took over");
    }
}

/// The same, seen by the process that was there first, in the initial namespace.
#[test]
#[ignore = "needs root, for PID namespaces"]
fn the_first_process_learns_of_deaths_elsewhere() {
    let name = Name::new();
    let mutex = mutex(&name.0);
    drop(mutex.lock().unwrap());
    let mut stays = Helper::start(NAMESPACE, "stay", &name);
    stays.expect("stays");
    for _ in 0..3 {
        // A container that was started again, with the same ids.
        let mut holder = Helper::start(NAMESPACE, "hold", &name);
        holder.expect("holds");
        holder.kill();
        let mut guard = mutex.lock_timeout(AGES).unwrap();
        assert!(guard.owner_died());
        guard.mark_consistent();
    }
}

#[test]
#[ignore = "needs root, for PID namespaces"]
fn senders_that_died_elsewhere_keep_no_places() {
    for within in [NAMESPACE, NO_PROC] {
        let name = Name::new();
        let ring = many(&name.0);
        let mut sends = Helper::start(within, "send", &name);
        sends.expect("sends");
        assert_eq!(kind(ring.sender()), ErrorKind::LimitReached);
        sends.kill();
        drop(ring.sender().unwrap());
    }
}

fn leave_ipc_namespace() {
    // SAFETY: concerns this thread, which makes all that it uses from here on in the new namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC) }, 0);
}

/// The token of a process that has left the IPC namespace of an object, or has come from another one,
/// means nothing there, and is not taken for that of a dead process.
#[test]
#[ignore = "needs root, for namespaces"]
fn a_token_of_another_ipc_namespace_is_not_written() {
    Helper::start(NAMESPACE, "emigrate with a token", &Name::new()).expect("done");

    let name = Name::new();
    let mut leaves = Helper::start(&[], "emigrate", &name);
    leaves.expect("here");
    let mut stays = Helper::start(NAMESPACE, "stay", &name);
    stays.expect("stays");
    leaves.tell();
    leaves.expect("holds");
    assert_eq!(
        kind(mutex(&name.0).lock_timeout(NOW)),
        ErrorKind::WouldBlock
    );
    leaves.kill();
    let mutex = mutex(&name.0);
    assert!(mutex.lock_timeout(AGES).unwrap().owner_died());
}

/// What a kernel or an emulator answers to `madvise(2)`.
#[repr(u32)]
#[derive(Clone, Copy)]
enum Madvise {
    Refuses = libc::EINVAL as u32,
    AcceptsAnything = 0,
}

/// Has the kernel answer each advice that clears pages in a child, or any advice, like that.
fn answer_madvise(answer: Madvise) {
    let instruction = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: code as u16,
        k,
        jt,
        jf,
    };
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let equals =
        |value, jt, jf| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, jt, jf);
    let end = |value| instruction(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    let number = libc::SYS_madvise as u32;
    let any = u8::from(matches!(answer, Madvise::Refuses));
    let mut filter = [
        load(0), // the call's number
        equals(number, 0, 3),
        load(16 + 2 * 8), // its third argument
        equals(libc::MADV_WIPEONFORK as u32, 0, any),
        end(libc::SECCOMP_RET_ERRNO | answer as u32),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    if matches!(answer, Madvise::AcceptsAnything) {
        filter[3] = equals(libc::MADV_DONTNEED as u32, 1, 0); // the allocator's
    }
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is complete, and the kernel copies it. It concerns this thread, and those
    // that it starts.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
            0
        );
    }
}

/// Runs `check` in a child, made by libc's `fork` or without it; whether it returned true.
fn in_child(by_libc: bool, check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child tries objects and ends. A child that is made like that has a copy of this
    // process' memory, as `fork` gives it.
    let child = unsafe {
        match by_libc {
            true => libc::fork(),
            false => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32,
        }
    };
    if child == 0 {
        let status = i32::from(!check());
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(status) };
    }
    // What the child has dropped is still this process' own.
    std::mem::forget(check);
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    status == 0
}

fn fork_without_wiping(name: &str) {
    answer_madvise(match name.ends_with("refuses") {
        true => Madvise::Refuses,
        false => Madvise::AcceptsAnything,
    });
    for by_libc in [true, false] {
        let ring = Ring::open(format!("{name} ring").as_str(), 4096).unwrap();
        ring.remove().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mutex = mutex(format!("{name} {by_libc}").as_str());
        mutex.remove().unwrap();
        let guard = mutex.lock().unwrap();
        let child_is_another = in_child(by_libc, || {
            let mutex_is_held = kind(mutex.lock_timeout(NOW)) == ErrorKind::WouldBlock;
            let busy = kind(sender.try_send(b"no")) == ErrorKind::Busy
                && kind(receiver.try_recv(&mut [0; 8])) == ErrorKind::Busy;
            drop(guard);
            drop((sender, receiver));
            mutex_is_held && busy
        });
        assert!(child_is_another, "by libc: {by_libc}");
        let other = thread::scope(|scope| {
            let tried = scope.spawn(|| kind(mutex.lock_timeout(NOW)));
            tried.join().unwrap()
        });
        assert_eq!(other, ErrorKind::WouldBlock, "its parent's guard");
        assert_eq!(kind(ring.sender()), ErrorKind::Busy, "its parent's role");
    }
    say("done");
}

#[test]
fn a_child_is_distinguished_where_no_page_is_cleared() {
    for answer in ["refuses", "accepts anything"] {
        let names = Name::family(&[answer]);
        Helper::start(&[], "fork", &names[1]).expect("done");
    }
}

/// Waits for something that does not come.
fn wait_for_ever(what: &str, name: &str) {
    let waits = || say("waits");
    match what {
        "mutex" => {
            let mutex = mutex(name);
            waits();
            drop(mutex.lock());
        }
        "semaphore" => {
            let semaphore = Semaphore::open(name, 0).unwrap();
            waits();
            semaphore.wait().unwrap();
        }
        "latest" => {
            let latest = Latest::<u64>::open(name).unwrap();
            waits();
            drop(latest.wait_newer(&mut 0, AGES));
        }
        "receiver" => {
            let mut receiver = Ring::open(name, 64).unwrap().receiver().unwrap();
            waits();
            drop(receiver.recv(&mut [0; 64]));
        }
        "sender" => {
            let mut sender = Ring::open(name, 64).unwrap().sender().unwrap();
            sender.try_send(&[0; 64]).unwrap();
            waits();
            drop(sender.send(&[0; 64]));
        }
        other => panic!("no task is called {other}"),
    }
}

/// How often the threads of a process have gone to sleep.
fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_one = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    tasks.map(|task| of_one(task.unwrap())).sum()
}

/// A thread that waits for nothing wakes up at most 20 times in the first second, and 4 times in each
/// later one; before, each kind of wait woke up 240 times a second.
#[test]
fn waiting_in_vain_is_mostly_sleep() {
    for what in ["mutex", "semaphore", "latest", "receiver", "sender"] {
        let name = Name::new();
        let held = (what == "mutex").then(|| mutex(&name.0));
        let _guard = held.as_ref().map(|mutex| mutex.lock().unwrap());
        let mut waits = Helper::start(&[], what, &name);
        waits.expect("waits");
        let before = sleeps(waits.child.id());
        thread::sleep(Duration::from_secs(2));
        let after = sleeps(waits.child.id());
        // However long this thread has slept beyond that, it is not ten times as long.
        assert!(after - before < 60, "{what}: {}", after - before);
        waits.kill();
    }
}

/// Eight threads that have a lock for 500 µs each, asleep: how often they sleep for a turn.
fn take_turns(name: &str) {
    const THREADS: u64 = 8;
    const TURNS: u64 = 100;
    let mutex = mutex(name);
    let (go, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !go.load(Relaxed) {
                    thread::yield_now();
                }
                for _ in 0..TURNS {
                    let guard = mutex.lock().unwrap();
                    thread::sleep(Duration::from_micros(500));
                    turns.fetch_add(1, Relaxed);
                    drop(guard);
                }
            });
        }
        go.store(true, Relaxed);
    });
    assert_eq!(turns.load(Relaxed), THREADS * TURNS);
    // SAFETY: integers, for which zeroes are valid, and the kernel fills them.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    // One for the 500 µs, one to wait for the lock, and a third for one that comes too late.
    let each = usage.ru_nvcsw as f64 / (THREADS * TURNS) as f64;
    assert!(each < 3.5, "{each} for each turn");
    say("done");
}

/// Threads that wait for a lock do not wake each other needlessly: before, they slept 5 to 7 times for
/// each turn.
#[test]
fn a_turn_wakes_few() {
    Helper::start(&[], "take turns", &Name::new()).expect("done");
}
