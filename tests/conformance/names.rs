//! Names for the values that differ between two runs of the same situation: ids, addresses, process ids and times.
//!
//! An actor marks such a value with a sign, and this module replaces it with a name: `!7` is the id 7, `%3` an index,
//! `^4096` an address, `#12` a process and `@17` a time. In statements, this module replaces the names with numbers.

use std::collections::HashMap;

/// The addresses `@0`, `@1`, … of a situation are pages from here on, where neither the kernel nor libc maps memory
/// unasked.
pub const AREA: u64 = 0x1000_0000_0000;
pub const PAGE: u64 = 4096;

/// The bits of an id that are its index.
const INDEX: i64 = 0x7fff;

/// The names in a situation so far.
#[derive(Default)]
pub struct Names {
    ids: Vec<(String, i64)>,
    addresses: HashMap<String, u64>,
    processes: Vec<(String, i64)>,
    /// The first second of each phase. A phase begins at a `tick`.
    phases: Vec<i64>,
}

impl Names {
    pub fn process(&mut self, name: &str, id: i64) {
        self.processes.push((name.to_owned(), id));
    }

    /// Returns the id of the process that has this name now.
    pub fn process_id(&self, name: &str) -> Option<i64> {
        let mut latest = self.processes.iter().rev();
        latest.find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    /// Returns the ids of all processes.
    pub fn processes(&self) -> impl Iterator<Item = i64> {
        self.processes.iter().map(|(_, id)| *id)
    }

    pub fn phase(&mut self, second: i64) {
        self.phases.push(second);
    }

    /// Gives a name to the first id, address or process in an answer.
    pub fn name(&mut self, name: &str, answer: &str) {
        if name.is_empty() {
            return;
        }
        for word in answer.split_whitespace() {
            let (sign, number) = word.split_at(1);
            match (sign, number.parse()) {
                ("!", Ok(id)) => return self.ids.push((name.to_owned(), id)),
                ("^", Ok(address)) => {
                    self.addresses.insert(name.to_owned(), address as u64);
                    return;
                }
                ("#", Ok(id)) => return self.process(name, id),
                _ => {}
            }
        }
    }

    /// Replaces a name in a statement with its number. A segment that could not be created has the id −1, and an
    /// attachment that could not be made has the address 4096, where nothing is attached.
    pub fn resolve(&self, word: &str) -> String {
        let (base, offset) = match word.find(['+', '-']) {
            Some(at) if at > 0 => word.split_at(at),
            _ => (word, ""),
        };
        let Ok(offset) = number(offset.trim_start_matches('+')) else {
            return word.to_owned();
        };
        let index = base.strip_prefix("index:");
        if let Some(page) = base
            .strip_prefix('@')
            .and_then(|page| page.parse::<u64>().ok())
        {
            return (AREA + page * PAGE).wrapping_add_signed(offset).to_string();
        }
        let base = index.unwrap_or(base);
        let first = base.chars().next().unwrap_or_default();
        let is_name = base
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
        // The names of segments begin with w, x, y or z, those of addresses with p, q, r or s. A number may follow.
        let is_variable = is_name && base[1..].chars().all(|letter| letter.is_ascii_digit());
        match first {
            'w'..='z' if is_variable => {
                let mut latest = self.ids.iter().rev();
                let id = latest
                    .find(|(name, _)| name == base)
                    .map_or(-1, |(_, id)| *id);
                let id = if index.is_some() { id & INDEX } else { id };
                (id + offset).to_string()
            }
            'p'..='s' if is_variable => {
                let address = self.addresses.get(base).copied().unwrap_or(PAGE);
                address.wrapping_add_signed(offset).to_string()
            }
            _ => word.to_owned(),
        }
    }

    /// Replaces the marked numbers of an answer with names.
    pub fn describe(&self, answer: &str) -> String {
        let words = answer.split(' ').map(|word| {
            let (field, value) = match word.split_once('=') {
                Some((field, value)) => (format!("{field}="), value),
                None => (String::new(), word),
            };
            format!("{field}{}", self.describe_word(value))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn describe_word(&self, word: &str) -> String {
        let sign = word.chars().next().unwrap_or_default();
        let Some(number) = word.get(1..).and_then(|number| number.parse::<i64>().ok()) else {
            return word.to_owned();
        };
        match sign {
            '!' => self.id(number),
            '%' => self.index(number),
            '^' => self.address(number as u64),
            '#' if number == 0 => "none".to_owned(),
            '#' => {
                let mut latest = self.processes.iter().rev();
                let found = latest.find(|(_, id)| *id == number);
                found.map_or_else(|| "stranger".to_owned(), |(name, _)| name.clone())
            }
            '@' if number == 0 => "never".to_owned(),
            '@' => self.time(number),
            _ => word.to_owned(),
        }
    }

    fn id(&self, id: i64) -> String {
        let mut names = self.ids.iter().filter(|(_, known)| *known == id);
        names
            .next()
            .map_or_else(|| "unnamed".to_owned(), |(name, _)| name.clone())
    }

    fn index(&self, index: i64) -> String {
        let mut latest = self.ids.iter().rev();
        let found = latest.find(|(_, id)| id & INDEX == index);
        found.map_or_else(|| index.to_string(), |(name, _)| format!("index:{name}"))
    }

    fn address(&self, address: u64) -> String {
        if (AREA..AREA + (1 << 40)).contains(&address) {
            let (page, offset) = ((address - AREA) / PAGE, address % PAGE);
            return if offset == 0 {
                format!("@{page}")
            } else {
                format!("@{page}+{offset}")
            };
        }
        if address < PAGE {
            return address.to_string();
        }
        if address.is_multiple_of(PAGE) {
            "somewhere"
        } else {
            "unaligned"
        }
        .to_owned()
    }

    /// Returns the name of the phase that a time belongs to. Each second belongs to one phase. The clock that the
    /// kernel uses is some milliseconds late, so a time may be in the second before the first phase.
    fn time(&self, second: i64) -> String {
        let begun = self.phases.iter().filter(|&&begin| begin <= second).count();
        if begun > 0 {
            return format!("T{}", begun - 1);
        }
        let first = self.phases.first().copied().unwrap_or_default();
        if second == first - 1 {
            "T0".to_owned()
        } else {
            format!("T0{:+}", second - first)
        }
    }
}

/// Reads a number: a decimal one, which K, M, G, T, P or E may follow for a power of 1024, or a hexadecimal one after
/// 0x.
pub fn number(text: &str) -> Result<i64, String> {
    let wrong = |_| format!("no number: {text}");
    if text.is_empty() {
        return Ok(0);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16)
            .map(|value| value as i64)
            .map_err(wrong);
    }
    let shift = match text.as_bytes()[text.len() - 1] {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        b'P' => 50,
        b'E' => 60,
        _ => 0,
    };
    let digits = if shift > 0 {
        &text[..text.len() - 1]
    } else {
        text
    };
    digits
        .parse::<i64>()
        .map(|value| value << shift)
        .map_err(wrong)
}
