//! Who holds a lock or a role, and whether that holder lives: across PID namespaces, without
//! `/proc`, in children made by `fork` where the kernel does not clear pages for them; and what
//! waiting costs.

use shmkey::{Broadcast, ErrorKind, ErrorKind::*, Latest, Mutex, Ring, RwLock, Semaphore, capi};
use std::{
    env,
    ffi::CString,
    fs, io,
    panic::{self, AssertUnwindSafe},
    ptr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

mod support;

use support::{
    AGES, Environment, Helper, NOW, do_task, fails, fork_child, install_filter, say, status_of,
    status_of_child, stop_for_tracer, wait_for_line, with_locks,
};

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

fn mutex(name: &str) -> Mutex<u64> {
    Mutex::open(name, 0).unwrap()
}

fn rwlock(name: &str) -> RwLock<u64> {
    RwLock::open(name, 0).unwrap()
}

fn ring(name: &str) -> Ring {
    Ring::open(name, 64).unwrap()
}

fn broadcast(name: &str) -> Broadcast {
    Broadcast::open(name, 64).unwrap()
}

fn many(name: &str) -> Ring {
    Ring::options().many_senders(true).open(name, 4096).unwrap()
}

#[test]
fn helper_process() {
    do_task(&[
        ("hold", hold),
        ("take over", take_over),
        ("take over in another root", take_over_in_another_root),
        ("send", send),
        ("keep the senders' lock", keep_senders_lock),
        ("send later", send_later),
        ("read", read),
        ("write", write),
        ("stay", |name| stay(mutex(name))),
        ("stay with the lock", |name| stay(rwlock(name))),
        ("stay with the ring", |name| stay(many(name))),
        ("emigrate with a token", emigrate_with_a_token),
        ("emigrate", emigrate),
        ("look at it", look_at_it),
        ("fork", fork_without_wiping),
        ("fork into namespaces", fork_into_namespaces),
        ("use an id again", use_an_id_again),
        ("meet at once", |name| two_firsts_meet(name, Duration::ZERO)),
        ("meet later", |name| two_firsts_meet(name, TICKS)),
        ("have a sender", |name| stay(ring(name).sender().unwrap())),
        ("have a receiver", |name| {
            stay(ring(name).receiver().unwrap())
        }),
        ("have a publisher", |name| {
            stay(broadcast(name).publisher().unwrap())
        }),
        ("take turns", take_turns),
        ("mutex", wait_for_a_mutex),
        ("semaphore", wait_for_a_semaphore),
        ("latest", wait_for_a_value),
        ("receiver", wait_for_a_message),
        ("sender", wait_for_room),
    ]);
}

fn hold(name: &str) {
    let mutex = mutex(name);
    let _guard = mutex.lock_timeout(AGES).unwrap();
    say("holds");
    wait_for_line();
}

fn read(name: &str) {
    let lock = rwlock(name);
    let _guard = lock.read_timeout(AGES).unwrap();
    say("holds");
    wait_for_line();
}

fn write(name: &str) {
    let lock = rwlock(name);
    let _guard = lock.write_timeout(AGES).unwrap();
    say("holds");
    wait_for_line();
}

fn take_over(name: &str) {
    take_over_mutex(&mutex(name));
}

fn take_over_in_another_root(name: &str) {
    let mutex = mutex(name);
    let empty = env::temp_dir().join(format!("shmkey-root-{}", std::process::id()));
    fs::create_dir(&empty).unwrap();
    std::os::unix::fs::chroot(&empty).unwrap();
    assert!(!fs::exists("/proc").unwrap());
    take_over_mutex(&mutex);
}

fn take_over_mutex(mutex: &Mutex<u64>) {
    fails(mutex.lock_timeout(NOW), WouldBlock);
    fails(mutex.lock_timeout(Duration::from_millis(30)), TimedOut);
    say("refused");
    wait_for_line();
    recover(mutex);
    say("took over");
}

/// Locks a mutex whose owner died, and marks its value consistent.
fn recover(mutex: &Mutex<u64>) {
    let mut guard = mutex.lock_timeout(AGES).unwrap();
    assert!(guard.owner_died());
    guard.mark_consistent();
}

fn send(name: &str) {
    let ring = many(name);
    let senders: Vec<_> = (0..64).map(|_| ring.sender().unwrap()).collect();
    say("sends");
    wait_for_line();
    drop(senders);
}

/// Sends so often that this sender keeps the senders' lock, and later reserves a slot.
fn keep_senders_lock(name: &str) {
    let ring = many(name);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for _ in 0..1000 {
        sender.send(b"a message").unwrap();
        receiver.peek().unwrap().release().unwrap();
    }
    say("keeps");
    wait_for_line();
    sender.reserve(1).unwrap().commit().unwrap();
    let _slot = sender.reserve(1).unwrap();
    say("holds");
    wait_for_line();
}

fn send_later(name: &str) {
    let mut sender = many(name).sender().unwrap();
    say("joined");
    wait_for_line();
    sender.send_timeout(b"a message", AGES).unwrap();
    say("sent");
}

/// Keeps an object open.
fn stay<T>(object: T) {
    say("stays");
    wait_for_line();
    drop(object);
}

fn emigrate_with_a_token(name: &str) {
    drop(mutex(name));
    leave_ipc_namespace();
    let mutex = mutex(name);
    let _guard = mutex.lock().unwrap();
    Helper::start(&[], "look at it", name).expect("it is held");
    say("done");
}

fn emigrate(name: &str) {
    let mutex = mutex(name);
    say("here");
    wait_for_line();
    leave_ipc_namespace();
    let _guard = mutex.lock().unwrap();
    say("holds");
    wait_for_line();
}

fn look_at_it(name: &str) {
    fails(mutex(name).lock_timeout(NOW), WouldBlock);
    say("it is held");
}

/// Two processes that are both the first of their namespace: neither mistakes the other for itself,
/// and the second and a third one, in the initial namespace, learn of the first one's death, though
/// others have the segment attached.
#[test]
fn a_holder_in_another_namespace_is_known() {
    needs!(NAMESPACES);
    for (first, second) in [
        (NAMESPACE, NAMESPACE),
        (NAMESPACE, &[]),
        (NO_PROC, NAMESPACE),
    ] {
        let test = Environment::new();
        let _stays = test.helper_within(second, "stay").expecting("stays");
        let mut holder = test.helper_within(first, "hold").expecting("holds");
        let mut other = test.helper_within(second, "take over").expecting("refused");
        fails(mutex(test.name()).lock_timeout(NOW), WouldBlock);
        holder.kill();
        other.send_line();
        other.expect("took over");
    }
}

/// A reader that dies elsewhere does not block a writer, and a writer that dies elsewhere is recovered from.
#[test]
fn readers_and_writers_in_another_namespace_are_known() {
    needs!(NAMESPACES);
    for within in [NAMESPACE, NO_PROC] {
        let test = Environment::new();
        let lock = rwlock(test.name());
        // If no other process had it attached, that alone would prove them dead.
        let _stays = test.helper("stay with the lock").expecting("stays");
        let mut reader = test.helper_within(within, "read").expecting("holds");
        drop(lock.try_read().unwrap());
        fails(lock.try_write(), WouldBlock);
        reader.kill();
        assert!(!lock.write_timeout(AGES).unwrap().owner_died());
        let mut writer = test.helper_within(within, "write").expecting("holds");
        fails(lock.try_read(), WouldBlock);
        writer.kill();
        assert!(lock.read_timeout(AGES).unwrap().owner_died());
    }
}

/// The same, seen by the process that was there first, in the initial namespace.
#[test]
fn the_first_process_learns_of_deaths_elsewhere() {
    needs!(NAMESPACES);
    let test = Environment::new();
    let mutex = mutex(test.name());
    drop(mutex.lock().unwrap());
    let _stays = test.helper_within(NAMESPACE, "stay").expecting("stays");
    for _ in 0..3 {
        // A container that was started again, with the same ids.
        let mut holder = test.helper_within(NAMESPACE, "hold").expecting("holds");
        holder.kill();
        recover(&mutex);
    }
}

#[test]
fn senders_that_died_elsewhere_keep_no_places() {
    needs!(NAMESPACES);
    for within in [NAMESPACE, NO_PROC] {
        let test = Environment::new();
        let ring = many(test.name());
        // If no other process had it attached, that alone would prove them dead.
        let _stays = test.helper("stay with the ring").expecting("stays");
        let mut sends = test.helper_within(within, "send").expecting("sends");
        fails(ring.sender(), LimitReached);
        sends.kill();
        // A dying process closes its files one by one, and the one that proves its death may be the last.
        let end = Instant::now() + AGES;
        while let Err(error) = ring.sender() {
            assert_eq!(error.kind(), LimitReached);
            assert!(Instant::now() < end, "{within:?}: {error}");
            thread::yield_now();
        }
    }
}

/// The number under which a sender keeps the lock is from a time when no process of another namespace used the ring.
#[test]
fn a_sender_that_keeps_the_lock_is_known_to_those_that_join_later() {
    needs!(NAMESPACES);
    let test = Environment::new();
    // If no other process had it attached, that alone would prove the sender dead.
    let _stays = test.helper("stay with the ring").expecting("stays");
    let keeps = test.helper("keep the senders' lock");
    let mut keeps = keeps.expecting("keeps");
    let joins = test.helper_within(NAMESPACE, "send later");
    let mut joins = joins.expecting("joined");
    keeps.send_line();
    keeps.expect("holds");
    keeps.kill();
    joins.send_line();
    joins.expect("sent");
}

fn leave_ipc_namespace() {
    // SAFETY: concerns this thread, which makes all that it uses from here on in the new namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC) }, 0);
}

/// The token of a process that has left the IPC namespace of an object, or has come from another one,
/// means nothing there, and is not taken for that of a dead process.
#[test]
fn a_token_of_another_ipc_namespace_is_not_written() {
    needs!(NAMESPACES);
    Environment::new()
        .helper_within(NAMESPACE, "emigrate with a token")
        .expect("done");

    let test = Environment::new();
    let mut leaves = test.helper("emigrate").expecting("here");
    let _stays = test.helper_within(NAMESPACE, "stay").expecting("stays");
    leaves.send_line();
    leaves.expect("holds");
    fails(mutex(test.name()).lock_timeout(NOW), WouldBlock);
    leaves.kill();
    let mutex = mutex(test.name());
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
    install_filter(&mut filter);
}

/// How a child is made.
#[derive(Clone, Copy, Debug)]
enum By {
    /// libc's `fork`.
    Fork,
    /// The system call alone.
    Clone,
    /// The same, and the child is the first process of a PID namespace.
    CloneIntoNamespace,
    /// The same in this PID namespace, with this id.
    CloneWithId(libc::pid_t),
}

/// Starts a child that does something, and ends with the status that it returns, or 101 after a panic.
fn start_child(by: By, act: impl FnOnce() -> i32) -> libc::pid_t {
    let clone = |flags: libc::c_int| {
        // SAFETY: the child has a copy of this process's memory, as `fork` gives it.
        (unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD | flags, 0, 0, 0, 0) })
            as libc::pid_t
    };
    let child = with_locks(|| match by {
        // SAFETY: the child tries objects and ends.
        By::Fork => unsafe { libc::fork() },
        By::Clone => clone(0),
        By::CloneIntoNamespace => clone(libc::CLONE_NEWPID),
        By::CloneWithId(id) => clone_with_id(id),
    });
    if child == 0 {
        // The test's own end, to which a panic would lead, is a success.
        let status = panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or(101);
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(status) };
    }
    // What the child has dropped is still this process's own.
    std::mem::forget(act);
    assert!(child > 0, "{by:?}: {}", io::Error::last_os_error());
    child
}

