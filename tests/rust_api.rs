//! What a Rust programmer expects of the API: the three forms of each call that waits, conversions, traits,
//! iterators, and values of structs that the program defines.

mod support;

use shmkey::{
    AttachOptions, Attachment, Contents, Error, ErrorKind, ErrorKind::*, Holding, Key, Latest,
    Life, Message, MessageReader, Messages, Mutex, MutexGuard, Party, Place, Plain, Pod, Publisher,
    Receiver, Ring, RingOptions, Segment, SegmentOptions, Semaphore, Sender, Slot, SlotWriter,
    Status, TypedReceiver, TypedRing, TypedSender, Values,
};
use std::{
    fmt::{Debug, Display},
    fs,
    io::{Read, Write},
    thread,
};
use support::{Artifacts, Environment, SOON, fails, in_child, private_segment, says};

shmkey::plain! {
    /// With a derive, and fields of several sizes.
    #[derive(Debug, Default, PartialEq)]
    pub struct Tick {
        /// In a currency.
        pub price: f64,
        volume: u32,
        /// Fills the struct up to a multiple of 8.
        reserved: [u8; 4],
    }

    #[derive(Debug, PartialEq)]
    struct Pair { first: Tick, second: Tick }
}

fn tick(price: f64) -> Tick {
    Tick {
        price,
        ..Tick::default()
    }
}

fn ring(test: &Environment) -> (Sender, Receiver) {
    let ring = Ring::open(test.name(), 4096).unwrap();
    (ring.sender().unwrap(), ring.receiver().unwrap())
}

#[test]
fn a_place_is_made_from_names_keys_and_places() {
    let test = Environment::new();
    let text: String = test.name().to_owned();
    let place = Place::named(&text).mode(0o600);
    Semaphore::open(&place, 7).unwrap();
    for place in [
        Place::from(text.as_str()),
        Place::from(&text),
        Place::from(text.clone()),
        Place::from(test.key()),
        Place::from(&place),
        place.create(false),
    ] {
        assert_eq!(Semaphore::open(place, 0).unwrap().value(), 7);
    }
}

#[test]
fn a_missing_object_is_created_only_if_that_is_asked_for() {
    let test = Environment::new();
    let open = |place: Place| Latest::<u64>::open(place);
    let place = || Place::named(test.name());
    fails(open(place().create(false)), KeyNotFound);
    fails(open(place().read_only(true)), KeyNotFound);
    // In either order, and each can be taken back.
    let never = [
        place().create(true).read_only(true),
        place().read_only(true).create(true),
    ];
    for place in never {
        fails(open(place), KeyNotFound);
    }
    open(place().read_only(true).read_only(false)).unwrap();
}

#[test]
fn options_are_built_in_one_style() {
    let options: SegmentOptions = Segment::options().size(4096).remove_on_drop(true);
    let segment = options.open(Key::PRIVATE).unwrap();
    let attach: AttachOptions = Attachment::options().read_only(true);
    assert!(!attach.attach(&segment).unwrap().is_writable());
    let test = Environment::new();
    let options: RingOptions = Ring::options().many_senders(true);
    let ring = options
        .open(Place::named(test.name()).mode(0o600), 64)
        .unwrap();
    let (_one, _other) = (ring.sender().unwrap(), ring.sender().unwrap());
}

#[test]
fn every_wait_has_three_forms() {
    let test = Environment::new();
    let mutex = Mutex::open(test.named("mutex"), 5_u32).unwrap();
    let guard = mutex.try_lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            fails(mutex.try_lock(), WouldBlock);
            fails(mutex.lock_timeout(SOON), TimedOut);
        });
    });
    drop(guard);
    assert_eq!(mutex.lock().unwrap().get(), 5);

    let semaphore = Semaphore::open(test.named("semaphore"), 3).unwrap();
    semaphore.wait().unwrap();
    semaphore.try_wait().unwrap();
    semaphore.wait_timeout(SOON).unwrap();
    fails(semaphore.try_wait(), WouldBlock);
    fails(semaphore.wait_timeout(SOON), TimedOut);

    let latest = Latest::<u8>::open(test.named("latest")).unwrap();
    let mut seen = 0;
    assert_eq!(latest.read_newer(&mut seen).unwrap(), None);
    fails(latest.wait_newer_timeout(&mut seen, SOON), TimedOut);
    latest.publisher().unwrap().publish(9).unwrap();
    assert_eq!(latest.wait_newer(&mut seen).unwrap(), 9);
}

