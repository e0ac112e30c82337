//! The ring: messages of every length arrive whole and in order, and each way in which a ring can end has an error of
//! its own.

mod support;

use shmkey::{
    Attachment, ErrorKind, Key, Place, Receiver, Ring, RingOptions, Segment, Sender, capi::*,
};
use std::{
    ffi::c_void,
    io::{self, Read},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};
use support::{
    AGES, Environment, Helper, Random, SOON, fails, fork_child, helper_task, in_child, kind, say,
    status_of, wait_for_line,
};

fn open(name: &str, capacity: usize) -> Ring {
    Ring::open(name, capacity).unwrap()
}

fn many() -> RingOptions {
    Ring::options().many_senders(true)
}

fn dropping() -> RingOptions {
    Ring::options().drop_oldest(true)
}

/// Returns a message whose bytes depend on its number, so that a wrong or incomplete one is noticed.
fn message(number: u64, len: usize) -> Vec<u8> {
    let mut random = Random::seeded(number);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8))
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    bytes.truncate(len);
    bytes
}

/// Not a test of its own: what the helpers do.
#[test]
fn helper_process() {
    let Some((task, name)) = helper_task() else {
        return;
    };
    let words: Vec<&str> = task.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let ring = Ring::open(name.as_str(), 0).unwrap();
    match words[0] {
        "send" => send_numbered(&ring, number(1), number(2)),
        "receive" => receive_and_peek(&ring, number(1)),
        "echo" => echo(
            &ring,
            &Ring::open(format!("{name} back").as_str(), 0).unwrap(),
        ),
        other => panic!("no such task: {other}"),
    }
}

fn send_numbered(ring: &Ring, first: u64, count: u64) {
    let mut sender = ring.sender().unwrap();
    for number in first..first + count {
        sender.send_timeout(&numbered(number), AGES).unwrap();
    }
    say("sent");
    wait_for_line();
}

/// Receives some messages, and peeks at the next one.
fn receive_and_peek(ring: &Ring, count: u64) {
    let mut receiver = ring.receiver().unwrap();
    let mut buffer = vec![0; ring.capacity()];
    for _ in 0..count {
        receiver.recv_timeout(&mut buffer, AGES).unwrap();
    }
    let _looked_at = receiver.peek_timeout(AGES).unwrap();
    say("received");
    wait_for_line();
}

fn echo(there: &Ring, back: &Ring) {
    let (mut receiver, mut sender) = (there.receiver().unwrap(), back.sender().unwrap());
    let mut buffer = vec![0; there.capacity()];
    loop {
        match receiver.recv_timeout(&mut buffer, AGES) {
            Ok(len) => sender.send_timeout(&buffer[..len], AGES).unwrap(),
            Err(error) if error.kind() == ErrorKind::Closed => break,
            Err(error) => panic!("{error}"),
        }
    }
}

/// If there is no message, the error names a live sender, and not the first one, which has died.
#[test]
fn the_error_of_an_empty_ring_names_a_live_sender() {
    let test = Environment::new();
    let ring = many().open(test.name(), 1000).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let mut first = test.helper("send 0 1");
    first.expect("sent");
    let sender = ring.sender().unwrap();
    first.kill();
    receiver.recv_timeout(&mut [0; 64], AGES).unwrap();
    let error = |receiver: &mut Receiver| receiver.try_recv(&mut [0; 64]).unwrap_err();
    let text = error(&mut receiver).to_string();
    assert!(text.ends_with("this process is a sender"), "{text}");
    drop(sender);
    // Until the next liveness check of the senders.
    while error(&mut receiver).kind() == ErrorKind::WouldBlock {
        thread::yield_now();
    }
    assert_eq!(error(&mut receiver).kind(), ErrorKind::PeerDied);
}

/// A message whose length depends on its number, from nothing to several pieces.
fn numbered(number: u64) -> Vec<u8> {
    let len = match number % 10 {
        0 => 0,
        1..=6 => (number * 7 % 200) as usize,
        7 | 8 => (number * 131 % 9000) as usize,
        _ => 16_000 + (number * 1_313 % 60_000) as usize,
    };
    [&number.to_le_bytes()[..], &message(number, len)].concat()
}

#[track_caller]
fn expect_numbered(bytes: &[u8], number: u64) {
    let expected = numbered(number);
    assert!(
        bytes == expected,
        "message {number}: {} bytes came, and {} were sent",
        bytes.len(),
        expected.len()
    );
}

#[test]
fn messages_of_every_length_come_in_order() {
    for capacity in [64, 72, 100, 1000, 4096, 70_000] {
        let test = Environment::new();
        let ring = open(test.name(), capacity);
        assert_eq!(ring.capacity(), capacity);
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut buffer = vec![0; ring.capacity()];
        let (mut sent, mut received) = (0, 0);
        let mut random = Random::seeded(capacity as u64);
        let len_of = |number: u64| match number % 5 {
            0 => ring.capacity() - (number / 5 % 3) as usize,
            _ => (number as usize * 37) % (ring.capacity() / 4),
        };
        while received < 3000 {
            if random.below(2) == 0 || sent == received {
                match sender.try_send(&message(sent, len_of(sent))) {
                    Ok(()) => sent += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        assert!(sent > received, "an empty ring has room for every message");
                    }
                }
            } else {
                // A call that may wait can clear lines without freeing them; a try does not.
                let len = match random.below(2) {
                    0 => receiver.try_recv(&mut buffer).unwrap(),
                    _ => receiver.recv_timeout(&mut buffer, AGES).unwrap(),
                };
                assert!(buffer[..len] == message(received, len_of(received)));
                received += 1;
            }
        }
    }
}

