//! `shmkey create`.

use crate::{
    columns,
    facts::{Fact, Look},
    format::Format,
    list,
    output::{self, Failure},
    remove,
    sized::{self, Opening, Site},
    target::Target,
    words,
};
use clap::Args;
use shmkey::{Broadcast, Condvar, Holding, Key, Place, Ring, Segment, Semaphore};
use shmkey_core::backend::{messages, semaphores};
use std::path::PathBuf;

/// The arguments with which both the options of a ring and those of a broadcast conflict. `requires` alone does not
/// refuse these: clap ignores a requirement that conflicts with another argument.
const NEITHER: [&str; 6] = ["kind", "semaphore", "mutex", "rwlock", "condvar", "latest"];

#[derive(Args)]
pub struct Options {
    /// The size of the segment: 4096, 0x1000, 4K, 1MiB
    #[arg(long, short, value_name = "BYTES", value_parser = bytes, required_unless_present_any = ["kind", "semaphore", "mutex", "rwlock", "condvar", "latest"])]
    size: Option<usize>,
    #[command(flatten)]
    kind: Kind,
    /// Use this key, such as 0x4102002f
    #[arg(long, value_name = "KEY", value_parser = key, allow_negative_numbers = true, conflicts_with_all = ["name", "path"])]
    key: Option<Key>,
    /// Use the key that is made from this name
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    name: Option<String>,
    /// Use the key that ftok(3) makes from this file and --project
    #[arg(long, value_name = "FILE", requires = "project")]
    path: Option<PathBuf>,
    /// The project id for --path: a number from 1 to 255, or a letter
    #[arg(long, value_name = "ID", value_parser = project, requires = "path", conflicts_with_all = ["key", "name"])]
    project: Option<i32>,
    /// The permission bits, in octal
    #[arg(long, value_name = "MODE", value_parser = mode, default_value = "0600")]
    mode: u32,
    /// If one with this key exists, leave it unchanged, and print its id
    #[arg(long)]
    existing: bool,
    /// Create a ring in the segment, with room for --size bytes of messages
    ///
    /// The segment is larger than --size, because it also holds the state of the ring.
    #[arg(long, group = "object", conflicts_with = "kind")]
    ring: bool,
    /// Create a broadcast in the segment, with room for --size bytes of messages
    ///
    /// The segment is larger than --size, because it also holds the state of the broadcast.
    #[arg(long, group = "object", conflicts_with = "kind")]
    broadcast: bool,
    /// Create a semaphore in the segment, with this count
    #[arg(long, value_name = "COUNT", group = "object", conflicts_with_all = ["kind", "size"])]
    semaphore: Option<u32>,
    /// Create a mutex in the segment, which protects --size bytes [default: 0]
    #[arg(long, group = "object", conflicts_with_all = ["kind", "key"])]
    mutex: bool,
    /// Create a reader-writer lock in the segment, which protects --size bytes [default: 0]
    #[arg(long, group = "object", conflicts_with_all = ["kind", "key"])]
    rwlock: bool,
    /// Create a condition variable in the segment
    #[arg(long, group = "object", conflicts_with_all = ["kind", "size"])]
    condvar: bool,
    /// Create a latest value in the segment, of this size: 32, 4K, or a format such as "u32 f64 char[16]"
    ///
    /// shmkey-get(1) describes formats.
    #[arg(long, value_name = "SIZE", value_parser = value_size, group = "object", conflicts_with_all = ["kind", "size", "key"])]
    latest: Option<usize>,
    /// The name of the object's layout: the programs that open the object must give the same name
    #[arg(long, value_name = "NAME", requires = "object")]
    layout: Option<String>,
    /// With --ring: up to 64 processes can be its senders at the same time, instead of one
    #[arg(long, requires = "ring", conflicts_with = "broadcast", conflicts_with_all = NEITHER)]
    many_senders: bool,
    /// With --ring: a sender that finds no room drops the oldest messages, instead of waiting
    #[arg(long, requires = "ring", conflicts_with = "broadcast", conflicts_with_all = NEITHER)]
    drop_oldest: bool,
    /// With --broadcast: the publisher never waits, and overwrites the oldest messages
    #[arg(long, requires = "broadcast", conflicts_with = "ring", conflicts_with_all = NEITHER)]
    lossy: bool,
}

