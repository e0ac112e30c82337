//! Values as text, by a format such as `u32 f64 char[16]`: the members of a C structure, at their offsets in memory.

use crate::{
    quoting::{in_quotes, quoted, split},
    words,
};
use serde_json::{Value, json};
use std::{fmt::Display, str::FromStr};

/// The types of the members of a structure. Members are aligned as a C compiler of this machine aligns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    fields: Vec<Field>,
    size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    kind: Kind,
    count: usize,
    offset: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    Char,
}

const KINDS: [(&str, Kind, usize); 11] = [
    ("u8", Kind::U8, 1),
    ("u16", Kind::U16, 2),
    ("u32", Kind::U32, 4),
    ("u64", Kind::U64, 8),
    ("i8", Kind::I8, 1),
    ("i16", Kind::I16, 2),
    ("i32", Kind::I32, 4),
    ("i64", Kind::I64, 8),
    ("f32", Kind::F32, 4),
    ("f64", Kind::F64, 8),
    ("char", Kind::Char, 1),
];

/// The largest size of a structure in bytes. A larger one is a mistake.
const LARGEST: usize = 1 << 31;

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let mut format = Format {
            fields: Vec::new(),
            size: 0,
        };
        let mut largest_align = 1;
        for word in text.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
            let (kind, align, count) = parse_field(word)?;
            let offset = format.size.next_multiple_of(align);
            let end = align
                .checked_mul(count)
                .map(|len| len.saturating_add(offset));
            format.size = end
                .filter(|&end| end <= LARGEST)
                .ok_or_else(|| format!("the format takes more than {LARGEST} bytes"))?;
            largest_align = largest_align.max(align);
            let name = word.to_owned();
            format.fields.push(Field {
                name,
                kind,
                count,
                offset,
            });
        }
        if format.fields.is_empty() {
            return Err("a format has at least one type, such as \"u32 f64 char[16]\"".to_owned());
        }
        format.size = format.size.next_multiple_of(largest_align);
        Ok(format)
    }
}

/// Parses `u32` or `u32[4]`.
fn parse_field(word: &str) -> Result<(Kind, usize, usize), String> {
    let (name, count) = match word.split_once('[') {
        None => (word, Some(1)),
        Some((name, rest)) => {
            let number = rest.strip_suffix(']').and_then(|text| text.parse().ok());
            (name, number.filter(|&count: &usize| count > 0))
        }
    };
    let count =
        count.ok_or_else(|| format!("\"{word}\": write a number of elements as in {name}[16]"))?;
    let found = KINDS.iter().find(|(known, ..)| *known == name);
    let &(_, kind, align) = found.ok_or_else(|| {
        let known: Vec<_> = KINDS.iter().map(|(name, ..)| *name).collect();
        format!(
            "\"{name}\" is not a type; the types are {}",
            known.join(", ")
        )
    })?;
    Ok((kind, align, count))
}

impl Format {
    /// Returns the size of the structure in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Fails if a value has another size.
    pub fn expect_size(&self, what: &str, size: usize) -> Result<(), String> {
        if size == self.size {
            return Ok(());
        }
        let (of_format, size) = (
            words::count(self.size as u64, "byte"),
            words::count(size as u64, "byte"),
        );
        Err(format!(
            "the format takes {of_format}, and {what} has {size} (padding counts, as in a structure in C)"
        ))
    }

    /// Returns a structure as JSON: an array with one element for each type.
    pub fn json(&self, bytes: &[u8]) -> Value {
        self.fields.iter().map(|field| field.json(bytes)).collect()
    }

