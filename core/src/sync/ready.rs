//! The handshake by which one process makes an object, and all others find it made.
//!
//! A new segment is all zero. A thread that finds it so swaps its own number into *maker* and goes on; the
//! others wait for *ready*. Should the maker die before that, one of them swaps its number for the
//! dead one's, and starts anew.

use super::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

/// The words of the handshake, where they lie in a header.
pub struct Ready<'a> {
    pub magic: &'a AtomicU64,
    /// 0 at first, then being made, then ready.
    pub state: &'a AtomicU32,
    /// The number of the thread that makes it, or has made it.
    pub maker: &'a AtomicU64,
}

/// What an object is seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Something else is there.
    Foreign,
    /// It was made by something that calls its states otherwise.
    Damaged,
    /// No thread has made it, or one is about to. Holds the state's word, to wait for another.
    Unmade(u32),
    Ready,
}

pub const MAGIC: u64 = u64::from_ne_bytes(*b"shmkey\r\n");

const MAKING: u32 = 1;
pub const READY: u32 = 2;

impl Ready<'_> {
    /// Looks. `is_blank` says whether all else in the header is zero.
    pub fn look(&self, is_blank: impl Fn() -> bool) -> State {
        // Acquire: with *ready* comes all that the maker wrote before.
        let state = self.state.load(Acquire);
        match self.magic.load(Acquire) {
            MAGIC if state == READY => State::Ready,
            MAGIC if state > READY => State::Damaged,
            MAGIC => State::Unmade(state),
            0 if is_blank() => State::Unmade(state),
            // Either something foreign, or the maker's first words came while we looked: it writes
            // its magic before all else, so a thread that has seen one of the others sees that now.
            _ => {
                fence(Acquire);
                match self.magic.load(Relaxed) {
                    MAGIC => State::Unmade(self.state.load(Relaxed)),
                    _ => State::Foreign,
                }
            }
        }
    }

    /// Tries to become the maker, and if so makes the object. Whether it is made now; else a thread
    /// else is the maker, who may be alive.
    ///
    /// `write` gets whether another one has begun, and may have left anything.
    pub fn make(&self, me: u64, is_dead: impl Fn(u64) -> bool, write: impl FnOnce(bool)) -> bool {
        // Acquire: with the number comes the namespace of its process.
        let maker = self.maker.load(Acquire);
        if maker != 0 && !is_dead(maker) {
            return false;
        }
        // Acquire: what a dead maker left is overwritten after it was written. Release: as above.
        if self
            .maker
            .compare_exchange(maker, me, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        // The dead one may have come to its end before it died.
        if self.state.load(Acquire) == READY {
            return true;
        }
        self.magic.store(MAGIC, Relaxed);
        // Release: the magic comes before all else (see `look`).
        fence(Release);
        // Relaxed, also for what `write` does: *ready* releases all of it.
        self.state.store(MAKING, Relaxed);
        write(maker != 0);
        // Release: a thread that sees *ready* sees the whole object.
        self.state.store(READY, Release);
        true
    }
}
