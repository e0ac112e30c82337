//! Objects in tasks of tokio: every kind is received from and waited for, and a dropped future loses nothing.

mod support;

use shmkey::{Broadcast, ErrorKind::*, Latest, Receiver, Ring, Semaphore, TypedRing, tokio::Async};
use std::{cell::Cell, env, pin::pin, process::Command, sync::Arc, task::Poll, thread};
use support::{Environment, Random, do_task, fails, say, wait_for_line};
use tokio::{runtime, task};

#[test]
fn helper_process() {
    do_task(&[("send and wait", send_and_wait)]);
}

fn send_and_wait(name: &str) {
    let mut sender = Ring::open(name, 64).unwrap().sender().unwrap();
    say("ready");
    wait_for_line();
    sender.send(b"one").unwrap();
    wait_for_line();
}

const KINDS: [&str; 4] = ["ring", "semaphore", "latest", "broadcast"];

fn receiver(ring: &Ring) -> Async<Receiver> {
    Async::new(ring.receiver().unwrap()).unwrap()
}

/// The other side, a thread, goes on when the task has asked for more, so most tries find nothing.
#[tokio::test]
async fn a_task_receives_from_every_kind() {
    let test = Environment::with_names(&KINDS);
    let ring = Ring::open(test.named("ring"), 4096).unwrap();
    let mut messages = receiver(&ring);
    let semaphore = || Semaphore::open(test.named("semaphore"), 0).unwrap();
    let counts = Async::new(semaphore()).unwrap();
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    let mut publisher = latest.publisher().unwrap();
    let mut values = Async::new(latest).unwrap();
    let news = Broadcast::open(test.named("broadcast"), 4096).unwrap();
    let mut headlines = Async::new(news.subscribe().unwrap()).unwrap();

    let mut sender = ring.sender().unwrap();
    let mut teller = news.publisher().unwrap();
    let semaphore = semaphore();
    let other = thread::spawn(move || {
        for number in 0..300_u64 {
            sender.send(&number.to_ne_bytes()).unwrap();
            semaphore.post().unwrap();
            publisher.publish(number).unwrap();
            teller.publish(&number.to_ne_bytes()).unwrap();
            thread::yield_now();
        }
    });
    let (mut buffer, mut message, mut seen) = ([0; 8], Vec::new(), 0);
    for number in 0..300_u64 {
        assert_eq!(messages.recv(&mut buffer).await.unwrap(), 8);
        assert_eq!(u64::from_ne_bytes(buffer), number);
        counts.wait().await.unwrap();
        if seen <= number {
            let value = values.read_newer(&mut seen).await.unwrap();
            assert!(value >= number, "{value} {number}");
            assert_eq!(seen, value + 1);
        }
        headlines.recv_vec(&mut message).await.unwrap();
        assert_eq!(message, number.to_ne_bytes());
    }
    other.join().unwrap();
    fails(messages.recv_vec(&mut message).await, Closed);
    fails(headlines.recv(&mut buffer).await, Closed);
    assert_eq!(counts.get_ref().value(), 0);
    fails(counts.into_inner().try_wait(), WouldBlock);
}

#[tokio::test]
async fn a_task_receives_values_and_batches() {
    let test = Environment::with_names(&["ring", "bytes"]);
    let ring = TypedRing::<u32>::open(test.named("ring"), 100).unwrap();
    let mut sender = ring.sender().unwrap();
    let mut values = Async::new(ring.receiver().unwrap()).unwrap();
    sender.send(&7).unwrap();
    assert_eq!(values.recv().await.unwrap(), 7);

    let ring = Ring::open(test.named("bytes"), 4096).unwrap();
    let mut sender = ring.sender().unwrap();
    sender.send_batch(&[b"one", b"two"]).unwrap();
    let mut messages = receiver(&ring);
    let (mut buffer, mut lengths) = ([0; 64], [0; 8]);
    let batch = messages.retry(|receiver| receiver.try_recv_batch(&mut buffer, &mut lengths));
    assert_eq!(batch.await.unwrap(), 2);
    assert_eq!(&buffer[..6], b"onetwo");
}

