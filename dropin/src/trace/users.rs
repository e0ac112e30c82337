//! Who has a segment attached, as `/proc` tells it of the processes that this user may look into.

use crate::{explain::Times, sys};
use core::{ffi::c_int, fmt, ops::ControlFlow};

/// The other processes that have a segment attached. `count` is how often they have it, which the
/// kernel says even where they cannot be looked into.
pub(super) struct Users {
    pub id: c_int,
    pub count: u64,
    /// Whether to look for them.
    pub name: bool,
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// So many are named.
        const NAMED: u32 = 4;
        if self.count == 0 {
            return f.write_str("no other process has attached");
        }
        let (mut found, mut written) = (0, Ok(()));
        let mut look = |pid| {
            if pid == sys::process_id() || sys::attached_in(pid, self.id).is_none() {
                return ControlFlow::Continue(());
            }
            found += 1;
            written = match found {
                1 => write!(f, "is attached by process {pid}"),
                2..=NAMED => write!(f, ", process {pid}"),
                _ => f.write_str(" and others"),
            };
            if found <= NAMED && written.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        if self.name {
            let _ = sys::for_each_process(&mut look);
        }
        written?;
        match found {
            1.. => Ok(()),
            0 => write!(f, "is attached elsewhere, {}", Times(self.count)),
        }
    }
}
