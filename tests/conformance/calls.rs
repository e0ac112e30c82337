//! The calls of an actor: `shmget(2)`, `shmat(2)`, `shmdt(2)` and each command of `shmctl(2)`.

use super::{
    actor::{Actor, failed},
    names::number,
};
use shmkey::sysv;
use std::{
    ffi::{c_int, c_ulong, c_void},
    mem, ptr,
};

const IPC_INFO: c_int = 3;
const SHM_STAT: c_int = 13;
const SHM_INFO: c_int = 14;
const SHM_STAT_ANY: c_int = 15;

/// The byte with which a buffer is filled before a call.
const FILLING: u8 = 0xa5;

/// A value of `errno` that no call sets. A call that succeeds must not change `errno`.
const UNTOUCHED: c_int = 4095;

/// Makes the call that a verb stands for. `None` if the verb is not one of these.
pub fn perform(actor: &Actor, verb: &str, words: &[&str]) -> Option<String> {
    let call = match verb {
        "get" => get,
        "at" => attach,
        "dt" => detach,
        "stat" => stat,
        "stat-at" => stat_at,
        "stat-any" => stat_any,
        "set" => set,
        "rm" => remove,
        "lock" => lock,
        "unlock" => unlock,
        "info" => info,
        "usage" => usage,
        "resident" => resident,
        "look" => look,
        "ctl" => other_command,
        "fill" => fill,
        "churn" => churn,
        _ => return None,
    };
    let said = call(actor, words);
    Some(said.unwrap_or_else(|error| format!("not called: {error}")))
}

type Said = Result<String, String>;

/// Makes a call after setting `errno` to `UNTOUCHED`, and reports it if a call that succeeds has changed `errno`.
fn called<T>(call: impl FnOnce() -> T, say: impl FnOnce(T) -> Option<String>) -> String {
    // SAFETY: the location of this thread's errno.
    unsafe { *libc::__errno_location() = UNTOUCHED };
    let result = call();
    let errno = std::io::Error::last_os_error().raw_os_error();
    match say(result) {
        None => failed(),
        Some(text) if errno == Some(UNTOUCHED) => text,
        Some(text) => format!("{text} errno-changed"),
    }
}

/// `get KEY SIZE FLAGS`: KEY is `private`, K and a number, or a number.
fn get(actor: &Actor, words: &[&str]) -> Said {
    let [key, size, flags] = words else {
        return Err("get KEY SIZE FLAGS".to_owned());
    };
    let key = match key.strip_prefix('K') {
        _ if *key == "private" => libc::IPC_PRIVATE,
        Some(rest) => 0x4b00 + number(rest)? as c_int,
        None => number(key)? as c_int,
    };
    let (size, flags) = (number(size)? as usize, bits(flags)?);
    let get = || {
        if actor.by_library {
            sysv::shmget(key, size, flags)
        } else {
            // SAFETY: three numbers.
            unsafe { libc::shmget(key, size, flags) }
        }
    };
    Ok(called(get, |id| (id != -1).then(|| format!("ok !{id}"))))
}

/// Reads flags and a mode: `creat+excl+600`.
fn bits(text: &str) -> Result<c_int, String> {
    let bit = |word: &str| -> Result<c_int, String> {
        Ok(match word {
            "creat" => libc::IPC_CREAT,
            "excl" => libc::IPC_EXCL,
            "nowait" => libc::IPC_NOWAIT,
            "hugetlb" => libc::SHM_HUGETLB,
            "noreserve" => libc::SHM_NORESERVE,
            "rdonly" => libc::SHM_RDONLY,
            "rnd" => libc::SHM_RND,
            "remap" => libc::SHM_REMAP,
            "exec" => libc::SHM_EXEC,
            _ if word.starts_with("0x") => number(word)? as c_int,
            _ => c_int::from_str_radix(word, 8).map_err(|_| format!("no flag: {word}"))?,
        })
    };
    text.split('+')
        .try_fold(0, |bits, word| Ok(bits | bit(word)?))
}