fn clone_with_id(id: libc::pid_t) -> libc::pid_t {
    // SAFETY: integers, for which zeroes are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.set_tid = (&raw const id).addr() as u64;
    arguments.set_tid_size = 1;
    // SAFETY: the arguments are complete; and the child has a copy of this process's memory.
    let child = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    child as libc::pid_t
}

/// Expects that none of these is true.
fn expect_none(wrong: &[(&str, bool)], when: &str) {
    let wrong = wrong.iter().filter(|(_, is)| *is).map(|(what, _)| *what);
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0], "{when}");
}

/// The kind of the error, if a call fails.
fn refused<T>(result: Result<T, shmkey::Error>) -> Option<ErrorKind> {
    result.map(drop).err().map(|error| error.kind())
}

fn fork_without_wiping(name: &str) {
    let refuses = name.ends_with("refuses");
    answer_madvise(if refuses {
        Madvise::Refuses
    } else {
        Madvise::AcceptsAnything
    });
    for by in [By::Fork, By::Clone] {
        let ring = Ring::open(format!("{name} ring").as_str(), 4096).unwrap();
        ring.remove().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mutex = mutex(format!("{name} {by:?}").as_str());
        mutex.remove().unwrap();
        let guard = mutex.lock().unwrap();
        let busy = Some(Busy);
        let child = start_child(by, || {
            let (sent, received) = (sender.try_send(b"no"), receiver.try_recv(&mut [0; 8]));
            let locked = refused(mutex.lock_timeout(NOW));
            drop((guard, sender, receiver));
            i32::from(refused(sent) != busy)
                | i32::from(refused(received) != busy) << 1
                | i32::from(locked != Some(WouldBlock)) << 2
        });
        let status = status_of(child);
        let other = thread::scope(|scope| {
            let tried = scope.spawn(|| refused(mutex.lock_timeout(NOW)));
            tried.join().unwrap()
        });
        let wrong = [
            ("the child sends", status & 1 != 0),
            ("the child receives", status & 2 != 0),
            ("the child locks, or does not wait", status & 4 != 0),
            ("the child fails", status > 7),
            ("its guard unlocks", other != Some(WouldBlock)),
            ("its end frees the role", refused(ring.sender()) != busy),
        ];
        expect_none(&wrong, &format!("{by:?}"));
    }
    say("done");
}

