//! Processes, as far as `/proc` tells: who lives, what they are called, and what they have attached.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

/// Whether a process lives, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    Dead,
    /// It is in another PID namespace, or `/proc` does not tell.
    Unknown,
}

/// A process that the kernel, or a segment, names by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub pid: i32,
    pub life: Life,
    /// What it is called, if it lives.
    pub name: Option<String>,
}

/// A process that has a segment attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub pid: i32,
    pub name: String,
    /// How many times it has it attached.
    pub times: u64,
    /// It may not write.
    pub read_only: bool,
    /// Where it has the beginning of the segment.
    pub address: Option<u64>,
    /// The segment is made of huge pages.
    pub huge: bool,
}

/// All that is attached, by all processes that this one may look at.
pub struct Attachments {
    of: HashMap<i32, Vec<Attached>>,
    /// How many processes there are that could not be looked at.
    pub unseen: usize,
}

impl Attachments {
    /// Looks at all processes of this IPC namespace.
    pub fn read() -> Attachments {
        let mut found = Attachments::none();
        let ours = ipc_namespace("self");
        for pid in all() {
            match maps_of(pid) {
                Some(maps) if maps.is_empty() => {}
                // In another IPC namespace, the same ids are other segments.
                Some(maps) if ours.is_none() || ipc_namespace(&pid.to_string()) == ours => {
                    let name = name_of(pid).unwrap_or_default();
                    for (id, attached) in maps {
                        let name = name.clone();
                        let whole = Attached {
                            pid,
                            name,
                            ..attached
                        };
                        found.of.entry(id).or_default().push(whole);
                    }
                }
                Some(_) => {}
                None if is_alive(pid) => found.unseen += 1,
                None => {}
            }
        }
        found
    }

    /// Nobody has anything attached.
    pub fn none() -> Attachments {
        Attachments {
            of: HashMap::new(),
            unseen: 0,
        }
    }

    pub fn take(&mut self, id: i32) -> Vec<Attached> {
        self.of.remove(&id).unwrap_or_default()
    }
}

/// The numbers of all processes.
fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn ipc_namespace(pid: &str) -> Option<u64> {
    let link = fs::metadata(format!("/proc/{pid}/ns/ipc")).ok()?;
    Some(link.ino())
}

fn is_alive(pid: i32) -> bool {
    matches!(Stat::read(pid), Some(stat) if stat.lives)
}

/// What a process has attached, by segment; `None` if this process may not know.
fn maps_of(pid: i32) -> Option<BTreeMap<i32, Attached>> {
    let text = fs::read(format!("/proc/{pid}/maps")).ok()?;
    let mut found = BTreeMap::new();
    // A line: `7f00-7f10 rw-s 00000000 00:01 32770      /SYSV4102002f (deleted)`.
    for line in text.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split_ascii_whitespace();
        let mut next = || fields.next().unwrap_or_default();
        let (range, permissions, offset, device, inode, path) =
            (next(), next(), next(), next(), next(), next());
        let is_segment = path.strip_prefix("/SYSV").is_some_and(|key| key.len() == 8);
        let (true, Ok(id)) = (is_segment, inode.parse::<u32>()) else {
            continue;
        };
        let attached = found.entry(id as i32).or_insert(Attached {
            pid,
            name: String::new(),
            times: 0,
            read_only: true,
            address: None,
            huge: false,
        });
        // One attachment can have several lines, if a part of it was protected; one begins at 0.
        if u64::from_str_radix(offset, 16) == Ok(0) {
            attached.times += 1;
            let start = range.split('-').next().unwrap_or_default();
            attached.address = u64::from_str_radix(start, 16).ok();
            // Ordinary segments lie in the kernel's first file system of its own.
            attached.huge = device != "00:01" && has_huge_pages(pid, range);
        }
        attached.read_only &= !permissions.starts_with("rw") && !permissions.starts_with("-w");
    }
    Some(found)
}

/// Whether a mapping is made of pages larger than the usual ones.
fn has_huge_pages(pid: i32, range: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(range));
    let size = lines.find_map(|line| line.strip_prefix("KernelPageSize:"));
    size.and_then(|size| size.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .is_some_and(|kilobytes| kilobytes * 1024 > page_size())
}

/// The size of a page, in bytes.
pub fn page_size() -> u64 {
    // SAFETY: asks for a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Bytes of a process' memory, as far as this process may read them.
pub fn memory_of(pid: i32, address: u64, len: usize) -> Option<Vec<u8>> {
    let mut file = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    file.seek(SeekFrom::Start(address)).ok()?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// What a process is called: its program, and what was made of that by the program itself.
pub fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The processes that were asked for, each looked at once: many segments have one creator.
#[derive(Default)]
pub struct Census(HashMap<i32, Option<(Stat, Option<String>)>>);

impl Census {
    /// The process of this number that was there at a time, if it lives still: another one may have
    /// its number now.
    pub fn at(&mut self, pid: i32, time: Option<SystemTime>) -> Named {
        let look = || Stat::read(pid).map(|stat| (stat, name_of(pid)));
        let (life, name) = match self.0.entry(pid).or_insert_with(look) {
            // 0 stands for a process of another PID namespace; and for none.
            _ if pid == 0 => (Life::Unknown, None),
            Some((stat, name)) if stat.lives && !stat.began_after(time) => {
                (Life::Alive, name.clone())
            }
            None if !proc_is_there() => (Life::Unknown, None),
            _ => (Life::Dead, None),
        };
        Named { pid, life, name }
    }
}

/// Whether `/proc` shows processes at all, and those of others, too: mounted with `hidepid`, it
/// keeps them from ordinary users, and what is not there need not be dead.
fn proc_is_there() -> bool {
    static THERE: LazyLock<bool> = LazyLock::new(|| {
        fs::metadata("/proc/self/stat").is_ok() && fs::metadata("/proc/1").is_ok()
    });
    *THERE
}

struct Stat {
    lives: bool,
    /// When it began, in clock ticks since boot.
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Stat> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // Behind the name, which may hold anything, in parentheses.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let lives = !matches!(fields.next()?, "Z" | "X" | "x");
        let start = fields.nth(18)?.parse().ok()?;
        Some(Stat { lives, start })
    }

    /// Whether it began after a time, which is known to the second.
    fn began_after(&self, time: Option<SystemTime>) -> bool {
        let (Some(time), Some(boot)) = (time, boot_time()) else {
            return false;
        };
        // SAFETY: asks for a number.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
        let began = boot + Duration::from_secs_f64(self.start as f64 / ticks);
        // The time of boot is rounded, too.
        began > time + Duration::from_secs(2)
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
