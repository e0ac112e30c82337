//! The ring: messages of every length arrive whole and in order, and every ending differs from the
//! others.

mod support;

use shmkey::{Attachment, ErrorKind, Key, Place, Receiver, Ring, RingOptions, Segment};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};
use support::{AGES, Environment, Helper, Random, SOON, helper_task, kind, say, wait_to_be_told};

fn open(name: &str, capacity: usize) -> Ring {
    Ring::open(name, capacity).unwrap()
}

fn many() -> RingOptions {
    Ring::options().many_senders(true)
}

fn dropping() -> RingOptions {
    Ring::options().drop_oldest(true)
}

/// Bytes that tell which message they are, and whether they are all of it.
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
    wait_to_be_told();
}

/// Receives some messages, and holds the next one.
fn receive_and_peek(ring: &Ring, count: u64) {
    let mut receiver = ring.receiver().unwrap();
    let mut buffer = vec![0; ring.capacity()];
    for _ in 0..count {
        receiver.recv_timeout(&mut buffer, AGES).unwrap();
    }
    let _looked_at = receiver.peek_timeout(AGES).unwrap();
    say("received");
    wait_to_be_told();
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

/// A receiver in vain names a sender that lives, not the first one, which has died.
#[test]
fn a_receiver_in_vain_names_a_live_sender() {
    let test = Environment::new();
    let ring = many().open(test.name(), 1000).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let mut first = test.helper("send 0 1");
    first.expect("sent");
    let sender = ring.sender().unwrap();
    first.kill();
    receiver.recv_timeout(&mut [0; 64], AGES).unwrap();
    let in_vain = |receiver: &mut Receiver| receiver.try_recv(&mut [0; 64]).unwrap_err();
    let text = in_vain(&mut receiver).to_string();
    assert!(text.ends_with("this process is a sender"), "{text}");
    drop(sender);
    // Until the senders are looked at again.
    while in_vain(&mut receiver).kind() == ErrorKind::WouldBlock {
        thread::yield_now();
    }
    assert_eq!(in_vain(&mut receiver).kind(), ErrorKind::PeerDied);
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
                let len = receiver.try_recv(&mut buffer).unwrap();
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
fn write_in_place(sender: &mut shmkey::Sender, byte: u8) {
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
        helper.tell();
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
    let header = if len > 16 << 10 { 16 } else { 8 };
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

/// What may go to another thread, and what many may use at once.
#[test]
fn roles_may_move_to_other_threads() {
    fn goes<T: Send>() {}
    fn is_shared<T: Sync>() {}
    goes::<shmkey::Sender>();
    goes::<shmkey::Receiver>();
    goes::<shmkey::Publisher<u64>>();
    is_shared::<Ring>();
    is_shared::<shmkey::Latest<u64>>();
    is_shared::<shmkey::Mutex<u64>>();
    is_shared::<shmkey::Semaphore>();
}

/// Whatever a sender has sent before it goes comes before the news that it has gone.
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

/// A child has a copy of its parent's slot, and nothing comes of it.
#[test]
fn a_childs_copy_of_a_slot_sends_nothing() {
    let test = Environment::new();
    let ring = open(test.name(), 256);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let slot = sender.try_reserve(16).unwrap();
    let mut ends = [0; 2];
    // SAFETY: there is room for the two ends.
    unsafe { libc::pipe(ends.as_mut_ptr()) };
    // SAFETY: the child waits, sends, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: reads a byte into memory of this process; an alarm ends it if none comes.
        unsafe {
            libc::alarm(60);
            libc::read(ends[0], (&raw mut ends).cast(), 1);
        }
        let refused = kind(slot.commit()) == ErrorKind::NotOwner;
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit((!refused).into()) };
    }
    slot.commit().unwrap();
    sender.send(b"second").unwrap();
    sender.send(b"third").unwrap();
    let mut status = 0;
    // SAFETY: a byte of this process' own, and a status that is ours to write.
    unsafe {
        libc::write(ends[1], (&raw const ends).cast(), 1);
        libc::waitpid(child, &mut status, 0);
        libc::close(ends[0]);
        libc::close(ends[1]);
    }
    let mut buffer = [0; 256];
    let lengths: Vec<_> = (0..3)
        .map(|_| receiver.try_recv(&mut buffer).unwrap())
        .collect();
    assert_eq!((status, lengths), (0, vec![16, 6, 5]));
}

/// A slot that is forgotten instead of dropped leaves nothing undone.
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
        ring.remove().unwrap(); // it goes with its last user
        ring
    })
}

/// Brings the end of what was sent to 64 bytes before the end of a ring for 256 bytes: what is longer
/// leaves a gap there, and begins anew.
fn go_near_the_end(sender: &mut shmkey::Sender, receiver: &mut shmkey::Receiver) {
    for _ in 0..2 {
        sender.send_timeout(&[0; 100], AGES).unwrap();
        assert_eq!(receiver.recv_timeout(&mut [0; 100], AGES).unwrap(), 100);
    }
}

/// A thread has reserved a slot and ended; others have sent where the slot was. The handle of the slot,
/// used again, writes nothing there.
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
        // Takes the lock over from the dead one, and sends until messages wrap.
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

