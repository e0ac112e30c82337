//! Sizes, times, users, processes and states in words.

use crate::{facts::Fact, objects::Found, process::Named};
use shmkey::{Contents, Holding, Key, Life, Party};
use std::{
    cell::RefCell,
    collections::HashMap,
    mem::MaybeUninit,
    time::{Duration, SystemTime},
};
use unicode_width::UnicodeWidthStr;

/// `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 10.0 && value.fract() >= 0.05 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// `3 min`: one unit, rounded down.
pub fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// `2026-11-21 13:00:00 CET`, in the time zone of TZ or of the system.
pub fn moment(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs()) as libc::time_t;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    let mut text = [0u8; 64];
    // SAFETY: localtime_r reads one number and writes one tm.
    if unsafe { libc::localtime_r(&seconds, parts.as_mut_ptr()) }.is_null() {
        return seconds.to_string();
    }
    let format = c"%Y-%m-%d %H:%M:%S %Z".as_ptr();
    // SAFETY: strftime writes no more than the length that it is given, and localtime_r has filled the tm.
    let len =
        unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), format, parts.as_ptr()) };
    plain(&String::from_utf8_lossy(&text[..len]))
}

/// `0x4102002f`; `-` for none.
pub fn key(key: Key) -> String {
    if key.is_private() {
        "-".to_owned()
    } else {
        format!("{:#010x}", key.as_raw())
    }
}

/// The user's name, or its number if it has none.
pub fn user(uid: u32) -> String {
    thread_local! {
        static KNOWN: RefCell<HashMap<u32, String>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let look = || match uzers::get_user_by_uid(uid) {
            Some(user) => user.name().to_string_lossy().into_owned(),
            None => uid.to_string(),
        };
        known.entry(uid).or_insert_with(look).clone()
    })
}

/// The group's name, or its number if it has none.
pub fn group(gid: u32) -> String {
    match uzers::get_group_by_gid(gid) {
        Some(group) => group.name().to_string_lossy().into_owned(),
        None => gid.to_string(),
    }
}

/// Whether a limit of the kernel is so large that it stands for none.
pub fn unlimited(limit: u64) -> bool {
    limit >= 0x1_0000_0000_0000
}

/// `4242 postgres`, `4242 (dead)`.
pub fn process(named: &Named) -> String {
    match (&named.life, &named.name) {
        (Life::Live, Some(name)) => format!("{} {}", named.pid, plain(name)),
        (Life::Live, None) => named.pid.to_string(),
        (Life::Dead, _) => format!("{} (dead)", named.pid),
        (Life::Unknown, _) if named.pid == 0 => "in another container".to_owned(),
        (Life::Unknown, _) => format!("{} (?)", named.pid),
    }
}

/// Returns the flags of a segment, by name.
pub fn flags(fact: &Fact) -> Vec<&'static str> {
    let status = &fact.status;
    let named = [
        (status.removed, "removed"),
        (status.locked, "locked"),
        (fact.huge() == Some(true), "huge"),
        (fact.is_orphan(), "orphan"),
    ];
    let set = named.into_iter().filter(|&(is, _)| is);
    set.map(|(_, name)| name).collect()
}

/// `ring "orders"`.
pub fn kind(contents: &Contents) -> String {
    let kind = match contents.holding {
        Holding::Mutex { .. } => "mutex",
        Holding::Semaphore { .. } => "semaphore",
        Holding::Latest { .. } => "latest value",
        Holding::Ring { .. } => "ring",
        Holding::RwLock { .. } => "reader-writer lock",
        Holding::Condvar { .. } => "condition variable",
        Holding::Broadcast { .. } => "broadcast",
        _ => "object",
    };
    if contents.name.is_empty() {
        return kind.to_owned();
    }
    let name = String::from_utf8_lossy(&contents.name);
    format!("{kind} \"{}\"", plain(&name))
}

/// `ring "orders"`; `ring at 4096`.
pub fn kind_at(found: &Found) -> String {
    let kind = kind(&found.contents);
    match found.offset {
        0 => kind,
        offset => format!("{kind} at {offset}"),
    }
}

