//! Waiting for one of several objects.
//!
//! A thread announces its sleep at each object, as it does when it waits for a single one, checks all of them once
//! more, and sleeps on all their words at once (`futex_waitv(2)`), and on those of the handles' cancellations. Where
//! the kernel cannot do that, or the words are too many, the thread polls the objects' descriptors.

use crate::{
    Error, ErrorKind, Latest, Plain, Receiver, Semaphore, Subscriber, TypedReceiver,
    error::Action,
    memory::Shared,
    object::{
        Object,
        broadcast::{RawBroadcast, SubscribeEnd},
        latest::{Newer, RawLatest},
        ring::{RawRing, ReceiveEnd},
    },
    sync::{self, Deadline, Ended, Interrupt, Sleep, wait},
    sys::{self, waitv::Word},
};
use core::{cell::Cell, time::Duration};
use std::os::fd::{AsRawFd, RawFd};

/// The largest number of objects that a thread can wait for.
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

    /// Returns whether it is ready only because its peers are gone.
    fn is_deserted(&mut self) -> bool {
        match self {
            At::Ring(raw, end) => raw.is_deserted(end),
            At::Broadcast(raw, end) => raw.is_deserted(end),
            At::Semaphore(_) | At::Latest(..) => false,
        }
    }

    /// Fails if the object has a role that this process does not have, such as in a child of the process that has it.
    fn expect_ours(&self) -> Result<(), Error> {
        match self {
            At::Ring(raw, end) => raw.expect_receiver(end),
            At::Broadcast(raw, end) => raw.expect_subscriber(end),
            At::Semaphore(_) | At::Latest(..) => Ok(()),
        }
    }

    /// Announces a sleep. Returns the word to sleep on, and the position of the next message: the thread may sleep only
    /// if the position is still the same after the announcement.
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

    /// Ends an announced sleep.
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

    fn object(&self) -> &Object {
        match self {
            At::Ring(raw, _) => raw.object(),
            At::Semaphore(semaphore) => semaphore.object(),
            At::Latest(raw, _) => raw.object(),
            At::Broadcast(raw, _) => raw.object(),
        }
    }

    /// Returns what ends the waits of the handle.
    fn interrupt(&self) -> &Shared<Interrupt> {
        match self {
            At::Ring(_, end) => end.interrupt(),
            At::Semaphore(_) | At::Latest(..) => self.object().interrupt(),
            At::Broadcast(_, end) => end.interrupt(),
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

    /// Makes the descriptor unreadable, unless the object is ready. Returns whether it is ready.
    fn rearm(&mut self) -> bool {
        match self {
            At::Ring(raw, end) => raw.rearm(end),
            At::Semaphore(semaphore) => semaphore.rearm(),
            At::Latest(raw, seen) => raw.rearm(*seen),
            At::Broadcast(raw, end) => raw.rearm(end),
        }
    }
}

/// Waits until one of several objects is ready: until it has a message, a count above 0 or a newer value, or its peer
/// has released its role or died. Waits at most this time on the monotonic clock, or without limit. Returns the index
/// of an object whose `try_` form would not block now. Receives nothing from that object, so another thread may receive
/// first.
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
/// *Fairness.* A thread's search begins with the object after the one that its last call returned, so an object that is
/// always ready does not hide the others.
///
/// *Cost.* Waiting spins for about 30 µs and then sleeps, as for one object. A peer that wakes the thread makes one
/// system call. The death of a peer is noticed as in a wait for that object alone. Before Linux 5.16, or where a
/// seccomp filter forbids `futex_waitv(2)`, the thread creates and polls a descriptor of each object (see
/// [`Receiver::fd`]; each takes three descriptors of the process).
///
/// *Ending the wait.* A cancellation of one of the handles ends the wait, or the next one, and the error names the
/// object. It also does so if an object is ready only because its peers have released their roles or died; the next
/// call then returns that object. A signal handler ends the wait if one of the handles allows that
/// ([`Receiver::set_interruptible`]) and the handler was installed without `SA_RESTART`.
///
/// # Errors
/// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), or with a time of zero [`WouldBlock`](ErrorKind::WouldBlock)
/// (`EAGAIN`), if no object was ready in time; [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and
/// [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a signal handler or a [`Canceller`](crate::Canceller) has ended
/// the wait; [`InvalidArgument`](ErrorKind::InvalidArgument) (`EINVAL`) if there is no object, or more than 128; in a
/// child made by `fork`, [`Busy`](ErrorKind::Busy) (`EBUSY`) for a receiver of its parent, and
/// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) for a subscriber of its parent; those of [`Receiver::fd`] where
/// descriptors are needed.
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
    Err(Error::number_of_objects(count))
}