#[test]
fn a_long_message_crosses_in_pieces_between_processes() {
    let test = Environment::new();
    let back = test.named("back");
    let (there, back) = (open(test.name(), 100_000), open(&back, 100_000));
    let mut helper = test.helper("echo");
    let (mut sender, mut receiver) = (there.sender().unwrap(), back.receiver().unwrap());
    let mut buffer = vec![0; 100_000];
    for number in 0..300 {
        sender.send_timeout(&numbered(number), AGES).unwrap();
        let len = receiver.recv_timeout(&mut buffer, AGES).unwrap();
        expect_numbered(&buffer[..len], number);
        if number % 100 == 50 {
            thread::sleep(SOON); // now the other one sleeps
        }
    }
    drop(sender);
    helper.child.wait().unwrap();
    assert_eq!(
        kind(receiver.recv_timeout(&mut buffer, AGES)),
        ErrorKind::Closed
    );
}

#[test]
fn empty_and_closed_are_errors_of_their_own() {
    let test = Environment::new();
    let ring = open(test.name(), 64);
    let mut buffer = [0; 64];
    let mut receiver = ring.receiver().unwrap();
    // No other end was taken yet.
    assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::WouldBlock);
    let start = Instant::now();
    assert_eq!(
        kind(receiver.recv_timeout(&mut buffer, SOON)),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= SOON);
    let mut sender = ring.sender().unwrap();
    assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::WouldBlock);
    sender.send(b"first").unwrap();
    drop(sender);
    // What is left comes first.
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
    for _ in 0..2 {
        assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::Closed);
        assert_eq!(kind(receiver.recv(&mut buffer)), ErrorKind::Closed);
    }
    // Another sender comes, and the ring goes on.
    let _sender = ring.sender().unwrap();
    assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::WouldBlock);
}

#[test]
fn full_and_closed_are_errors_of_their_own() {
    let test = Environment::new();
    let ring = open(test.name(), 64);
    let mut buffer = [0; 64];
    let (mut sender, receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    while sender.try_send(b"more").is_ok() {}
    assert_eq!(kind(sender.try_send(b"more")), ErrorKind::WouldBlock);
    assert_eq!(
        kind(sender.send_timeout(b"more", SOON)),
        ErrorKind::TimedOut
    );
    drop(receiver);
    assert_eq!(kind(sender.try_send(b"more")), ErrorKind::Closed);
    assert_eq!(kind(sender.send(b"more")), ErrorKind::Closed);
    let mut receiver = ring.receiver().unwrap();
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 4);
    sender.send(b"more").unwrap();
}

#[test]
fn a_receiver_notices_the_death_of_the_sender() {
    let test = Environment::new();
    let ring = open(test.name(), 1 << 20);
    let mut receiver = ring.receiver().unwrap();
    let mut helper = test.helper("send 0 3");
    helper.expect("sent");
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..3 {
        receiver.recv_timeout(&mut buffer, AGES).unwrap();
    }
    assert_eq!(
        kind(receiver.recv_timeout(&mut buffer, SOON)),
        ErrorKind::TimedOut
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SOON);
            helper.kill();
        });
        assert_eq!(kind(receiver.recv(&mut buffer)), ErrorKind::PeerDied);
    });
    assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::PeerDied);
}

#[test]
fn a_sender_notices_the_death_of_the_receiver() {
    let test = Environment::new();
    let ring = open(test.name(), 1 << 20);
    let mut sender = ring.sender().unwrap();
    sender.send(b"for the next").unwrap();
    sender.send(b"and one more").unwrap();
    let mut helper = test.helper("receive 1");
    helper.expect("received");
    helper.kill();
    let filler = vec![0; 60_000];
    while sender.try_send(&filler).is_ok() {}
    assert_eq!(kind(sender.send(&filler)), ErrorKind::PeerDied);
    // It died while it worked on the second message, so that one comes again.
    let mut receiver = ring.receiver().unwrap();
    let mut buffer = vec![0; 1 << 20];
    let len = receiver.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"and one more");
}

#[test]
fn each_role_has_one_holder() {
    let test = Environment::new();
    let ring = open(test.name(), 64);
    let (sender, receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    assert_eq!(kind(ring.sender()), ErrorKind::Busy);
    assert_eq!(kind(open(test.name(), 64).receiver()), ErrorKind::Busy);
    drop((sender, receiver));
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    // SAFETY: the child makes system calls and compares numbers, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut buffer = [0; 64];
        let refused = sender.try_send(b"x").map_err(|e| e.kind()) == Err(ErrorKind::Busy)
            && receiver.try_recv(&mut buffer).map_err(|e| e.kind()) == Err(ErrorKind::Busy);
        drop((sender, receiver));
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit((!refused).into()) };
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(
        kind(ring.sender()),
        ErrorKind::Busy,
        "the child has not given it back"
    );
    sender.send(b"still here").unwrap();
    assert_eq!(receiver.recv(&mut [0; 64]).unwrap(), 10);
}

#[test]
fn messages_are_written_and_read_in_place() {
    let test = Environment::new();
    let ring = open(test.name(), 256);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for round in 0..100 {
        write_in_place(&mut sender, round);
        for _ in 0..2 {
            let found = receiver.try_peek().unwrap();
            assert_eq!(found.to_vec(), [round; 33]);
            let mut end = [0; 3];
            found.read_at(30, &mut end).unwrap();
            assert_eq!(end, [round; 3]);
            assert_eq!(kind(found.read_at(31, &mut end)), ErrorKind::OutOfRange);
            assert_eq!(found.as_ptr() as usize % 8, 0);
        }
        receiver.try_peek().unwrap().release().unwrap();
        assert_eq!(kind(receiver.try_peek()), ErrorKind::WouldBlock);
    }
}

/// Aborts a slot, and commits 33 bytes of the next one.
fn write_in_place(sender: &mut Sender, byte: u8) {
    let mut slot = sender.try_reserve(40).unwrap();
    slot.write_at(0, b"given up").unwrap();
    drop(slot);
    let mut slot = sender.try_reserve(48).unwrap();
    assert_eq!(slot.as_mut_ptr() as usize % 8, 0);
    slot.write_at(0, &[byte; 20]).unwrap();
    slot.write_at(20, &[byte; 28]).unwrap();
    assert_eq!(kind(slot.write_at(47, &[0; 2])), ErrorKind::OutOfRange);
    let beyond = slot.write_at(usize::MAX, &[0; 2]);
    assert_eq!(kind(beyond), ErrorKind::OutOfRange);
    slot.truncate(33);
    slot.truncate(1000);
    assert_eq!(slot.len(), 33);
    slot.commit().unwrap();
}