/// What to create: a segment, unless an option says otherwise.
#[derive(Args)]
#[group(id = "kind", multiple = false, conflicts_with = "size")]
struct Kind {
    /// Create an array of this many semaphores, not a segment
    #[arg(long, value_name = "NUMBER")]
    semaphores: Option<u16>,
    /// Create a message queue, not a segment
    #[arg(long)]
    messages: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let key = match (&options.key, &options.name, &options.path) {
        (Some(key), _, _) => *key,
        (_, Some(name), _) => Key::from_name(name)?,
        (_, _, Some(path)) => Key::from_path(path, options.project.unwrap_or(0))?,
        _ => Key::PRIVATE,
    };
    if options.kind.semaphores.is_some() || options.kind.messages {
        return other(options, key);
    }
    if options.mode & 0o600 == 0 {
        return Err(Failure::Usage(format!(
            "the mode {:04o} lets the owner neither read nor write the segment; use a mode such as 0600",
            options.mode
        )));
    }
    if !key.is_private() && !options.existing {
        expect_free(key)?;
    }
    let id = create(options, key)?;
    // A private segment whose id cannot be printed would be lost.
    output::print(&format!("{id}\n")).inspect_err(|_| {
        if key.is_private() {
            let _ = Segment::from_id(id).remove();
        }
    })
}

/// Fails if a segment has this key.
fn expect_free(key: Key) -> Result<(), Failure> {
    let Ok(found) = Segment::open(key) else {
        return Ok(());
    };
    let id = found.id();
    let fact = Fact::of(id, Look::Outside)?;
    let users = fact.as_ref().and_then(columns::users);
    let users = users.unwrap_or_else(|| "no process".to_owned());
    let removal = fact.map(|fact| format!("; {}", remove::removal(&fact.status)));
    let removal = removal.unwrap_or_default();
    Err(Failure::Because(format!(
        "a segment with the key {key} exists (id {id}, attached by {users}); --existing takes it unchanged{removal}"
    )))
}

/// Creates a segment, with the object that the options ask for. Returns its id.
fn create(options: &Options, key: Key) -> Result<i32, Failure> {
    let size = options.size.unwrap_or(0);
    Ok(if options.ring {
        ring(options, size, key)?
    } else if options.broadcast {
        broadcast(options, size, key)?
    } else if let Some(count) = options.semaphore {
        expect_key("semaphore", KEY, key)?;
        Semaphore::open(place(options, key)?, count)?.segment().id()
    } else if options.mutex {
        expect_key("mutex", NAME, key)?;
        sized::Lock::open_mutex(&opening(options, size))?.id()
    } else if options.rwlock {
        expect_key("reader-writer lock", NAME, key)?;
        sized::Lock::open_rwlock(&opening(options, size))?.id()
    } else if options.condvar {
        expect_key("condition variable", KEY, key)?;
        Condvar::open(place(options, key)?)?.segment().id()
    } else if let Some(size) = options.latest {
        expect_key("latest value", NAME, key)?;
        sized::Latest::open(&opening(options, size))?.id()
    } else {
        Segment::options()
            .create(true)
            .exclusive(!options.existing && !key.is_private())
            .size(size)
            .mode(options.mode)
            .open(key)?
            .id()
    })
}

/// Creates a semaphore array or a message queue.
fn other(options: &Options, key: Key) -> Result<(), Failure> {
    let exclusive = if options.existing { 0 } else { libc::IPC_EXCL };
    let flags = libc::IPC_CREAT | exclusive | options.mode as i32;
    let (what, made) = match options.kind.semaphores {
        Some(count) => (
            "semaphore array",
            semaphores::create_or_get(key.as_raw(), count.into(), flags),
        ),
        None => (
            "message queue",
            messages::create_or_get(key.as_raw(), flags),
        ),
    };
    let id = made.map_err(|errno| {
        if errno.0 == libc::EINVAL
            && !key.is_private()
            && let Ok(found) = list::Kind::SEMAPHORES.find(&Target::Key(key))
        {
            let count = words::count(found.count, "semaphore");
            let why = format!("the existing array (id {}) has {count}", found.id);
            return Failure::Because(format!("cannot create a {what}: {why} ({errno})"));
        }
        let why = match errno.0 {
            libc::EEXIST => "one with this key exists; --existing takes it unchanged",
            libc::EINVAL => {
                "an array has at least 1 semaphore, and at most the limit semmsl (shmkey limits)"
            }
            libc::ENOSPC => "a limit of the kernel is reached (shmkey limits)",
            libc::EACCES => "one with this key exists, and you have no permission to use it",
            _ => "the call failed",
        };
        Failure::Because(format!("cannot create a {what}: {why} ({errno})"))
    })?;
    output::print(&format!("{id}\n"))
}

