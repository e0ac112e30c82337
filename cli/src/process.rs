//! Processes, as far as `/proc` tells: who lives, and what they are called.

use shmkey::Life;
use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

/// A process that the kernel names by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub pid: i32,
    /// Unknown also if there is one of its number that seems to be younger.
    pub life: Life,
    /// What it is called, if it lives.
    pub name: Option<String>,
}

/// The numbers of all processes.
pub fn all() -> impl Iterator<Item = i32> {
    numbers_in("/proc")
}

/// The threads of a process.
fn threads(pid: i32) -> impl Iterator<Item = i32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

/// The entries of a directory that are numbers.
fn numbers_in(directory: &str) -> impl Iterator<Item = i32> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The number of this process' own IPC namespace.
pub fn our_ipc_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/ipc").ok()?.ino())
}

/// The number of this process' own PID namespace.
pub fn our_pid_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

pub fn ipc_namespace(pid: i32) -> Option<u64> {
    let link = fs::metadata(format!("/proc/{pid}/ns/ipc"));
    let link = link.or_else(|error| {
        let path = another_thread(pid, "ns/ipc").ok_or(error)?;
        fs::metadata(path)
    });
    Some(link.ok()?.ino())
}

/// A file of a process, as another thread than the first shows it; `None` if there is no other.
pub fn another_thread(pid: i32, file: &str) -> Option<String> {
    let thread = threads(pid).find(|&thread| thread != pid)?;
    Some(format!("/proc/{pid}/task/{thread}/{file}"))
}