/// A process that is the first of its PID namespace makes a child that is the first of another, without
/// `/proc`: their ids are the same, and nothing says when they started.
fn fork_into_namespaces(name: &str) {
    let mutex = mutex(name);
    let status = status_of(start_child(By::CloneIntoNamespace, || {
        let guard = mutex.lock().unwrap();
        let child = start_child(By::CloneIntoNamespace, || {
            let locked = refused(mutex.lock_timeout(NOW));
            drop(guard);
            i32::from(locked != Some(WouldBlock))
        });
        let status = status_of(child);
        let other = start_child(By::Fork, || {
            i32::from(refused(mutex.lock_timeout(NOW)) != Some(WouldBlock))
        });
        status | status_of(other) << 1
    }));
    let wrong = [
        ("the child locks, or does not wait", status & 1 != 0),
        (
            "the child's guard unlocks its parent's mutex",
            status & 2 != 0,
        ),
        ("the child fails", status > 3),
    ];
    expect_none(&wrong, "in namespaces");
    say("done");
}

#[test]
fn a_child_in_another_namespace_unlocks_nothing_without_proc() {
    needs!(NAMESPACES);
    Environment::new()
        .helper_within(NO_PROC, "fork into namespaces")
        .expect("done");
}

/// A daemon changes its root directory, where there is no `/proc`, after it has opened its objects.
#[test]
fn deaths_are_noticed_in_another_root_directory() {
    needs!(ROOT, NAMESPACES_WITHOUT_PROC);
    let test = Environment::new();
    let mut holder = test.helper("hold").expecting("holds");
    let mut next = test
        .helper("take over in another root")
        .expecting("refused");
    let root = env::temp_dir().join(format!("shmkey-root-{}", next.child.id()));
    fs::remove_dir(root).unwrap();
    holder.kill();
    next.send_line();
    next.expect("took over");
}

