//! Segments on the command line: an id, a key, or the name that a key was made from.

use crate::{
    backend, facts,
    output::{self, Failure},
};
use shmkey::{Error, ErrorKind, Key, Segment, Status};
use std::{fmt, str::FromStr};

/// `32770`, `0x4102002f`, `orders`; or with a prefix: `id:32770`, `key:16`, `name:7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Id(i32),
    Key(Key),
    Name(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let name = |text: &str| match text {
            "" => Err("a name has at least one character".to_owned()),
            name => Ok(Target::Name(name.to_owned())),
        };
        let key = |text: &str, wrong: String| parse_key(text).ok_or(wrong).and_then(findable);
        if let Some(text) = text.strip_prefix("name:") {
            return name(text);
        }
        if let Some(text) = text.strip_prefix("id:") {
            return parse_id(text).ok_or("expected an id from 0 to 2147483647".to_owned());
        }
        if let Some(text) = text.strip_prefix("key:") {
            let wrong =
                "expected a key: 0x and up to 8 hexadecimal digits, or a decimal number of 32 bits";
            return key(text, wrong.to_owned());
        }
        if text.starts_with("0x") || text.starts_with("0X") {
            let wrong = "expected a key: 0x and up to 8 hexadecimal digits";
            return key(text, format!("{wrong} (name:{text} is a name)"));
        }
        // `list --json` and /proc/sysvipc/shm write half of the keys as negative numbers; ids are never negative.
        if text.strip_prefix('-').is_some_and(is_number) {
            return key(text, format!("a key has 32 bits (name:{text} is a name)"));
        }
        if is_number(text) {
            let wrong = format!("an id is at most 2147483647 (name:{text} is a name)");
            return parse_id(text).ok_or(wrong);
        }
        name(text)
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty()
}

fn parse_id(text: &str) -> Option<Target> {
    let id: i32 = text.parse().ok()?;
    (id >= 0).then_some(Target::Id(id))
}

fn parse_key(text: &str) -> Option<Target> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let raw = match hexadecimal {
        Some(digits) => u32::from_str_radix(digits, 16).ok()? as i32,
        None => text.parse::<i32>().ok()?,
    };
    Some(Target::Key(Key::from_raw(raw)))
}

/// Refuses the key that private segments have, by which none of them can be found.
fn findable(target: Target) -> Result<Target, String> {
    match target {
        Target::Key(key) if key.is_private() => {
            Err("0 is the key of all private segments, which are given by their ids".to_owned())
        }
        target => Ok(target),
    }
}

impl Target {
    /// Opens the segment.
    pub fn find(&self) -> Result<Segment, Error> {
        match self {
            Target::Id(id) => Ok(Segment::from_id(*id)),
            Target::Key(key) => Segment::open(*key),
            Target::Name(name) => Segment::open(Key::from_name(name)?),
        }
    }

    /// Returns the status of the segment.
    pub fn status(&self) -> Result<Status, Failure> {
        let because = |error| Failure::Because(self.explain(error));
        let id = self.find().map_err(because)?.id();
        let missing = || Failure::Because(self.missing());
        facts::status(id).map_err(because)?.ok_or_else(missing)
    }

    /// Returns the error text for a segment that does not exist.
    pub fn missing(&self) -> String {
        format!("there is no segment {self} ({})", self.hint())
    }

    fn hint(&self) -> String {
        if let Target::Id(number) = self {
            let key = Key::from_raw(*number);
            if let Some(id) = id_under(key) {
                return format!(
                    "but {number} is the key {key} of the segment with id {id}: use {id} or {key}"
                );
            }
            if let Some(id) = Key::from_name(number.to_string()).ok().and_then(id_under) {
                return format!(
                    "but the segment with id {id} is named {number}: use {id} or name:{number}"
                );
            }
        }
        format!("{} list shows all", backend::command())
    }

    /// Returns the text of an error about the segment.
    pub fn explain(&self, error: Error) -> String {
        match error.kind() {
            ErrorKind::KeyNotFound | ErrorKind::NoSuchSegment | ErrorKind::Removed => {
                self.missing()
            }
            _ => format!("the segment {self}: {}", output::why(&error)),
        }
    }
}

/// Returns the id of the segment that has a key, even if this process may not open it.
fn id_under(key: Key) -> Option<i32> {
    let all = Segment::list().unwrap_or_default();
    let mut all = all.into_iter().filter(|_| !key.is_private());
    Some(all.find(|status| status.key == key)?.id)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Id(id) => write!(f, "with id {id}"),
            Target::Key(key) => write!(f, "with the key {key}"),
            Target::Name(name) => write!(f, "named \"{}\"", crate::words::plain(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keys_and_names() {
        let key = |raw| Ok(Target::Key(Key::from_raw(raw)));
        let name = |text: &str| Ok(Target::Name(text.to_owned()));
        for (text, target) in [
            ("0", Ok(Target::Id(0))),
            ("id:7", Ok(Target::Id(7))),
            ("0x10", key(16)),
            ("0xffffffff", key(-1)),
            ("key:16", key(16)),
            ("-939524095", key(-939_524_095)),
            ("key:-939524095", key(-939_524_095)),
            ("-", name("-")),
            ("name:-1", name("-1")),
            ("orders", name("orders")),
            ("name:7", name("7")),
            ("name:0x10", name("0x10")),
        ] {
            assert_eq!(text.parse::<Target>(), target, "{text}");
        }
        for wrong in [
            "",
            "0x",
            "0x123456789",
            "99999999999",
            "id:x",
            "key:",
            "key:0",
            "0x0",
            "-2147483649",
            "-0",
            "name:",
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