#[test]
fn a_message_fits_into_the_ring_and_the_buffer() {
    let test = Environment::new();
    let ring = open(test.name(), 256);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    assert_eq!(kind(sender.try_reserve(257)), ErrorKind::TooLong);
    assert_eq!(kind(sender.send(&[0; 257])), ErrorKind::TooLong);
    sender.send(&[7; 100]).unwrap();
    let error = receiver.recv(&mut [0; 99]).unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::TooLong, libc::EMSGSIZE)
    );
    assert!(error.to_string().contains("100 bytes"), "{error}");
    assert_eq!(receiver.recv(&mut [0; 100]).unwrap(), 100);
}

#[test]
fn batches_arrive_in_order() {
    let test = Environment::new();
    let ring = open(test.name(), 1000);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let (mut buffer, mut lengths) = ([0; 300], [0; 100]);
    let messages: Vec<Vec<u8>> = (0..50)
        .map(|number| message(number, number as usize % 30))
        .collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for round in 0..50 {
        let (mut sent, mut received) = (0, 0);
        while received < messages.len() {
            if sent < messages.len() {
                sent += sender.try_send_batch(&messages[sent..]).unwrap_or(0);
            }
            let count = receiver.try_recv_batch(&mut buffer, &mut lengths).unwrap();
            let mut from = 0;
            for &len in &lengths[..count] {
                let bytes = &buffer[from..from + len];
                assert_eq!(bytes, messages[received], "round {round}");
                (from, received) = (from + len, received + 1);
            }
        }
        assert_eq!(sent, messages.len());
    }
}

#[test]
fn a_batch_is_empty_too_long_or_continued() {
    let test = Environment::new();
    let ring = open(test.name(), 1000);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let (mut buffer, mut lengths) = ([0; 300], [0; 100]);
    assert_eq!(sender.try_send_batch(&[]).unwrap(), 0);
    assert_eq!(
        kind(receiver.try_recv_batch(&mut buffer, &mut lengths)),
        ErrorKind::WouldBlock
    );
    assert_eq!(
        kind(sender.try_send_batch(&[&[0; 1001]])),
        ErrorKind::TooLong
    );
    // Those that do not fit are there the next time.
    sender.try_send_batch(&[b"one", b"two", b"three"]).unwrap();
    assert_eq!(
        receiver
            .try_recv_batch(&mut buffer[..7], &mut lengths)
            .unwrap(),
        2
    );
    assert_eq!(
        receiver
            .try_recv_batch(&mut buffer, &mut lengths[..1])
            .unwrap(),
        1
    );
}

#[test]
fn many_senders_send_in_turn() {
    const EACH: u64 = 2_000;
    let test = Environment::new();
    let ring = many().open(test.name(), 100_000).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let mut helpers = start_senders(&test, 4, EACH);
    let mut next = [0; 4];
    let mut buffer = vec![0; 100_000];
    while next.iter().sum::<u64>() < 4 * EACH {
        let len = receiver.recv_timeout(&mut buffer, AGES).unwrap();
        let number = u64::from_le_bytes(buffer[..8].try_into().unwrap());
        let sender = (number / 1_000_000) as usize;
        assert_eq!(
            number % 1_000_000,
            next[sender],
            "sender {sender} is in order"
        );
        expect_numbered(&buffer[..len], number);
        next[sender] += 1;
    }
    helpers.iter_mut().for_each(|helper| helper.expect("sent"));
}

fn start_senders(test: &Environment, count: u64, each: u64) -> Vec<Helper> {
    (0..count)
        .map(|sender| test.helper(&format!("send {} {each}", sender * 1_000_000)))
        .collect()
}

#[test]
fn many_senders_end_with_the_last_one() {
    let test = Environment::new();
    let ring = many().open(test.name(), 100_000).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let mut helpers = start_senders(&test, 4, 1);
    helpers.iter_mut().for_each(|helper| helper.expect("sent"));
    let mut buffer = vec![0; 100_000];
    for _ in 0..4 {
        receiver.recv_timeout(&mut buffer, AGES).unwrap();
    }
    let mut receive = |timeout| receiver.recv_timeout(&mut buffer, timeout);
    // One that dies is not missed as long as another one lives.
    helpers[0].kill();
    assert_eq!(kind(receive(SOON)), ErrorKind::TimedOut);
    for helper in &mut helpers[1..3] {
        helper.send_line();
        helper.child.wait().unwrap();
    }
    assert_eq!(kind(receive(SOON)), ErrorKind::TimedOut);
    helpers[3].kill();
    assert_eq!(kind(receive(AGES)), ErrorKind::PeerDied);
    // A new sender frees the roles of the dead ones.
    ring.sender().unwrap().send(b"").unwrap();
    assert_eq!(receive(AGES).unwrap(), 0);
    assert_eq!(kind(receive(AGES)), ErrorKind::Closed);
}

#[test]
fn there_are_64_senders_at_most() {
    let test = Environment::new();
    let ring = many().open(test.name(), 64).unwrap();
    let senders: Vec<_> = (0..64).map(|_| ring.sender().unwrap()).collect();
    assert_eq!(kind(ring.sender()), ErrorKind::LimitReached);
    drop(senders);
    drop(ring.sender().unwrap());
}

#[test]
fn a_reserved_slot_keeps_the_others_out() {
    let test = Environment::new();
    let ring = many().open(test.name(), 1000).unwrap();
    let (mut one, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
    let mut slot = one.try_reserve(8).unwrap();
    assert_eq!(kind(other.try_send(b"x")), ErrorKind::Deadlock);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(kind(other.try_send(b"x")), ErrorKind::WouldBlock));
    });
    slot.write_at(0, &[1; 8]).unwrap();
    slot.commit().unwrap();
    other.send(b"x").unwrap();
    let mut receiver = ring.receiver().unwrap();
    assert_eq!(receiver.try_peek().unwrap().to_vec(), [1; 8]);
}