/// `at ID [ADDRESS [FLAGS]]`.
fn attach(actor: &Actor, words: &[&str]) -> Said {
    let id = number(words.first().unwrap_or(&""))? as c_int;
    let address = number(words.get(1).unwrap_or(&"0"))? as usize as *const c_void;
    let flags = bits(words.get(2).unwrap_or(&"0"))?;
    let attach = || {
        // SAFETY: this program uses no memory at the addresses of the situations.
        unsafe {
            if actor.by_library {
                sysv::shmat(id, address, flags)
            } else {
                libc::shmat(id, address, flags)
            }
        }
    };
    let failure = usize::MAX as *mut c_void;
    let say = |at: *mut c_void| (at != failure).then(|| format!("ok ^{}", at as usize));
    Ok(called(attach, say))
}

/// `dt ADDRESS`.
fn detach(actor: &Actor, words: &[&str]) -> Said {
    let address = number(words.first().unwrap_or(&""))? as usize as *const c_void;
    let detach = || {
        // SAFETY: this program accesses attached memory only through the kernel, which returns EFAULT if it is gone.
        unsafe {
            if actor.by_library {
                sysv::shmdt(address)
            } else {
                libc::shmdt(address)
            }
        }
    };
    Ok(called(detach, |result| {
        (result != -1).then(|| format!("ok {result}"))
    }))
}

/// Calls `shmctl` with any buffer.
fn control(actor: &Actor, id: c_int, command: c_int, buffer: *mut c_void) -> c_int {
    // SAFETY: the buffer suits the command, or it is not memory that this program uses.
    unsafe {
        if actor.by_library {
            sysv::shmctl(id, command, buffer.cast())
        } else {
            libc::shmctl(id, command, buffer.cast())
        }
    }
}

/// The buffer of a call: one that is filled with a byte, or a wrong address.
enum Buffer<T> {
    Right(Box<T>),
    Wrong(*mut c_void),
}

impl<T> Buffer<T> {
    /// Makes a buffer: a right one, unless the statement names an address.
    fn new(word: Option<&&str>) -> Result<Buffer<T>, String> {
        Ok(match word {
            None => {
                // SAFETY: `T` is a structure of integers, for which all bytes are valid.
                let mut right: Box<T> = Box::new(unsafe { mem::zeroed() });
                // SAFETY: writes as many bytes as the structure has.
                unsafe { ptr::write_bytes(&raw mut *right, FILLING, 1) };
                Buffer::Right(right)
            }
            Some(&"null") => Buffer::Wrong(ptr::null_mut()),
            Some(&"kernel") => Buffer::Wrong(0xffff_8000_0000_0000_usize as *mut c_void),
            Some(&"last") => Buffer::Wrong(usize::MAX as *mut c_void),
            Some(&"noncanonical") => Buffer::Wrong((1_usize << 62) as *mut c_void),
            Some(address) => Buffer::Wrong(number(address)? as usize as *mut c_void),
        })
    }

    fn address(&mut self) -> *mut c_void {
        match self {
            Buffer::Right(right) => (&raw mut **right).cast(),
            Buffer::Wrong(address) => *address,
        }
    }

    /// Runs a command. If it succeeds, describes a right buffer; if it fails, reports whether the buffer has changed.
    fn run(
        &mut self,
        actor: &Actor,
        id: c_int,
        command: c_int,
        describe: impl FnOnce(c_int, &T) -> String,
    ) -> String {
        let address = self.address();
        let mut failed = false;
        let mut text = called(
            || control(actor, id, command, address),
            |result| {
                failed = result == -1;
                let described = || match self {
                    Buffer::Right(right) => describe(result, right),
                    Buffer::Wrong(_) => "ok".to_owned(),
                };
                (!failed).then(described)
            },
        );
        if let (true, Buffer::Right(right)) = (failed, self) {
            // SAFETY: the bytes of a structure of integers, all of which are initialized.
            let bytes = unsafe {
                std::slice::from_raw_parts((&raw const **right).cast::<u8>(), size_of::<T>())
            };
            if bytes.iter().any(|&byte| byte != FILLING) {
                text.push_str(" buffer-changed");
            }
        }
        text
    }
}

/// The kernel's `struct shmid64_ds`, to its last byte.
#[repr(C)]
struct Record {
    known: libc::shmid_ds,
}