/// The size of a page, in bytes.
pub fn page_size() -> u64 {
    // SAFETY: asks for a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The memory of a process that this one may read.
pub struct Memory {
    bytes: fs::File,
    pages: Option<fs::File>,
}

impl Memory {
    pub fn of(pid: i32) -> Option<Memory> {
        let open = |name: &str| fs::File::open(format!("/proc/{pid}/{name}")).ok();
        Some(Memory {
            bytes: open("mem")?,
            pages: open("pagemap"),
        })
    }

    pub fn read(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.bytes.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    /// Returns the pages of `len` bytes from an address on that the process has touched, and that can be
    /// read without allocating memory: their offsets from there, at most so many. None if unknown.
    pub fn touched(&self, address: u64, len: u64, most: usize) -> Vec<u64> {
        /// The page is present; see pagemap in proc(5).
        const PRESENT: u64 = 1 << 63;
        const ENTRY: usize = size_of::<u64>();
        const ENTRIES: u64 = 8192;
        let (page, mut touched) = (page_size(), Vec::new());
        let Some(pages) = &self.pages else {
            return touched;
        };
        let count = len.div_ceil(page);
        let mut entries = vec![0; ENTRIES as usize * ENTRY];
        for first in (0..count).step_by(ENTRIES as usize) {
            let entries = &mut entries[..(count - first).min(ENTRIES) as usize * ENTRY];
            let from = (address / page + first) * ENTRY as u64;
            if touched.len() >= most || pages.read_exact_at(entries, from).is_err() {
                break;
            }
            let (entries, _) = entries.as_chunks::<ENTRY>();
            let present = (first..)
                .zip(entries)
                .filter(|(_, entry)| u64::from_ne_bytes(**entry) & PRESENT != 0);
            touched.extend(present.map(|(number, _)| number * page));
        }
        touched.truncate(most);
        touched
    }
}

/// What a process is called: its program, and what was made of that by the program itself.
pub fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The processes that were asked for, each looked at once: many segments have one creator.
#[derive(Default)]
pub struct Census(HashMap<i32, (Seen, Option<String>)>);

impl Census {
    /// The process of this number that was there at a time, if it lives still: another one may have
    /// its number now.
    pub fn at(&mut self, pid: i32, time: Option<SystemTime>) -> Named {
        let find = || (look(pid), name_of(pid));
        let (life, name) = match self.0.entry(pid).or_insert_with(find) {
            // 0 stands for a process of another PID namespace; and for none.
            _ if pid == 0 => (Life::Unknown, None),
            (Seen::Process(stat), name) => match stat.was_there(time) {
                Life::Alive => (Life::Alive, name.clone()),
                other => (other, None),
            },
            (Seen::NoProcess, _) => (Life::Dead, None),
            (Seen::Hidden, _) => (Life::Unknown, None),
        };
        Named { pid, life, name }
    }
}

/// Whether there is a process that this one may not look at.
pub fn is_hidden(pid: i32) -> bool {
    match look(pid) {
        Seen::Process(stat) => stat.lives,
        Seen::NoProcess => false,
        Seen::Hidden => true,
    }
}

/// What has an id. The segments of a dead process may be removed, so a process counts as dead only if that is
/// known.
enum Seen {
    Process(Stat),
    NoProcess,
    /// This process may not know.
    Hidden,
}

fn look(pid: i32) -> Seen {
    if !*PROC_IS_OURS {
        return Seen::Hidden;
    }
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => Stat::parse(pid, &text).map_or(Seen::Hidden, Seen::Process),
        // Mounted with `hidepid`, `/proc` keeps the processes of others to itself; signals do not.
        Err(_) if is_no_process(pid) => Seen::NoProcess,
        Err(_) => Seen::Hidden,
    }
}

fn is_no_process(pid: i32) -> bool {
    // SAFETY: signal 0 is none; it only asks.
    let sent = unsafe { libc::kill(pid, 0) };
    sent == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Whether the numbers in `/proc` mean what they mean to this process, and not to another PID
/// namespace.
static PROC_IS_OURS: LazyLock<bool> = LazyLock::new(|| {
    let us = fs::read_link("/proc/self");
    us.is_ok_and(|link| link.as_os_str() == &*std::process::id().to_string())
});

struct Stat {
    lives: bool,
    /// When it began, in clock ticks since boot.
    start: u64,
}

impl Stat {
    fn parse(pid: i32, text: &[u8]) -> Option<Stat> {
        let (first, start) = Stat::fields(text)?;
        // A process lives on when its first thread has ended, and looks as if it had not.
        let lives = first || {
            let is_alive = |thread: i32| {
                let text = fs::read(format!("/proc/{pid}/task/{thread}/stat"));
                text.is_ok_and(|text| Stat::fields(&text).is_some_and(|(lives, _)| lives))
            };
            threads(pid).any(is_alive)
        };
        Some(Stat { lives, start })
    }

    /// Whether a thread lives, and when it began.
    fn fields(text: &[u8]) -> Option<(bool, u64)> {
        let text = String::from_utf8_lossy(text);
        // Behind the name, which may hold anything, in parentheses.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let lives = !matches!(fields.next()?, "Z" | "X" | "x");
        Some((lives, fields.nth(18)?.parse().ok()?))
    }

    /// Whether this is the process that had its number at a time, which is known to the second; if it
    /// is, whether it lives.
    fn was_there(&self, time: Option<SystemTime>) -> Life {
        /// By how much a clock that was wrong may be set right: it then looks as if all who were
        /// there before had begun later.
        const SET: Duration = Duration::from_secs(24 * 3_600);
        if !self.lives {
            return Life::Dead;
        }
        let (Some(time), Some(boot)) = (time, boot_time()) else {
            return Life::Alive;
        };
        // SAFETY: asks for a number.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
        let began = boot + Duration::from_secs_f64(self.start as f64 / ticks);
        match began.duration_since(time) {
            // The time of boot is rounded, too.
            Err(_) => Life::Alive,
            Ok(later) if later <= Duration::from_secs(2) => Life::Alive,
            Ok(later) if later > SET && time > boot => Life::Dead,
            Ok(_) => Life::Unknown,
        }
    }
}

fn boot_time() -> Option<SystemTime> {
    static BOOT: LazyLock<Option<SystemTime>> = LazyLock::new(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        let seconds = Duration::from_secs(seconds.trim().parse().ok()?);
        Some(SystemTime::UNIX_EPOCH + seconds)
    });
    *BOOT
}