/// Runs `act` in a child. Stops the child when it is about to ask the kernel for the process `of`, in a liveness check;
/// calls `end_others`, and lets the child continue. Returns the child's exit status.
fn during_a_check(of: u32, act: impl FnOnce() -> i32, end_others: impl FnOnce()) -> i32 {
    let none = ptr::null_mut::<libc::c_void>();
    let child = fork_child(|| {
        stop_for_tracer();
        act()
    });
    // SAFETY: this thread has made the child, and traces it while it is stopped; the kernel writes the description of
    // the call into `call`, whose size it knows.
    unsafe {
        loop {
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert!(libc::WIFSTOPPED(status), "no check: status {status:#x}");
            // Without this option, the kernel does not report which system call the child enters.
            libc::ptrace(
                libc::PTRACE_SETOPTIONS,
                child,
                none,
                libc::PTRACE_O_TRACESYSGOOD,
            );
            let mut call: libc::ptrace_syscall_info = std::mem::zeroed();
            let size = size_of_val(&call);
            libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, child, size, &raw mut call);
            let is_entry = call.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
            if is_entry
                && call.u.entry.nr == libc::SYS_pidfd_open as u64
                && call.u.entry.args[0] == u64::from(of)
            {
                break;
            }
            libc::ptrace(libc::PTRACE_SYSCALL, child, none, 0);
        }
        end_others();
        libc::ptrace(libc::PTRACE_DETACH, child, none, 0);
    }
    status_of(child)
}