fn describe_record(record: &Record) -> String {
    let known = &record.known;
    let perm = &known.shm_perm;
    let mode = u32::from(perm.mode);
    // SAFETY: a structure of integers.
    let bytes: [u8; size_of::<libc::shmid_ds>()] = unsafe { mem::transmute_copy(known) };
    // The bytes after the last field must be zero.
    let rest = &bytes[mem::offset_of!(libc::shmid_ds, shm_nattch) + 8..];
    let rest = if rest.iter().all(|&byte| byte == 0) {
        "zero"
    } else {
        "set"
    };
    format!(
        "key={:#x} size={} uid={} gid={} cuid={} cgid={} mode={mode:o} cpid=#{} lpid=#{} atime=@{} dtime=@{} ctime=@{} nattch={} rest={rest}",
        perm.__key,
        known.shm_segsz,
        perm.uid,
        perm.gid,
        perm.cuid,
        perm.cgid,
        known.shm_cpid,
        known.shm_lpid,
        known.shm_atime,
        known.shm_dtime,
        known.shm_ctime,
        known.shm_nattch,
    )
}

/// `stat ID [BUFFER]`, with the sequence number of the id.
fn stat(actor: &Actor, words: &[&str]) -> Said {
    let id = number(words.first().unwrap_or(&""))? as c_int;
    let mut buffer = Buffer::<Record>::new(words.get(1))?;
    let describe = |result, record: &Record| {
        let seq = c_int::from(record.known.shm_perm.__seq) == id >> 15;
        let seq = if seq { "of-id" } else { "another" };
        format!("ok {result} {} seq={seq}", describe_record(record))
    };
    Ok(buffer.run(actor, id, libc::IPC_STAT, describe))
}

fn stat_by_index(actor: &Actor, words: &[&str], command: c_int) -> Said {
    let index = number(words.first().unwrap_or(&""))? as c_int;
    let mut buffer = Buffer::<Record>::new(words.get(1))?;
    let describe = |id, record: &Record| format!("ok !{id} {}", describe_record(record));
    Ok(buffer.run(actor, index, command, describe))
}

/// `stat-at INDEX [BUFFER]`: `SHM_STAT`.
fn stat_at(actor: &Actor, words: &[&str]) -> Said {
    stat_by_index(actor, words, SHM_STAT)
}

/// `stat-any INDEX [BUFFER]`: `SHM_STAT_ANY`.
fn stat_any(actor: &Actor, words: &[&str]) -> Said {
    stat_by_index(actor, words, SHM_STAT_ANY)
}

/// `set ID FIELD=VALUE … [BUFFER]`. The fields that `IPC_SET` ignores are nonsense. The value `keep` is what it is now.
fn set(actor: &Actor, words: &[&str]) -> Said {
    let id = number(words.first().unwrap_or(&""))? as c_int;
    let fields = words.iter().skip(1);
    let wrong = fields.clone().find(|word| !word.contains('='));
    let mut buffer = Buffer::<Record>::new(wrong)?;
    if let Buffer::Right(record) = &mut buffer {
        let mut now = Buffer::<Record>::new(None)?;
        control(actor, id & 0x7fff, SHM_STAT_ANY, now.address());
        let Buffer::Right(now) = now else {
            return Err("a right buffer".to_owned());
        };
        let now = &now.known.shm_perm;
        let perm = &mut record.known.shm_perm;
        (perm.uid, perm.gid, perm.mode) = (0, 0, 0o600);
        for field in fields {
            match field.split_once('=').unwrap_or_default() {
                ("uid", "keep") => perm.uid = now.uid,
                ("gid", "keep") => perm.gid = now.gid,
                ("uid", uid) => perm.uid = number(uid)? as libc::uid_t,
                ("gid", gid) => perm.gid = number(gid)? as libc::gid_t,
                ("mode", mode) => perm.mode = bits(mode)? as _,
                _ => return Err(format!("no field: {field}")),
            }
        }
    }
    let address = buffer.address();
    let set = || control(actor, id, libc::IPC_SET, address);
    Ok(called(set, |result| {
        (result != -1).then(|| format!("ok {result}"))
    }))
}

fn without_buffer(actor: &Actor, words: &[&str], command: c_int) -> Said {
    let id = number(words.first().unwrap_or(&""))? as c_int;
    let address = match words.get(1) {
        None => ptr::null_mut(),
        word => Buffer::<Record>::new(word)?.address(),
    };
    let call = || control(actor, id, command, address);
    Ok(called(call, |result| {
        (result != -1).then(|| format!("ok {result}"))
    }))
}

/// `rm ID`.
fn remove(actor: &Actor, words: &[&str]) -> Said {
    without_buffer(actor, words, libc::IPC_RMID)
}

