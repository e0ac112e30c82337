//! The processes that have segments attached, from `/proc/*/maps`.

use crate::{backend, process};
use shmkey::{Key, Status};
use std::{
    cell::LazyCell,
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::MetadataExt,
    },
    sync::LazyLock,
};

/// A process that has a segment attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub pid: i32,
    pub name: String,
    /// How many attachments the process has.
    pub times: u64,
    /// How many times nattch counts them. The kernel counts areas of memory: an attachment has several if the process
    /// has protected or locked a part of it.
    pub areas: u64,
    /// No attachment allows writing.
    pub read_only: bool,
    /// The address of the beginning of the segment, and how many bytes are mapped from there on.
    pub address: Option<u64>,
    pub len: u64,
    /// The segment is made of huge pages.
    pub huge: bool,
}

/// The attachments of all processes whose memory maps this process may read.
pub struct Attachments {
    of: HashMap<i32, Vec<Attached>>,
    /// How many processes there are whose memory maps cannot be read.
    pub unseen: usize,
}

impl Attachments {
    /// Finds the processes of this namespace that have these segments attached.
    pub fn of<'a>(segments: impl IntoIterator<Item = &'a Status>) -> Attachments {
        let used = segments.into_iter().filter(|status| status.nattch > 0);
        let wanted = Wanted::new(used);
        let mut found = Attachments {
            of: HashMap::new(),
            unseen: 0,
        };
        if wanted.is_empty() {
            return found;
        }
        for pid in process::all() {
            let maps = match maps_of(pid) {
                Ok(maps) => String::from_utf8_lossy(&maps).into_owned(),
                // The process has ended, or is a kernel thread, which has no memory.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(_) => {
                    found.unseen += usize::from(process::is_hidden(pid));
                    continue;
                }
            };
            let areas: Vec<Area> = maps.lines().filter_map(|line| wanted.area(line)).collect();
            if !areas.is_empty() && wanted.can_be_of(pid) {
                let name = process::name_of(pid).unwrap_or_default();
                for (id, attached) in summed_up(pid, &name, &areas, &wanted) {
                    found.of.entry(id).or_default().push(attached);
                }
            }
        }
        found
    }

    /// Returns whether the kernel counts more attachments of these segments than were found.
    pub fn misses(&self, segments: &[Status]) -> bool {
        segments.iter().any(|status| {
            let of = self.of.get(&status.id).map_or(&[][..], Vec::as_slice);
            of.iter().map(|attached| attached.areas).sum::<u64>() < status.nattch
        })
    }

    pub fn take(&mut self, id: i32) -> Vec<Attached> {
        self.of.remove(&id).unwrap_or_default()
    }
}

fn maps_of(pid: i32) -> io::Result<Vec<u8>> {
    match fs::read(format!("/proc/{pid}/maps")) {
        Ok(maps) if !maps.is_empty() => Ok(maps),
        // If its first thread has ended, /proc shows the memory of the process with the other threads.
        other => match process::another_thread(pid, "maps").map(fs::read) {
            Some(Ok(maps)) => Ok(maps),
            _ => other,
        },
    }
}

/// The segments whose attachments are looked for, and how `/proc/PID/maps` shows these.
enum Wanted {
    /// The keys of the segments, and the IPC namespace in which they have these ids.
    Kernel(HashMap<i32, Key>, Option<u64>),
    /// The inode numbers of the segments' files, and their device.
    Files(HashMap<i32, u64>, Option<String>),
}

