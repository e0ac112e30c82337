//! What is compared with what, and what our own should reach.

use crate::{
    latest::{copying, nothing, paced, publishing, reading},
    locks::{alone, contended},
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

const SPINS: bool = false;
const SLEEPS: bool = true;

/// All that there is to measure.
pub fn groups() -> Vec<Group> {
    vec![
        group(
            "Round trip, spinning, 64 B",
            [
                vec![
                    round_trip::<Mailbox<8>>("mailbox, 56 B in the flag's line", 56),
                    round_trip::<Mailbox<64>>("copy mailbox", 64),
                ],
                round_trip_peers(64),
            ],
        ),
        group(
            "Round trip, spinning, 1 KiB",
            [
                vec![round_trip::<Mailbox<64>>("copy mailbox", 1 << 10)],
                round_trip_peers(1 << 10),
            ],
        ),
        group(
            "Round trip, spinning, 64 KiB",
            [
                vec![round_trip::<Mailbox<64>>("copy mailbox", 64 << 10)],
                round_trip_peers(64 << 10),
            ],
        ),
        group("Round trip, asleep, same core, 64 B", [asleep(ONE_CORE)]),
        group(
            "Round trip, asleep, two cores, the other thinks 200 µs, 64 B",
            [asleep(THINKING)
                .into_iter()
                .map(|entry| entry.batches(51, Duration::ZERO))
                .collect()],
        ),
        group("Streaming, 64 B", [streaming_peers(64)]),
        group("Streaming, 1 KiB", [streaming_peers(1 << 10)]),
        group("Streaming, 64 KiB", [streaming_peers(64 << 10)]),
        group(
            "Latest, 64 B: reading",
            [vec![
                Entry::new("copying the value", copying),
                Entry::new("seqlock, one process", reading::<Shared<SeqLock>>),
            ]],
        ),
        group(
            "Latest, 64 B: publishing back to back",
            [vec![
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
        group(
            "Mutex, lock and unlock, nobody else",
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
            "Semaphore, wait and post, nobody else",
            [vec![
                Entry::new("sem_t", alone::<posix::Semaphore>),
                Entry::new("shmkey::Semaphore", alone::<shmkey::Semaphore>)
                    .at_most(1.0, Peer("sem_t")),
            ]],
        ),
    ]
}

/// How the time of a run is spent that is not made of batches.
const PACED: Duration = Duration::from_micros(100);

const ONE_CORE: RoundTrip = RoundTrip {
    size: 64,
    same_core: true,
    thinking: Duration::ZERO,
};
/// Longer than anybody spins.
const THINKING: RoundTrip = RoundTrip {
    size: 64,
    same_core: false,
    thinking: Duration::from_micros(200),
};

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
        round_trip::<Two<Rtrb>>("rtrb (threads)", size),
        #[cfg(feature = "shmem-ipc")]
        round_trip::<Two<ShmemIpc<SPINS>>>("shmem-ipc", size),
        #[cfg(feature = "aeron")]
        round_trip::<Two<Aeron>>("Aeron", size),
        #[cfg(feature = "iceoryx2")]
        round_trip::<Two<Iceoryx<true>>>("iceoryx2", size),
        #[cfg(feature = "iceoryx2")]
        round_trip::<Two<Iceoryx<false>>>("iceoryx2, nothing copied", size),
        #[cfg(feature = "boost")]
        round_trip::<Two<Boost<SPINS>>>("Boost.Interprocess", size),
        round_trip::<Two<Pipe>>("pipe (sleeps)", size),
    ]
}

fn asleep(game: RoundTrip) -> Vec<Entry> {
    vec![
        play::<Two<Futex>>("bare futexes", game),
        play::<Two<Pipe>>("pipe", game),
        #[cfg(feature = "shmem-ipc")]
        play::<Two<ShmemIpc<SLEEPS>>>("shmem-ipc", game),
        #[cfg(feature = "boost")]
        play::<Two<Boost<SLEEPS>>>("Boost.Interprocess", game),
    ]
}

fn streaming_peers(size: usize) -> Vec<Entry> {
    let streaming = Streaming::of(size);
    vec![
        stream::<Rtrb>("rtrb (threads)", streaming),
        #[cfg(feature = "shmem-ipc")]
        stream::<ShmemIpc<SPINS>>("shmem-ipc", streaming),
        #[cfg(feature = "aeron")]
        stream::<Aeron>("Aeron", streaming),
        #[cfg(feature = "iceoryx2")]
        stream::<Iceoryx<true>>("iceoryx2", streaming),
        #[cfg(feature = "boost")]
        stream::<Boost<SPINS>>("Boost.Interprocess", streaming),
        stream::<Pipe>("pipe", streaming),
    ]
}