/// A sender that has sent often in a row keeps the senders' lock: another one sends nevertheless, at once, unless the
/// first one has reserved a slot.
#[test]
fn a_sender_that_sends_often_keeps_no_other_from_sending() {
    let test = Environment::new();
    let ring = many().open(test.name(), 4096).unwrap();
    let mut receiver = ring.receiver().unwrap();
    let mut receive = |expected: u64| {
        let mut number = [0; 8];
        receiver.recv_timeout(&mut number, AGES).unwrap();
        assert_eq!(u64::from_ne_bytes(number), expected);
    };
    let (mut often, mut other) = (ring.sender().unwrap(), ring.sender().unwrap());
    for round in 0..4_u64 {
        for number in 0..1000_u64 {
            often.try_send(&number.to_ne_bytes()).unwrap();
            receive(number);
        }
        match round {
            0 => {}
            // In a thread that ends after it.
            1 => thread::scope(|scope| {
                scope.spawn(|| often.try_send(&5_u64.to_ne_bytes()).unwrap());
            }),
            _ => {
                let slot = often.try_reserve(8).unwrap();
                let refused = thread::scope(|scope| {
                    let other = &mut other;
                    let try_send = move || kind(other.try_send(&[0; 8]));
                    scope.spawn(try_send).join().unwrap()
                });
                assert_eq!(refused, ErrorKind::WouldBlock);
                assert_eq!(kind(other.try_send(&[0; 8])), ErrorKind::Deadlock);
                if round == 2 {
                    drop(slot);
                } else {
                    std::mem::forget(slot);
                    often.try_send(&5_u64.to_ne_bytes()).unwrap();
                }
            }
        }
        if round % 2 == 1 {
            receive(5);
        }
        other.try_send(&6_u64.to_ne_bytes()).unwrap();
        receive(6);
    }
    drop(often);
    other.try_send(&7_u64.to_ne_bytes()).unwrap();
    receive(7);
}

fn is_for_many(ring: &Ring) -> bool {
    let one = ring.sender().unwrap();
    let two = ring.sender().is_ok();
    drop(one);
    two
}

/// The next call with its sender gives up a slot that was forgotten, in whichever thread, and so does
/// dropping the sender. Nothing of the slot is ever received.
#[test]
fn a_forgotten_slot_is_given_up() {
    let test = Environment::new();
    for ring in every_kind(&test) {
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut buffer = [0; 256];
        let mut expect = |bytes: &[u8]| {
            assert_eq!(
                receiver.recv_timeout(&mut buffer, AGES).unwrap(),
                bytes.len()
            );
            assert_eq!(&buffer[..bytes.len()], bytes);
            assert_eq!(kind(receiver.try_recv(&mut buffer)), ErrorKind::WouldBlock);
        };
        for round in 0..20 {
            let forget = |sender: &mut shmkey::Sender| {
                std::mem::forget(sender.try_reserve(90 + round).unwrap());
            };
            forget(&mut sender);
            sender.try_send(b"sent").unwrap();
            expect(b"sent");
            forget(&mut sender);
            let mut slot = sender.try_reserve(50).unwrap();
            slot.write_at(0, &[0; 50]).unwrap();
            slot.commit().unwrap();
            expect(&[0; 50]);
            forget(&mut sender);
            thread::scope(|scope| {
                scope.spawn(|| sender.try_send(b"by another thread").unwrap());
            });
            expect(b"by another thread");
            forget(&mut sender);
            assert_eq!(sender.try_send_batch(&[b"a batch"]).unwrap(), 1);
            expect(b"a batch");
            forget(&mut sender);
            drop(sender);
            // The lock is not this thread's any more.
            sender = ring.sender().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| sender.try_send(b"the next sender").unwrap());
            });
            expect(b"the next sender");
        }
    }
}

/// A child's copies of a slot and a message that its parent holds: each use is refused, and dropping them,
/// or forgetting them and dropping their ends, takes nothing from the parent.
#[test]
fn a_child_holds_nothing_of_its_parent() {
    let test = Environment::new();
    for ring in every_kind(&test) {
        let is_for_many = is_for_many(&ring);
        for forgets in [false, true] {
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
            let mut status = 0;
            // SAFETY: the status is ours to write.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0);
            if is_for_many {
                let mut other = ring.sender().unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| assert_eq!(kind(other.try_send(b"x")), ErrorKind::WouldBlock));
                });
            }
            assert_eq!(found.to_vec(), b"first");
            found.release().unwrap();
            slot.commit().unwrap();
            assert_eq!(receiver.try_peek().unwrap().to_vec(), [1; 200]);
            receiver.try_peek().unwrap().release().unwrap();
            assert_eq!(kind(receiver.try_peek()), ErrorKind::WouldBlock);
        }
    }
}

