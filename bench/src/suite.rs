//! What is compared with what, and what our own should reach.

use crate::{
    latest::{Value, copying, nothing, paced, publishing, reading},
    locks::{alone, contended},
    ours::Ring,
    peers::{
        Channel, Duplex, Two,
        bare::{Flag, Futex, Mailbox, OneFlag},
        pipe::Pipe,
        posix,
        rtrb::Rtrb,
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
#[cfg(feature = "iceoryx2")]
use crate::peers::iceoryx::Iceoryx;
#[cfg(feature = "shmem-ipc")]
use crate::peers::shmem_ipc::ShmemIpc;

type Waiting = Two<Ring<true, false>>;
type Trying = Two<Ring<false, false>>;
type OneSender = Ring<true, false>;
type ManySenders = Ring<true, true>;
type Latest = shmkey::Latest<Value>;

const RING: &str = "shmkey::Ring";
const TRYING: &str = "shmkey::Ring, trying again";
const LATEST: &str = "shmkey::Latest";
const MAILBOX: &str = "copy mailbox";
const MAILBOXES: &str = "16 copy mailboxes in turn";
const FUTEXES: &str = "bare futexes";
const RTRB: &str = "rtrb (threads)";
const AERON: &str = "Aeron";
const COPYING: &str = "copying the value";

/// Returns everything that is measured, in the order of the report.
pub fn groups() -> Vec<Group> {
    [round_trips(), streams(), latest_values(), locks()]
        .into_iter()
        .flatten()
        .collect()
}

fn round_trips() -> Vec<Group> {
    vec![
        group(
            "Round trip, spinning, 64 B",
            [
                vec![
                    round_trip::<Waiting>(RING, 64)
                        .at_most(0.85, Bare)
                        .stretch(0.70)
                        .at_most(1.1, Peer(TRYING)),
                    round_trip::<Trying>(TRYING, 64),
                    round_trip::<Mailbox<8>>("mailbox, 56 B in the flag's line", 56),
                    round_trip::<Mailbox<64>>(MAILBOX, 64),
                    round_trip::<Mailbox<64, 16>>(MAILBOXES, 64),
                ],
                round_trip_peers(64),
            ],
        ),
        group(
            "Round trip, spinning, 1 KiB",
            [
                vec![
                    round_trip::<Waiting>(RING, 1 << 10).at_most(1.0, Peer(MAILBOX)),
                    round_trip::<Trying>(TRYING, 1 << 10),
                    round_trip::<Mailbox<64>>(MAILBOX, 1 << 10),
                    round_trip::<Mailbox<64, 16>>(MAILBOXES, 1 << 10),
                ],
                round_trip_peers(1 << 10),
            ],
        ),
        group(
            "Round trip, spinning, 64 KiB",
            [
                vec![
                    round_trip::<Waiting>(RING, 64 << 10).at_most(0.85, Peer(MAILBOX)),
                    round_trip::<Trying>(TRYING, 64 << 10),
                    round_trip::<Mailbox<64>>(MAILBOX, 64 << 10),
                    round_trip::<Mailbox<64, 16>>(MAILBOXES, 64 << 10),
                ],
                round_trip_peers(64 << 10),
            ],
        ),
        group(
            "Round trip, asleep, same core, 64 B",
            [
                vec![
                    play::<Waiting>(RING, ONE_CORE)
                        .at_most(1.02, Peer(FUTEXES))
                        .stretch(0.62),
                ],
                asleep(ONE_CORE),
            ],
        ),
        group(
            "Round trip, asleep, two cores, the other thinks 200 µs, 64 B",
            [
                vec![play::<Waiting>(RING, THINKING).at_most(1.05, Peer(FUTEXES))],
                asleep(THINKING),
            ]
            .map(one_by_one),
        ),
    ]
}

fn streams() -> Vec<Group> {
    vec![
        group(
            "Streaming, 64 B",
            [
                vec![
                    stream::<OneSender>(RING, Streaming::of(64))
                        .at_most(5.5, Nanoseconds)
                        .at_most(1.0, Peer(AERON)),
                ],
                streaming_peers(64),
            ],
        ),
        group(
            "Streaming, 1 KiB",
            [
                vec![stream::<OneSender>(RING, Streaming::of(1 << 10)).at_most(31.0, Nanoseconds)],
                streaming_peers(1 << 10),
            ],
        ),
        group(
            "Streaming, 64 KiB",
            [
                vec![
                    stream::<OneSender>(RING, Streaming::of(64 << 10))
                        .at_most(950.0, Nanoseconds)
                        .at_most(1.0, Peer(RTRB)),
                ],
                streaming_peers(64 << 10),
            ],
        ),
        group(
            "Streaming, 64 B, four senders on one core",
            [vec![
                stream::<OneSender>(RING, Streaming::of(64)),
                stream::<ManySenders>("shmkey::Ring for many, one sender", Streaming::of(64)),
                stream::<ManySenders>("shmkey::Ring, four", Streaming::from(4, true))
                    .at_most(2.0, Peer(RING))
                    .batches(5, LONG),
                stream::<ManySenders>("shmkey::Ring, four, unpinned", Streaming::from(4, false))
                    .at_most(2.0, Peer(RING))
                    .batches(5, LONG),
            ]],
        ),
    ]
}

fn latest_values() -> Vec<Group> {
    vec![
        group(
            "Latest, 64 B: reading",
            [vec![
                Entry::new(LATEST, reading::<Latest>).at_most(2.0, Peer(COPYING)),
                Entry::new(COPYING, copying),
                Entry::new("seqlock, one process", reading::<Shared<SeqLock>>),
            ]],
        ),
        group(
            "Latest, 64 B: publishing back to back",
            [vec![
                Entry::new(LATEST, |cpus, amount| publishing::<Latest>(0, cpus, amount))
                    .at_most(1.5, Peer("seqlock")),
                Entry::new("shmkey::Latest, 8 readers", |cpus, amount| {
                    publishing::<Latest>(8, cpus, amount)
                })
                .at_most(1.3, Peer(LATEST)),
                Entry::new("seqlock", |cpus, amount| {
                    publishing::<Shared<SeqLock>>(0, cpus, amount)
                }),
                Entry::new("seqlock, 8 readers", |cpus, amount| {
                    publishing::<Shared<SeqLock>>(8, cpus, amount)
                }),
            ]],
        ),
        group(
            "Latest, 64 B: publishing each microsecond",
            [vec![
                Entry::new("the clock alone", nothing).batches(1, PACED),
                Entry::new(LATEST, |cpus, amount| paced::<Latest>(0, cpus, amount))
                    .batches(1, PACED),
                Entry::new("shmkey::Latest, 8 readers", |cpus, amount| {
                    paced::<Latest>(8, cpus, amount)
                })
                .at_most(1.3, Peer(LATEST))
                .batches(1, PACED),
                Entry::new("seqlock", |cpus, amount| {
                    paced::<Shared<SeqLock>>(0, cpus, amount)
                })
                .batches(1, PACED),
                Entry::new("seqlock, 8 readers", |cpus, amount| {
                    paced::<Shared<SeqLock>>(8, cpus, amount)
                })
                .batches(1, PACED),
            ]],
        ),
    ]
}

fn locks() -> Vec<Group> {
    vec![
        group(
            "Mutex, lock and unlock, uncontended",
            [vec![
                Entry::new("robust pthread mutex", alone::<posix::RobustMutex>),
                Entry::new("shmkey::Mutex", alone::<shmkey::Mutex<u64>>)
                    .at_most(0.8, Peer("robust pthread mutex")),
            ]],
        ),
        group(
            "Mutex, lock and unlock, two processes",
            [vec![
                Entry::new("robust pthread mutex", contended::<posix::RobustMutex>),
                Entry::new("shmkey::Mutex", contended::<shmkey::Mutex<u64>>)
                    .at_most(1.0, Peer("robust pthread mutex")),
            ]],
        ),
        group(
            "Semaphore, wait and post, uncontended",
            [vec![
                Entry::new("sem_t", alone::<posix::Semaphore>),
                Entry::new("shmkey::Semaphore", alone::<shmkey::Semaphore>)
                    .at_most(1.0, Peer("sem_t")),
            ]],
        ),
    ]
}

/// As much as one of several that take turns on a CPU needs for several turns.
const LONG: Duration = Duration::from_millis(20);
/// Publishing is timed one by one there; this makes some thousand.
const PACED: Duration = Duration::from_micros(100);

const ONE_CORE: RoundTrip = RoundTrip {
    size: 64,
    same_core: true,
    thinking: Duration::ZERO,
};
/// Longer than any wait spins.
const THINKING: RoundTrip = RoundTrip {
    size: 64,
    same_core: false,
    thinking: Duration::from_micros(200),
};

/// Each operation is a batch: the median is that of single ones.
fn one_by_one(entries: Vec<Entry>) -> Vec<Entry> {
    let alone = |entry: Entry| entry.batches(51, Duration::ZERO);
    entries.into_iter().map(alone).collect()
}

fn group<const N: usize>(title: &'static str, entries: [Vec<Entry>; N]) -> Group {
    Group {
        title,
        entries: entries.into_iter().flatten().collect(),
    }
}

fn round_trip<D: Duplex + 'static>(name: &'static str, size: usize) -> Entry {
    play::<D>(name, RoundTrip::of(size))
}

fn play<D: Duplex + 'static>(name: &'static str, game: RoundTrip) -> Entry {
    Entry::new(name, move |cpus, amount| game.measure::<D>(cpus, amount))
}