/// Returns the errno of an error, or 0 if there is none.
fn errno_of<T>(result: Result<T, shmkey::Error>) -> i32 {
    result.err().map_or(0, |error| error.errno())
}

/// A process releases its role and ends while another process makes a liveness check of it. The other process reports
/// no death (EPIPE, not EOWNERDEAD), and can take the role.
#[test]
fn a_process_that_ends_during_a_liveness_check_has_not_died_in_its_role() {
    needs!(PTRACE);
    type Act = fn(&str) -> i32;
    let recv: Act = |name| {
        errno_of(
            ring(name)
                .receiver()
                .unwrap()
                .recv_timeout(&mut [0; 64], AGES),
        )
    };
    let send: Act = |name| {
        let mut sender = ring(name).sender().unwrap();
        sender.try_send(&[0; 64]).unwrap();
        errno_of(sender.send_timeout(&[0; 64], AGES))
    };
    let subscribe: Act = |name| {
        errno_of(
            broadcast(name)
                .subscribe()
                .unwrap()
                .recv_timeout(&mut [0; 64], AGES),
        )
    };
    let take_role: Act = |name| errno_of(ring(name).sender());
    let publish: Act = |name| errno_of(broadcast(name).publisher());
    for (has, act, expected) in [
        ("have a sender", recv, libc::EPIPE),
        ("have a receiver", send, libc::EPIPE),
        ("have a publisher", subscribe, libc::EPIPE),
        ("have a sender", take_role, 0),
        ("have a publisher", publish, 0),
    ] {
        let test = Environment::new();
        let mut has_role = test.helper(has).expecting("stays");
        let id = has_role.child.id();
        let end = || {
            has_role.send_line();
            assert!(has_role.child.wait().unwrap().success());
        };
        let status = during_a_check(id, || act(test.name()), end);
        assert_eq!(status, expected, "{has}");
    }
}

