//! Waiting for one of several objects.
//!
//! A thread announces its sleep at each object, as it does when it waits for one; looks at all of them once more; and
//! sleeps on all their words at once (`futex_waitv(2)`). Where the kernel cannot do that, it polls their descriptors.

use crate::{
    Error, ErrorKind, Latest, Plain, Receiver, Semaphore, Subscriber, TypedReceiver,
    object::{
        broadcast::{RawBroadcast, SubscribeEnd},
        latest::{Newer, RawLatest},
        ring::{RawRing, ReceiveEnd},
    },
    sync::{self, Deadline, Sleep, wait},
    sys::{self, waitv::Word},
};
use core::{cell::Cell, time::Duration};
use std::os::fd::{AsRawFd, RawFd};

/// The largest number of objects.
pub(crate) const MOST: usize = sys::waitv::MAX;

/// An object that [`wait_any`] can wait for: `&mut` to a [`Receiver`], a [`TypedReceiver`] or a [`Subscriber`], to a
/// `&`[`Semaphore`], or to what [`Latest::newer_than`](crate::Latest::newer_than) returns.
pub trait Waitable: private::Waitable {}

impl<T: private::Waitable + ?Sized> Waitable for T {}

pub(crate) mod private {
    /// Only this crate's types are waitable.
    pub trait Waitable {
        #[doc(hidden)]
        fn waiting(&mut self) -> super::Waiting<'_>;
    }
}

/// What a thread waits for at one object.
#[doc(hidden)]
pub struct Waiting<'a>(At<'a>);

pub(crate) enum At<'a> {
    Ring(&'a RawRing, &'a mut ReceiveEnd),
    Semaphore(&'a Semaphore),
    Latest(&'a RawLatest, u64),
    Broadcast(&'a RawBroadcast, &'a mut SubscribeEnd),
}

impl private::Waitable for Receiver {
    fn waiting(&mut self) -> Waiting<'_> {
        Waiting(At::Ring(&self.raw, &mut self.end))
    }
}

impl<T: Plain> private::Waitable for TypedReceiver<T> {
    fn waiting(&mut self) -> Waiting<'_> {
        self.untyped().waiting()
    }
}

impl private::Waitable for Subscriber {
    fn waiting(&mut self) -> Waiting<'_> {
        let (raw, end) = self.raw();
        Waiting(At::Broadcast(raw, end))
    }
}

impl private::Waitable for &Semaphore {
    fn waiting(&mut self) -> Waiting<'_> {
        Waiting(At::Semaphore(self))
    }
}

impl<T: Plain> private::Waitable for Newer<'_, T> {
    fn waiting(&mut self) -> Waiting<'_> {
        Waiting(At::Latest(Latest::raw(self.latest), self.seen))
    }
}

