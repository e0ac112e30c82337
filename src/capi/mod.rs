//! The C ABI: each function checks what C handed over, calls the library, and translates the
//! answer.
//!
//! `include/shmkey.h` is made from the files of this module, comments included: they are written
//! for readers of that header. Nothing here panics, and nothing unwinds into C.

// What each caller must keep is said in the words of C, where C's readers look for it.
#![allow(clippy::missing_safety_doc)]

mod attach;
mod broadcast;
mod condvar;
mod constants;
mod failure;
mod interrupt;
mod latest;
mod mutex;
mod object;
mod open;
mod place;
mod process;
mod ring;
mod rwlock;
mod semaphore;
mod several;
mod status;
mod version;

pub use attach::*;
pub use broadcast::*;
pub use condvar::*;
pub use constants::*;
pub use failure::{shm_failure, shm_failure_text, shm_last_error, shm_last_failure};
pub use interrupt::{shm_cancel, shm_canceller};
pub use latest::*;
pub use mutex::*;
pub use open::*;
pub use place::shm_place;
pub use process::*;
pub use ring::*;
pub use rwlock::*;
pub use semaphore::*;
pub use several::*;
pub use status::*;
pub use version::*;
