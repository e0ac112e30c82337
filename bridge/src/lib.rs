//! The bridge: carries shmkey's objects between machines, over Zenoh.
//!
//! ```text
//!   processes ──▶ object ──▶ outgoing ──▶ Zenoh ═══ network ═══ Zenoh ──▶ incoming ──▶ object ──▶ processes
//!                              ▲                                            │
//!                              └──────────── acknowledgements ◀─────────────┘
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `options` | the command line |
//! | `network` | the session with Zenoh, and the keys of objects |
//! | `description` | the description of an object, which two machines compare |
//! | `wire` | packets |
//! | `offer` | the packet that describes an object |
//! | `outgoing` | an object that is published |
//! | `incoming` | an object that is subscribed to |
//! | `refusals` | the log of what is refused, and of bridges that join and end: one line for each peer and reason |
//! | `latest` | a latest value whose size is known only at run time |
//! | `sockets` | when the kernel gives up a connection |
//! | `slice` | the time slice of the bridge's threads |
//! | `counters`, `status` | what the bridge counts, and how it is read |

pub mod counters;
pub mod description;
pub mod incoming;
pub mod latest;
pub mod network;
pub mod offer;
pub mod options;
pub mod outgoing;
pub mod refusals;
pub mod slice;
pub mod sockets;
pub mod status;
pub mod wire;

use shmkey::{ErrorKind, Segment};
use std::{
    fmt, io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often bridges show each other that they are live.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// How long a bridge must be silent before it no longer counts as a peer. If an object allows only one subscribing bridge,
/// another one can take its place from then on.
const SILENT: Duration = Duration::from_secs(5);

/// The longest wait of a thread that also has to check for a stop or a heartbeat.
const TICK: Duration = Duration::from_millis(100);

/// The reason for a failure, as a sentence.
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

/// Returns whether a later attempt may succeed after this kind of error: there is no message, no room or no peer now.
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

/// Locks a mutex, even if a thread has panicked while it held it: the data of this program's mutexes are valid after
/// each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