#[test]
fn every_call_of_a_receiver_has_three_forms() {
    let test = Environment::new();
    let (mut sender, mut receiver) = ring(&test);
    let (mut buffer, mut lengths) = ([0; 64], [0; 4]);
    fails(receiver.try_recv(&mut buffer), WouldBlock);
    fails(receiver.try_peek(), WouldBlock);
    fails(receiver.peek_timeout(SOON), TimedOut);
    let none = receiver.try_recv_batch(&mut buffer, &mut lengths);
    fails(none, WouldBlock);
    let none = receiver.recv_batch_timeout(&mut buffer, &mut lengths, SOON);
    fails(none, TimedOut);
    assert_eq!(sender.send_batch(&[b"a", b"b", b"c"]).unwrap(), 3);
    assert_eq!(receiver.recv_batch(&mut buffer, &mut lengths).unwrap(), 3);
    assert_eq!(sender.send_batch(&[b"a", b"b", b"c"]).unwrap(), 3);
    receiver.peek().unwrap().release().unwrap();
    receiver.try_peek().unwrap().release().unwrap();
    receiver.peek_timeout(SOON).unwrap().release().unwrap();
}

#[test]
fn every_call_of_a_sender_has_three_forms() {
    let test = Environment::new();
    let (mut sender, _receiver) = ring(&test);
    assert_eq!(sender.send_batch_timeout(&[b"c"], SOON).unwrap(), 1);
    for form in 0..3 {
        let mut slot = match form {
            0 => sender.reserve(1),
            1 => sender.try_reserve(1),
            _ => sender.reserve_timeout(1, SOON),
        }
        .unwrap();
        slot.write_at(0, b"x").unwrap();
        slot.commit().unwrap();
    }
    while sender.try_send(&[0; 512]).is_ok() {}
    fails(sender.try_reserve(512), WouldBlock);
    fails(sender.reserve_timeout(512, SOON), TimedOut);
    fails(sender.try_send_batch(&[&[0; 512]]), WouldBlock);
    fails(sender.send_batch_timeout(&[&[0; 512]], SOON), TimedOut);
}

#[test]
fn a_vector_grows_to_the_message_and_keeps_its_capacity() {
    let test = Environment::new();
    let (mut sender, mut receiver) = ring(&test);
    let long = vec![7; 3000];
    sender.send_batch(&[b"short", &long, b"", b"last"]).unwrap();
    let mut message = b"what was there before".to_vec();
    assert_eq!(receiver.recv_vec(&mut message).unwrap(), 5);
    assert_eq!(message, b"short");
    assert_eq!(receiver.recv_vec_timeout(&mut message, SOON).unwrap(), 3000);
    assert_eq!(message, long);
    let capacity = message.capacity();
    assert_eq!(receiver.try_recv_vec(&mut message).unwrap(), 0);
    assert_eq!(receiver.try_recv_vec(&mut message).unwrap(), 4);
    assert_eq!(
        (message.as_slice(), message.capacity()),
        (&b"last"[..], capacity)
    );
    let none = receiver.try_recv_vec(&mut message);
    fails(none, WouldBlock);
    assert_eq!(message.len(), 0);
    let none = receiver.recv_vec_timeout(&mut message, SOON);
    fails(none, TimedOut);
}

#[test]
fn a_receiver_is_iterated_over() {
    let test = Environment::new();
    let (mut sender, mut receiver) = ring(&test);
    sender.send_batch(&[b"one", b"two"]).unwrap();
    let now: Result<Vec<_>, _> = receiver.try_iter().collect();
    assert_eq!(now.unwrap(), [b"one", b"two"]);
    assert!(receiver.try_iter().next().is_none());

    sender.send(b"three").unwrap();
    drop(sender);
    let mut received = Vec::new();
    for message in &mut receiver {
        received.push(message.unwrap());
    }
    assert_eq!(received, [b"three"]);
    let mut ended = receiver.iter();
    assert!(ended.next().is_none() && ended.next().is_none());
}

