//! Waiting for one of several objects: of every kind, fairly, and also where the kernel cannot sleep on several words.

mod support;

use shmkey::{
    Broadcast, Error, ErrorKind::*, Latest, Place, Receiver, Ring, Semaphore, Sender, Waitable,
    wait_any,
};
use std::{
    env, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    AGES, Environment, NOW, SOON, do_task, fails, in_another_process, in_child,
    in_processes_without_futex_waitv, private_memory, refuse_futex_waitv, say, says,
    status_of_child, wait_for_line,
};

#[test]
fn helper_process() {
    do_task(&[
        ("send and wait", send_and_wait),
        ("post when told", post_when_told),
        ("poll for every kind", |errno| {
            refuse_futex_waitv(errno.parse().unwrap());
            waits_for_every_kind();
        }),
        ("poll and cancel", |errno| {
            refuse_futex_waitv(errno.parse().unwrap());
            is_cancelled_by_every_kind();
        }),
        ("poll among signals", |errno| {
            refuse_futex_waitv(errno.parse().unwrap());
            is_ended_by_signals();
        }),
        ("wait among signals", |_| is_ended_by_signals()),
    ]);
    say("done");
}

fn send_and_wait(name: &str) {
    let mut sender = Ring::open(name, 64).unwrap().sender().unwrap();
    sender.send(b"one").unwrap();
    say("ready");
    wait_for_line();
}

fn post_when_told(name: &str) {
    let semaphore = Semaphore::open(name, 0).unwrap();
    say("ready");
    for _ in 0..20 {
        wait_for_line();
        semaphore.post().unwrap();
        say("posted");
    }
}

fn ring(name: &str) -> (Sender, Receiver) {
    let ring = Ring::open(name, 4096).unwrap();
    (ring.sender().unwrap(), ring.receiver().unwrap())
}

const KINDS: [&str; 4] = ["ring", "semaphore", "latest", "broadcast"];

/// Waits for each of four objects in turn, before and after it has something.
fn waits_for_every_kind() {
    let test = Environment::with_names(&KINDS);
    let (mut sender, mut receiver) = ring(&test.named("ring"));
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    let mut publisher = latest.publisher().unwrap();
    let news = Broadcast::open(test.named("broadcast"), 4096).unwrap();
    let (mut teller, mut subscriber) = (news.publisher().unwrap(), news.subscribe().unwrap());
    let mut seen = 0;
    for round in 0..40 {
        let kind = round % 4;
        let mut wait = |timeout| {
            let objects: &mut [&mut dyn Waitable] = &mut [
                &mut receiver,
                &mut &semaphore,
                &mut latest.newer_than(seen),
                &mut subscriber,
            ];
            wait_any(objects, Some(timeout))
        };
        fails(wait(NOW), WouldBlock);
        if round < 4 {
            fails(wait(SOON), TimedOut);
        }
        let found = thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(AGES));
            if round % 8 < 4 {
                thread::sleep(Duration::from_millis(2)); // in most rounds, it sleeps by now
            }
            match kind {
                0 => sender.send(b"one").unwrap(),
                1 => semaphore.post().unwrap(),
                2 => publisher.publish(round as u64).unwrap(),
                _ => teller.publish(b"one").unwrap(),
            }
            waiting.join().unwrap()
        });
        assert_eq!(found.unwrap(), kind);
        match kind {
            0 => drop(receiver.try_recv(&mut [0; 8]).unwrap()),
            1 => semaphore.try_wait().unwrap(),
            2 => drop(latest.read_newer(&mut seen).unwrap().unwrap()),
            _ => drop(subscriber.try_recv(&mut [0; 8]).unwrap()),
        }
    }
}

#[test]
fn one_of_every_kind_is_waited_for() {
    waits_for_every_kind();
}

#[test]
fn objects_are_polled_where_the_kernel_cannot_sleep_on_several_words() {
    in_processes_without_futex_waitv("poll for every kind");
}

