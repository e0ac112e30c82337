//! The programs of both sides: `side ring|zenoh send|count|ping|pong SIZE ADDRESS default|low`.

use shmkey::{Receiver, Ring, Sender};
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};
use zenoh::{Config, Session, Wait, bytes::ZBytes, qos::CongestionControl};

/// Until everything is connected and warm.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_millis(1500);
const CAPACITY: usize = 1 << 20;

pub fn run(arguments: &[String]) {
    let [tool, role, size, address, setting] = arguments else {
        panic!("side TOOL ROLE SIZE ADDRESS SETTING");
    };
    let size = size.parse().unwrap();
    let zenoh = |end: &str| session(end, address, setting);
    match (&**tool, &**role) {
        ("ring", "send") => ring_send(size),
        ("ring", "count") => ring_count(size),
        ("ring", "ping") => ring_ping(size),
        ("ring", "pong") => ring_pong(size),
        ("zenoh", "send") => zenoh_send(&zenoh("connect"), size),
        ("zenoh", "count") => zenoh_count(&zenoh("listen"), size),
        ("zenoh", "ping") => zenoh_ping(&zenoh("connect"), size),
        ("zenoh", "pong") => zenoh_pong(&zenoh("listen")),
        _ => panic!("no side {tool} {role}"),
    }
}

/// Counts messages from the first one on, and prints the time of each.
struct Clock {
    first: Option<Instant>,
    counted: Option<(Instant, u64)>,
}

impl Clock {
    const fn new() -> Clock {
        Clock {
            first: None,
            counted: None,
        }
    }

    /// Counts a message. Returns the microseconds for each once the measurement is over.
    fn tick(&mut self) -> Option<f64> {
        let now = Instant::now();
        let first = *self.first.get_or_insert(now);
        if now - first < WARM_UP {
            return None;
        }
        let (begin, count) = self.counted.get_or_insert((now, 0));
        *count += 1;
        let time = now - *begin;
        (time >= MEASURED).then(|| time.as_secs_f64() * 1e6 / (*count - 1) as f64)
    }
}

fn ready() {
    println!("ready");
}

fn forever() -> ! {
    loop {
        std::thread::park();
    }
}

fn sender(name: &str) -> Sender {
    Ring::open(name, CAPACITY).unwrap().sender().unwrap()
}

fn receiver(name: &str) -> Receiver {
    let mut receiver = Ring::open(name, CAPACITY).unwrap().receiver().unwrap();
    receiver.set_keep_waiting(true);
    receiver
}

fn ring_send(size: usize) {
    let (mut sender, message) = (sender("out"), vec![1; size]);
    loop {
        sender.send(&message).unwrap();
    }
}

fn ring_count(size: usize) {
    let (mut receiver, mut buffer) = (receiver("out"), vec![0; size]);
    ready();
    let mut clock = Clock::new();
    loop {
        assert_eq!(receiver.recv(&mut buffer).unwrap(), size);
        if let Some(time) = clock.tick() {
            println!("{time}");
            forever();
        }
    }
}

fn ring_ping(size: usize) {
    let (mut sender, mut receiver) = (sender("out"), receiver("back"));
    let (message, mut buffer) = (vec![1; size], vec![0; size]);
    let mut clock = Clock::new();
    loop {
        sender.send(&message).unwrap();
        assert_eq!(receiver.recv(&mut buffer).unwrap(), size);
        if let Some(time) = clock.tick() {
            println!("{time}");
            forever();
        }
    }
}

fn ring_pong(size: usize) {
    let (mut receiver, mut sender) = (receiver("out"), sender("back"));
    let mut buffer = vec![0; size];
    ready();
    loop {
        receiver.recv(&mut buffer).unwrap();
        sender.send(&buffer).unwrap();
    }
}

fn session(end: &str, address: &str, setting: &str) -> Session {
    let mut config = Config::default();
    let mut set = |key: &str, value: &str| config.insert_json5(key, value).unwrap();
    set("scouting/multicast/enabled", "false");
    set("listen/endpoints", "[]");
    set(&format!("{end}/endpoints"), &format!("[{address:?}]"));
    if setting == "low" {
        set("transport/unicast/lowlatency", "true");
        set("transport/unicast/qos/enabled", "false");
    }
    zenoh::open(config).wait().unwrap()
}

fn publisher(
    session: &Session,
    name: &'static str,
    express: bool,
) -> zenoh::pubsub::Publisher<'static> {
    let publisher = session.declare_publisher(name);
    publisher
        .congestion_control(CongestionControl::Block)
        .express(express)
        .wait()
        .unwrap()
}

fn zenoh_send(session: &Session, size: usize) {
    let (publisher, message) = (publisher(session, "bench/out", false), vec![1; size]);
    loop {
        publisher.put(&message[..]).wait().unwrap();
    }
}

fn zenoh_count(session: &Session, size: usize) {
    let (end, ended) = mpsc::channel();
    let (mut clock, mut buffer) = (Clock::new(), vec![0; size]);
    let subscriber = session
        .declare_subscriber("bench/out")
        .callback_mut(move |sample| {
            copy(sample.payload(), &mut buffer);
            if let Some(time) = clock.tick() {
                let _ = end.send(time);
            }
        });
    let _subscriber = subscriber.wait().unwrap();
    ready();
    println!("{}", ended.recv().unwrap());
    forever();
}

fn copy(payload: &ZBytes, buffer: &mut [u8]) {
    assert_eq!(payload.len(), buffer.len());
    let mut at = 0;
    for slice in payload.slices() {
        buffer[at..at + slice.len()].copy_from_slice(slice);
        at += slice.len();
    }
    std::hint::black_box(buffer);
}

fn zenoh_ping(session: &Session, size: usize) {
    let subscriber = session.declare_subscriber("bench/back").wait().unwrap();
    let publisher = publisher(session, "bench/out", true);
    let (message, mut buffer) = (vec![1; size], vec![0; size]);
    // Until the other side subscribes.
    while !publisher.matching_status().wait().unwrap().matching() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut clock = Clock::new();
    loop {
        publisher.put(&message[..]).wait().unwrap();
        copy(subscriber.recv().unwrap().payload(), &mut buffer);
        if let Some(time) = clock.tick() {
            println!("{time}");
            forever();
        }
    }
}

/// Answers in the thread of Zenoh that has read the message.
fn zenoh_pong(session: &Session) {
    let publisher = publisher(session, "bench/back", true);
    let subscriber = session.declare_subscriber("bench/out");
    let subscriber =
        subscriber.callback(move |sample| publisher.put(sample.payload().clone()).wait().unwrap());
    let _subscriber = subscriber.wait().unwrap();
    ready();
    forever();
}