#[test]
fn a_sender_that_never_waits_drops_the_oldest() {
    let test = Environment::new();
    let ring = dropping().open(test.name(), 256).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let mut buffer = [0; 256];
    for number in 0..1000_u64 {
        sender.try_send(&number.to_le_bytes()).unwrap();
    }
    let mut last = None;
    let mut count = 0;
    while let Ok(len) = receiver.try_recv(&mut buffer) {
        let number = u64::from_le_bytes(buffer[..len].try_into().unwrap());
        assert!(last.is_none_or(|last| last + 1 == number));
        (last, count) = (Some(number), count + 1);
    }
    assert_eq!(last, Some(999));
    assert_eq!(ring.dropped() + count, 1000);
    // A message that was peeked at and then dropped is no message.
    sender.send(b"old").unwrap();
    let found = receiver.try_peek().unwrap();
    for _ in 0..100 {
        sender.send(b"new").unwrap();
    }
    assert_eq!(kind(found.release()), ErrorKind::Overtaken);
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
    assert_eq!(&buffer[..3], b"new");
    // The longest message drops all others.
    sender.try_send(&[5; 256]).unwrap();
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 256);
}

/// The receiver is overtaken all the time, and sees no message that was not sent.
#[test]
fn what_is_received_while_others_are_dropped_is_whole() {
    let test = Environment::new();
    let ring = dropping().open(test.name(), 100_000).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let mut helper = test.helper("send 0 30000");
    let mut buffer = vec![0; 100_000];
    let (mut next, mut count) = (0, 0);
    while next < 30_000 {
        let len = receiver.recv_timeout(&mut buffer, AGES).unwrap();
        let number = u64::from_le_bytes(buffer[..8].try_into().unwrap());
        expect_numbered(&buffer[..len], number);
        assert!(number >= next);
        (next, count) = (number + 1, count + 1);
    }
    helper.expect("sent");
    assert_eq!(count + ring.dropped(), 30_000);
}

/// What stands where a frame was before it was dropped is not taken for a frame.
#[test]
fn no_length_is_made_up_of_what_others_sent() {
    let test = Environment::new();
    let ring = dropping().open(test.name(), 128).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let sent = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // As a frame's word, this is a message of 120 bytes.
            let bytes = 0x81_u64.to_le_bytes().repeat(7);
            let mut random = Random::new();
            for _ in 0..2_000_000 {
                sender.send(&bytes[..random.below(56) + 1]).unwrap();
            }
            sent.store(true, Relaxed);
        });
        let mut buffer = [0; 56];
        let mut received = 0;
        while !sent.load(Relaxed) {
            match receiver.try_recv(&mut buffer) {
                Ok(_) => received += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(received > 0);
    });
}

/// Another process has overwritten the word that says what was released, and put it back.
#[test]
fn a_full_ring_stays_full_after_damage() {
    let test = Environment::new();
    let ring = open(test.name(), 256);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let mut sent = 0_u64;
    while sender.try_send(&sent.to_le_bytes()).is_ok() {
        sent += 1;
    }
    const HEAD: usize = 640;
    let memory = ring.segment().attach().unwrap();
    let mut head = [0; 8];
    memory.read_at(HEAD, &mut head).unwrap();
    memory
        .write_at(HEAD, &(u64::MAX / 2).to_le_bytes())
        .unwrap();
    assert_eq!(kind(sender.try_send(&[0; 8])), ErrorKind::Damaged);
    memory.write_at(HEAD, &head).unwrap();
    assert_eq!(kind(sender.try_send(&[0; 8])), ErrorKind::WouldBlock);
    for number in 0..sent {
        let mut buffer = [0; 8];
        assert_eq!(receiver.try_recv(&mut buffer).unwrap(), 8);
        assert_eq!(u64::from_le_bytes(buffer), number);
    }
}

#[test]
fn a_capacity_has_limits() {
    let test = Environment::new();
    for too_small in [1, 63] {
        assert_eq!(
            kind(Ring::open(test.name(), too_small)),
            ErrorKind::InvalidArgument
        );
    }
    for too_large in [1 << 44, usize::MAX - 7, usize::MAX] {
        assert_eq!(
            kind(Ring::open(test.name(), too_large)),
            ErrorKind::InvalidArgument
        );
    }
    assert_eq!(kind(Ring::open(test.name(), 0)), ErrorKind::KeyNotFound);
}

#[test]
fn a_ring_keeps_its_capacity_and_options() {
    let test = Environment::new();
    let ring = many().open(test.name(), 100).unwrap();
    assert_eq!(kind(Ring::open(test.name(), 100)), ErrorKind::WrongLayout);
    assert_eq!(kind(many().open(test.name(), 200)), ErrorKind::WrongLayout);
    assert_eq!(kind(many().open(test.name(), 80)), ErrorKind::WrongLayout);
    // As large in memory.
    let error = many().open(test.name(), 101).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongLayout);
    let text = error.to_string();
    let facts = "created with a capacity of 100 bytes for many senders, asked for with a capacity of 101 bytes for \
                 many senders";
    assert!(text.contains(facts), "{text}");
    let as_it_is = Ring::open(test.name(), 0).unwrap();
    assert_eq!(as_it_is.capacity(), 100);
    let _two = (as_it_is.sender().unwrap(), ring.sender().unwrap());
    let place = || Place::named(test.name()).create(false);
    many().open(place(), 100).unwrap();
}

/// In a segment that is as small as it can be.
#[test]
fn a_ring_lies_in_a_segment_that_exists() {
    let segment = Segment::options()
        .size(1600 + 512 + 128 + 256)
        .remove_on_drop(true)
        .open(Key::PRIVATE)
        .unwrap();
    let memory: Arc<Attachment> = segment.attach().unwrap().into();
    let ring = Ring::open(Place::within(Arc::clone(&memory), 0), 64).unwrap();
    ring.sender().unwrap().send(&[1; 64]).unwrap();
    assert_eq!(ring.receiver().unwrap().recv(&mut [0; 64]).unwrap(), 64);
    let again = Ring::open(Place::within(memory, 0), 0).unwrap();
    assert_eq!(again.capacity(), 64);
}