/// How long to wait so that start times differ, which have ticks of 10 ms.
const TICKS: Duration = Duration::from_millis(30);

/// A process dies with a lock, and the next one gets its id, within the same tick more often than not.
fn use_an_id_again(name: &str) {
    const ID: libc::pid_t = 4000;
    let mutex = mutex(name);
    for round in 0..50 {
        let died = start_child(By::CloneWithId(ID), || {
            std::mem::forget(mutex.lock().unwrap());
            0
        });
        assert_eq!(status_of(died), 0);
        let next = start_child(By::CloneWithId(ID), || match mutex.lock_timeout(AGES) {
            Ok(mut guard) => {
                let died = guard.owner_died();
                guard.mark_consistent();
                i32::from(!died)
            }
            Err(error) => error.errno(),
        });
        // An errno if it was refused: EDEADLK, if it takes the dead one for itself.
        assert_eq!(status_of(next), 0, "round {round}");
    }
    say("done");
}

#[test]
fn a_process_with_the_id_of_a_dead_one_is_another() {
    needs!(NAMESPACES);
    Environment::new()
        .helper_within(NAMESPACE, "use an id again")
        .expect("done");
}

/// Two live processes are both the first of their PID namespaces, and one may have started in the other's
/// tick: the second neither has nor unlocks what the first has.
fn two_firsts_meet(name: &str, apart: Duration) {
    let [named, other] =
        ["mutex", "other"].map(|end| CString::new(format!("{name} {end}")).unwrap());
    for round in 0..20 {
        // SAFETY: the names are strings, and without a layout there is no third.
        let mutex = unsafe {
            capi::shm_mutex_open(named.as_ptr(), 8, ptr::null(), libc::IPC_CREAT | 0o600)
        };
        // SAFETY: as above. It tells when the first has the mutex.
        let ready = unsafe { capi::shm_semaphore_open(other.as_ptr(), 0, libc::IPC_CREAT | 0o600) };
        assert!(!mutex.is_null() && !ready.is_null());
        let ages = AGES.as_nanos() as i64;
        let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(0);
        let first = start_child(By::CloneIntoNamespace, || {
            // SAFETY: both are open.
            unsafe {
                let locked = capi::shm_mutex_lock(mutex, ages);
                capi::shm_semaphore_post(ready);
                libc::sleep(60);
                locked
            }
        });
        thread::sleep(apart);
        let second = start_child(By::CloneIntoNamespace, || {
            // SAFETY: both are open.
            unsafe {
                if capi::shm_semaphore_wait(ready, ages) != 0 {
                    return 101;
                }
                let locks = capi::shm_mutex_lock(mutex, 0) == 0 || errno() != libc::EAGAIN;
                let unlocks = capi::shm_mutex_unlock(mutex) == 0 || errno() != libc::EPERM;
                i32::from(locks) | i32::from(unlocks) << 1
            }
        });
        let status = status_of(second);
        // SAFETY: a child of this process, which was not waited for; and both are closed once.
        unsafe {
            libc::kill(first, libc::SIGKILL);
            libc::waitpid(first, &mut 0, 0);
            capi::shm_remove(capi::shm_mutex_id(mutex));
            capi::shm_remove(capi::shm_semaphore_id(ready));
            capi::shm_mutex_close(mutex);
            capi::shm_semaphore_close(ready);
        }
        let wrong = [
            ("the second locks, or does not wait", status & 1 != 0),
            ("the second unlocks", status & 2 != 0),
            ("the second fails", status > 3),
        ];
        expect_none(&wrong, &format!("round {round}"));
    }
    say("done");
}

/// In one tick with `/proc`; without it the time is not even known.
#[test]
fn the_first_process_of_each_namespace_is_another() {
    needs!(NAMESPACES);
    for (within, task) in [(&[][..], "meet at once"), (NO_PROC, "meet later")] {
        let test = Environment::with_names(&["mutex", "other"]);
        test.helper_within(within, task).expect("done");
    }
}