/// `37% full`, `locked by 42 (dead)`, `12 published, 3 subscribers`.
pub fn state(contents: &Contents) -> String {
    if !contents.ready {
        return format!("being created by {}", party(&contents.creator));
    }
    match &contents.holding {
        Holding::Mutex { lost: true, .. } | Holding::RwLock { lost: true, .. } => {
            "value lost".to_owned()
        }
        Holding::Mutex { owner, suspect, .. } => {
            let locked = owner.as_ref().map_or("free".to_owned(), |owner| {
                format!("locked by {}", party(owner))
            });
            if *suspect {
                format!("{locked}, inconsistent")
            } else {
                locked
            }
        }
        Holding::RwLock {
            writer,
            next,
            readers,
            suspect,
            ..
        } => {
            let mut state = match (writer, readers.as_slice()) {
                (Some(writer), _) => format!("locked for writing by {}", party(writer)),
                (_, []) => "free".to_owned(),
                (_, [reader]) => format!("locked for reading by {}", party(reader)),
                (_, readers) => format!("locked for reading by {} threads", readers.len()),
            };
            if let Some(next) = next {
                state += &format!(", {} is next", party(next));
            }
            state + if *suspect { ", inconsistent" } else { "" }
        }
        Holding::Condvar {
            notifications,
            waited_for,
        } => {
            let waits = if *waited_for { ", waited for" } else { "" };
            count(u64::from(*notifications), "notification") + waits
        }
        Holding::Semaphore { value } => format!("count {value}"),
        Holding::Latest {
            version: 0,
            publisher,
            ..
        } => format!("no value yet{}", by(publisher)),
        Holding::Latest {
            version, publisher, ..
        } => format!("version {version}{}", by(publisher)),
        Holding::Ring {
            capacity,
            used,
            dropped,
            ..
        } => {
            let fill = match used {
                0 => "empty".to_owned(),
                _ => format!("{}% full", percent(*used, *capacity)),
            };
            match dropped {
                0 => fill,
                _ => format!("{fill}, {dropped} dropped"),
            }
        }
        Holding::Broadcast {
            published,
            subscribers,
            ..
        } => format!(
            "{published} published, {}",
            count(subscribers.len() as u64, "subscriber")
        ),
        _ => String::new(),
    }
}

fn by(publisher: &Option<Party>) -> String {
    let by = |publisher| format!(", by {}", party(publisher));
    publisher.as_ref().map(by).unwrap_or_default()
}

/// `42`, `42 (dead)`, `1 (in another PID namespace)`.
pub fn party(party: &Party) -> String {
    match party.life {
        Life::Live if party.elsewhere => format!("{} (in another PID namespace)", party.id),
        Life::Unknown if party.elsewhere => format!("{} (?, in another PID namespace)", party.id),
        Life::Live => party.id.to_string(),
        Life::Dead => format!("{} (dead)", party.id),
        Life::Unknown => format!("{} (?)", party.id),
    }
}

/// `37`; `<1` of what is in use at all, and `100` only of what is full.
pub fn percent(part: u64, whole: u64) -> String {
    match (u128::from(part) * 100).checked_div(u128::from(whole)) {
        Some(0) if part > 0 => "<1".to_owned(),
        Some(percent) => percent.min(100).to_string(),
        None => "0".to_owned(),
    }
}

/// Text from another process, in which characters are escaped that a terminal acts on, that are invisible, or that
/// change the direction of other text.
pub fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            if is_visible(character) {
                vec![character]
            } else {
                character.escape_default().collect()
            }
        })
        .collect()
}

/// Whether a character is visible, by its category in Unicode: not a control (Cc), format (Cf) or line separator (Zl,
/// Zp), and not a noncharacter, which XML does not allow.
fn is_visible(character: char) -> bool {
    let is_format = matches!(character,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    let is_none =
        matches!(character, '\u{fdd0}'..='\u{fdef}') || character as u32 & 0xfffe == 0xfffe;
    !(character.is_control() || is_format || is_none)
}

/// Breaks text into lines that are at most `width` wide, unless a single word is wider.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// `1 segment`, `2 segments`.
pub fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ if what.ends_with("ss") => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            (3 << 40, "3 TiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn percents() {
        for (part, whole, text) in [
            (0, 9, "0"),
            (1, 1000, "<1"),
            (999, 1000, "99"),
            (9, 9, "100"),
        ] {
            assert_eq!(percent(part, whole), text);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(plain("a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(plain("grün"), "grün");
        assert_eq!(plain("a\u{202e}b\u{ffff}"), "a\\u{202e}b\\u{ffff}");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three\nx", 7), ["one two", "three", "x"]);
        assert_eq!(wrapped("enormous", 3), ["enormous"]);
    }
}