    /// Returns a structure as words that are separated by spaces.
    pub fn text(&self, bytes: &[u8]) -> String {
        let words = self.fields.iter().flat_map(|field| match field.kind {
            Kind::Char => vec![quoted(field.string(bytes))],
            _ => field.numbers(bytes, |number| number.to_string()),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Returns the structure that a text describes. Padding is 0.
    pub fn bytes(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        let words = split(text)?;
        let wanted: usize = self.fields.iter().map(Field::words).sum();
        if words.len() != wanted {
            return Err(format!(
                "the format takes {}, and the input has {} (put a text with spaces in quotation marks)",
                words::count(wanted as u64, "word"),
                words.len()
            ));
        }
        let (mut bytes, mut words) = (vec![0; self.size], words.into_iter());
        for field in &self.fields {
            let mut at = field.offset;
            for word in words.by_ref().take(field.words()) {
                let raw = field.parse(&word)?;
                bytes[at..][..raw.len()].copy_from_slice(&raw);
                at += raw.len();
            }
        }
        Ok(bytes)
    }
}

impl Field {
    /// Returns the number of words that it has in a text.
    fn words(&self) -> usize {
        match self.kind {
            Kind::Char => 1,
            _ => self.count,
        }
    }

    /// Returns its bytes in a structure, up to the first NUL.
    fn string<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let text = &bytes[self.offset..][..self.count];
        let end = text.iter().position(|&byte| byte == 0);
        &text[..end.unwrap_or(text.len())]
    }

    fn numbers<T>(&self, bytes: &[u8], show: impl Fn(&dyn Number) -> T) -> Vec<T> {
        let bytes = &bytes[self.offset..];
        macro_rules! all {
            ($number:ty) => {{
                let (each, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                let each = each.iter().take(self.count);
                each.map(|raw| show(&<$number>::from_ne_bytes(*raw)))
                    .collect()
            }};
        }
        match self.kind {
            Kind::U8 => all!(u8),
            Kind::U16 => all!(u16),
            Kind::U32 => all!(u32),
            Kind::U64 => all!(u64),
            Kind::I8 => all!(i8),
            Kind::I16 => all!(i16),
            Kind::I32 => all!(i32),
            Kind::I64 => all!(i64),
            Kind::F32 => all!(f32),
            Kind::F64 => all!(f64),
            Kind::Char => Vec::new(),
        }
    }

    fn json(&self, bytes: &[u8]) -> Value {
        if self.kind == Kind::Char {
            return json!(String::from_utf8_lossy(self.string(bytes)));
        }
        let mut all = self.numbers(bytes, |number| number.to_json());
        if self.name.contains('[') {
            all.into()
        } else {
            all.remove(0)
        }
    }

    fn parse(&self, word: &[u8]) -> Result<Vec<u8>, String> {
        if self.kind == Kind::Char {
            return if word.len() <= self.count {
                Ok(word.to_owned())
            } else {
                let len = words::count(word.len() as u64, "byte");
                Err(format!(
                    "{} has no room for {}, which has {len}",
                    self.name,
                    in_quotes(word)
                ))
            };
        }
        let text = String::from_utf8_lossy(word);
        macro_rules! number {
            ($number:ty) => {
                text.parse::<$number>()
                    .map(|number| number.to_ne_bytes().to_vec())
                    .ok()
            };
        }
        let raw = match self.kind {
            Kind::U8 => number!(u8),
            Kind::U16 => number!(u16),
            Kind::U32 => number!(u32),
            Kind::U64 => number!(u64),
            Kind::I8 => number!(i8),
            Kind::I16 => number!(i16),
            Kind::I32 => number!(i32),
            Kind::I64 => number!(i64),
            Kind::F32 => number!(f32),
            Kind::F64 => number!(f64),
            Kind::Char => None,
        };
        raw.ok_or_else(|| {
            format!(
                "{} is not a number that {} can hold",
                in_quotes(word),
                self.name
            )
        })
    }
}

/// A number of any type.
trait Number {
    fn to_string(&self) -> String;
    fn to_json(&self) -> Value;
}

impl<T: std::fmt::Debug + Display + Copy + Into<Value>> Number for T {
    fn to_string(&self) -> String {
        // `Debug` shows 1e300 as that, and not with 300 zeros.
        format!("{self:?}")
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Format {
        text.parse().unwrap()
    }

    #[test]
    fn members_have_the_offsets_of_c() {
        for (text, size) in [
            ("u8", 1),
            ("u32 f64 char[16]", 32),
            ("u8 u64", 16),
            ("u64, u8", 16),
            ("char[3] u16[2] i8", 10),
        ] {
            assert_eq!(format(text).size(), size, "{text}");
        }
        let offsets: Vec<_> = format("u8 u16 u8 u64")
            .fields
            .iter()
            .map(|field| field.offset)
            .collect();
        assert_eq!(offsets, [0, 2, 4, 8]);
    }

    #[test]
    fn what_is_not_a_format() {
        for (text, why) in [
            ("", "at least one"),
            ("u33", "\"u33\" is not a type"),
            ("u8[0]", "u8[16]"),
            ("u8[", "u8[16]"),
            ("u8[-1]", "u8[16]"),
            ("u8[x]", "u8[16]"),
            ("u64[999999999999999999]", "more than"),
            ("char[2147483648] u8", "more than"),
        ] {
            let error = text.parse::<Format>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn text_becomes_bytes_and_the_same_text() {
        for (types, text) in [
            ("u32 f64 char[16]", "7 2.5 hello"),
            ("i8[3] u64", "-1 0 127 18446744073709551615"),
            ("f32 f64", "-0.0 1e300"),
            ("f64 f64", "inf NaN"),
            ("char[9] u8", "\"two words\" 1"),
            ("char[4] u8", "\"\" 1"),
            ("char[4]", "\"\\x1b\\\"\\\\\\xff\""),
            ("char[8]", "grün"),
        ] {
            let format = format(types);
            let bytes = format.bytes(text.as_bytes()).unwrap();
            assert_eq!(bytes.len(), format.size());
            assert_eq!(format.text(&bytes), text);
        }
    }

    #[test]
    fn text_that_does_not_fit() {
        for (types, text, why) in [
            ("u8 u8", "1", "takes 2 words, and the input has 1"),
            ("u8", "1 2", "takes 1 word, and the input has 2"),
            ("u8", "256", "\"256\" is not a number that u8"),
            ("u16", "-1", "\"-1\" is not a number"),
            ("f64", "x", "\"x\" is not a number"),
            (
                "char[2]",
                "abc",
                "char[2] has no room for \"abc\", which has 3 bytes",
            ),
            ("char[2]", "\"a", "no closing"),
            ("char[2]", "\"a\"b", "white space"),
            ("char[2]", "\"\\n\"", "the escapes"),
            ("char[2]", "\"\\xzz\"", "hexadecimal"),
        ] {
            let error = format(types).bytes(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{types} of {text}: {error}");
        }
    }

    #[test]
    fn json_has_an_element_for_each_type() {
        let format = format("u32 f64[2] char[4]");
        let bytes = format.bytes(b"7 2.5 NaN a").unwrap();
        assert_eq!(format.json(&bytes), json!([7, [2.5, null], "a"]));
    }
}