#[test]
fn the_object_takes_a_quarter_more_than_its_capacity() {
    for capacity in [64, 1000, 4096, 1 << 20, (10 << 20) + 1] {
        let test = Environment::new();
        let ring = open(test.name(), capacity);
        let size = Segment::open(test.key()).unwrap().status().unwrap().size;
        assert!(size <= capacity + capacity / 4 + 2560, "{capacity}: {size}");
        assert_eq!(ring.used(), 0);
    }
}

/// What a message takes, as the documentation says it.
fn taken_by(len: usize) -> usize {
    let header = if len > 16 << 10 { 64 } else { 8 };
    (len + header).next_multiple_of(64)
}

#[test]
fn a_message_takes_whole_lines() {
    let test = Environment::new();
    let ring = open(test.name(), 100_000);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for len in [0, 1, 56, 57, 64, 120, 121, 16 << 10, (16 << 10) + 1, 50_000] {
        sender.send(&vec![0; len]).unwrap();
        assert_eq!(ring.used(), taken_by(len), "{len}");
        receiver.recv(&mut vec![0; len]).unwrap();
        assert_eq!(ring.used(), 0);
    }
}

/// The addresses of slots and of peeked messages are no further apart than the ring is long: none of them lies in a buffer
/// of its handle.
#[test]
fn a_slot_of_an_eighth_of_the_capacity_lies_in_the_ring() {
    for options in [Ring::options(), many(), many().drop_oldest(true)] {
        let test = Environment::new();
        let ring = options.open(test.name(), 8000).unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for round in 0..100_u8 {
            let mut slot = sender.reserve(992).unwrap();
            written.push(slot.as_mut_ptr().addr());
            slot.write_at(0, &[round; 992]).unwrap();
            slot.commit().unwrap();
            assert_eq!(ring.used(), 1024, "a gap does not count");
            let message = receiver.peek().unwrap();
            read.push(message.as_ptr().addr());
            assert_eq!(message.to_vec(), [round; 992]);
            message.release().unwrap();
        }
        for addresses in [written, read] {
            let (first, last) = (addresses.iter().min(), addresses.iter().max());
            assert!(last.unwrap() - first.unwrap() < 10_000);
        }
    }
}

/// Two processes in lockstep: a message of more than half the capacity, and then another one.
#[test]
fn an_empty_ring_has_room_for_a_long_message_whatever_came_before() {
    for options in [Ring::options(), many()] {
        let test = Environment::new();
        let ring = options.open(test.name(), 4096).unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut buffer = vec![0; 4096];
        for len in [2500, 2500, 3000, 4096, 1, 4096, 2500, 4096] {
            sender.try_send(&message(len as u64, len)).unwrap();
            assert_eq!(receiver.try_recv(&mut buffer).unwrap(), len);
            assert!(buffer[..len] == message(len as u64, len));
            let mut slot = sender.try_reserve(len).unwrap();
            slot.write_at(0, &message(len as u64, len)).unwrap();
            slot.commit().unwrap();
            let found = receiver.try_peek().unwrap();
            assert!(found.to_vec() == message(len as u64, len));
            found.release().unwrap();
        }
        // No process has the role of the receiver while the sender sends.
        drop(receiver);
        for _ in 0..3 {
            sender.try_send(&buffer[..3000]).unwrap();
            let mut receiver = ring.receiver().unwrap();
            assert_eq!(receiver.try_recv(&mut buffer).unwrap(), 3000);
        }
    }
}

/// Which types may go to another thread, and which ones several threads may use at once.
#[test]
fn roles_may_move_to_other_threads() {
    fn goes<T: Send>() {}
    fn is_shared<T: Sync>() {}
    goes::<Sender>();
    goes::<Receiver>();
    goes::<shmkey::Publisher<u64>>();
    is_shared::<Ring>();
    is_shared::<shmkey::Latest<u64>>();
    is_shared::<shmkey::Mutex<u64>>();
    is_shared::<shmkey::Semaphore>();
}

/// The receiver gets what a sender has sent before it learns that the sender has released its role.
#[test]
fn the_last_message_comes_before_the_end() {
    let test = Environment::new();
    let ring = open(test.name(), 4096);
    let mut receiver = ring.receiver().unwrap();
    drop(ring.sender().unwrap());
    let mut buffer = [0; 8];
    for round in 0..3000_u64 {
        thread::scope(|scope| {
            let mut sender = ring.sender().unwrap();
            scope.spawn(move || {
                for _ in 0..round % 300 {
                    std::hint::spin_loop();
                }
                sender.send(&round.to_le_bytes()).unwrap();
            });
            let received = loop {
                match receiver.try_recv(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    received => break received,
                }
            };
            assert_eq!(
                received.map_err(|error| error.kind()),
                Ok(8),
                "round {round}"
            );
        });
        assert_eq!(u64::from_le_bytes(buffer), round);
    }
}

/// A child cannot commit its copy of its parent's slot.
#[test]
fn a_childs_copy_of_a_slot_sends_nothing() {
    let test = Environment::new();
    let ring = open(test.name(), 256);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let mut slot = Some(sender.try_reserve(16).unwrap());
    let (mut parent_has_sent, writer) = io::pipe().unwrap();
    let mut writer = Some(writer);
    let child = fork_child(|| {
        drop(writer.take());
        // Returns when the parent has closed its end of the pipe.
        parent_has_sent.read_to_end(&mut Vec::new()).unwrap();
        fails(slot.take().unwrap().commit(), ErrorKind::NotOwner);
        0
    });
    slot.unwrap().commit().unwrap();
    sender.send(b"second").unwrap();
    sender.send(b"third").unwrap();
    drop(writer);
    assert_eq!(status_of(child), 0);
    let mut buffer = [0; 256];
    let lengths = [(); 3].map(|()| receiver.try_recv(&mut buffer).unwrap());
    assert_eq!(lengths, [16, 6, 5]);
}

