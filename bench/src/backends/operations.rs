//! What is measured on each backend.

use super::Row;
use crate::{
    latest::{Value, reading},
    locks::alone,
    ours::Ring,
    peers::Two,
    processes::{Cpus, Failure},
    roundtrip::RoundTrip,
    stopwatch::Amount,
    streaming::Streaming,
};
use shmkey::{Attachment, Key, Segment, sysv};
use std::{
    hint::black_box,
    io,
    mem::MaybeUninit,
    ptr,
    time::{Duration, Instant},
};

/// Runs an operation as often as the argument says. Returns the nanoseconds of one operation.
pub type Operation = Box<dyn FnMut(u64) -> Result<f64, Failure>>;

const PAGE: usize = 4096;
const MANY: usize = 4_000;
/// The first of the keys, which is arbitrary.
const KEY: i32 = 0x7b5c_0001;

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_millis(40);

const fn row(name: &'static str, goal: f64, prepare: fn() -> Result<Operation, Failure>) -> Row {
    Row {
        name,
        rounds: 101,
        sample: SHORT,
        goal: Some(goal),
        growth: None,
        prepare,
    }
}

/// A row with 4,000 segments.
const fn grown(name: &'static str, of: usize, prepare: fn() -> Result<Operation, Failure>) -> Row {
    Row {
        name,
        rounds: 101,
        sample: SHORT,
        goal: None,
        growth: Some((of, 1.5)),
        prepare,
    }
}

/// A row of an object, which a backend must not slow down.
const fn object(name: &'static str, prepare: fn() -> Result<Operation, Failure>) -> Row {
    Row {
        name,
        rounds: 31,
        sample: LONG,
        goal: Some(1.05),
        growth: None,
        prepare,
    }
}

pub const ROWS: [Row; 14] = [
    row("create, attach, write, detach, remove: 64 KiB", 1.5, || {
        lives(64 << 10)
    }),
    row("create, attach, write, detach, remove: 1 MiB", 1.5, || {
        lives(1 << 20)
    }),
    Row {
        rounds: 15,
        ..row("create, attach, write, detach, remove: 1 GiB", 1.0, || {
            lives(1 << 30)
        })
    },
    row("attach, detach", 2.0, attach_and_detach),
    row("lookup by key, one segment", 3.0, || lookup(1)),
    grown("lookup by key, 4,000 segments", 4, || lookup(MANY)),
    Row {
        goal: None,
        ..row("nattch (IPC_STAT), one segment", 0.0, || status(1))
    },
    grown("nattch (IPC_STAT), 4,000 segments", 6, || status(MANY)),
    object("write and read attached memory, 1 MiB", access),
    object("Ring: round trip, 64 B", || {
        measured(|cpus, amount| RoundTrip::of(64).measure::<Two<Ring<true, false>>>(cpus, amount))
    }),
    object("Ring: round trip, 1 KiB", || {
        measured(|cpus, amount| RoundTrip::of(1024).measure::<Two<Ring<true, false>>>(cpus, amount))
    }),
    object("Ring: stream, 1 KiB", || {
        measured(|cpus, amount| Streaming::of(1024).measure::<Ring<true, false>>(cpus, amount))
    }),
    object("Latest: read, 64 B", || {
        measured(reading::<shmkey::Latest<Value>>)
    }),
    object("Mutex: lock and unlock", || {
        measured(alone::<shmkey::Mutex<u64>>)
    }),
];

/// Measures an operation that this process repeats.
fn repeated(mut operation: impl FnMut() -> Result<(), Failure> + 'static) -> Operation {
    Box::new(move |count| {
        let start = Instant::now();
        for _ in 0..count {
            operation()?;
        }
        Ok(start.elapsed().as_nanos() as f64 / count as f64)
    })
}

