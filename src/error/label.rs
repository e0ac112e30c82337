//! The names of objects, kept for errors whose text is asked for later, when the object may be
//! closed.
//!
//! An error has a number instead of a name, because a failed try must not cost an allocation, nor a
//! count that all threads share. The names of closed objects are kept for a while; after that, the text
//! of an error names no object.

use crate::sys;
use core::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// How many names of closed objects are kept.
const KEPT: usize = 64;

struct Names {
    last: u32,
    /// In the order of the numbers.
    open: Vec<(u32, String)>,
    closed: [(u32, String); KEPT],
    /// Where the next one that is closed goes, in place of the one that was closed first.
    next: usize,
}

static NAMES: Mutex<Names> = Mutex::new(Names {
    last: 0,
    open: Vec::new(),
    closed: [const { (0, String::new()) }; KEPT],
    next: 0,
});

/// Returns the names, unless another thread keeps them locked. A thread that was opening an object when
/// `fork` made this process keeps them locked for ever, so this does not wait.
fn names() -> Option<MutexGuard<'static, Names>> {
    const TRIES: u32 = 1000;
    (0..TRIES).find_map(|_| match NAMES.try_lock() {
        Ok(names) => Some(names),
        Err(TryLockError::Poisoned(names)) => Some(names.into_inner()),
        Err(TryLockError::WouldBlock) => {
            sys::yield_now();
            None
        }
    })
}

impl Names {
    /// Returns where the open object with this number is, or where it would be.
    fn place(&self, number: u32) -> Result<usize, usize> {
        self.open
            .binary_search_by_key(&number, |(number, _)| *number)
    }
}

/// Text whose memory may be refused; writing it then fails.
struct Refusable(String);

impl fmt::Write for Refusable {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(text);
        Ok(())
    }
}

/// An open object's name.
#[derive(Debug)]
pub(crate) struct Label(u32);

impl Label {
    /// Keeps a name; if there is no memory for it, errors name the segment's id only.
    pub fn new(name: &impl fmt::Display) -> Label {
        Label::try_new(name).unwrap_or(Label(0))
    }

    fn try_new(name: &impl fmt::Display) -> Option<Label> {
        let mut text = Refusable(String::new());
        write!(text, "{name}").ok()?;
        let mut names = names()?;
        names.open.try_reserve(1).ok()?;
        names.last = names.last.wrapping_add(1).max(1);
        let number = names.last;
        // Numbers begin again after 2³² names, and one of the first may still be in use.
        let place = names.place(number).err()?;
        names.open.insert(place, (number, text.0));
        Some(Label(number))
    }

    /// Returns the number by which errors name it; 0 stands for no name.
    #[inline]
    pub fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        let Some(mut names) = names() else {
            return;
        };
        if let Ok(place) = names.place(self.0) {
            let Names {
                open, closed, next, ..
            } = &mut *names;
            closed[*next] = open.remove(place);
            *next = (*next + 1) % KEPT;
        }
    }
}

/// Writes the name with this number, or `otherwise` where it is not known any more.
pub(crate) fn write_name(
    f: &mut fmt::Formatter<'_>,
    number: u32,
    otherwise: fmt::Arguments<'_>,
) -> fmt::Result {
    if let Some(names) = names() {
        let name = match names.place(number) {
            Ok(place) => names.open.get(place),
            Err(_) => names.closed.iter().find(|(closed, _)| *closed == number),
        };
        if let Some((1.., name)) = name {
            return f.write_str(name);
        }
    }
    f.write_fmt(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown(u32);

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_name(f, self.0, format_args!("-"))
        }
    }

    #[test]
    fn a_closed_objects_name_is_kept_for_a_while() {
        let first = Label::new(&"first");
        let number = first.number();
        assert_eq!(Shown(number).to_string(), "first");
        drop(first);
        assert_eq!(Shown(number).to_string(), "first");
        // Other tests open and close objects, too.
        for _ in 0..=KEPT {
            drop(Label::new(&"other"));
        }
        assert_eq!(Shown(number).to_string(), "-");
        assert_eq!(Shown(0).to_string(), "-");
    }
}
