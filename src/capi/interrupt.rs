//! Ending a wait, for C.

use crate::{object::Object, sync::Interrupt};
use core::{ffi::c_int, ptr::NonNull};

/// With this, shm_cancel() ends the waits of one handle. A function such as shm_ring_canceller() returns it. It belongs
/// to the handle.
#[allow(non_camel_case_types)]
#[allow(dead_code, reason = "C has a pointer to the field, under this name")]
pub struct shm_canceller(Interrupt);

/// Ends the waits of a handle that are under way, at least one of them; or the next one, if none is under way. The call
/// that waits fails with ECANCELED, and the object is as after a timeout: no message, count or lock is lost.
///
/// A cancellation is kept until it has ended a wait, so one that comes just before a wait begins is not lost. Two
/// cancellations before a wait end only that wait. A call that need not wait succeeds, and the cancellation is kept; so
/// a loop whose calls never wait must also check a flag of its own. While a cancellation is kept, a call that would
/// fail with EPIPE or EOWNERDEAD fails with ECANCELED instead, which uses up the cancellation; the next call then fails
/// with EPIPE or EOWNERDEAD. If several threads wait with one handle and all of them must end, each of them calls
/// shm_cancel() before it ends, which passes the cancellation on. A child made by fork(2) has a copy of the handle, and
/// of a cancellation that is kept; this call acts on the calling process only.
///
/// If the handle has a descriptor, such as that of shm_ring_fd(), the descriptor becomes readable, and the next call
/// with SHMKEY_NO_WAIT that would fail with EAGAIN, EPIPE or EOWNERDEAD fails with ECANCELED instead. If the handle has
/// no descriptor, its calls with SHMKEY_NO_WAIT are not cancelled. shm_wait_any() counts as a wait of each of its
/// objects.
///
/// canceller: from a function such as shm_ring_canceller(), while its handle is open; NULL does nothing.
/// Threads: any, also in a signal handler. Does not change errno.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_cancel(canceller: *mut shm_canceller) {
    // SAFETY: the caller hands over the canceller of an open handle, or NULL.
    if let Some(interrupt) = unsafe { canceller.cast::<Interrupt>().as_ref() } {
        interrupt.cancel();
    }
}

/// Returns the canceller of a handle, which lives as long as the object.
pub(super) fn canceller(object: &Object) -> NonNull<u8> {
    let interrupt = object.interrupt();
    interrupt.allow_cancelling();
    NonNull::from(&**interrupt).cast()
}

pub(super) fn set_interruptible(object: &Object, on: c_int) -> c_int {
    object.interrupt().set_by_signals(on != 0);
    0
}