impl At<'_> {
    fn is_ready(&mut self) -> bool {
        match self {
            At::Ring(raw, end) => raw.is_ready(end),
            At::Semaphore(semaphore) => semaphore.value() != 0,
            At::Latest(raw, seen) => raw.is_newer(*seen),
            At::Broadcast(raw, end) => raw.is_ready(end),
        }
    }

    /// Fails in a child of the process that has the role.
    fn expect_ours(&self) -> Result<(), Error> {
        match self {
            At::Ring(raw, end) => raw.expect_receiver(end),
            At::Broadcast(raw, end) => raw.expect_subscriber(end),
            At::Semaphore(_) | At::Latest(..) => Ok(()),
        }
    }

    /// Announces a sleep. Returns the word for it, and a position, without a change of which the thread may sleep.
    fn announce(&mut self) -> (Word, u64) {
        match self {
            At::Ring(raw, end) => raw.announce_sleep(end),
            At::Semaphore(semaphore) => (semaphore.announce_sleep(), 0),
            At::Latest(raw, _) => (raw.announce_sleep(), 0),
            At::Broadcast(raw, end) => raw.announce_sleep(end),
        }
    }

    fn position(&self) -> u64 {
        match self {
            At::Ring(_, end) => end.position(),
            At::Broadcast(_, end) => end.position(),
            At::Semaphore(_) | At::Latest(..) => 0,
        }
    }

    /// Ends a sleep that was announced.
    fn withdraw(&self) {
        if let At::Semaphore(semaphore) = self {
            semaphore.pass_on();
        }
    }

    /// Returns the processor that the peer last ran on, if it is known.
    fn peer(&self) -> Option<u32> {
        match self {
            At::Ring(_, end) => end.sender(),
            At::Broadcast(_, end) => end.publisher(),
            At::Semaphore(_) | At::Latest(..) => None,
        }
    }

    fn descriptor(&self) -> Result<RawFd, Error> {
        let descriptor = match self {
            At::Ring(raw, end) => raw.descriptor(end),
            At::Semaphore(semaphore) => semaphore.fd(),
            At::Latest(raw, _) => raw.descriptor(),
            At::Broadcast(raw, end) => raw.descriptor(end),
        };
        descriptor.map(|descriptor| descriptor.as_raw_fd())
    }

    /// Makes the descriptor unreadable, unless there is something. Returns whether that is so.
    fn rearm(&mut self) -> bool {
        match self {
            At::Ring(raw, end) => raw.rearm(end),
            At::Semaphore(semaphore) => semaphore.rearm(),
            At::Latest(raw, seen) => raw.rearm(*seen),
            At::Broadcast(raw, end) => raw.rearm(end),
        }
    }
}

/// Waits until one of several objects has something: a message, a count, a newer value, or a peer that has ended or died;
/// at most this time on the monotonic clock, or without limit. Returns the index of an object whose `try_` form would
/// not block now. Takes nothing from it: another thread may be faster.
///
/// ```
/// use shmkey::{Latest, Ring, Semaphore, wait_any};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = |kind| format!("example of {kind} with others {}", std::process::id());
/// # let ring = Ring::open(name("a ring"), 4096)?;
/// # let position = Latest::<u64>::open(name("a value"))?;
/// # let stop = Semaphore::open(name("a semaphore"), 0)?;
/// let (mut orders, mut seen) = (ring.receiver()?, 0);
/// # stop.post()?;
/// loop {
///     match wait_any(&mut [&mut orders, &mut position.newer_than(seen), &mut &stop], None)? {
///         0 => println!("{} bytes", orders.try_recv(&mut [0; 1024])?),
///         1 => println!("{:?}", position.read_newer(&mut seen)?),
///         _ => break,
///     }
/// }
/// # ring.remove()?;
/// # position.remove()?;
/// # stop.remove()
/// # }
/// ```
///
/// *Fairness.* A thread's search begins behind the object that it found last, so an object that always has something does
/// not hide the others.
///
/// *Cost.* Waiting spins for about 30 µs and then sleeps, as for one object. A peer that wakes the thread makes one system
/// call. The death of a peer is noticed as in a wait for that object alone. Before Linux 5.16, or
/// where a seccomp filter forbids `futex_waitv(2)`, the thread polls the objects' descriptors, which it makes for that
/// (three for each object, see [`Receiver::fd`]).
///
/// # Errors
/// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), or with a time of zero [`WouldBlock`](ErrorKind::WouldBlock)
/// (`EAGAIN`), if no object had anything in time; [`InvalidArgument`](ErrorKind::InvalidArgument) (`EINVAL`) for
/// no object or more than 128; [`Busy`](ErrorKind::Busy) (`EBUSY`) for a receiver, and
/// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) for a subscriber, of the parent in a child made by `fork`; those of
/// [`Receiver::fd`] where descriptors are needed.
pub fn wait_any(
    objects: &mut [&mut dyn Waitable],
    timeout: Option<Duration>,
) -> Result<usize, Error> {
    let count = objects.len();
    let mut waiting = [const { None }; MOST];
    for (to, object) in waiting.iter_mut().zip(objects) {
        *to = Some(object.waiting().0);
    }
    check(count)?;
    wait_at_any(&mut waiting[..count], Deadline::after(timeout))
}

/// Fails if there are too few or too many objects.
pub(crate) fn check(count: usize) -> Result<(), Error> {
    if (1..=MOST).contains(&count) {
        return Ok(());
    }
    let why = "wait_any waits for 1 to 128 objects";
    Err(Error::invalid("wait for several objects", why))
}