/// What an object needs so that processes find it: one that `Opening` creates cannot be given by the number of a key.
const KEY: &str = "a key, with which processes open it: use --name, --key or --path";
const NAME: &str = "a name, by which processes open it: use --name or --path";

/// Fails if no process could find the object, because it has no key.
fn expect_key(what: &str, needs: &str, key: Key) -> Result<(), Failure> {
    if key.is_private() {
        return Err(Failure::Because(format!("a {what} needs {needs}")));
    }
    Ok(())
}

/// Fails if no process could find or use an object with this size.
fn expect_usable(what: &str, size: usize, key: Key) -> Result<(), Failure> {
    expect_key(what, KEY, key)?;
    if size < 64 {
        return Err(Failure::Because(format!(
            "the --size of a {what} must be at least 64 bytes"
        )));
    }
    Ok(())
}

fn place(options: &Options, key: Key) -> Result<Place, Failure> {
    let place = match (&options.name, &options.path) {
        (Some(name), _) => Place::named(name),
        (_, Some(path)) => Place::path(path, options.project.unwrap_or(0))?,
        _ => Place::key(key),
    };
    Ok(place.mode(options.mode).layout(layout(options)))
}

/// Returns the name of the layout of the object; empty for none.
fn layout(options: &Options) -> &str {
    options.layout.as_deref().unwrap_or_default()
}

/// Returns how to open an object whose value has this size; the options give a name or a path.
fn opening(options: &Options, size: usize) -> Opening<'_> {
    let site = match &options.path {
        Some(path) => Site::File(path, options.project.unwrap_or(0)),
        None => Site::Name(options.name.as_deref().unwrap_or_default()),
    };
    Opening {
        site,
        size,
        layout: layout(options).as_bytes(),
        create: Some(options.mode),
    }
}

fn broadcast(options: &Options, size: usize, key: Key) -> Result<i32, Failure> {
    expect_usable("broadcast", size, key)?;
    let made = Broadcast::options()
        .lossy(options.lossy)
        .open(place(options, key)?, size)?;
    Ok(made.segment().id())
}

fn ring(options: &Options, size: usize, key: Key) -> Result<i32, Failure> {
    expect_usable("ring", size, key)?;
    if let Ok(there) = Segment::open(key)
        && let Some(contents) = there.contents()?
        && let Holding::Ring { capacity, .. } = contents.holding
        && capacity != size as u64
    {
        return Err(Failure::Because(format!(
            "the existing ring has a capacity of {capacity} bytes, not {size}"
        )));
    }
    let ring = Ring::options()
        .many_senders(options.many_senders)
        .drop_oldest(options.drop_oldest)
        .open(place(options, key)?, size)?;
    Ok(ring.segment().id())
}

/// `4096`, `0x1000`, `4K`, `4KiB`, `1MiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || String::from("expected a size such as 4096, 0x1000, 4K, 1MiB or 2G");
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

/// A number of bytes, or the size of a format.
fn value_size(text: &str) -> Result<usize, String> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return bytes(text);
    }
    Ok(text.parse::<Format>()?.size())
}

/// `0x4102002f`.
pub fn key(text: &str) -> Result<Key, String> {
    match format!("key:{text}").parse()? {
        Target::Key(key) => Ok(key),
        _ => Err("expected a key such as 0x4102002f".to_owned()),
    }
}

fn project(text: &str) -> Result<i32, String> {
    let mut characters = text.chars();
    match (text.parse(), characters.next(), characters.next()) {
        (Ok(number @ 1..=255), ..) => Ok(number),
        (Err(_), Some(letter), None) if letter.is_ascii() => Ok(letter as i32),
        _ => Err("expected a number from 1 to 255, or a letter".to_owned()),
    }
}

pub fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected three octal digits, such as 600 or 0660".to_owned()),
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