impl Wanted {
    fn new<'a>(used: impl Iterator<Item = &'a Status>) -> Wanted {
        if backend::is_user() {
            let inode = |status: &Status| Some((status.id, backend::file(status.id)?.ino()));
            return Wanted::Files(used.filter_map(inode).collect(), backend::device());
        }
        let keys = used.map(|status| (status.id, status.key)).collect();
        Wanted::Kernel(keys, process::our_ipc_namespace())
    }

    fn is_empty(&self) -> bool {
        match self {
            Wanted::Kernel(keys, _) => keys.is_empty(),
            Wanted::Files(inodes, _) => inodes.is_empty(),
        }
    }

    /// Returns the area of a line, if it is of one of these segments. A removed segment of the kernel has no key.
    fn area<'a>(&self, line: &'a str) -> Option<Area<'a>> {
        match self {
            Wanted::Kernel(keys, _) => {
                let (area, key) = Area::of_kernel(line)?;
                let known = *keys.get(&area.id)?;
                (known == key || known.is_private()).then_some(area)
            }
            Wanted::Files(inodes, device) => {
                let (area, inode) = Area::of_file(line)?;
                let same_device = device.as_ref().is_none_or(|device| device == area.device);
                (same_device && inodes.get(&area.id) == Some(&inode)).then_some(area)
            }
        }
    }

    /// Returns whether a process can have these segments attached. In another IPC namespace, the same ids are other
    /// segments; a file is the same in all namespaces.
    fn can_be_of(&self, pid: i32) -> bool {
        match self {
            Wanted::Kernel(_, ours) => ours.is_none() || process::ipc_namespace(pid) == *ours,
            Wanted::Files(..) => true,
        }
    }
}

/// Adds up the areas of a process, by segment.
fn summed_up(pid: i32, name: &str, areas: &[Area], of: &Wanted) -> BTreeMap<i32, Attached> {
    // Read only if it is needed, because the kernel takes long to make smaps.
    let huge_pages = LazyCell::new(|| huge_pages(pid));
    let mut found = BTreeMap::new();
    for area in areas {
        let is_usual = matches!(of, Wanted::Files(..))
            || SEGMENTS
                .as_deref()
                .is_none_or(|device| device == area.device);
        let huge = !is_usual && huge_pages.contains(area.range);
        // An ordinary file with the name of a segment.
        if !is_usual && !huge {
            continue;
        }
        let attached = found.entry(area.id).or_insert(Attached {
            pid,
            name: name.to_owned(),
            times: 0,
            areas: 0,
            read_only: true,
            address: None,
            len: 0,
            huge,
        });
        attached.areas += 1;
        if let Some((start, end, offset)) = area.bounds() {
            if offset == 0 {
                attached.times += 1;
                (attached.address, attached.len) = (Some(start), end - start);
            } else if attached.address == start.checked_sub(offset) && attached.len == offset {
                attached.len += end - start;
            }
        }
        attached.read_only &= area.permissions.as_bytes().get(1) != Some(&b'w');
    }
    for attached in found.values_mut() {
        // The process may have unmapped the beginning.
        attached.times = attached.times.max(1);
        if let Wanted::Files(..) = of {
            // The user backend counts attachments.
            attached.areas = attached.times;
        }
    }
    found
}

/// A line of `/proc/PID/maps`, if it is of a segment.
struct Area<'a> {
    range: &'a str,
    permissions: &'a str,
    offset: &'a str,
    device: &'a str,
    id: i32,
}

impl Area<'_> {
    /// Returns the first address, the address behind the last, and the offset in the segment.
    fn bounds(&self) -> Option<(u64, u64, u64)> {
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = self.range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        (start <= end).then_some((start, end, number(self.offset)?))
    }

    /// Parses `7f00-7f10 rw-s 00000000 00:01 32770      /SYSV4102002f (deleted)`, a segment of the kernel. Also returns
    /// the key with which the segment was created.
    fn of_kernel(line: &str) -> Option<(Area<'_>, Key)> {
        // Fast, because there are many lines and most are of other files.
        if !line.contains("/SYSV") {
            return None;
        }
        let mut fields = line.split_ascii_whitespace();
        let mut next = || fields.next();
        let (range, permissions, offset, device) = (next()?, next()?, next()?, next()?);
        let (inode, path, note) = (next()?, next()?, next()?);
        let key = path.strip_prefix("/SYSV")?;
        let is_segment = key.len() == 8 && note == "(deleted)";
        let key = u32::from_str_radix(key, 16).ok()?;
        let area = Area {
            range,
            permissions,
            offset,
            device,
            id: inode.parse::<u32>().ok()? as i32,
        };
        is_segment.then_some((area, Key::from_raw(key as i32)))
    }

    /// Parses `7f00-7f10 rw-s 00000000 00:1a 17      /dev/shm/shmkey-0/s.32770`, a file that may be a segment of the
    /// user backend. Also returns its inode number. The directories are not compared: what the line shows of them
    /// depends on the mount namespace of the reader.
    fn of_file(line: &str) -> Option<(Area<'_>, u64)> {
        if !line.contains("/s.") {
            return None;
        }
        let mut fields = line.split_ascii_whitespace();
        let mut next = || fields.next();
        let (range, permissions, offset, device) = (next()?, next()?, next()?, next()?);
        let inode = next()?.parse().ok()?;
        let path = line.strip_suffix(" (deleted)").unwrap_or(line);
        let (_, name) = path.rsplit_once('/')?;
        let id = name.strip_prefix("s.")?.parse().ok()?;
        let area = Area {
            range,
            permissions,
            offset,
            device,
            id,
        };
        // A page without access only holds a lock.
        let is_attachment = permissions.ends_with('s') && !permissions.starts_with("---");
        is_attachment.then_some((area, inode))
    }
}