#[test]
fn an_iterator_ends_after_an_error() {
    let test = Environment::new();
    let (sender, mut receiver) = ring(&test);
    in_child(|| {
        let mut messages = receiver.iter();
        fails(messages.next().unwrap(), Busy);
        assert!(messages.next().is_none());
    });
    drop(sender);
}

#[test]
fn a_typed_ring_sends_and_receives_values() {
    let test = Environment::new();
    let ring = TypedRing::<Tick>::open(test.name(), 100).unwrap();
    let mut sender = ring.sender().unwrap();
    let mut receiver = ring.receiver().unwrap();
    fails(receiver.try_recv(), WouldBlock);
    fails(receiver.recv_timeout(SOON), TimedOut);
    let sent: Vec<Tick> = (0..100).map(|i| tick(f64::from(i))).collect();
    for tick in &sent {
        sender.try_send(tick).unwrap();
    }
    assert_eq!(receiver.recv().unwrap(), sent[0]);
    sender.send_timeout(&sent[0], SOON).unwrap();
    let rest: Result<Vec<Tick>, _> = receiver.try_iter().collect();
    assert_eq!(rest.unwrap(), [&sent[1..], &sent[..1]].concat());
    sender.send(&sent[5]).unwrap();
    drop(sender);
    let last: Result<Vec<Tick>, _> = receiver.into_iter().collect();
    assert_eq!(last.unwrap(), [sent[5]]);
}

#[test]
fn a_typed_ring_has_room_for_as_many_values_as_asked_for() {
    fn fill<T: Plain>(value: T, values: usize) {
        let test = Environment::new();
        let ring = TypedRing::<T>::open(test.name(), values).unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        // Everywhere in the ring, so that some message does not fit before its end.
        for _ in 0..20 {
            for _ in 0..values {
                sender.try_send(&value).unwrap();
            }
            for _ in 0..values {
                receiver.recv().unwrap();
            }
            sender.try_send(&value).unwrap();
            receiver.recv().unwrap();
        }
    }
    for values in [1, 2, 3, 10] {
        fill(1_u8, values);
        fill([1_u64; 3], values);
        fill([1_u8; 1001], values);
        fill([1_u8; 20_001], values);
    }
}

#[test]
fn a_message_of_another_length_is_an_error_once() {
    let test = Environment::new();
    let bytes = Ring::options().open(test.name(), 4096).unwrap();
    let mut sender = bytes.sender().unwrap();
    let ring = TypedRing::<Tick>::from(bytes);
    let mut receiver = ring.receiver().unwrap();
    sender.send_batch(&[&[1; 15], &[2; 17], &[0; 16]]).unwrap();
    fails(receiver.recv(), WrongLayout);
    fails(receiver.try_recv(), WrongLayout);
    assert_eq!(receiver.recv().unwrap(), Tick::default());
}

#[test]
fn values_are_read_and_written_in_place() {
    let test = Environment::new();
    let (mut sender, mut receiver) = ring(&test);
    let mut slot = sender.reserve(100).unwrap();
    slot.set(3, tick(2.5)).unwrap();
    fails(slot.set(100 - 15, tick(0.0)), OutOfRange);
    let mut writer = slot.writer(19);
    write!(writer, "{} and {}", 1, 2).unwrap();
    let end = writer.position();
    assert_eq!(end, 19 + 7);
    let full = writer.write_all(&[0; 100]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::WriteZero);
    slot.truncate(end);
    slot.commit().unwrap();

    let message = receiver.peek().unwrap();
    assert_eq!(message.get::<Tick>(3).unwrap(), tick(2.5));
    fails(message.get::<Tick>(11), OutOfRange);
    let mut text = String::new();
    let mut reader = message.reader(19);
    reader.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), reader.position()), ("1 and 2", end));
    message.release().unwrap();
}

#[test]
fn an_attachment_has_values() {
    let segment = private_segment(64);
    let memory = segment.attach().unwrap();
    let read = segment.attach_read_only().unwrap();
    let pair = Pair {
        first: tick(1.0),
        second: tick(2.0),
    };
    memory.set(1, pair).unwrap();
    assert_eq!(read.get::<Pair>(1).unwrap(), pair);
    fails(memory.set(33, pair), OutOfRange);
    fails(memory.get::<Pair>(usize::MAX), OutOfRange);
    fails(read.set(0, 1_u8), ReadOnly);
}