/// A slot that is forgotten instead of dropped does not keep its sender from sending.
#[test]
fn a_sender_sends_after_a_forgotten_slot() {
    let test = Environment::new();
    let ring = open(test.name(), 256);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let mut buffer = [0; 256];
    for len in [100, 100] {
        sender.send(&buffer[..len]).unwrap();
        receiver.recv(&mut buffer).unwrap();
    }
    // Beyond the end, so that messages wrap.
    std::mem::forget(sender.try_reserve(90).unwrap());
    sender.send(b"seen").unwrap();
    assert_eq!(receiver.recv_timeout(&mut buffer, SOON).unwrap(), 4);
}

/// All four kinds of rings, for messages of 256 bytes together.
fn every_kind(test: &Environment) -> impl Iterator<Item = Ring> {
    (0..4).map(|kind| {
        let name = test.named(&kind.to_string());
        let options = Ring::options()
            .many_senders(kind & 1 != 0)
            .drop_oldest(kind & 2 != 0);
        let ring = options.open(name.as_str(), 256).unwrap();
        ring.remove().unwrap(); // the kernel destroys it when the last process detaches it
        ring
    })
}

/// Sends and receives until the next message begins 64 bytes before the end of a ring for 256 bytes, so that a longer
/// one wraps.
fn go_near_the_end(sender: &mut Sender, receiver: &mut shmkey::Receiver) {
    for _ in 0..2 {
        sender.send_timeout(&[0; 100], AGES).unwrap();
        assert_eq!(receiver.recv_timeout(&mut [0; 100], AGES).unwrap(), 100);
    }
}

/// A thread has reserved a slot and ended, and another sender has sent a message where the slot was. The sender of the
/// slot, used again, writes nothing there.
#[test]
fn a_slot_of_a_dead_thread_overwrites_nothing() {
    let test = Environment::new();
    for ring in every_kind(&test).filter(is_for_many) {
        let (mut stale, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
        let mut receiver = ring.receiver().unwrap();
        go_near_the_end(&mut other, &mut receiver);
        thread::scope(|scope| {
            scope.spawn(|| std::mem::forget(stale.try_reserve(90).unwrap()));
        });
        // Recovers the lock from the dead thread, and sends until a message wraps.
        for len in [56, 240] {
            other.send_timeout(&vec![7; len], AGES).unwrap();
            if len == 56 {
                assert_eq!(receiver.recv_timeout(&mut [0; 56], AGES).unwrap(), 56);
            }
        }
        stale.send_timeout(b"x", AGES).unwrap();
        let mut buffer = [0; 256];
        assert_eq!(receiver.recv_timeout(&mut buffer, AGES).unwrap(), 240);
        assert!(buffer[..240].iter().all(|&byte| byte == 7));
        assert_eq!(receiver.recv_timeout(&mut buffer, AGES).unwrap(), 1);
        assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::WouldBlock);
    }
}

fn send_number(sender: &mut Sender, number: u64) {
    sender.try_send(&number.to_ne_bytes()).unwrap();
}

#[track_caller]
fn expect_number(receiver: &mut Receiver, expected: u64) {
    let mut number = [0; 8];
    receiver.recv_timeout(&mut number, AGES).unwrap();
    assert_eq!(u64::from_ne_bytes(number), expected);
}

/// Sends enough messages in a row for the sender to keep the senders' lock.
fn send_often(sender: &mut Sender, receiver: &mut Receiver) {
    for number in 0..1000 {
        send_number(sender, number);
        expect_number(receiver, number);
    }
}

/// A sender keeps the senders' lock after many messages in a row. Another sender still sends at once, and a
/// child made by `fork` cannot send with that handle.
#[test]
fn a_sender_that_sends_often_keeps_no_other_from_sending() {
    let test = Environment::new();
    let ring = many().open(test.name(), 4096).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let (mut often, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
    for from_a_thread_that_ends in [false, true] {
        send_often(&mut often, &mut receiver);
        if from_a_thread_that_ends {
            thread::scope(|scope| {
                scope.spawn(|| send_number(&mut often, 5));
            });
            expect_number(&mut receiver, 5);
        } else {
            in_child(|| {
                fails(often.try_send(&[0; 8]), ErrorKind::Busy);
            });
        }
        send_number(&mut other, 6);
        expect_number(&mut receiver, 6);
    }
    drop(often);
    send_number(&mut other, 7);
    expect_number(&mut receiver, 7);
}

/// Sending an empty batch returns at once, even while another sender has a slot reserved.
#[test]
fn an_empty_batch_does_not_wait() {
    let test = Environment::new();
    let ring = many().open(test.name(), 4096).unwrap();
    let (mut one, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
    let slot = one.reserve(8).unwrap();
    assert_eq!(other.send_batch(&[]).unwrap(), 0);
    drop(slot);

    let in_c = CRing::new(0);
    // SAFETY: the ring is open, and a batch of no messages has no array.
    let sent = unsafe { shm_ring_send_batch(in_c.ring, ptr::null(), 0, -1) };
    assert_eq!(sent, 0);
}

/// A sender that keeps the senders' lock excludes the others only while it has a slot reserved.
#[test]
fn a_slot_of_a_sender_that_sends_often_excludes_the_others() {
    let test = Environment::new();
    let ring = many().open(test.name(), 4096).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let (mut often, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
    for is_forgotten in [false, true] {
        send_often(&mut often, &mut receiver);
        let slot = often.try_reserve(8).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| fails(other.try_send(&[0; 8]), ErrorKind::WouldBlock));
        });
        fails(other.try_send(&[0; 8]), ErrorKind::Deadlock);
        if is_forgotten {
            std::mem::forget(slot);
            send_number(&mut often, 5);
            expect_number(&mut receiver, 5);
        } else {
            drop(slot);
        }
        send_number(&mut other, 6);
        expect_number(&mut receiver, 6);
    }
}

fn is_for_many(ring: &Ring) -> bool {
    let one = ring.sender().unwrap();
    let two = ring.sender().is_ok();
    drop(one);
    two
}

