//! The groups of things that are compared, with the goals of shmkey in each.

use crate::{
    latest::{Value, copying, nothing, paced, publishing, reading},
    locks::{alone, contended},
    ours::{Any, Batches, Broadcast, ByDescriptor, InPlace, Ring},
    peers::{
        Channel, Duplex, Two,
        bare::{Flag, Futex, Mailbox},
        bus::Bus,
        eventfd::EventFd,
        pipe::Pipe,
        posix,
        rtrb::{Rtrb, RtrbChunks},
        seqlock::SeqLock,
    },
    processes::Shared,
    roundtrip::RoundTrip,
    schedule::{Against::*, Entry, Group},
    streaming::Streaming,
};
use std::time::Duration;

#[cfg(feature = "aeron")]
use crate::peers::aeron::Aeron;
#[cfg(feature = "boost")]
use crate::peers::boost::Boost;
#[cfg(feature = "shmem-ipc")]
use crate::peers::shmem_ipc::ShmemIpc;
#[cfg(feature = "iceoryx2")]
use crate::peers::{iceoryx::Iceoryx, iceoryx_event::Events};

type Waiting = Two<Ring<true, false>>;
type Trying = Two<Ring<false, false>>;
type OneSender = Ring<true, false>;
type ManySenders = Ring<true, true>;
type Latest = shmkey::Latest<Value>;

const RING: &str = "shmkey::Ring";
const TRYING: &str = "shmkey::Ring, trying again";
const IN_PLACE: &str = "shmkey::Ring, nothing copied";
const LATEST: &str = "shmkey::Latest";
const BROADCAST: &str = "shmkey::Broadcast, lossless";
const BUS: &str = "bus (threads)";
const MAILBOX: &str = "copy mailbox";
const MAILBOXES: &str = "16 copy mailboxes in turn";
const FUTEXES: &str = "bare futexes";
const EVENTFD: &str = "eventfd";
const RTRB: &str = "rtrb (threads)";
const UNCOPIED: &str = "iceoryx2, nothing copied";
const COPYING: &str = "copying the value";
const MUTEX: &str = "shmkey::Mutex";
const PTHREAD: &str = "robust pthread mutex";

