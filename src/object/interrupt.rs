//! Ending a wait before its event, for Rust: [`Canceller`], and the methods that every handle has.

use crate::{
    Error, ErrorKind,
    memory::{OutOfMemory, Shared},
    sync::Interrupt,
};

/// The methods about ending a wait, for every handle that waits: `interrupt_methods!(self, self.object.interrupt())`.
macro_rules! interrupt_methods {
    ($self:ident, $interrupt:expr) => {
        /// Sets whether a signal handler that runs during a wait ends it: the call then fails with
        /// [`Interrupted`](crate::ErrorKind::Interrupted) (`EINTR`), and has changed nothing. By default, signals do
        /// not end waits.
        ///
        /// A handler that runs just before the wait, or between two of its sleeps (of at most 250 ms each), does not
        /// end it; a [`Canceller`](crate::Canceller) does. A handler that was installed with `SA_RESTART` ends a wait,
        /// too, unless [`canceller`](Self::canceller) was called before.
        pub fn set_interruptible(&$self, on: bool) {
            $interrupt.set_by_signals(on);
        }

        /// Returns a [`Canceller`](crate::Canceller), with which another thread or a signal handler can end a wait of
        /// this handle.
        #[must_use]
        pub fn canceller(&$self) -> $crate::Canceller {
            $crate::Canceller::of($interrupt)
        }
    };
}

/// Returns what ends the waits of an end: its handle's, or one of its own.
pub(crate) fn of_end(
    handles: Option<&Shared<Interrupt>>,
) -> Result<Shared<Interrupt>, OutOfMemory> {
    match handles {
        Some(handles) => Ok(handles.clone()),
        None => Shared::new(Interrupt::default()),
    }
}

/// Returns the result of a batch of which this many messages were passed, and which an error has ended: the error, if it
/// was the first message; otherwise the next call returns it, and so a cancellation is kept.
pub(crate) fn end_of_batch(
    passed: usize,
    error: Error,
    interrupt: &Interrupt,
) -> Result<usize, Error> {
    if passed == 0 {
        return Err(error);
    }
    if error.kind() == ErrorKind::Cancelled {
        interrupt.keep();
    }
    Ok(passed)
}

/// Ends the waits of a handle, from another thread or a signal handler. Each handle has a method `canceller` that
/// returns one, such as [`Receiver::canceller`](crate::Receiver::canceller).
///
/// ```
/// use shmkey::{ErrorKind, Semaphore};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a canceller {}", std::process::id());
/// let jobs = Semaphore::open(&name, 0)?;
/// let stop = jobs.canceller();
/// std::thread::spawn(move || stop.cancel());
///
/// let error = jobs.wait().unwrap_err(); // even if `cancel` was called before the wait began
/// assert_eq!(error.kind(), ErrorKind::Cancelled);
/// # jobs.remove()
/// # }
/// ```
///
/// [`cancel`](Canceller::cancel) ends the waits of the handle that are under way, at least one of them. If none is, it
/// ends the next one: a cancellation is kept until it has ended a wait, so one that comes just before a wait begins is
/// not lost. Two cancellations before a wait end only that wait.
///
/// The call that waits fails with [`Cancelled`](crate::ErrorKind::Cancelled) (`ECANCELED`), and the object is as after
/// a timeout: no message, count or lock is lost. A call that need not wait succeeds, and the cancellation is kept for a
/// later one; so a loop whose calls never wait must also check a flag of its own. A call that finds its peers gone takes
/// the cancellation; the next one says that they are gone. If several threads wait with one handle and all of them must
/// end, each of them calls `cancel` before it ends, which passes the cancellation on.
///
/// *Descriptors*: a cancellation makes the descriptor of the handle readable (see
/// [`Receiver::fd`](crate::Receiver::fd)). Then the next try that would block, or that finds its peers gone, fails with
/// [`Cancelled`](crate::ErrorKind::Cancelled) instead. If the handle has no descriptor, its tries are not cancelled.
/// [`wait_any`](crate::wait_any) counts as a wait of each of its objects.
///
/// *Time*: a wait that began before the first call of `canceller` can take 250 ms to end, and later ones end at once.
/// Before Linux 5.16, or under a seccomp filter that forbids `futex_waitv(2)`, they end within 8 ms, and a handle with
/// a canceller wakes up every 8 ms while it waits.
///
/// *Threads*: any. *Fork*: a child has a canceller of its own for its copy of the handle, and a copy of a kept
/// cancellation. *Signals*: `cancel` is safe in a signal handler, and does not change errno; creating, cloning and
/// dropping a canceller are not.
#[derive(Clone, Debug)]
pub struct Canceller(Shared<Interrupt>);

impl Canceller {
    pub(crate) fn of(interrupt: &Shared<Interrupt>) -> Canceller {
        interrupt.allow_cancelling();
        Canceller(interrupt.clone())
    }

    /// Ends the waits of the handle that are under way, or the next one. Makes one system call, and another one if the
    /// handle has a descriptor.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