#[test]
fn a_child_is_distinguished_where_no_page_is_cleared() {
    for answer in ["refuses", "accepts anything"] {
        let name = Environment::new().named(answer);
        Helper::start(&[], "fork", &name).expect("done");
    }
}

fn wait_for_a_mutex(name: &str) {
    let mutex = mutex(name);
    say("waits");
    drop(mutex.lock());
}

fn wait_for_a_semaphore(name: &str) {
    let semaphore = Semaphore::open(name, 0).unwrap();
    say("waits");
    semaphore.wait().unwrap();
}

fn wait_for_a_value(name: &str) {
    let latest = Latest::<u64>::open(name).unwrap();
    say("waits");
    drop(latest.wait_newer_timeout(&mut 0, AGES));
}

fn wait_for_a_message(name: &str) {
    let mut receiver = Ring::open(name, 64).unwrap().receiver().unwrap();
    say("waits");
    drop(receiver.recv(&mut [0; 64]));
}

fn wait_for_room(name: &str) {
    let mut sender = Ring::open(name, 64).unwrap().sender().unwrap();
    sender.try_send(&[0; 64]).unwrap();
    say("waits");
    drop(sender.send(&[0; 64]));
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
        let test = Environment::new();
        let held = (what == "mutex").then(|| mutex(test.name()));
        let _guard = held.as_ref().map(|mutex| mutex.lock().unwrap());
        let mut waits = test.helper(what).expecting("waits");
        let before = sleeps(waits.child.id());
        thread::sleep(Duration::from_secs(2));
        let after = sleeps(waits.child.id());
        // However long this thread has slept beyond that, it is not ten times as long.
        assert!(after - before < 60, "{what}: {}", after - before);
        waits.kill();
    }
}

/// Has a signal do nothing but interrupt system calls.
fn ignore(signal: libc::c_int) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a structure of integers and pointers, for which zeroes are valid; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// Locks a mutex, and ends with the lock once the waiter has had some signals.
fn die_after_signals(mutex: &Mutex<u64>, locked: &AtomicBool, signals: &AtomicU64) {
    std::mem::forget(mutex.lock().unwrap());
    locked.store(true, Relaxed);
    while signals.load(Relaxed) < 300 {
        thread::yield_now();
    }
}

/// A thread that signals wake a thousand times a second learns of the owner's death long before its timeout.
#[test]
fn signals_do_not_delay_the_news_of_a_death() {
    ignore(libc::SIGWINCH);
    let test = Environment::new();
    let mutex = mutex(test.name());
    let (locked, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let signals = AtomicU64::new(0);
    // SAFETY: takes nothing.
    let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
    thread::scope(|scope| {
        scope.spawn(|| die_after_signals(&mutex, &locked, &signals));
        while !locked.load(Relaxed) {
            thread::yield_now();
        }
        scope.spawn(|| {
            while !done.load(Relaxed) {
                // SAFETY: the signal has a handler.
                unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGWINCH) };
                signals.fetch_add(1, Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let recovered = panic::catch_unwind(AssertUnwindSafe(|| recover(&mutex)));
        done.store(true, Relaxed);
        recovered.unwrap();
    });
    let signals = signals.load(Relaxed);
    assert!(signals < 10_000, "{signals}");
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
    Environment::new().helper("take turns").expect("done");
}

/// A child inherits the locks of the tests' support in their states during the fork. It would wait for ever for one
/// that another thread had.
#[test]
fn a_child_can_use_what_other_threads_use_during_the_fork() {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    drop(Environment::new());
                }
            });
        }
        for _ in 0..100 {
            let status = status_of_child(|| {
                drop(Environment::new());
                0
            });
            assert_eq!(status, 0);
        }
        is_over.store(true, Relaxed);
    });
}