/// `churn COUNT`: creates and removes so many segments, one after the other.
fn churn(actor: &Actor, words: &[&str]) -> Said {
    for _ in 0..number(words.first().unwrap_or(&""))? {
        let said = get(actor, &["private", "1", "600"])?;
        let removed = remove(actor, &[said.trim_start_matches("ok !")])?;
        if removed != "ok 0" {
            return Ok(removed);
        }
    }
    Ok("ok".to_owned())
}

/// `lock ID`.
fn lock(actor: &Actor, words: &[&str]) -> Said {
    without_buffer(actor, words, libc::SHM_LOCK)
}

/// `unlock ID`.
fn unlock(actor: &Actor, words: &[&str]) -> Said {
    without_buffer(actor, words, libc::SHM_UNLOCK)
}

/// `ctl ID COMMAND [BUFFER]`: a command that `shmctl(2)` does not have.
fn other_command(actor: &Actor, words: &[&str]) -> Said {
    let command = number(words.get(1).unwrap_or(&""))? as c_int;
    without_buffer(actor, &[words[0]], command)
}

/// `fill ID COMMAND`: a command that does not exist, with a right buffer, which must not change.
fn fill(actor: &Actor, words: &[&str]) -> Said {
    let id = number(words.first().unwrap_or(&""))? as c_int;
    let command = number(words.get(1).unwrap_or(&""))? as c_int;
    let mut buffer = Buffer::<Record>::new(None)?;
    Ok(buffer.run(actor, id, command, |result, _| format!("ok {result}")))
}

/// Returns the result of an information command: an index, or nothing if there is no segment.
fn highest_index(actor: &Actor, result: c_int) -> String {
    let mut usage = Buffer::<[c_ulong; 6]>::new(None).expect("a right buffer");
    let address = usage.address();
    control(actor, 0, SHM_INFO, address);
    match &usage {
        Buffer::Right(words) if words[0] as u32 == 0 && result == 0 => "none".to_owned(),
        _ => format!("%{result}"),
    }
}

/// `info [ID [BUFFER]]`: `IPC_INFO`.
fn info(actor: &Actor, words: &[&str]) -> Said {
    let id = number(words.first().unwrap_or(&"0"))? as c_int;
    let mut buffer = Buffer::<[c_ulong; 9]>::new(words.get(1))?;
    let describe = |result, info: &[c_ulong; 9]| {
        let [max, min, mni, seg, all, unused @ ..] = info;
        let highest = highest_index(actor, result);
        let unused = if unused.iter().all(|&word| word == 0) {
            "zero"
        } else {
            "set"
        };
        let sizes = format!("shmmax={max} shmmin={min} shmmni={mni}");
        format!("ok {highest} {sizes} shmseg={seg} shmall={all} unused={unused}")
    };
    Ok(buffer.run(actor, id, IPC_INFO, describe))
}

/// `usage [ID [BUFFER]]`: `SHM_INFO`, without the resident and the swapped pages.
fn usage(actor: &Actor, words: &[&str]) -> Said {
    let id = number(words.first().unwrap_or(&"0"))? as c_int;
    let mut buffer = Buffer::<[c_ulong; 6]>::new(words.get(1))?;
    let describe = |result, usage: &[c_ulong; 6]| {
        let [ids, total, _, _, attempts, successes] = usage;
        let highest = highest_index(actor, result);
        // The number of segments is followed by four bytes of padding, which the kernel zeroes.
        format!("ok {highest} ids={ids} total={total} attempts={attempts} successes={successes}")
    };
    Ok(buffer.run(actor, id, SHM_INFO, describe))
}

/// `resident`: the number of resident pages that `SHM_INFO` returns.
fn resident(actor: &Actor, _: &[&str]) -> Said {
    let mut buffer = Buffer::<[c_ulong; 6]>::new(None)?;
    let describe = |_, usage: &[c_ulong; 6]| format!("ok resident={}", usage[2]);
    Ok(buffer.run(actor, 0, SHM_INFO, describe))
}

/// `look`: reads the status of every segment, so that the backend notices deaths.
fn look(actor: &Actor, _: &[&str]) -> Said {
    let mut usage = Buffer::<[c_ulong; 6]>::new(None)?;
    let highest = control(actor, 0, SHM_INFO, usage.address());
    for index in 0..=highest {
        let mut record = Buffer::<Record>::new(None)?;
        control(actor, index, SHM_STAT_ANY, record.address());
    }
    Ok("ok".to_owned())
}
