//! The bridge: carries shmkey's objects between machines, over Zenoh.
//!
//! ```text
//!   processes ──▶ object ──▶ outgoing ──▶ Zenoh ═══ network ═══ Zenoh ──▶ incoming ──▶ object ──▶ processes
//!                              ▲                                            │
//!                              └──────────── what is delivered ◀────────────┘
//! ```
//!
//! | module | what |
//! |---|---|
//! | `options` | the command line |
//! | `network` | the session with Zenoh, and the keys of objects |
//! | `description` | what an object is, so that both machines have the same |
//! | `wire` | packets |
//! | `outgoing` | an object that is published |
//! | `incoming` | an object that is subscribed to |
//! | `refusals` | the log of what is refused: one line for each peer and reason |
//! | `latest` | a latest value whose size is known only at run time |
//! | `slice` | the time slice of the bridge's threads |
//! | `counters`, `status` | what the bridge counts, and how it is read |

pub mod counters;
pub mod description;
pub mod incoming;
pub mod latest;
pub mod network;
pub mod options;
pub mod outgoing;
pub mod refusals;
pub mod slice;
pub mod status;
pub mod wire;

use shmkey::{ErrorKind, Segment};
use std::{
    fmt, io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often bridges tell each other that they live.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// The longest wait of a thread that must also notice other things.
const TICK: Duration = Duration::from_millis(100);

/// Why something failed, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! from_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure(error.to_string())
            }
        })*
    };
}

from_errors!(shmkey::Error, zenoh::Error, io::Error, lexopt::Error);

/// Returns whether an error of the library only means that there is nothing, or no room, now.
fn is_only_late(kind: ErrorKind) -> bool {
    use ErrorKind::{Cancelled, Closed, Interrupted, PeerDied, TimedOut, WouldBlock};
    matches!(
        kind,
        WouldBlock | TimedOut | Closed | PeerDied | Interrupted | Cancelled
    )
}

/// Returns whether a segment was removed, so that its name may belong to another one.
fn is_removed(segment: &Segment) -> bool {
    segment.status().map_or(true, |status| status.removed)
}

/// Locks a mutex. A thread that panicked while it held the lock has reported that; what the lock protects is still
/// valid after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
