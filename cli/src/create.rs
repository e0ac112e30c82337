//! `shmkey create`.

use crate::{
    facts::{Fact, Look},
    list,
    output::{self, Failure},
};
use clap::Args;
use shmkey::{Holding, Key, Place, Ring, Segment};
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    /// Its size: bytes, or with a unit as in 4K, 1MiB
    #[arg(long, short, value_name = "BYTES", value_parser = bytes)]
    size: usize,
    /// Under this key, such as 0x4102002f
    #[arg(long, value_name = "KEY", value_parser = key, allow_negative_numbers = true, conflicts_with_all = ["name", "path"])]
    key: Option<Key>,
    /// Under the key that is made from this name
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    name: Option<String>,
    /// Under the key that ftok makes from this file, and from --project
    #[arg(long, value_name = "FILE", requires = "project")]
    path: Option<PathBuf>,
    /// A number from 1 to 255, or a letter
    #[arg(long, value_name = "ID", value_parser = project, requires = "path")]
    project: Option<i32>,
    /// Who may use it, in octal
    #[arg(long, value_name = "MODE", value_parser = mode, default_value = "0600")]
    mode: u32,
    /// Take it as it is if there is one already
    #[arg(long)]
    existing: bool,
    /// Make a ring in it, for messages of so many bytes together as --size says. The segment is
    /// larger: it also keeps who sends and who receives
    #[arg(long)]
    ring: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let key = match (&options.key, &options.name, &options.path) {
        (Some(key), _, _) => *key,
        (_, Some(name), _) => Key::from_name(name)?,
        (_, _, Some(path)) => Key::from_path(path, options.project.unwrap_or(0))?,
        _ => Key::PRIVATE,
    };
    if !key.is_private()
        && !options.existing
        && let Ok(found) = Segment::open(key)
    {
        let id = found.id();
        let fact = Fact::of(id, Look::Outside)?;
        let users = match fact {
            Some(fact) if fact.status.nattch == 0 => "no process".to_owned(),
            Some(fact) => list::users(&fact),
            None => "unknown processes".to_owned(),
        };
        return Err(Failure::Because(format!(
            "there is a segment under the key {key} already (id {id}, used by {users}); --existing takes it \
             unchanged, and shmkey remove {id} removes it"
        )));
    }
    let id = match options.ring {
        true => ring(options, key)?,
        false => Segment::options()
            .create(true)
            .exclusive(!options.existing && !key.is_private())
            .size(options.size)
            .mode(options.mode)
            .open(key)?
            .id(),
    };
    // Nobody would ever learn of one whose id cannot be printed.
    output::print(&format!("{id}\n")).inspect_err(|_| {
        if key.is_private() {
            let _ = Segment::from_id(id).remove();
        }
    })
}

fn ring(options: &Options, key: Key) -> Result<i32, Failure> {
    if key.is_private() {
        return Err(Failure::Because(
            "nobody finds a ring without a key: give it a --name, a --key or a --path".to_owned(),
        ));
    }
    if options.size < 64 {
        return Err(Failure::Because(
            "a ring has room for 64 bytes at least".to_owned(),
        ));
    }
    if let Ok(there) = Segment::open(key)
        && let Some(contents) = there.contents()?
        && let Holding::Ring { capacity, .. } = contents.holding
        && capacity != options.size.next_multiple_of(8) as u64
    {
        return Err(Failure::Because(format!(
            "the ring that is there has room for {capacity} bytes, and {} were asked for",
            options.size
        )));
    }
    let place = match (&options.name, &options.path) {
        (Some(name), _) => Place::named(name),
        (_, Some(path)) => Place::path(path, options.project.unwrap_or(0))?,
        _ => Place::key(key),
    };
    let ring = Ring::open(place.mode(options.mode), options.size)?;
    Ok(ring.segment().id())
}

/// `4096`, `0x1000`, `4K`, `4KiB`, `1MiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text} is no size: say 4096, 0x1000, 4K, 1MiB or 2G");
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return usize::from_str_radix(digits, 16).map_err(|_| wrong());
    }
    let end = text.find(|character: char| !character.is_ascii_digit());
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: usize = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// `0x4102002f`.
pub fn key(text: &str) -> Result<Key, String> {
    match format!("key:{text}").parse()? {
        crate::target::Target::Key(key) => Ok(key),
        _ => Err(format!("{text} is no key")),
    }
}

fn project(text: &str) -> Result<i32, String> {
    let mut characters = text.chars();
    match (text.parse(), characters.next(), characters.next()) {
        (Ok(number @ 1..=255), ..) => Ok(number),
        (Err(_), Some(letter), None) if letter.is_ascii() => Ok(letter as i32),
        _ => Err(format!(
            "{text} is neither a number from 1 to 255 nor a letter"
        )),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(format!(
            "{text} is no mode: three octal digits, such as 0600 or 660"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("0x10", 16),
            ("4k", 4096),
            ("1MiB", 1 << 20),
            ("2G", 2 << 30),
        ] {
            assert_eq!(bytes(text), Ok(size));
        }
        for wrong in [
            "",
            "k",
            "-1",
            "1X",
            "0x",
            "99999999999999999999",
            "17592186044416M",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
