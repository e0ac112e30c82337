//! Processes, as far as `/proc` tells: who lives, what they are called, and what they have attached.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

/// Whether a process lives, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    Dead,
    /// It is in another PID namespace, or `/proc` does not tell, or there is one of its number that
    /// seems to be younger.
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
    /// In how many areas of its memory that is, which is what the kernel counts: an attachment of
    /// which a part was protected or locked has several.
    pub areas: u64,
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
        let ours = ipc_namespace(std::process::id() as i32);
        for pid in all() {
            match maps_of(pid) {
                Some(maps) if maps.is_empty() => {}
                // In another IPC namespace, the same ids are other segments.
                Some(maps) if ours.is_none() || ipc_namespace(pid) == ours => {
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
                None if matches!(look(pid), Seen::Process(stat) if !stat.lives) => {}
                None if matches!(look(pid), Seen::Nobody) => {}
                None => found.unseen += 1,
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

fn ipc_namespace(pid: i32) -> Option<u64> {
    let link = fs::metadata(format!("/proc/{pid}/ns/ipc"));
    let link = link.or_else(|error| {
        let path = another_thread(pid, "ns/ipc").ok_or(error)?;
        fs::metadata(path)
    });
    Some(link.ok()?.ino())
}

/// A file of a process, as another thread than the first shows it; `None` if there is no other.
fn another_thread(pid: i32, file: &str) -> Option<String> {
    let thread = threads(pid).find(|&thread| thread != pid)?;
    Some(format!("/proc/{pid}/task/{thread}/{file}"))
}

/// What a process has attached, by segment; `None` if this process may not know.
fn maps_of(pid: i32) -> Option<BTreeMap<i32, Attached>> {
    let text = fs::read(format!("/proc/{pid}/maps"));
    let text = match text {
        Ok(text) if !text.is_empty() => text,
        // A process whose first thread has ended shows its memory in the others.
        other => another_thread(pid, "maps")
            .and_then(|path| fs::read(path).ok())
            .or(other.ok())?,
    };
    let mut found = BTreeMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let Some(area) = Area::parse(&line) else {
            continue;
        };
        let is_usual = SEGMENTS
            .as_deref()
            .is_none_or(|device| device == area.device);
        let huge = !is_usual && has_huge_pages(pid, area.range);
        // Somebody's own file with the name of a segment.
        if !is_usual && !huge {
            continue;
        }
        let attached = found.entry(area.id).or_insert(Attached {
            pid,
            name: String::new(),
            times: 0,
            areas: 0,
            read_only: true,
            address: None,
            huge,
        });
        attached.areas += 1;
        if u64::from_str_radix(area.offset, 16) == Ok(0) {
            attached.times += 1;
            let start = area.range.split('-').next().unwrap_or_default();
            attached.address = u64::from_str_radix(start, 16).ok();
        }
        attached.read_only &= area.permissions.as_bytes().get(1) != Some(&b'w');
    }
    for attached in found.values_mut() {
        // Its beginning may have been unmapped.
        attached.times = attached.times.max(1);
    }
    Some(found)
}

/// A line of `/proc/PID/maps`, if it is of a segment:
/// `7f00-7f10 rw-s 00000000 00:01 32770      /SYSV4102002f (deleted)`.
struct Area<'a> {
    range: &'a str,
    permissions: &'a str,
    offset: &'a str,
    device: &'a str,
    id: i32,
}

impl Area<'_> {
    fn parse(line: &str) -> Option<Area<'_>> {
        let mut fields = line.split_ascii_whitespace();
        let mut next = || fields.next();
        let (range, permissions, offset, device) = (next()?, next()?, next()?, next()?);
        let (inode, path, note) = (next()?, next()?, next()?);
        let key = path.strip_prefix("/SYSV")?;
        let is_segment = key.len() == 8 && u32::from_str_radix(key, 16).is_ok();
        (is_segment && note == "(deleted)").then_some(Area {
            range,
            permissions,
            offset,
            device,
            id: inode.parse::<u32>().ok()? as i32,
        })
    }
}

/// The device that segments are on: one of the kernel's own, which it also takes for memory that is
/// shared without a name. Huge pages are on others.
static SEGMENTS: LazyLock<Option<String>> = LazyLock::new(|| {
    let page = page_size() as usize;
    let (kind, nothing) = (libc::MAP_SHARED | libc::MAP_ANONYMOUS, std::ptr::null_mut());
    // SAFETY: a new mapping where the kernel chooses, which touches nothing that is there.
    let memory = unsafe { libc::mmap(nothing, page, libc::PROT_READ, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return None;
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    // SAFETY: it is this mapping of one page, and nothing points there.
    unsafe { libc::munmap(memory, page) };
    let start = format!("{:x}-", memory as usize);
    let line = maps.lines().find(|line| line.starts_with(&start))?;
    Some(line.split_ascii_whitespace().nth(3)?.to_owned())
});

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
            (Seen::Nobody, _) => (Life::Dead, None),
            (Seen::Hidden, _) => (Life::Unknown, None),
        };
        Named { pid, life, name }
    }
}

/// What there is under a number. What is called dead can be removed with all that it has left, so
/// nobody is called dead of whom it is not known.
enum Seen {
    Process(Stat),
    Nobody,
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
        Err(_) if is_nobody(pid) => Seen::Nobody,
        Err(_) => Seen::Hidden,
    }
}

fn is_nobody(pid: i32) -> bool {
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

/// The threads of a process.
fn threads(pid: i32) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let entries = entries.into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

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