/// Expects that these bytes are the only message.
#[track_caller]
fn expect_only(receiver: &mut Receiver, bytes: &[u8]) {
    let mut buffer = [0; 256];
    let len = receiver.recv_timeout(&mut buffer, AGES).unwrap();
    assert_eq!(&buffer[..len], bytes);
    fails(receiver.try_recv(&mut buffer), ErrorKind::WouldBlock);
}

fn forget_a_slot(sender: &mut Sender, len: usize) {
    std::mem::forget(sender.try_reserve(len).unwrap());
}

/// Nothing of a forgotten slot is ever received.
#[test]
fn the_next_call_with_its_sender_aborts_a_forgotten_slot() {
    let test = Environment::new();
    for ring in every_kind(&test) {
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        for len in 90..110 {
            forget_a_slot(&mut sender, len);
            sender.try_send(b"sent").unwrap();
            expect_only(&mut receiver, b"sent");
            forget_a_slot(&mut sender, len);
            let mut slot = sender.try_reserve(50).unwrap();
            slot.write_at(0, &[0; 50]).unwrap();
            slot.commit().unwrap();
            expect_only(&mut receiver, &[0; 50]);
            forget_a_slot(&mut sender, len);
            thread::scope(|scope| {
                scope.spawn(|| sender.try_send(b"by another thread").unwrap());
            });
            expect_only(&mut receiver, b"by another thread");
            forget_a_slot(&mut sender, len);
            assert_eq!(sender.try_send_batch(&[b"a batch"]).unwrap(), 1);
            expect_only(&mut receiver, b"a batch");
        }
    }
}

#[test]
fn dropping_its_sender_aborts_a_forgotten_slot() {
    let test = Environment::new();
    for ring in every_kind(&test) {
        let mut receiver = ring.receiver().unwrap();
        for len in 90..110 {
            let mut sender = ring.sender().unwrap();
            forget_a_slot(&mut sender, len);
            drop(sender);
            // The senders' lock no longer belongs to this thread, so another one can send.
            let mut next = ring.sender().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| next.try_send(b"the next sender").unwrap());
            });
            expect_only(&mut receiver, b"the next sender");
        }
    }
}

/// A child has copies of a slot and a message that its parent holds. Each use of them is refused. Dropping them, or
/// forgetting them and dropping their ends, takes nothing from the parent.
#[test]
fn a_child_holds_nothing_of_its_parent() {
    let test = Environment::new();
    for ring in every_kind(&test) {
        for forgets in [false, true] {
            use_copies_in_a_child(&ring, is_for_many(&ring), forgets);
        }
    }
}

fn use_copies_in_a_child(ring: &Ring, is_for_many: bool, forgets: bool) {
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    sender.send_timeout(b"first", AGES).unwrap();
    let found = receiver.try_peek().unwrap();
    let mut slot = sender.try_reserve(200).unwrap();
    slot.write_at(0, &[1; 200]).unwrap();
    // SAFETY: the child tries, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = kind(slot.write_at(0, &[2; 200])) == ErrorKind::NotOwner
            && slot.as_mut_ptr().is_null()
            && kind(found.release()) == ErrorKind::NotOwner;
        if forgets {
            std::mem::forget(slot);
        } else {
            drop(slot);
        }
        drop((sender, receiver));
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit((!refused).into()) };
    }
    assert_eq!(status_of(child), 0);
    if is_for_many {
        let mut other = ring.sender().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| fails(other.try_send(b"x"), ErrorKind::WouldBlock));
        });
    }
    assert_eq!(found.to_vec(), b"first");
    found.release().unwrap();
    slot.commit().unwrap();
    assert_eq!(receiver.try_peek().unwrap().to_vec(), [1; 200]);
    receiver.try_peek().unwrap().release().unwrap();
    fails(receiver.try_peek(), ErrorKind::WouldBlock);
}

/// Another process has taken over the roles of a ring, by mistake or by malice, and has used them: the old holder can
/// neither commit what it has reserved nor release what it has peeked at.
#[test]
fn what_was_taken_over_is_no_longer_held() {
    /// The offsets of the receiver's claim in the object's words, and of the senders' claims, with which the payload
    /// begins.
    const RECEIVER: usize = 512 + 16;
    const SENDERS: usize = 1024;
    let test = Environment::new();
    for ring in every_kind(&test).filter(|ring| !is_for_many(ring)) {
        let memory = ring.segment().attach().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.send(b"first").unwrap();
        sender.send(b"second").unwrap();
        let found = receiver.try_peek().unwrap();
        let mut slot = sender.try_reserve(8).unwrap();
        memory.write_at(RECEIVER, &[0; 8]).unwrap();
        memory.write_at(SENDERS, &[0; 8]).unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut buffer = [0; 8];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
        sender.send(b"third").unwrap();
        assert_eq!(kind(slot.write_at(0, &[9; 8])), ErrorKind::NotOwner);
        assert_eq!(kind(slot.commit()), ErrorKind::NotOwner);
        let kind = found.release().unwrap_err().kind();
        assert!([ErrorKind::NotOwner, ErrorKind::Overtaken].contains(&kind));
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 6);
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"third");
    }
}

const CREATE: i32 = SHMKEY_CREATE | 0o600;

/// Returns the beginning of a segment as a place in C.
fn place_in(segment: &Segment) -> shm_place {
    shm_place {
        name: ptr::null(),
        path: ptr::null(),
        offset: 0,
        timeout: 5_000_000_000,
        owner: SHMKEY_ANY_OWNER,
        proj_id: 0,
        id: segment.id(),
        reserved: [0; 5],
    }
}

/// A ring of a C program, whose segment is removed when it is closed.
struct CRing {
    ring: *mut shm_ring,
}

impl CRing {
    fn new(options: i32) -> CRing {
        let segment = Segment::options().size(64 << 10).open(Key::PRIVATE);
        let segment = segment.unwrap();
        let place = place_in(&segment);
        // SAFETY: the place is one.
        let ring = unsafe { shm_ring_open_at(&place, 32 << 10, options, CREATE) };
        assert!(!ring.is_null());
        segment.remove().unwrap();
        CRing { ring }
    }
}

