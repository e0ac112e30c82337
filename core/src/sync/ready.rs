//! The handshake by which one process creates an object, and all others wait until it is ready.
//!
//! A new segment is all zero. The first thread that swaps its own number into *creator* creates the object; the others
//! wait for *ready*. If the creator dies before that, another thread swaps its number for the dead one's, and starts
//! again.

use super::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

/// The words of the handshake, in a header.
pub struct Ready<'a> {
    pub magic: &'a AtomicU64,
    /// 0, then `CREATING`, then [`READY`].
    pub state: &'a AtomicU32,
    /// The number of the thread that creates the object, or has created it; 0 if there is none.
    pub creator: &'a AtomicU64,
}

/// The state of an object, as one thread sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The segment holds something else.
    Foreign,
    /// The state is none of those that this version knows.
    Damaged,
    /// It is not ready. Contains the word `state`, so that the caller can wait until it changes.
    Unready(u32),
    Ready,
}

pub const MAGIC: u64 = u64::from_ne_bytes(*b"shmkey\r\n");

const CREATING: u32 = 1;
pub const READY: u32 = 2;

impl Ready<'_> {
    /// Returns the state. `is_blank` must return whether the rest of the header is zero.
    pub fn look(&self, is_blank: impl Fn() -> bool) -> State {
        // Acquire: pairs with the release store of *ready* in `create`, so that the whole object is visible.
        let state = self.state.load(Acquire);
        match self.magic.load(Acquire) {
            MAGIC if state == READY => State::Ready,
            MAGIC if state > READY => State::Damaged,
            MAGIC => State::Unready(state),
            0 if is_blank() => State::Unready(state),
            // Either this is something foreign, or the creator began after the magic was read. It writes the magic
            // first, so a thread that has seen another word of it sees the magic after this fence, which pairs with
            // the release fence in `create`.
            _ => {
                fence(Acquire);
                match self.magic.load(Relaxed) {
                    MAGIC => State::Unready(self.state.load(Relaxed)),
                    _ => State::Foreign,
                }
            }
        }
    }

    /// Tries to become the creator, and then creates the object by `write`. Returns whether the object is ready; if
    /// not, another thread, which may be live, is the creator.
    ///
    /// `write` gets whether a dead creator has begun, and may have left any bytes.
    pub fn create(&self, me: u64, is_dead: impl Fn(u64) -> bool, write: impl FnOnce(bool)) -> bool {
        // Acquire: pairs with the release below, so that the namespaces of the creator's process are visible to
        // `is_dead`.
        let creator = self.creator.load(Acquire);
        if creator != 0 && !is_dead(creator) {
            return false;
        }
        // Acquire: what a dead creator wrote comes before what this thread writes over it. Release: pairs with the
        // acquire above: a thread that sees this number sees what this process wrote before, its namespaces.
        if self
            .creator
            .compare_exchange(creator, me, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        // A dead creator may have finished. Acquire: as in `look`.
        if self.state.load(Acquire) == READY {
            return true;
        }
        self.magic.store(MAGIC, Relaxed);
        // Release: pairs with the acquire fence in `look`: the magic comes before all other words.
        fence(Release);
        // Relaxed, also in `write`: the store of *ready* releases all of it.
        self.state.store(CREATING, Relaxed);
        write(creator != 0);
        // Release: pairs with the acquire in `look`: a thread that sees *ready* sees the whole object.
        self.state.store(READY, Release);
        true
    }
}
