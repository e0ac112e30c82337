//! The names of objects, kept for errors whose text is asked for later, when the object may be
//! closed.
//!
//! An error has a number instead of a name, because a failed try must not cost an allocation, nor a
//! count that all threads share. The names of closed objects are kept for a while; after that, the text
//! of an error names no object.

use crate::sys;
use core::fmt;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, TryLockError},
};

/// How many names of closed objects are kept.
const KEPT: usize = 64;

struct Names {
    last: u32,
    open: BTreeMap<u32, Box<str>>,
    /// The one that was closed first comes first.
    closed: VecDeque<(u32, Box<str>)>,
}

static NAMES: Mutex<Names> = Mutex::new(Names {
    last: 0,
    open: BTreeMap::new(),
    closed: VecDeque::new(),
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

/// An open object's name.
#[derive(Debug)]
pub(crate) struct Label(u32);

impl Label {
    pub fn new(name: Box<str>) -> Label {
        let Some(mut names) = names() else {
            return Label(0);
        };
        names.last = names.last.wrapping_add(1).max(1);
        let number = names.last;
        names.open.insert(number, name);
        Label(number)
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
        let names = &mut *names;
        if let Some(name) = names.open.remove(&self.0) {
            names.closed.push_back((self.0, name));
        }
        if names.closed.len() > KEPT {
            names.closed.pop_front();
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
        let closed = || names.closed.iter().find(|(closed, _)| *closed == number);
        let name = names.open.get(&number);
        if let Some(name) = name.or_else(|| closed().map(|(_, name)| name)) {
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
        let first = Label::new("first".into());
        let number = first.number();
        assert_eq!(Shown(number).to_string(), "first");
        drop(first);
        assert_eq!(Shown(number).to_string(), "first");
        // Other tests open and close objects, too.
        for _ in 0..=KEPT {
            drop(Label::new("other".into()));
        }
        assert_eq!(Shown(number).to_string(), "-");
        assert_eq!(Shown(0).to_string(), "-");
    }
}