thread_local! {
    /// The index behind the object that this thread has found last.
    static NEXT: Cell<usize> = const { Cell::new(0) };
}

/// Waits for one of several objects, none of which is `None`. Returns its index.
pub(crate) fn wait_at_any(
    objects: &mut [Option<At<'_>>],
    deadline: Deadline,
) -> Result<usize, Error> {
    for object in objects.iter().flatten() {
        object.expect_ours()?;
    }
    let first = NEXT.get() % objects.len().max(1);
    let found = find(objects, first, At::is_ready);
    let found = match found {
        Some(_) => found,
        None if matches!(deadline, Deadline::Now) => None,
        None => stay_awake(objects, first),
    };
    let found = match found {
        Some(index) => Some(index),
        None => sleep(objects, first, deadline)?,
    };
    match found {
        Some(index) => {
            NEXT.set(index + 1);
            Ok(index)
        }
        None => Err(late(deadline)),
    }
}

#[cold]
fn late(deadline: Deadline) -> Error {
    let kind = match deadline {
        Deadline::Now => ErrorKind::WouldBlock,
        _ => ErrorKind::TimedOut,
    };
    Error::none_of_several(kind, "wait for several objects")
}

/// Returns the first object, from one on and round the end, of which `is_so` is true.
fn find<'a>(
    objects: &mut [Option<At<'a>>],
    first: usize,
    mut is_so: impl FnMut(&mut At<'a>) -> bool,
) -> Option<usize> {
    let count = objects.len();
    let mut indexes = (first..count).chain(0..first);
    indexes.find(|&index| objects[index].as_mut().is_some_and(&mut is_so))
}

fn stay_awake(objects: &mut [Option<At<'_>>], first: usize) -> Option<usize> {
    let here = sys::cpu();
    let peers = objects.iter().flatten().map(At::peer);
    let peer = peers.flatten().find(|&peer| Some(peer) == here);
    wait::stay_awake(peer, || find(objects, first, At::is_ready))
}

/// Sleeps until an object has something. Returns its index; `None` if the deadline has passed.
fn sleep(
    objects: &mut [Option<At<'_>>],
    first: usize,
    deadline: Deadline,
) -> Result<Option<usize>, Error> {
    if matches!(deadline, Deadline::Now) {
        return Ok(None);
    }
    let mut sleep = Sleep::until(deadline);
    let mut words = [Word::NONE; MOST];
    let mut positions = [0; MOST];
    loop {
        for (index, object) in objects.iter_mut().flatten().enumerate() {
            (words[index], positions[index]) = object.announce();
        }
        if !sync::heavy_barrier() {
            sleep.stay_light();
        }
        let mut found = find(objects, first, At::is_ready);
        let mut slept = Some(true);
        let moved = |(object, position): (&At<'_>, &u64)| object.position() != *position;
        if found.is_none() && !objects.iter().flatten().zip(&positions).any(moved) {
            slept = sleep.on_any(&words[..objects.len()]);
            found = find(objects, first, At::is_ready);
        }
        objects.iter().flatten().for_each(At::withdraw);
        match slept {
            _ if found.is_some() => return Ok(found),
            Some(true) => {}
            Some(false) => return Ok(None),
            None => return poll(objects, first, &mut sleep),
        }
    }
}

/// Does the same by the objects' descriptors.
#[cold]
fn poll(
    objects: &mut [Option<At<'_>>],
    first: usize,
    sleep: &mut Sleep,
) -> Result<Option<usize>, Error> {
    let mut descriptors = [-1; MOST];
    for (descriptor, object) in descriptors.iter_mut().zip(objects.iter().flatten()) {
        *descriptor = object.descriptor()?;
    }
    let count = objects.len();
    loop {
        if let Some(found) = find(objects, first, At::rearm) {
            return Ok(Some(found));
        }
        let Some(slice) = sleep.slice() else {
            return Ok(None);
        };
        sys::poll(&descriptors[..count], slice);
    }
}