#[tokio::test]
async fn a_task_learns_that_the_sender_was_killed() {
    let test = Environment::new();
    let mut messages = receiver(&Ring::open(test.name(), 64).unwrap());
    let mut helper = test.helper("send and wait");
    helper.expect("ready");
    helper.send_line();
    let mut buffer = [0; 8];
    assert_eq!(messages.recv(&mut buffer).await.unwrap(), 3);
    helper.kill();
    fails(messages.recv(&mut buffer).await, PeerDied);
}

#[tokio::test]
async fn a_canceller_ends_the_wait_of_a_task() {
    let test = Environment::with_names(&["ring", "semaphore", "latest"]);
    let ring = Ring::open(test.named("ring"), 64).unwrap();
    let mut messages = receiver(&ring);
    let counts = Async::new(Semaphore::open(test.named("semaphore"), 0).unwrap()).unwrap();
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    let mut values = Async::new(latest).unwrap();
    let stops = [
        messages.get_ref().canceller(),
        counts.get_ref().canceller(),
        values.get_ref().canceller(),
    ];
    let other = thread::spawn(move || {
        for stop in &stops {
            thread::sleep(std::time::Duration::from_millis(5)); // the task waits by now
            stop.cancel();
        }
    });
    fails(messages.recv(&mut [0; 8]).await, Cancelled);
    fails(counts.wait().await, Cancelled);
    fails(values.read_newer(&mut 0).await, Cancelled);
    other.join().unwrap();
}

/// Tokio does not say again that there is something, after a call that has found nothing.
#[tokio::test]
async fn a_value_is_newer_than_an_older_version_at_once() {
    let test = Environment::with_names(&["latest"]);
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    let mut publisher = latest.publisher().unwrap();
    let mut values = Async::new(latest).unwrap();
    publisher.publish(5).unwrap();
    let mut seen = 0;
    assert_eq!(values.read_newer(&mut seen).await.unwrap(), 5);
    // Until the task has found nothing, and the descriptor is unreadable.
    for _ in 0..100 {
        assert!(is_pending(values.read_newer(&mut seen)).await);
        task::yield_now().await;
    }
    let is_found_now = !is_pending(values.read_newer(&mut 0)).await;
    assert!(is_found_now);
}

/// Polls a future once, drops it, and returns whether it was pending.
async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Polls a future a few times at most.
async fn a_few_times<T>(random: &mut Random, future: impl Future<Output = T>) -> Option<T> {
    let limit = random.below(4);
    tokio::select! {
        biased;
        done = future => Some(done),
        () = async { for _ in 0..limit { task::yield_now().await } } => None,
    }
}