fn stream<C: Channel + 'static>(name: &'static str, streaming: Streaming) -> Entry {
    Entry::new(name, move |cpus, amount| {
        streaming.measure::<C>(cpus, amount)
    })
}

fn round_trip_peers(size: usize) -> Vec<Entry> {
    vec![
        round_trip::<Two<Flag>>("bare flags, a line each way", size),
        round_trip::<OneFlag>("bare flag, one line", size),
        round_trip::<Two<Rtrb>>(RTRB, size),
        #[cfg(feature = "shmem-ipc")]
        round_trip::<Two<ShmemIpc<false>>>("shmem-ipc", size),
        #[cfg(feature = "aeron")]
        round_trip::<Two<Aeron>>(AERON, size),
        #[cfg(feature = "iceoryx2")]
        round_trip::<Two<Iceoryx<true>>>("iceoryx2", size),
        #[cfg(feature = "iceoryx2")]
        round_trip::<Two<Iceoryx<false>>>("iceoryx2, nothing copied", size),
        #[cfg(feature = "boost")]
        round_trip::<Two<Boost<false>>>("Boost.Interprocess", size),
        round_trip::<Two<Pipe>>("pipe (sleeps)", size),
    ]
}

fn asleep(game: RoundTrip) -> Vec<Entry> {
    vec![
        play::<Two<Futex>>(FUTEXES, game),
        play::<Two<Pipe>>("pipe", game),
        #[cfg(feature = "shmem-ipc")]
        play::<Two<ShmemIpc<true>>>("shmem-ipc", game),
        #[cfg(feature = "boost")]
        play::<Two<Boost<true>>>("Boost.Interprocess", game),
    ]
}

fn streaming_peers(size: usize) -> Vec<Entry> {
    let streaming = Streaming::of(size);
    vec![
        stream::<Rtrb>(RTRB, streaming),
        #[cfg(feature = "shmem-ipc")]
        stream::<ShmemIpc<false>>("shmem-ipc", streaming),
        #[cfg(feature = "aeron")]
        stream::<Aeron>(AERON, streaming),
        #[cfg(feature = "iceoryx2")]
        stream::<Iceoryx<true>>("iceoryx2", streaming),
        #[cfg(feature = "boost")]
        stream::<Boost<false>>("Boost.Interprocess", streaming),
        stream::<Pipe>("pipe", streaming),
    ]
}