/// Another process has taken the end of a ring away from its holder, by mistake or by malice, and used
/// it: what the old holder has reserved or peeked at comes to nothing.
#[test]
fn what_was_taken_over_is_no_longer_held() {
    /// Where the object's words say who receives, and where its payload begins: with who sends.
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

const CREATE: i32 = shmkey::capi::SHMKEY_CREATE | 0o600;

/// The beginning of a segment, as C says it.
fn place_in(segment: &Segment) -> shmkey::capi::shm_place {
    shmkey::capi::shm_place {
        name: std::ptr::null(),
        path: std::ptr::null(),
        offset: 0,
        timeout: 5_000_000_000,
        owner: shmkey::capi::SHMKEY_ANY_OWNER,
        proj_id: 0,
        id: segment.id(),
        reserved: [0; 5],
    }
}

/// A ring of C's, that goes with its handle.
struct CRing {
    ring: *mut shmkey::capi::shm_ring,
}

impl CRing {
    fn new(options: i32) -> CRing {
        let segment = Segment::options().size(64 << 10).open(Key::PRIVATE);
        let segment = segment.unwrap();
        let place = place_in(&segment);
        // SAFETY: the place is one.
        let ring = unsafe { shmkey::capi::shm_ring_open_at(&place, 32 << 10, options, CREATE) };
        assert!(!ring.is_null());
        segment.remove().unwrap();
        CRing { ring }
    }
}

impl Drop for CRing {
    fn drop(&mut self) {
        // SAFETY: it is open, and not used afterwards.
        unsafe { shmkey::capi::shm_ring_close(self.ring) }
    }
}

/// A batch of C's may lie in memory that another process writes. What is checked must be what is
/// used: if it were read again, a NULL would be copied from.
#[test]
fn a_batch_that_others_change_is_read_once() {
    use shmkey::capi::{SHMKEY_DROP_OLDEST, shm_bytes, shm_ring_send_batch};
    use std::{ffi::c_void, sync::atomic::AtomicPtr};

    const COUNT: usize = 64;
    #[repr(C)]
    struct Described {
        data: AtomicPtr<c_void>,
        size: usize,
    }
    let text: *mut c_void = (&raw const b"message"[0]).cast_mut().cast();
    let batch: [Described; COUNT] = std::array::from_fn(|_| Described {
        data: AtomicPtr::new(text),
        size: 7,
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let last = &batch[COUNT - 1].data;
            let text = last.load(Relaxed);
            while !done.load(Relaxed) {
                last.swap(std::ptr::null_mut(), Relaxed);
                last.swap(text, Relaxed);
            }
        });
        let ring = CRing::new(SHMKEY_DROP_OLDEST);
        let mut counts = [0; 2];
        for _ in 0..20_000 {
            let messages = (&raw const batch).cast::<shm_bytes>();
            // SAFETY: the ring is open, and there are so many structures.
            let sent = unsafe { shm_ring_send_batch(ring.ring, messages, COUNT, 0) };
            counts[COUNT - sent as usize] += 1; // all, or all in front of the NULL
        }
        done.store(true, Relaxed);
        assert!(counts[0] > 0);
    });
}

/// Bytes of C's may be a message in a ring, or room for one.
#[test]
fn what_c_passes_may_lie_in_a_ring() {
    use shmkey::capi::*;
    use std::ptr;

    let (from, to) = (CRing::new(0), CRing::new(0));
    let segment = Segment::options().size(8 << 10).open(Key::PRIVATE);
    let segment = segment.unwrap();
    let place = place_in(&segment);
    // SAFETY: all handles are open, each address leads to as many bytes as are said, and nothing is
    // used after it was released.
    unsafe {
        let latest = shm_latest_open_at(&place, 13, ptr::null(), CREATE);
        segment.remove().unwrap();
        let bytes = b"thirteen bytes";
        assert_eq!(shm_ring_send(from.ring, bytes.as_ptr().cast(), 13, 0), 0);
        let mut message: shm_message = std::mem::zeroed();
        assert_eq!(shm_ring_peek(from.ring, &mut message, 0), 13);

        assert_eq!(shm_latest_publish(latest, message.data), 0);
        assert_eq!(shm_ring_send(to.ring, message.data, 13, 0), 0);
        let batch = shm_bytes {
            data: message.data,
            size: 13,
        };
        assert_eq!(shm_ring_send_batch(to.ring, &batch, 1, 0), 1);
        assert_eq!(shm_ring_release(from.ring, &message), 0);

        let mut slot: shm_slot = std::mem::zeroed();
        assert_eq!(shm_ring_reserve(from.ring, 13, &mut slot, 0), 0);
        assert_eq!(shm_latest_read(latest, slot.data), 1);
        assert_eq!(shm_ring_commit(from.ring, &slot, 13), 0);
        assert_eq!(shm_ring_reserve(from.ring, 13, &mut slot, 0), 0);
        assert_eq!(shm_ring_recv(to.ring, slot.data, 13, 0), 13);
        assert_eq!(shm_ring_commit(from.ring, &slot, 13), 0);
        for ring in [&from, &from, &to] {
            let mut buffer = [0_u8; 16];
            let len = shm_ring_recv(ring.ring, buffer.as_mut_ptr().cast(), 16, 0);
            assert_eq!((len, &buffer[..13]), (13, &bytes[..13]));
        }
        shm_latest_close(latest);
    }
}
