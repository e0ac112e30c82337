//! Processes, from `/proc`: whether they are live, their names, their memory.

use shmkey::Life;
use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

/// A process whose id the kernel has recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub pid: i32,
    /// Unknown also if the process that has this id seems to be younger than the record.
    pub life: Life,
    /// Its name, if it is live.
    pub name: Option<String>,
}

/// Returns the ids of all processes.
pub fn all() -> impl Iterator<Item = i32> {
    numbers_in("/proc")
}

/// Returns the ids of the threads of a process.
fn threads(pid: i32) -> impl Iterator<Item = i32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

/// Returns the entries of a directory that are numbers.
fn numbers_in(directory: &str) -> impl Iterator<Item = i32> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns the inode number of this process' IPC namespace.
pub fn our_ipc_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/ipc").ok()?.ino())
}

/// Returns the inode number of this process' PID namespace.
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

/// Returns the path of a file of a process that a thread other than the first provides; `None` without such a thread.
pub fn another_thread(pid: i32, file: &str) -> Option<String> {
    let thread = threads(pid).find(|&thread| thread != pid)?;
    Some(format!("/proc/{pid}/task/{thread}/{file}"))
}

/// Returns the size of a page, in bytes.
pub fn page_size() -> u64 {
    // SAFETY: asks for a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The memory of a process that this process may read.
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

    /// Returns the offsets of the pages, in `len` bytes from an address on, that the process has in memory: reading
    /// them allocates none. At most `most` pages; none if they are unknown.
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

/// Returns the name of a process: that of its program, unless the process has changed it.
pub fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The processes looked up so far: many segments have the same creator.
#[derive(Default)]
pub struct Census(HashMap<i32, (Seen, Option<String>)>);

impl Census {
    /// Returns the process that had this id at a time. Another process may have the id now.
    pub fn at(&mut self, pid: i32, time: Option<SystemTime>) -> Named {
        let find = || (look(pid), name_of(pid));
        let (life, name) = match self.0.entry(pid).or_insert_with(find) {
            // 0 stands for a process of another PID namespace, or for no process.
            _ if pid == 0 => (Life::Unknown, None),
            (Seen::Process(stat), name) => match stat.was_there(time) {
                Life::Live => (Life::Live, name.clone()),
                other => (other, None),
            },
            (Seen::NoProcess, _) => (Life::Dead, None),
            (Seen::Hidden, _) => (Life::Unknown, None),
        };
        Named { pid, life, name }
    }
}

/// Returns whether a process exists that this process may not look at.
pub fn is_hidden(pid: i32) -> bool {
    match look(pid) {
        Seen::Process(stat) => stat.lives,
        Seen::NoProcess => false,
        Seen::Hidden => true,
    }
}

/// What is known of an id. shmkey removes segments of dead processes, so a process counts as dead only if that is
/// certain.
enum Seen {
    Process(Stat),
    NoProcess,
    /// This process has no permission to know.
    Hidden,
}

fn look(pid: i32) -> Seen {
    if !*PROC_IS_OURS {
        return Seen::Hidden;
    }
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => Stat::parse(pid, &text).map_or(Seen::Hidden, Seen::Process),
        // `/proc` mounted with `hidepid` hides the processes of other users; kill(2) does not.
        Err(_) if is_no_process(pid) => Seen::NoProcess,
        Err(_) => Seen::Hidden,
    }
}

fn is_no_process(pid: i32) -> bool {
    // SAFETY: signal 0 is none; it only asks.
    let sent = unsafe { libc::kill(pid, 0) };
    sent == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Whether the ids in `/proc` are those of this process' PID namespace.
static PROC_IS_OURS: LazyLock<bool> = LazyLock::new(|| {
    let us = fs::read_link("/proc/self");
    us.is_ok_and(|link| link.as_os_str() == &*std::process::id().to_string())
});

struct Stat {
    lives: bool,
    /// When the process started, in clock ticks since boot.
    start: u64,
}

impl Stat {
    fn parse(pid: i32, text: &[u8]) -> Option<Stat> {
        let (first, start) = Stat::fields(text)?;
        // A process whose first thread has ended looks like a zombie, but is live while it has other threads.
        let lives = first || {
            let is_live = |thread: i32| {
                let text = fs::read(format!("/proc/{pid}/task/{thread}/stat"));
                text.is_ok_and(|text| Stat::fields(&text).is_some_and(|(lives, _)| lives))
            };
            threads(pid).any(is_live)
        };
        Some(Stat { lives, start })
    }

    /// Returns whether a thread is live, and when it started.
    fn fields(text: &[u8]) -> Option<(bool, u64)> {
        let text = String::from_utf8_lossy(text);
        // The fields follow the name, which is in parentheses and may contain any character.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let lives = !matches!(fields.next()?, "Z" | "X" | "x");
        Some((lives, fields.nth(18)?.parse().ok()?))
    }

    /// Returns whether the process that had this id at a time is live. The time is rounded to a second.
    fn was_there(&self, time: Option<SystemTime>) -> Life {
        /// The largest correction of a wrong clock. After a correction, all earlier processes seem to have started
        /// later than they did.
        const SET: Duration = Duration::from_secs(24 * 3_600);
        if !self.lives {
            return Life::Dead;
        }
        let (Some(time), Some(boot)) = (time, boot_time()) else {
            return Life::Live;
        };
        // SAFETY: asks for a number.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
        let began = boot + Duration::from_secs_f64(self.start as f64 / ticks);
        match began.duration_since(time) {
            // The boot time is rounded, too.
            Err(_) => Life::Live,
            Ok(later) if later <= Duration::from_secs(2) => Life::Live,
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