/// Measures an operation of several processes on two processors.
fn measured(measure: fn(Cpus, Amount) -> Result<f64, Failure>) -> Result<Operation, Failure> {
    let cpus = Cpus::first_two()?;
    Ok(Box::new(move |count| {
        let batches = 9;
        let batch = count.div_ceil(batches);
        measure(cpus, Amount { batch, batches })
    }))
}

fn expect(works: bool) -> Result<(), Failure> {
    if works {
        Ok(())
    } else {
        Err(io::Error::last_os_error().into())
    }
}

/// The whole life of a segment, with a write to each of its pages.
fn lives(size: usize) -> Result<Operation, Failure> {
    Ok(repeated(move || {
        let id = sysv::shmget(libc::IPC_PRIVATE, size, 0o600);
        expect(id >= 0)?;
        // SAFETY: the backend chooses the address; the writes are within the segment, which no code uses after the
        // detach.
        unsafe {
            let memory = sysv::shmat(id, ptr::null(), 0);
            expect(memory as isize != -1)?;
            for offset in (0..size).step_by(PAGE) {
                memory.cast::<u8>().add(offset).write_volatile(1);
            }
            expect(sysv::shmdt(memory) == 0)?;
            expect(sysv::shmctl(id, libc::IPC_RMID, ptr::null_mut()) == 0)
        }
    }))
}

fn attach_and_detach() -> Result<Operation, Failure> {
    let segment = segments(1)?.remove(0);
    Ok(repeated(move || {
        // SAFETY: the backend chooses the address, and no code uses the memory.
        unsafe {
            let memory = sysv::shmat(segment.id(), ptr::null(), 0);
            expect(memory as isize != -1)?;
            expect(sysv::shmdt(memory) == 0)
        }
    }))
}

/// Finds each segment in turn by its key.
fn lookup(count: usize) -> Result<Operation, Failure> {
    let segments = segments(count)?;
    let mut next = 0;
    Ok(repeated(move || {
        let found = sysv::shmget(KEY + next as i32, 0, 0);
        expect(found == segments[next].id())?;
        next = (next + 1) % segments.len();
        Ok(())
    }))
}

/// Reads the status of each segment in turn. Each segment is attached once.
fn status(count: usize) -> Result<Operation, Failure> {
    let segments = segments(count)?;
    let attached: Result<Vec<Attachment>, _> = segments.iter().map(Segment::attach).collect();
    let attached = attached?;
    let mut next = 0;
    Ok(repeated(move || {
        let mut record = MaybeUninit::<libc::shmid_ds>::uninit();
        let id = attached[next].id();
        // SAFETY: there is room for the record, and it is read only if the call has filled it.
        unsafe {
            expect(sysv::shmctl(id, libc::IPC_STAT, record.as_mut_ptr()) == 0)?;
            expect(record.assume_init_ref().shm_nattch == 1)?;
        }
        next = (next + 1) % segments.len();
        Ok(())
    }))
}

/// Writes and reads the bytes of a segment.
fn access() -> Result<Operation, Failure> {
    const SIZE: usize = 1 << 20;
    let options = Segment::options().create(true).remove_on_drop(true);
    let segment = options.size(SIZE).open(Key::PRIVATE)?;
    let memory = segment.attach()?;
    let mut bytes = vec![1u8; SIZE];
    Ok(repeated(move || {
        let _ = &segment; // until the last measurement
        memory.write_at(0, black_box(&bytes))?;
        memory.read_at(0, black_box(&mut bytes))?;
        Ok(())
    }))
}

/// Creates segments of one page, with consecutive keys.
fn segments(count: usize) -> Result<Vec<Segment>, Failure> {
    let options = Segment::options()
        .create(true)
        .exclusive(true)
        .size(PAGE)
        .remove_on_drop(true);
    let keys = (0..count).map(|number| Key::from_raw(KEY + number as i32));
    let made: Result<Vec<_>, _> = keys.map(|key| options.open(key)).collect();
    Ok(made?)
}
