//! An actor's accesses to memory, which go through the kernel, so that they return EFAULT instead of killing the
//! process, and its changes of mappings.

use super::{
    actor::{failed, returned},
    names::number,
};
use std::{
    ffi::{c_int, c_void},
    fs,
};

/// Performs a verb. `None` if the verb is not one of these.
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

/// Makes a pipe with a byte in it.
fn pipe(byte: u8) -> [c_int; 2] {
    let mut ends = [-1; 2];
    // SAFETY: there is room for two descriptors, and the byte can be read.
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
    // SAFETY: the kernel reads the byte, and returns EFAULT if it cannot.
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
    // SAFETY: the kernel writes the byte, and returns EFAULT if it cannot. No code of this program uses that memory.
    let text = match unsafe { libc::read(ends[0], numbers[0] as *mut c_void, 1) } {
        1 => "ok".to_owned(),
        _ => failed(),
    };
    close(ends);
    text
}

/// `map ADDRESS`: returns the protection and the length of the mapping that begins there.
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
    // SAFETY: the range is a segment's, or no other code uses it.
    let at = unsafe { libc::mmap(address as *mut c_void, len, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        failed()
    } else {
        "ok".to_owned()
    }
}

/// `block ADDRESS LENGTH`: maps private memory there, in place of what is mapped there.
fn block(numbers: &[usize]) -> String {
    map_nameless(numbers[0], numbers[1], libc::PROT_READ | libc::PROT_WRITE)
}

/// `guard ADDRESS LENGTH`: does the same with read-only memory.
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

/// `dump ADDRESS LENGTH`: reads every 512th byte, and returns whether they are the same.
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