#[test]
fn a_pod_is_used_as_what_it_holds() {
    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    struct Position {
        latitude: f64,
        longitude: f64,
    }
    let test = Environment::new();
    let first = Position {
        latitude: 52.5,
        longitude: 13.4,
    };
    let mutex = Mutex::<Pod<Position>>::open(test.name(), first.into()).unwrap();
    let mut guard = mutex.lock().unwrap();
    guard.update(|position| position.latitude = 1.0);
    assert_eq!(guard.get().latitude, 1.0);
}

#[test]
fn a_guard_is_shown_as_its_value_and_can_be_shared() {
    let test = Environment::new();
    let mutex = Mutex::open(test.name(), 42_u64).unwrap();
    let guard = mutex.lock().unwrap();
    assert_eq!(guard.to_string(), "42");
    assert!(format!("{guard:?}").contains("42"));
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(guard.get(), 42));
    });
}

/// The traits of the public types, as the API guidelines' checklist has them. Compiles, or not.
#[test]
fn types_have_the_traits_that_are_expected() {
    fn send_and_sync<T: Send + Sync + Debug>() {}
    fn send<T: Send + Debug>() {}
    fn sync<T: Sync + Debug>() {}
    fn copy<T: Copy + Eq + std::hash::Hash + Debug>() {}
    fn error<T: std::error::Error + Clone + Send + Sync + Into<std::io::Error> + 'static>() {}
    fn display<T: Display>() {}
    fn default<T: Default + Clone>() {}

    send_and_sync::<(Segment, SegmentOptions, Attachment, AttachOptions)>();
    send_and_sync::<(Status, Place, Contents, Holding)>();
    send_and_sync::<(Mutex<u64>, Semaphore, Latest<u64>, Publisher<u64>)>();
    send_and_sync::<(Ring, RingOptions, TypedRing<Tick>)>();
    send::<(Sender, Receiver, Message<'_>, Messages<'_>)>();
    send::<(TypedSender<Tick>, TypedReceiver<Tick>, Values<'_, Tick>)>();
    sync::<MutexGuard<'_, u64>>();
    copy::<(Key, ErrorKind, Life, Party)>();
    error::<Error>();
    display::<Key>();
    display::<MutexGuard<'_, u64>>();
    default::<(SegmentOptions, AttachOptions, RingOptions)>();
    fn debug<T: Debug>() {}
    debug::<(Slot<'_>, SlotWriter<'_, '_>, MessageReader<'_, '_>)>();
}

/// Returns what the compiler says of a program.
fn compile(name: &str, program: &str) -> String {
    let artifacts = Artifacts::shared();
    let source = artifacts.directory().join(name);
    fs::write(&source, program).unwrap();
    let output = artifacts.rustc(&source).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_compiler_says_what_another_struct_needs() {
    let said = compile(
        "own_struct.rs",
        "#[derive(Clone, Copy)] pub struct Own { pub x: u32 }
         pub fn open() { let _ = shmkey::Latest::<Own>::open(\"x\"); }",
    );
    for words in [
        "`Own` is not known to be plain bytes",
        "define it in `shmkey::plain! {",
        "`shmkey::Pod<Own>`",
    ] {
        says(&said, words);
    }
}

#[test]
fn a_struct_that_is_not_plain_does_not_compile() {
    let program = |fields: &str| format!("shmkey::plain! {{ pub struct Own {{ {fields} }} }}");
    for (fields, error) in [
        ("x: u8, y: u64", "the struct `Own` has padding"),
        ("y: u64, x: u8", "the struct `Own` has padding"),
        ("x: bool", "`bool` is not known to be plain bytes"),
        // An attribute cannot give a field another type than the one that is checked.
        ("#[cfg(any())] x: u64, #[cfg(all())] y: u64", "error"),
    ] {
        says(&compile("refused.rs", &program(fields)), error);
    }
    let plain = "#![forbid(unsafe_code)]\n".to_owned() + &program("y: u64, x: [u8; 8]");
    assert_eq!(compile("plain.rs", &plain), "");
}