/// Cancels the handle of each kind, before a wait and during one.
fn is_cancelled_by_every_kind() {
    let test = Environment::with_names(&KINDS);
    let (_sender, mut receiver) = ring(&test.named("ring"));
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    let news = Broadcast::open(test.named("broadcast"), 4096).unwrap();
    let mut subscriber = news.subscribe().unwrap();
    let cancellers = [
        receiver.canceller(),
        semaphore.canceller(),
        latest.canceller(),
        subscriber.canceller(),
    ];
    let mut wait = |timeout| {
        let objects: &mut [&mut dyn Waitable] = &mut [
            &mut receiver,
            &mut &semaphore,
            &mut latest.newer_than(0),
            &mut subscriber,
        ];
        wait_any(objects, timeout)
    };
    for (canceller, kind) in cancellers.iter().zip(KINDS) {
        canceller.cancel();
        fails(wait(Some(NOW)), WouldBlock);
        let error = fails(wait(Some(AGES)), Cancelled);
        says(&error.to_string(), &format!("{kind}…wait: ECANCELED"));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(None));
            thread::sleep(Duration::from_millis(2)); // it sleeps by now
            canceller.cancel();
            fails(waiting.join().unwrap(), Cancelled);
        });
        fails(wait(Some(SOON)), TimedOut);
    }
    // Each ends one wait, and what is there comes first.
    cancellers.iter().for_each(|canceller| canceller.cancel());
    semaphore.post().unwrap();
    assert_eq!(wait(Some(AGES)).unwrap(), 1);
    semaphore.try_wait().unwrap();
    for _ in &cancellers {
        fails(wait(Some(AGES)), Cancelled);
    }
    fails(wait(Some(SOON)), TimedOut);
}

#[test]
fn a_cancellation_of_one_handle_ends_the_wait() {
    is_cancelled_by_every_kind();
}

/// An object whose peers are gone is always ready, and would hide the cancellation.
#[test]
fn a_cancellation_comes_before_the_end_of_the_peers() {
    let test = Environment::with_names(&KINDS);
    let (sender, mut receiver) = ring(&test.named("ring"));
    let news = Broadcast::open(test.named("broadcast"), 4096).unwrap();
    let (publisher, mut subscriber) = (news.publisher().unwrap(), news.subscribe().unwrap());
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    drop((sender, publisher));
    let cancellers = [
        receiver.canceller(),
        semaphore.canceller(),
        subscriber.canceller(),
    ];
    let mut wait = |timeout| {
        let objects: &mut [&mut dyn Waitable] =
            &mut [&mut receiver, &mut &semaphore, &mut subscriber];
        wait_any(objects, timeout)
    };
    for canceller in &cancellers {
        canceller.cancel();
        assert_ne!(wait(Some(NOW)).unwrap(), 1);
        fails(wait(Some(AGES)), Cancelled);
        assert_ne!(wait(Some(AGES)).unwrap(), 1);
    }
}

#[test]
fn a_cancellation_ends_the_wait_where_the_kernel_cannot_sleep_on_several_words() {
    in_processes_without_futex_waitv("poll and cancel");
}

extern "C" fn do_nothing(_: i32) {}

/// Waits for two semaphores, of which one allows signals or not, while signals come.
fn wait_among_signals(is_allowed: bool) -> Result<usize, Error> {
    let test = Environment::with_names(&["one", "other"]);
    let one = Semaphore::open(test.named("one"), 0).unwrap();
    let other = Semaphore::open(test.named("other"), 0).unwrap();
    other.set_interruptible(is_allowed);
    // SAFETY: zeroes are an action without flags and mask: without SA_RESTART. The handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = do_nothing as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
            0
        );
    }
    let is_over = AtomicBool::new(false);
    // SAFETY: takes nothing, and cannot fail.
    let waiter = unsafe { libc::gettid() };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if is_over.load(SeqCst) {
                    return;
                }
                // SAFETY: sends a signal to a thread of this process, which has a handler for it.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), waiter, libc::SIGUSR1) };
                thread::sleep(Duration::from_millis(1));
                if round == 50 && !is_allowed {
                    one.post().unwrap();
                }
            }
        });
        let waited = wait_any(&mut [&mut &one, &mut &other], None);
        is_over.store(true, SeqCst);
        waited
    })
}