thread_local! {
    /// The index after that of the object that this thread found last.
    static NEXT: Cell<usize> = const { Cell::new(0) };
}

/// Waits until one of several objects, none of which is `None`, is ready. Returns its index.
pub(crate) fn wait_at_any(
    objects: &mut [Option<At<'_>>],
    deadline: Deadline,
) -> Result<usize, Error> {
    for object in objects.iter().flatten() {
        object.expect_ours()?;
    }
    // One handle that a signal handler may interrupt is enough.
    let mut interrupts = objects.iter().flatten().map(At::interrupt);
    let by_signals = interrupts.find(|interrupt| interrupt.by_signals()).cloned();
    let deadline = match &by_signals {
        Some(interrupt) => deadline.or_at(interrupt),
        None => deadline,
    };
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
            // The next call still finds that the peers are gone, but a cancellation would wait for ever.
            if !matches!(deadline, Deadline::Now)
                && objects[index].as_mut().is_some_and(At::is_deserted)
            {
                expect_not_cancelled(objects)?;
            }
            NEXT.set(index + 1);
            Ok(index)
        }
        None => Err(late(deadline)),
    }
}

#[cold]
fn late(deadline: Deadline) -> Error {
    let kind = match deadline.why_ended() {
        Ended::AtOnce => ErrorKind::WouldBlock,
        Ended::TimedOut => ErrorKind::TimedOut,
        Ended::Interrupted => ErrorKind::Interrupted,
        Ended::Cancelled => ErrorKind::Cancelled,
    };
    Error::none_of_several(kind, "wait for several objects")
}

/// Fails if one of the handles is cancelled, which ends that cancellation.
fn expect_not_cancelled(objects: &[Option<At<'_>>]) -> Result<(), Error> {
    let mut objects = objects.iter().flatten();
    let Some(cancelled) = objects.find(|at| at.interrupt().is_cancelled()) else {
        return Ok(());
    };
    // If it is over already, another wait of this handle has ended by it, too.
    cancelled.interrupt().take();
    let error = cancelled.object().error(ErrorKind::Cancelled);
    Err(error.during(Action::Wait))
}

/// Returns the index of the first object for which `is_so` returns true. The search begins at `first`, and continues at
/// 0 after the last object.
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

/// Sleeps until an object is ready. Returns its index; `None` if the deadline has passed, or a signal handler has ended
/// the wait.
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
        let count = add_cancellations(objects, &mut words);
        if !sync::heavy_barrier() {
            sleep.stay_light();
        }
        let mut found = find(objects, first, At::is_ready);
        let mut slept = Some(true);
        let moved = |(object, position): (&At<'_>, &u64)| object.position() != *position;
        if objects.iter().flatten().zip(&positions).any(moved) {
            // A hostile process can move a position in each round.
            slept = Some(sleep.is_in_time());
        } else if found.is_none() {
            slept = count.and_then(|count| sleep.on_any(&words[..count]));
            found = find(objects, first, At::is_ready);
        }
        objects.iter().flatten().for_each(At::withdraw);
        if found.is_some() {
            return Ok(found);
        }
        expect_not_cancelled(objects)?;
        match slept {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => return poll(objects, first, &mut sleep),
        }
    }
}

/// Adds the words of cancellations to those of the objects. Returns how many words there are; `None` if they are too
/// many.
fn add_cancellations(objects: &[Option<At<'_>>], words: &mut [Word; MOST]) -> Option<usize> {
    let mut count = objects.len();
    let handles = objects.iter().flatten();
    for cancelled in handles.filter_map(|at| at.interrupt().word()) {
        *words.get_mut(count)? = Word::own(cancelled, 0);
        count += 1;
    }
    Some(count)
}

/// Sleeps as `sleep` does, but by polling the objects' descriptors.
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
        // A cancellation after this has made a descriptor readable.
        expect_not_cancelled(objects)?;
        let slept = sleep.for_slice(|_, time| Some(sys::poll(&descriptors[..count], time)));
        if slept == Some(false) {
            // The deadline has passed, or a signal handler has run.
            return Ok(find(objects, first, At::is_ready));
        }
    }
}
