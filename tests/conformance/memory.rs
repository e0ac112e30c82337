//! What an actor does with memory: it reads and writes through the kernel, which says EFAULT where a program would be
//! killed, and maps something else over it.

use super::{
    actor::{failed, returned},
    names::number,
};
use std::{
    ffi::{c_int, c_void},
    fs,
};

/// Does what a verb means. `None` if it is no verb of these.
pub fn perform(verb: &str, words: &[&str]) -> Option<String> {
    let numbers: Result<Vec<i64>, String> = words.iter().map(|word| number(word)).collect();
    let act: fn(&[usize]) -> String = match verb {
        "peek" => peek,
        "poke" => poke,
        "map" => map,
        "block" => block,
        "guard" => guard,
        "munmap" => munmap,
        "protect" => protect,
        "move" => move_mapping,
        "unshare-in-fork" => unshare_in_fork,
        "dump" => dump,
        _ => return None,
    };
    Some(match numbers {
        Ok(numbers) => act(&numbers
            .iter()
            .map(|&number| number as usize)
            .collect::<Vec<_>>()),
        Err(error) => format!("not done: {error}"),
    })
}

/// A pipe with a byte in it.
fn pipe(byte: u8) -> [c_int; 2] {
    let mut ends = [-1; 2];
    // SAFETY: two descriptors and one byte, which are this function's own.
    unsafe {
        libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK);
        libc::write(ends[1], (&raw const byte).cast(), 1);
    }
    ends
}

fn close(ends: [c_int; 2]) {
    for end in ends {
        // SAFETY: a descriptor of `pipe`.
        unsafe { libc::close(end) };
    }
}

/// `peek ADDRESS`: reads a byte.
fn peek(numbers: &[usize]) -> String {
    let ends = pipe(0);
    let mut byte = [0u8; 2];
    // SAFETY: the kernel reads the byte, and says so if it is not there.
    let text = match unsafe { libc::write(ends[1], numbers[0] as *const c_void, 1) } {
        1 => {
            // SAFETY: two bytes are in the pipe.
            unsafe { libc::read(ends[0], byte.as_mut_ptr().cast(), 2) };
            format!("ok {}", byte[1])
        }
        _ => failed(),
    };
    close(ends);
    text
}

/// `poke ADDRESS BYTE`: writes a byte.
fn poke(numbers: &[usize]) -> String {
    let ends = pipe(numbers[1] as u8);
    // SAFETY: the kernel writes the byte, and says so if it cannot. It is in a segment.
    let text = match unsafe { libc::read(ends[0], numbers[0] as *mut c_void, 1) } {
        1 => "ok".to_owned(),
        _ => failed(),
    };
    close(ends);
    text
}

/// `map ADDRESS`: the protection and the length of the mapping that begins there.
fn map(numbers: &[usize]) -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let range = words.next().and_then(|range| range.split_once('-'));
        let Some((begin, end)) = range else { continue };
        let hexadecimal = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let (begin, end) = (hexadecimal(begin), hexadecimal(end));
        if begin == numbers[0] {
            return format!("ok {} {}", words.next().unwrap_or_default(), end - begin);
        }
    }
    "nothing begins there".to_owned()
}

fn map_nameless(address: usize, len: usize, protection: c_int) -> String {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: over a segment or in a range that nothing else uses.
    let at = unsafe { libc::mmap(address as *mut c_void, len, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        failed()
    } else {
        "ok".to_owned()
    }
}

/// `block ADDRESS LENGTH`: maps memory of its own there, over what is there.
fn block(numbers: &[usize]) -> String {
    map_nameless(numbers[0], numbers[1], libc::PROT_READ | libc::PROT_WRITE)
}

/// `guard ADDRESS LENGTH`: the same, but it can only be read.
fn guard(numbers: &[usize]) -> String {
    map_nameless(numbers[0], numbers[1], libc::PROT_READ)
}

/// `munmap ADDRESS LENGTH`.
fn munmap(numbers: &[usize]) -> String {
    // SAFETY: a segment or a range that nothing else uses.
    returned(unsafe { libc::munmap(numbers[0] as *mut c_void, numbers[1]) })
}

/// `protect ADDRESS LENGTH PROTECTION`.
fn protect(numbers: &[usize]) -> String {
    // SAFETY: a segment or a range that nothing else uses.
    returned(unsafe { libc::mprotect(numbers[0] as *mut c_void, numbers[1], numbers[2] as c_int) })
}

/// `move ADDRESS LENGTH NEW-ADDRESS`: moves a mapping by `mremap(2)`.
fn move_mapping(numbers: &[usize]) -> String {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let (from, to) = (numbers[0] as *mut c_void, numbers[2] as *mut c_void);
    // SAFETY: a segment or a range that nothing else uses.
    let at = unsafe { libc::mremap(from, numbers[1], numbers[1], flags, to) };
    if at == libc::MAP_FAILED {
        failed()
    } else {
        "ok".to_owned()
    }
}

/// `unshare-in-fork ADDRESS LENGTH`: a child does not inherit it (`MADV_DONTFORK`).
fn unshare_in_fork(numbers: &[usize]) -> String {
    // SAFETY: changes what a later child has, and no byte.
    returned(unsafe { libc::madvise(numbers[0] as *mut c_void, numbers[1], libc::MADV_DONTFORK) })
}

/// `dump ADDRESS LENGTH`: says whether all bytes are zero.
fn dump(numbers: &[usize]) -> String {
    let all = (numbers[0]..numbers[0] + numbers[1]).step_by(512);
    let bytes: Vec<String> = all.map(|address| peek(&[address])).collect();
    let first = bytes.first().cloned().unwrap_or_default();
    if bytes.iter().all(|byte| *byte == first) {
        first
    } else {
        "ok differing".to_owned()
    }
}