/// The device number of segments without huge pages. The kernel uses the same internal file system for anonymous shared
/// memory; huge pages are on other devices.
static SEGMENTS: LazyLock<Option<String>> = LazyLock::new(|| device(None));

/// Returns the device of a file as the memory maps of processes show it.
pub fn device_of(file: &fs::File) -> Option<String> {
    device(Some(file.as_raw_fd()))
}

/// Maps a page of a file, or of anonymous shared memory, and returns the device that the memory map shows.
fn device(file: Option<RawFd>) -> Option<String> {
    let page = process::page_size() as usize;
    let nothing = std::ptr::null_mut();
    let (kind, file) = match file {
        Some(file) => (libc::MAP_SHARED, file),
        None => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
    };
    // SAFETY: a new mapping where the kernel chooses, which touches nothing that is there.
    let memory = unsafe { libc::mmap(nothing, page, libc::PROT_READ, kind, file, 0) };
    if memory == libc::MAP_FAILED {
        return None;
    }
    let area = own_area(memory as usize);
    // SAFETY: it is this mapping of one page, and nothing points there.
    unsafe { libc::munmap(memory, page) };
    Some(area?.device)
}

/// A memory area of this process.
pub struct OwnArea {
    /// Its addresses, in the form of `/proc/self/maps`.
    pub range: String,
    device: String,
}

impl OwnArea {
    /// Returns whether its pages have the usual size.
    pub fn is_usual(&self) -> bool {
        SEGMENTS.as_ref() == Some(&self.device)
    }
}

/// Returns the area that begins at an address.
pub fn own_area(address: usize) -> Option<OwnArea> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let start = format!("{address:x}-");
    let line = maps.lines().find(|line| line.starts_with(&start))?;
    let mut fields = line.split_ascii_whitespace();
    Some(OwnArea {
        range: fields.next()?.to_owned(),
        device: fields.nth(2)?.to_owned(),
    })
}

/// Returns the memory areas of a process that have huge pages.
fn huge_pages(pid: i32) -> HashSet<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut huge = HashSet::new();
    let mut range = "";
    for line in text.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        match line.strip_prefix("KernelPageSize:") {
            None if !first.ends_with(':') => range = first,
            None => {}
            Some(size) => {
                let kilobytes = size.trim().strip_suffix(" kB").unwrap_or_default();
                let kilobytes = kilobytes.parse().unwrap_or(0u64);
                if kilobytes * 1024 > process::page_size() {
                    huge.insert(range.to_owned());
                }
            }
        }
    }
    huge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_segments_have_their_name_their_device_and_their_inode_number() {
        let wanted = Wanted::Files([(32770, 17)].into(), Some("00:1a".to_owned()));
        let line = "7f0000000000-7f0000001000 rw-s 00000000 00:1a 17      /dev/shm/a b/s.32770";
        for (text, instead) in [("", ""), ("/dev/shm/a b", ""), ("32770", "32770 (deleted)")] {
            let line = line.replacen(text, instead, 1);
            assert_eq!(
                wanted.area(&line).map(|area| area.id),
                Some(32770),
                "{line}"
            );
        }
        for (text, instead) in [
            ("rw-s", "---s"),
            ("rw-s", "rw-p"),
            ("00:1a", "00:1b"),
            (" 17", " 18"),
            ("s.32770", "s.32771"),
            ("s.32770", "32770"),
            ("s.32770", "s.32770/table"),
        ] {
            let line = line.replacen(text, instead, 1);
            assert!(wanted.area(&line).is_none(), "{line}");
        }
    }
}
