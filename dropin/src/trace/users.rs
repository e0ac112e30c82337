//! Who has a segment attached, as `/proc` tells it of the processes that this user may look into.

use crate::sys::{self, Descriptor, Errno, Path};
use core::{
    ffi::{CStr, c_int},
    fmt,
    ops::ControlFlow,
    str,
};

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
            return f.write_str("nobody else has attached");
        }
        let (mut found, mut written) = (0, Ok(()));
        let mut look = |pid| {
            if pid == sys::process_id() || !has_attached(pid, self.id) {
                return ControlFlow::Continue(());
            }
            found += 1;
            written = match found {
                1 => write!(f, "is attached by process {pid}"),
                2..=NAMED => write!(f, ", process {pid}"),
                _ => f.write_str(" and others"),
            };
            match found <= NAMED && written.is_ok() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        if self.name {
            let _ = for_each_process(&mut look);
        }
        written?;
        match found {
            1.. => Ok(()),
            0 => write!(
                f,
                "is attached elsewhere, {}",
                super::words::Times(self.count)
            ),
        }
    }
}

/// Whether a process has a segment attached; false if that cannot be told.
fn has_attached(pid: c_int, id: c_int) -> bool {
    let mut found = false;
    if let Some(path) = Path::new(format_args!("/proc/{pid}/maps")) {
        let _ = sys::for_each_line(path.as_c_str(), |line| {
            found = sys::is_of_segment(line, id);
            match found {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
    }
    found
}

/// Hands over the ids of all processes that `/proc` shows.
fn for_each_process(mut each: impl FnMut(c_int) -> ControlFlow<()>) -> Result<(), Errno> {
    let directory = Descriptor::open(c"/proc")?;
    let mut buffer = [0; 1024];
    loop {
        let mut entries = match directory.read_directory(&mut buffer)? {
            0 => return Ok(()),
            len => &buffer[..len],
        };
        // A struct linux_dirent64: its length in bytes 16 and 17, its name from byte 19 on.
        while let Some(&[low, high]) = entries.get(16..18) {
            let len = usize::from(u16::from_ne_bytes([low, high]));
            let name = entries.get(19..len).unwrap_or_default();
            let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
            let pid = str::from_utf8(name.to_bytes())
                .ok()
                .and_then(|name| name.parse().ok());
            if pid.is_some_and(|pid| each(pid).is_break()) {
                return Ok(());
            }
            // No entry is empty; should one say so, this is the end.
            entries = entries.get(len.max(1)..).unwrap_or_default();
        }
    }
}