#[tokio::test]
async fn a_dropped_future_loses_no_message() {
    const COUNT: u64 = 20_000;
    let test = Environment::with_names(&["ring", "broadcast"]);
    let ring = Ring::open(test.named("ring"), 4096).unwrap();
    let news = Broadcast::open(test.named("broadcast"), 4096).unwrap();
    let mut messages = receiver(&ring);
    let mut headlines = Async::new(news.subscribe().unwrap()).unwrap();
    let (mut sender, mut teller) = (ring.sender().unwrap(), news.publisher().unwrap());
    let other = thread::spawn(move || {
        for number in 0..COUNT {
            sender.send(&number.to_ne_bytes()).unwrap();
            teller.publish(&number.to_ne_bytes()).unwrap();
            if number % 16 == 0 {
                thread::yield_now();
            }
        }
    });
    let mut random = Random::new();
    let (mut received, mut heard, mut dropped) = (0, 0, 0);
    let (mut one, mut two) = ([0; 8], [0; 8]);
    while received < COUNT || heard < COUNT {
        if received < COUNT {
            match a_few_times(&mut random, messages.recv(&mut one)).await {
                Some(len) => {
                    assert_eq!((len.unwrap(), u64::from_ne_bytes(one)), (8, received));
                    received += 1;
                }
                None => dropped += 1,
            }
        }
        if heard < COUNT {
            match a_few_times(&mut random, headlines.recv(&mut two)).await {
                Some(len) => {
                    assert_eq!((len.unwrap(), u64::from_ne_bytes(two)), (8, heard));
                    heard += 1;
                }
                None => dropped += 1,
            }
        }
    }
    other.join().unwrap();
    assert!(dropped > 0, "no future was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_future_loses_no_post() {
    const COUNT: u32 = 2_000;
    let test = Environment::with_names(&["semaphore"]);
    let semaphore = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let posting = Semaphore::open(test.named("semaphore"), 0).unwrap();
    let semaphore = Arc::new(Async::new(semaphore).unwrap());
    let tasks = [0; 4].map(|_| {
        let semaphore = Arc::clone(&semaphore);
        task::spawn(async move {
            let mut random = Random::new();
            for _ in 0..COUNT / 4 {
                let taken = loop {
                    if let Some(taken) = a_few_times(&mut random, semaphore.wait()).await {
                        break taken;
                    }
                };
                taken.unwrap();
            }
        })
    });
    let other = thread::spawn(move || {
        for number in 0..COUNT {
            posting.post().unwrap();
            if number % 8 == 0 {
                thread::yield_now();
            }
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    other.join().unwrap();
    assert_eq!(semaphore.get_ref().value(), 0);
}

#[tokio::test]
async fn a_task_that_always_finds_something_lets_others_run() {
    let test = Environment::with_names(&["ring", "latest"]);
    let ring = Ring::open(test.named("ring"), 1 << 20).unwrap();
    let mut sender = ring.sender().unwrap();
    let latest = Latest::<u64>::open(test.named("latest")).unwrap();
    latest.publisher().unwrap().publish(1).unwrap();
    let (mut messages, mut values) = (receiver(&ring), Async::new(latest).unwrap());
    (0..1000).for_each(|_| sender.send(b"x").unwrap());
    let turns = Cell::new(0);
    let counting = async {
        loop {
            turns.set(turns.get() + 1);
            task::yield_now().await;
        }
    };
    let busy = async {
        for _ in 0..1000 {
            messages.recv(&mut [0; 8]).await.unwrap();
        }
        let with_ring = turns.replace(0);
        for _ in 0..1000 {
            values.read_newer(&mut 0).await.unwrap();
        }
        (with_ring, turns.get())
    };
    let (with_ring, with_value) = tokio::select! {
        biased;
        turns = busy => turns,
        () = counting => unreachable!(),
    };
    assert!(with_ring > 1 && with_value > 1, "{with_ring} {with_value}");
}

#[test]
fn an_object_is_not_registered_outside_of_a_runtime() {
    let test = Environment::with_names(&["semaphore"]);
    let semaphore = || Semaphore::open(test.named("semaphore"), 0).unwrap();
    let error = Async::new(semaphore()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (Other, libc::ENXIO));
    assert!(error.to_string().contains("tokio"), "{error}");

    // The runtime ends before the object.
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let semaphore = runtime.block_on(async { Async::new(semaphore()).unwrap() });
    drop(runtime);
    let other = runtime::Builder::new_current_thread().build().unwrap();
    let error = other.block_on(semaphore.wait()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (Other, libc::ECANCELED));
}

/// Build it first: `cargo build --features tokio --example two_rings`.
#[test]
fn the_example_receives_from_two_rings() {
    let here = env::current_exe().unwrap();
    let example = here.parent().unwrap().with_file_name("examples/two_rings");
    let output = Command::new(example).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (orders, headlines): (Vec<_>, Vec<_>) =
        text.lines().partition(|line| line.starts_with("order"));
    assert_eq!(
        orders,
        ["order: two teas", "order: one coffee", "order: the bill"]
    );
    assert_eq!(
        headlines,
        ["headline: rain at noon", "headline: sun at six"]
    );
}