impl Drop for CRing {
    fn drop(&mut self) {
        // SAFETY: it is open, and not used afterwards.
        unsafe { shm_ring_close(self.ring) }
    }
}

/// A `shm_bytes` whose address another thread changes.
#[repr(C)]
struct Described {
    data: AtomicPtr<c_void>,
    size: usize,
}

impl Described {
    fn new() -> Described {
        let text = (&raw const b"message"[0]).cast_mut().cast();
        Described {
            data: AtomicPtr::new(text),
            size: 7,
        }
    }

    /// Replaces the address by NULL and back, until `done`.
    fn flicker(&self, done: &AtomicBool) {
        let text = self.data.load(Relaxed);
        while !done.load(Relaxed) {
            self.data.swap(ptr::null_mut(), Relaxed);
            self.data.swap(text, Relaxed);
        }
    }
}

/// A batch of a C program may lie in memory that another process writes. The library uses what it has checked: if it
/// read the structure again, it would copy from NULL.
#[test]
fn a_batch_that_others_change_is_read_once() {
    const COUNT: usize = 64;
    let batch: [Described; COUNT] = std::array::from_fn(|_| Described::new());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| batch[COUNT - 1].flicker(&done));
        let ring = CRing::new(SHMKEY_DROP_OLDEST);
        let mut counts = [0; 2];
        for _ in 0..20_000 {
            let messages = (&raw const batch).cast::<shm_bytes>();
            // SAFETY: the ring is open, and there are `COUNT` structures.
            let sent = unsafe { shm_ring_send_batch(ring.ring, messages, COUNT, 0) };
            counts[COUNT - sent as usize] += 1; // all, or all before the one with NULL
        }
        done.store(true, Relaxed);
        assert!(counts[0] > 0);
    });
}

const BYTES: &[u8] = b"thirteen byte";

impl CRing {
    fn send(&self, bytes: *const c_void) {
        // SAFETY: the ring is open, and the callers pass `BYTES`.
        assert_eq!(unsafe { shm_ring_send(self.ring, bytes, 13, 0) }, 0);
    }

    #[track_caller]
    fn expect_bytes(&self) {
        let mut buffer = [0_u8; 16];
        // SAFETY: the ring is open, and the buffer has 16 bytes.
        let len = unsafe { shm_ring_recv(self.ring, buffer.as_mut_ptr().cast(), 16, 0) };
        assert_eq!((len, &buffer[..13]), (13, BYTES));
    }
}

/// A latest value of a C program, whose segment is removed when it is closed.
struct CLatest {
    latest: *mut shm_latest,
}

impl CLatest {
    fn new() -> CLatest {
        let segment = Segment::options().size(8 << 10).open(Key::PRIVATE);
        let segment = segment.unwrap();
        let place = place_in(&segment);
        // SAFETY: the place is one.
        let latest = unsafe { shm_latest_open_at(&place, 13, ptr::null(), CREATE) };
        assert!(!latest.is_null());
        segment.remove().unwrap();
        CLatest { latest }
    }

    fn publish(&self, bytes: *const c_void) {
        // SAFETY: the latest value is open, and the callers pass `BYTES`.
        assert_eq!(unsafe { shm_latest_publish(self.latest, bytes) }, 0);
    }

    fn read(&self, to: *mut c_void) {
        // SAFETY: the latest value is open, and the callers have room for 13 bytes.
        assert_eq!(unsafe { shm_latest_read(self.latest, to) }, 1);
    }
}

impl Drop for CLatest {
    fn drop(&mut self) {
        // SAFETY: it is open, and not used afterwards.
        unsafe { shm_latest_close(self.latest) }
    }
}

/// A C program may send and publish the bytes of a peeked message.
#[test]
fn what_c_sends_may_lie_in_a_ring() {
    let (from, to, latest) = (CRing::new(0), CRing::new(0), CLatest::new());
    from.send(BYTES.as_ptr().cast());
    // SAFETY: a message of zeroes is a valid one.
    let mut message: shm_message = unsafe { std::mem::zeroed() };
    // SAFETY: the ring is open, and there is room for a message.
    assert_eq!(unsafe { shm_ring_peek(from.ring, &mut message, 0) }, 13);
    latest.publish(message.data);
    to.send(message.data);
    let batch = shm_bytes {
        data: message.data,
        size: 13,
    };
    // SAFETY: both rings are open, and the message is not used after its release.
    unsafe {
        assert_eq!(shm_ring_send_batch(to.ring, &batch, 1, 0), 1);
        assert_eq!(shm_ring_release(from.ring, &message), 0);
    }
    to.expect_bytes();
    to.expect_bytes();
    let mut read = [0_u8; 13];
    latest.read(read.as_mut_ptr().cast());
    assert_eq!(read, BYTES);
}

/// A C program may receive a message, and read a latest value, into a slot of a ring.
#[test]
fn what_c_receives_may_go_into_a_ring() {
    let (from, to, latest) = (CRing::new(0), CRing::new(0), CLatest::new());
    from.send(BYTES.as_ptr().cast());
    latest.publish(BYTES.as_ptr().cast());
    // SAFETY: a slot of zeroes is a valid one.
    let mut slot: shm_slot = unsafe { std::mem::zeroed() };
    for receives in [false, true] {
        // SAFETY: the ring is open, and there is room for a slot.
        assert_eq!(unsafe { shm_ring_reserve(to.ring, 13, &mut slot, 0) }, 0);
        if receives {
            // SAFETY: the ring is open, and the slot has 13 bytes.
            let received = unsafe { shm_ring_recv(from.ring, slot.data, 13, 0) };
            assert_eq!(received, 13);
        } else {
            latest.read(slot.data);
        }
        // SAFETY: the ring is open, and has this slot.
        assert_eq!(unsafe { shm_ring_commit(to.ring, &slot, 13) }, 0);
    }
    to.expect_bytes();
    to.expect_bytes();
}
