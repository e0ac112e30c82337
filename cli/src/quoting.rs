//! Texts as words of a line: in quotation marks where that is needed.

use crate::words;

/// Returns a text as one word. It is in quotation marks, with escapes, if it has characters that a terminal acts on or
/// that [`split`] would split.
pub fn quoted(text: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(text)
        && !text.is_empty()
        && text
            .chars()
            .all(|character| is_printed(character) && !character.is_whitespace())
    {
        return text.to_owned();
    }
    in_quotes(text)
}

/// Returns a text in quotation marks, with escapes.
pub fn in_quotes(text: &[u8]) -> String {
    let mut word = String::from("\"");
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => word.extend(['\\', character]),
                _ if is_printed(character) => word.push(character),
                _ => word += &escaped(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        word += &escaped(chunk.invalid());
    }
    word + "\""
}

/// Returns whether a character stands for itself.
fn is_printed(character: char) -> bool {
    let one = character.to_string();
    words::plain(&one) == one && !matches!(character, '"' | '\\')
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Splits a text into words, at white space outside of quotation marks.
pub fn split(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_ascii_start());
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix(b"\"") {
            let (word, after) = unquoted(inner)?;
            words.push(word);
            rest = after;
        } else {
            let end = rest.iter().position(u8::is_ascii_whitespace);
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            words.push(word.to_owned());
            rest = after;
        }
        rest = rest.trim_ascii_start();
    }
    Ok(words)
}

/// Returns the text up to the closing quotation mark, and what follows.
fn unquoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let (mut word, mut rest) = (Vec::new(), text);
    loop {
        match rest {
            [b'"', after @ ..] if after.first().is_none_or(u8::is_ascii_whitespace) => {
                return Ok((word, after));
            }
            [b'"', ..] => {
                return Err("white space must follow a closing quotation mark".to_owned());
            }
            [b'\\', byte @ (b'"' | b'\\'), after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok();
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                word.push(byte.ok_or("two hexadecimal digits must follow \\x")?);
                rest = after;
            }
            [b'\\', ..] => {
                return Err(
                    "the escapes are \\\", \\\\ and \\x with two hexadecimal digits".to_owned(),
                );
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err("a text has no closing quotation mark".to_owned()),
        }
    }
}