#[test]
fn signals_end_the_wait_if_one_handle_allows_it() {
    in_another_process("wait among signals", "");
    in_processes_without_futex_waitv("poll among signals");
}

fn is_ended_by_signals() {
    fails(wait_among_signals(true), Interrupted);
    assert_eq!(wait_among_signals(false).unwrap(), 0);
}

/// The offsets of the position of a ring's receiver, and of the ring's first message.
const HEAD: usize = 640;
const MESSAGES: usize = 2048;

/// Again and again, a hostile process moves the receiver's position in a ring that drops the oldest messages.
#[test]
fn a_position_that_moves_on_keeps_no_wait_beyond_its_timeout() {
    let memory = private_memory(16384);
    let place = Place::within(Arc::clone(&memory), 0);
    let options = Ring::options().drop_oldest(true);
    let ring = options.open(place, 4096).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    sender.send(b"one").unwrap();
    receiver.try_recv(&mut [0; 8]).unwrap();
    memory.write_at(MESSAGES, &[0; 64]).unwrap();
    let mut head = [0; 8];
    memory.read_at(HEAD, &mut head).unwrap();
    assert_eq!(u64::from_ne_bytes(head), 64);
    let (is_over, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let mut lines = (1_u64..).take_while(|_| !is_over.load(SeqCst));
            lines.all(|line| {
                let moved = memory.write_at(HEAD, &(64 * line).to_ne_bytes());
                moved.is_ok() && start.elapsed() < AGES
            })
        });
        fails(wait_any(&mut [&mut receiver], Some(SOON)), TimedOut);
        is_over.store(true, SeqCst);
        assert!(attack.join().unwrap(), "it has outlived the attack");
    });
}

#[test]
fn the_death_of_a_peer_ends_the_wait() {
    for polls in [false, true] {
        let test = Environment::new();
        let mut helper = test.helper("send and wait").expecting("ready");
        let status = status_of_child(|| {
            if polls {
                refuse_futex_waitv(libc::ENOSYS);
            }
            let other = Semaphore::open(test.name().to_owned() + " 2", 0).unwrap();
            other.remove().unwrap();
            let mut receiver = Ring::open(test.name(), 64).unwrap().receiver().unwrap();
            let wait = |receiver: &mut Receiver| {
                wait_any(&mut [&mut &other, receiver], Some(AGES)).unwrap()
            };
            assert_eq!(wait(&mut receiver), 1);
            receiver.try_recv(&mut [0; 8]).unwrap();
            // SAFETY: ends the helper, which this test has started.
            unsafe { libc::kill(helper.child.id() as i32, libc::SIGKILL) };
            assert_eq!(wait(&mut receiver), 1);
            fails(receiver.recv(&mut [0; 8]), PeerDied);
            0
        });
        assert_eq!(status, 0, "polls: {polls}");
        helper.kill();
    }
}

#[test]
fn the_end_of_the_senders_ends_the_wait() {
    let test = Environment::new();
    let (sender, mut receiver) = ring(test.name());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_any(&mut [&mut receiver], Some(AGES)));
        thread::sleep(Duration::from_millis(2));
        drop(sender);
        assert_eq!(waiting.join().unwrap().unwrap(), 0);
    });
    fails(receiver.try_recv(&mut [0; 8]), Closed);
}

#[test]
fn objects_that_always_have_something_take_turns() {
    let test = Environment::new();
    let semaphores: Vec<_> = (0..5)
        .map(|each| {
            let semaphore = Semaphore::open(format!("{} {each}", test.name()), each).unwrap();
            semaphore.remove().unwrap();
            semaphore
        })
        .collect();
    let mut found = [0; 5];
    for _ in 0..400 {
        let mut each: Vec<&Semaphore> = semaphores.iter().collect();
        let mut objects: Vec<&mut dyn Waitable> = each
            .iter_mut()
            .map(|each| each as &mut dyn Waitable)
            .collect();
        found[wait_any(&mut objects, None).unwrap()] += 1;
    }
    assert_eq!(found, [0, 100, 100, 100, 100]);
}