/// Returns everything that is measured, in the order of the report.
pub fn groups() -> Vec<Group> {
    [
        round_trips(),
        streams(),
        broadcasts(),
        latest_values(),
        locks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn round_trips() -> Vec<Group> {
    let asleep_on_two = asleep(
        "Round trip, asleep, two cores, the other thinks 200 µs, 64 B",
        THINKING,
        |ring| ring.at_most(1.0, Peer(FUTEXES)),
    );
    vec![
        Group {
            title: "Round trip, spinning, 56 B",
            entries: vec![
                round_trip::<Waiting>(RING, 56).at_most(1.15, Bare),
                round_trip::<Mailbox<8>>("mailbox, 56 B in the flag's line", 56),
            ],
        },
        spinning("Round trip, spinning, 64 B", 64, |ring| {
            ring.at_most(1.35, Bare).at_most(1.1, Peer(TRYING))
        }),
        spinning("Round trip, spinning, 1 KiB", 1 << 10, |ring| {
            ring.at_most(0.75, Peer(RTRB))
        }),
        spinning("Round trip, spinning, 64 KiB", 64 << 10, |ring| {
            ring.at_most(0.7, Peer(RTRB))
        }),
        asleep("Round trip, asleep, same core, 64 B", ONE_CORE, |ring| {
            ring.at_most(0.8, Peer(FUTEXES))
        }),
        one_by_one(asleep_on_two),
        by_descriptor("Round trip by poll, same core, 64 B", ONE_CORE),
        one_by_one(by_descriptor(
            "Round trip by poll, two cores, the other thinks 200 µs, 64 B",
            THINKING,
        )),
        from_many(
            "Round trip, one of 16 rings, asleep, same core, 64 B",
            ONE_CORE,
        ),
        one_by_one(from_many(
            "Round trip, one of 16 rings, asleep, two cores, the other thinks 200 µs, 64 B",
            THINKING,
        )),
    ]
}

/// Compares round trips in which each side polls a descriptor.
fn by_descriptor(title: &'static str, trip: RoundTrip) -> Group {
    let ours = on_trip::<Two<ByDescriptor>>("shmkey::Ring, by its descriptor", trip);
    Group {
        title,
        entries: vec![
            ours.at_most(1.3, Peer(EVENTFD)),
            on_trip::<Two<EventFd>>(EVENTFD, trip),
            #[cfg(feature = "iceoryx2")]
            on_trip::<Two<Events<1>>>("iceoryx2 event, by a wait set", trip),
        ],
    }
}

/// Compares waiting for one of several rings with waiting for one ring.
fn from_many(title: &'static str, trip: RoundTrip) -> Group {
    let ours = on_trip::<Two<Any<16>>>("shmkey::wait_any, 16 rings", trip);
    Group {
        title,
        entries: vec![
            ours.at_most(1.2, Peer(RING)),
            on_trip::<Two<Any<1>>>("shmkey::wait_any, one ring", trip),
            on_trip::<Waiting>(RING, trip),
            #[cfg(feature = "iceoryx2")]
            on_trip::<Two<Events<16>>>("iceoryx2, a wait set of 16 events", trip),
        ],
    }
}

fn streams() -> Vec<Group> {
    vec![
        streaming("Streaming, 8 B", 8, |ring| ring),
        streaming("Streaming, 64 B", 64, |ring| {
            ring.at_most(7.0, Nanoseconds).at_most(0.3, FastestPeer)
        }),
        Group {
            title: "Streaming, batches of 16 messages of 64 B",
            entries: vec![
                stream::<Batches<16>>(RING, Streaming::of(64)).at_most(0.5, FastestPeer),
                stream::<RtrbChunks<16>>("rtrb (threads), chunks", Streaming::of(64)),
            ],
        },
        streaming("Streaming, 1 KiB", 1 << 10, |ring| {
            ring.at_most(45.0, Nanoseconds).at_most(0.4, FastestPeer)
        }),
        streaming("Streaming, 64 KiB", 64 << 10, |ring| {
            ring.at_most(2500.0, Nanoseconds).at_most(0.5, FastestPeer)
        }),
        Group {
            title: "Streaming, 64 B, four senders on one core",
            entries: vec![
                stream::<OneSender>(RING, Streaming::of(64)),
                stream::<ManySenders>("shmkey::Ring for many, one sender", Streaming::of(64)),
                stream::<ManySenders>("shmkey::Ring, four", Streaming::from(4, true))
                    .at_most(1.5, Peer(RING))
                    .batches(5, LONG),
            ],
        },
        Group {
            title: "Streaming, 64 B, four senders on any core",
            entries: vec![
                // The one sender is not pinned either: the kernel may move a process, or put both on one processor.
                stream::<OneSender>(RING, Streaming::from(1, false)).batches(5, LONG),
                stream::<ManySenders>("shmkey::Ring, four", Streaming::from(4, false))
                    .at_most(1.5, Peer(RING))
                    .batches(5, LONG),
            ],
        },
    ]
}

fn broadcasts() -> Vec<Group> {
    vec![
        to_one("Broadcast, 64 B, one subscriber", 64),
        to_one("Broadcast, 1 KiB, one subscriber", 1 << 10),
        to_three("Broadcast, 64 B, three subscribers, unpinned", 64),
        to_three("Broadcast, 1 KiB, three subscribers, unpinned", 1 << 10),
    ]
}

fn to_one(title: &'static str, size: usize) -> Group {
    let streaming = Streaming::to(1, size);
    Group {
        title,
        entries: vec![
            stream::<Broadcast<false>>(BROADCAST, streaming).at_most(1.0, FastestPeer),
            stream::<Bus<1>>(BUS, streaming),
            #[cfg(feature = "iceoryx2")]
            stream::<Iceoryx<true>>("iceoryx2", streaming),
        ],
    }
}

fn to_three(title: &'static str, size: usize) -> Group {
    let streaming = Streaming::to(3, size);
    let entries = vec![
        stream::<Broadcast<false>>(BROADCAST, streaming).at_most(1.0, FastestPeer),
        stream::<Bus<3>>(BUS, streaming),
        #[cfg(feature = "iceoryx2")]
        stream::<Iceoryx<true, 3>>("iceoryx2", streaming),
    ];
    Group {
        title,
        entries: entries
            .into_iter()
            .map(|entry| entry.batches(5, LONG))
            .collect(),
    }
}

fn latest_values() -> Vec<Group> {
    vec![
        Group {
            title: "Latest, 64 B: reading",
            entries: vec![
                Entry::new(LATEST, reading::<Latest>).at_most(2.0, Peer(COPYING)),
                Entry::new(COPYING, copying),
                Entry::new("seqlock, one process", reading::<Shared<SeqLock>>),
            ],
        },
        Group {
            title: "Latest, 64 B: publishing back to back",
            entries: vec![
                Entry::new(LATEST, publishing::<Latest>(0)).at_most(1.5, Peer("seqlock")),
                Entry::new("shmkey::Latest, 8 readers", publishing::<Latest>(8))
                    .at_most(2.0, Peer(LATEST)),
                Entry::new("seqlock", publishing::<Shared<SeqLock>>(0)),
                Entry::new("seqlock, 8 readers", publishing::<Shared<SeqLock>>(8)),
            ],
        },
        Group {
            title: "Latest, 64 B: publishing each microsecond",
            entries: [
                Entry::new("the clock alone", nothing),
                Entry::new(LATEST, paced::<Latest>(0)),
                Entry::new("shmkey::Latest, 8 readers", paced::<Latest>(8))
                    .at_most(1.3, Peer(LATEST)),
                Entry::new("seqlock", paced::<Shared<SeqLock>>(0)),
                Entry::new("seqlock, 8 readers", paced::<Shared<SeqLock>>(8)),
            ]
            .map(|entry| entry.batches(1, PACED))
            .into(),
        },
    ]
}

fn locks() -> Vec<Group> {
    vec![
        Group {
            title: "Mutex, lock and unlock, uncontended",
            entries: vec![
                Entry::new(PTHREAD, alone::<posix::RobustMutex>),
                Entry::new(MUTEX, alone::<shmkey::Mutex<u64>>).at_most(0.8, Peer(PTHREAD)),
            ],
        },
        Group {
            title: "Mutex, lock and unlock, two processes",
            entries: vec![
                Entry::new(PTHREAD, contended::<posix::RobustMutex>),
                Entry::new(MUTEX, contended::<shmkey::Mutex<u64>>).at_most(1.0, Peer(PTHREAD)),
            ],
        },
        Group {
            title: "Semaphore, wait and post, uncontended",
            entries: vec![
                Entry::new("sem_t", alone::<posix::Semaphore>),
                Entry::new("shmkey::Semaphore", alone::<shmkey::Semaphore>)
                    .at_most(1.0, Peer("sem_t")),
            ],
        },
    ]
}

/// Long enough for several turns of each of four senders that share a CPU.
const LONG: Duration = Duration::from_millis(20);
/// `paced` times each publication; in this time it makes some thousand.
const PACED: Duration = Duration::from_micros(100);

const ONE_CORE: RoundTrip = RoundTrip {
    size: 64,
    same_core: true,
    thinking: Duration::ZERO,
};
/// The other side thinks for longer than any wait spins.
const THINKING: RoundTrip = RoundTrip {
    size: 64,
    same_core: false,
    thinking: Duration::from_micros(200),
};

/// Makes each operation a batch of its own, so that the median is that of single operations.
fn one_by_one(mut group: Group) -> Group {
    let alone = |entry: Entry| entry.batches(51, Duration::ZERO);
    group.entries = group.entries.into_iter().map(alone).collect();
    group
}

type Goals = fn(Entry) -> Entry;

/// Compares round trips of messages of this size; `goals` are those of our ring.
fn spinning(title: &'static str, size: usize, goals: Goals) -> Group {
    let mut entries = vec![
        goals(round_trip::<Waiting>(RING, size)),
        round_trip::<Trying>(TRYING, size),
        in_place(round_trip::<Two<InPlace>>(IN_PLACE, size)),
    ];
    if size == 64 {
        entries.push(round_trip::<Mailbox<8>>(
            "mailbox, 56 B in the flag's line",
            56,
        ));
    }
    entries.extend([
        round_trip::<Mailbox<64>>(MAILBOX, size),
        round_trip::<Mailbox<64, 16>>(MAILBOXES, size),
        round_trip::<Two<Flag>>("bare flags, a line each way", size),
        round_trip::<Flag>("bare flag, one line", size),
        round_trip::<Two<Rtrb>>(RTRB, size),
        #[cfg(feature = "shmem-ipc")]
        round_trip::<Two<ShmemIpc<false>>>("shmem-ipc", size),
        #[cfg(feature = "aeron")]
        round_trip::<Two<Aeron>>("Aeron", size),
        #[cfg(feature = "iceoryx2")]
        round_trip::<Two<Iceoryx<true>>>("iceoryx2", size),
        #[cfg(feature = "iceoryx2")]
        round_trip::<Two<Iceoryx<false>>>(UNCOPIED, size),
        #[cfg(feature = "boost")]
        round_trip::<Two<Boost<false>>>("Boost.Interprocess", size),
        round_trip::<Two<Pipe>>("pipe (sleeps)", size),
    ]);
    Group { title, entries }
}

/// Adds the goal of a ring in which nothing is copied.
fn in_place(ring: Entry) -> Entry {
    if cfg!(feature = "iceoryx2") {
        ring.at_most(0.3, Peer(UNCOPIED))
    } else {
        ring
    }
}

/// Compares round trips in which each side sleeps until it has a message.
fn asleep(title: &'static str, trip: RoundTrip, goals: Goals) -> Group {
    let entries = vec![
        goals(on_trip::<Waiting>(RING, trip)),
        on_trip::<Two<Futex>>(FUTEXES, trip),
        on_trip::<Two<Pipe>>("pipe", trip),
        #[cfg(feature = "shmem-ipc")]
        on_trip::<Two<ShmemIpc<true>>>("shmem-ipc", trip),
        #[cfg(feature = "boost")]
        on_trip::<Two<Boost<true>>>("Boost.Interprocess", trip),
    ];
    Group { title, entries }
}

/// Compares streams of messages of this size.
fn streaming(title: &'static str, size: usize, goals: Goals) -> Group {
    let streaming = Streaming::of(size);
    let entries = vec![
        goals(stream::<OneSender>(RING, streaming)),
        stream::<Rtrb>(RTRB, streaming),
        #[cfg(feature = "shmem-ipc")]
        stream::<ShmemIpc<false>>("shmem-ipc", streaming),
        #[cfg(feature = "aeron")]
        stream::<Aeron>("Aeron", streaming),
        #[cfg(feature = "iceoryx2")]
        stream::<Iceoryx<true>>("iceoryx2", streaming),
        #[cfg(feature = "boost")]
        stream::<Boost<false>>("Boost.Interprocess", streaming),
        stream::<Pipe>("pipe", streaming),
    ];
    Group { title, entries }
}

fn round_trip<D: Duplex + 'static>(name: &'static str, size: usize) -> Entry {
    on_trip::<D>(name, RoundTrip::of(size))
}

fn on_trip<D: Duplex + 'static>(name: &'static str, trip: RoundTrip) -> Entry {
    Entry::new(name, move |cpus, amount| trip.measure::<D>(cpus, amount))
}

fn stream<C: Channel + 'static>(name: &'static str, streaming: Streaming) -> Entry {
    Entry::new(name, move |cpus, amount| {
        streaming.measure::<C>(cpus, amount)
    })
}
