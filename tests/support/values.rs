//! Random values that cross from one program to the other.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

/// A small random generator (splitmix64), seeded by the system. Good enough to vary test data.
pub struct Random(u64);

impl Random {
    pub fn new() -> Random {
        Random(RandomState::new().build_hasher().finish())
    }

    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The seed of a whole run: the one that `SHMKEY_SEED` asks for, or else another one each time.
    /// Printed, so that a failure can be repeated.
    pub fn seed_of_run() -> u64 {
        let asked = std::env::var("SHMKEY_SEED").ok();
        let seed = asked.and_then(|seed| seed.parse().ok());
        // So far below the largest that numbers can be added to it in any language.
        let seed = seed.unwrap_or_else(|| Random::new().next() >> 1);
        println!("SHMKEY_SEED={seed}");
        seed
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Letters, digits and spaces.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789";
        (0..len)
            .map(|_| LETTERS[self.below(LETTERS.len())])
            .collect()
    }

    /// Any bytes that a line of a C program can have: all but NUL and newline. From two bytes on,
    /// they are no UTF-8.
    pub fn line_bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len)
            .map(|_| match self.next() as u8 {
                0 | b'\n' => 0xff,
                byte => byte,
            })
            .collect();
        if let Some(first) = bytes.first_mut() {
            *first = 0xfe; // appears in no UTF-8 text
        }
        bytes
    }

    /// The lines that every pair of programs has to carry over: an ordinary one, an empty one, one
    /// that fills its place to the last byte before the NUL, and one that is no text at all.
    pub fn lines(&mut self, room: usize) -> [Vec<u8>; 4] {
        let len = 1 + self.below(room.min(40) - 1);
        let odd = 2 + self.below(room - 3);
        [
            self.text(len),
            Vec::new(),
            self.text(room - 1),
            self.line_bytes(odd),
        ]
    }
}

/// Bytes as a person can read them on one line of at most `width` columns.
pub fn shorten(bytes: &[u8], width: usize) -> String {
    let escaped = bytes.escape_ascii().to_string();
    if escaped.len() + 2 <= width {
        format!("\"{escaped}\"")
    } else {
        let tail = format!("… {} bytes", bytes.len());
        let kept = width.saturating_sub(tail.chars().count() + 2);
        format!("\"{}\"{tail}", &escaped[..kept])
    }
}