#[test]
fn up_to_128_objects_are_waited_for() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let opened: Vec<_> = (0..129).map(|_| &semaphore).collect();
    let wait = |count: usize, timeout| {
        let mut each = opened[..count].to_vec();
        let mut objects: Vec<&mut dyn Waitable> = each
            .iter_mut()
            .map(|each| each as &mut dyn Waitable)
            .collect();
        wait_any(&mut objects, Some(timeout))
    };
    fails(wait(0, AGES), InvalidArgument);
    fails(wait(129, AGES), InvalidArgument);
    fails(wait(128, SOON), TimedOut);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(128, AGES));
        thread::sleep(Duration::from_millis(2));
        semaphore.post().unwrap();
        assert!(waiting.join().unwrap().unwrap() < 128);
    });
    // All of them with a canceller are more words than the kernel takes.
    semaphore.try_wait().unwrap();
    let stop = semaphore.canceller();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(128, AGES));
        thread::sleep(Duration::from_millis(2));
        stop.cancel();
        fails(waiting.join().unwrap(), Cancelled);
    });
}

/// A wake-up that a post has sent to a thread which waits for several objects goes to another thread.
#[test]
fn a_wake_up_that_is_not_used_is_passed_on() {
    let test = Environment::with_names(&["one", "other"]);
    let one = Semaphore::open(test.named("one"), 0).unwrap();
    let other = Semaphore::open(test.named("other"), 0).unwrap();
    for _ in 0..200 {
        thread::scope(|scope| {
            let several = scope.spawn(|| {
                let mut objects: [&mut dyn Waitable; 2] = [&mut &one, &mut &other];
                // Takes the other one only.
                while wait_any(&mut objects, Some(AGES)).unwrap() != 1 {
                    thread::yield_now();
                }
                other.try_wait().unwrap();
            });
            let single = scope.spawn(|| one.wait_timeout(AGES));
            thread::yield_now();
            one.post().unwrap();
            other.post().unwrap();
            several.join().unwrap();
            single.join().unwrap().unwrap();
        });
    }
}

#[test]
fn a_forked_child_does_not_wait_for_its_parents_messages() {
    let test = Environment::with_names(&["ring", "broadcast"]);
    let (_sender, mut receiver) = ring(&test.named("ring"));
    let news = Broadcast::open(test.named("broadcast"), 4096).unwrap();
    let mut subscriber = news.subscribe().unwrap();
    in_child(|| {
        fails(wait_any(&mut [&mut receiver], Some(NOW)), Busy);
        fails(wait_any(&mut [&mut subscriber], Some(NOW)), NotOwner);
    });
}

/// Where strace counts the calls of a process that waits, and of one that wakes it.
#[test]
fn a_wake_up_takes_one_system_call_on_either_side() {
    needs!(STRACE);
    const INNER: &str = "SHMKEY_TEST_WAITS";
    if let Ok(name) = env::var(INNER) {
        let semaphores = [(); 16].map(|()| Semaphore::open(&*name, 0).unwrap());
        say("ready");
        for _ in 0..20 {
            let mut each = semaphores.each_ref();
            let mut objects: Vec<&mut dyn Waitable> = each
                .iter_mut()
                .map(|each| each as &mut dyn Waitable)
                .collect();
            let found = wait_any(&mut objects, Some(AGES)).unwrap();
            semaphores[found].try_wait().unwrap();
        }
        return;
    }
    let test = Environment::new();
    let trace = test.path().join("trace");
    let mut helper = test.helper("post when told").expecting("ready");
    let mut waiting = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=futex_waitv", "-o"])
        .arg(&trace)
        .arg(env::current_exe().unwrap())
        .args(["--exact", "a_wake_up_takes_one_system_call_on_either_side"])
        .env(INNER, test.name())
        .spawn()
        .unwrap();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(30)); // in most rounds, it sleeps by now
        helper.send_line();
        helper.expect("posted");
    }
    assert!(waiting.wait().unwrap().success());
    let trace = fs::read_to_string(trace).unwrap();
    // A call that strace shows in two lines has its result in the second.
    let is_woken = |line: &&str| line.contains(") = ") && !line.contains("= -1");
    let woken = trace.lines().filter(is_woken).count();
    assert!((1..=20).contains(&woken), "{trace}");
}
