//! The causes of failed calls, and their texts: the fact, then the condition, then a remedy.

use super::{
    Names,
    access::Access,
    files::{self, LimitName},
    key::{Meant, NoKey},
    ownership::{Orphans, Ownership},
    words::{Bytes, Count, Kib, User, are},
};
use core::{
    ffi::c_int,
    fmt::{self, Formatter},
};

/// Why a call failed. It consists of plain numbers, so that keeping one costs no allocation.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// A sentence that needs no numbers.
    Plain(&'static str),
    /// What is wrong with the directory of the segments' files.
    Directory(&'static str),
    NoFile {
        relative: bool,
        empty: bool,
    },
    NoKey(NoKey),
    ZeroSize,
    TooLarge(&'static str),
    BeyondLimit {
        shmmax: usize,
    },
    Smaller {
        id: c_int,
        have: usize,
        asked: usize,
        ownership: Ownership,
    },
    Exists {
        id: c_int,
        ownership: Ownership,
    },
    /// A segment existed, and has been removed since.
    Existed,
    Access(Access),
    NotYours {
        owner: u32,
        creator: u32,
        user: u32,
        capability: &'static str,
    },
    Ids {
        used: usize,
        shmmni: usize,
    },
    Pages {
        asked: usize,
        used: usize,
        limit: usize,
    },
    NoSuchHugePages {
        kib: u64,
    },
    HugePages {
        kib: u64,
        asked: u64,
        free: u64,
        total: u64,
    },
    /// In KiB.
    Committed {
        asked: u64,
        used: u64,
        limit: u64,
    },
    /// In KiB.
    MoreThanThereIs {
        asked: u64,
        ram: u64,
        swap: u64,
    },
    /// In bytes.
    AddressSpace {
        asked: u64,
        used: u64,
        limit: u64,
    },
    Mappings {
        used: u64,
        limit: u64,
    },
    /// In bytes.
    Locked {
        asked: u64,
        user: u32,
        limit: u64,
    },
    NoId {
        id: c_int,
    },
    /// The number that was passed as an id is something else.
    NotAnId {
        id: c_int,
        meant: Meant,
    },
    Gone {
        other: c_int,
    },
    NotAligned {
        address: usize,
        page: usize,
    },
    Occupied {
        from: usize,
        to: usize,
    },
    TooLow {
        address: usize,
        lowest: usize,
    },
    TooHigh {
        address: usize,
        end: usize,
        /// With five levels of page tables, the address would be valid.
        unless: bool,
    },
    NoIndex {
        index: c_int,
        highest: c_int,
    },
    /// An owner or a group: `uid` or `gid`, and the number.
    NoSuchOwner(&'static str, u32),
    NotAttached(Unattached),
    Inside {
        id: c_int,
        start: usize,
    },
}

/// Why no segment is attached at an address.
#[derive(Clone, Copy, Debug)]
pub enum Unattached {
    Null,
    /// It is the result of a failed `shmat`.
    Failed,
    /// It is the id of a segment.
    Id,
    Free,
    /// The attachments cannot be read.
    Unknown,
}

impl Cause {
    /// Returns the text: the cause and a remedy.
    pub fn text(self, names: &'static Names) -> impl fmt::Display {
        CauseText(self, names)
    }
}

struct CauseText(Cause, &'static Names);

impl fmt::Display for CauseText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let CauseText(cause, names) = *self;
        match cause {
            Cause::Plain(sentence) | Cause::TooLarge(sentence) => f.write_str(sentence),
            Cause::NotAttached(why) => not_attached(f, why, names),
            Cause::Directory(problem) => files::show(f, problem),
            Cause::NoFile { empty, relative } => no_file(f, empty, relative),
            Cause::NoKey(no_key) => no_key.text(names).fmt(f),
            Cause::ZeroSize => f.write_str(ZERO_SIZE),
            Cause::BeyondLimit { shmmax } => beyond_limit(f, shmmax),
            Cause::Smaller {
                id,
                have,
                asked,
                ownership,
            } => smaller(f, id, have, asked, ownership.text(names)),
            Cause::Exists { id, ownership } => exists(f, id, ownership.text(names), names),
            Cause::Existed => existed(f, names),
            Cause::Access(access) => access.text(names).fmt(f),
            Cause::NotYours {
                owner,
                creator,
                user,
                capability,
            } => not_yours(f, User(owner), User(creator), User(user), capability),
            Cause::Ids { used, shmmni } => ids(f, used as u64, shmmni as u64),
            Cause::Pages { asked, used, limit } => {
                pages(f, asked as u64, used as u64, limit as u64)
            }
            Cause::NoSuchHugePages { kib } => no_such_huge_pages(f, Kib(kib)),
            Cause::HugePages {
                kib,
                asked,
                free,
                total,
            } => huge_pages(f, Kib(kib), asked, free, total),
            Cause::Committed { asked, used, limit } => {
                committed_memory(f, Kib(asked), Kib(used), Kib(limit))
            }
            Cause::MoreThanThereIs { asked, ram, swap } => {
                more_than_there_is(f, Kib(asked), Kib(ram), Kib(swap))
            }
            Cause::AddressSpace { asked, used, limit } => address_space(f, asked, used, limit),
            Cause::Mappings { used, limit } => mappings(f, used, limit),
            Cause::Locked { asked, user, limit } => locked(f, asked, User(user), limit),
            Cause::NoId { id } => no_id(f, id, names),
            Cause::NotAnId { id, meant } => not_an_id(f, id, meant, names),
            Cause::Gone { other } => gone(f, other),
            Cause::NotAligned { address, page } => not_aligned(f, address, page),
            Cause::Occupied { from, to } => occupied(f, from, to),
            Cause::TooLow { address, lowest } => too_low(f, address, lowest),
            Cause::TooHigh {
                address,
                end,
                unless,
            } => too_high(f, address, end, unless),
            Cause::NoIndex { index, highest } => no_index(f, index, highest),
            Cause::NoSuchOwner(what, number) => no_such_owner(f, what, number, names),
            Cause::Inside { id, start } => inside(f, id, start, names),
        }
    }
}

// Paths, keys and sizes.

fn no_file(f: &mut Formatter<'_>, empty: bool, relative: bool) -> fmt::Result {
    if empty {
        return f.write_str("the path is empty; ftok makes a key from a file that exists");
    }
    f.write_str(
        "the file does not exist, and ftok makes a key only from a file that exists; \
         create the file (touch), or open by name instead",
    )?;
    if relative {
        f.write_str("; this path is relative to the working directory of the process")?;
    }
    Ok(())
}

pub(super) const KEY_OF_FAILED_FTOK: &str = "the key 0xffffffff is the number -1, which ftok returns on \
     failure; most likely a failed ftok was not noticed: check its result before using it";

const ZERO_SIZE: &str = "a segment of 0 bytes cannot be created; \
     pass a size (0 is valid only if the segment exists)";

fn beyond_limit(f: &mut Formatter<'_>, shmmax: usize) -> fmt::Result {
    write!(
        f,
        "the limit {} allows a segment to have {}; request less, or raise the limit",
        LimitName("shmmax"),
        Bytes(shmmax)
    )
}

fn smaller(
    f: &mut Formatter<'_>,
    id: c_int,
    have: usize,
    asked: usize,
    ownership: impl fmt::Display,
) -> fmt::Result {
    write!(
        f,
        "the segment with this key (id {id}) has {}, and {asked} were requested; \
         request its size or 0; {ownership}",
        Bytes(have)
    )
}

fn exists(
    f: &mut Formatter<'_>,
    id: c_int,
    ownership: impl fmt::Display,
    names: &Names,
) -> fmt::Result {
    write!(
        f,
        "a segment with this key exists (id {id}), and exclusive creation ({}) requires that none \
         does; {}; {ownership}",
        names.exclusive, names.not_exclusive
    )
}

fn existed(f: &mut Formatter<'_>, names: &Names) -> fmt::Result {
    write!(
        f,
        "a segment with this key existed, and exclusive creation ({}) requires that none does; it \
         has been removed since: try again",
        names.exclusive
    )
}

// Permission.

fn not_yours(
    f: &mut Formatter<'_>,
    owner: User,
    creator: User,
    user: User,
    capability: &str,
) -> fmt::Result {
    write!(
        f,
        "only the owner ({owner}), the creator ({creator}) and root (with {capability}) may do \
         this, whatever the mode; this process runs as {user}"
    )
}

pub(super) const FILTER: &str = "a seccomp filter is installed for this process, as in containers and \
     sandboxes, and most likely it rejects the call; allow shmget, shmat, shmdt and shmctl in its \
     policy (docker: --security-opt seccomp=...)";

// Limits and memory.

fn ids(f: &mut Formatter<'_>, used: u64, shmmni: u64) -> fmt::Result {
    let (limit, are) = (Count(shmmni, "segment"), are(used));
    write!(
        f,
        "{used} of {limit} ({}) {are} in use; free space on the disk does not matter; {Orphans}",
        LimitName("shmmni")
    )
}

fn pages(f: &mut Formatter<'_>, asked: u64, used: u64, shmall: u64) -> fmt::Result {
    let limit = Count(shmall, "page");
    write!(
        f,
        "{used} of {limit} of shared memory ({}) {} in use, and {asked} more {} too many; free \
         space on the disk does not matter; {Orphans}",
        LimitName("shmall"),
        are(used),
        are(asked)
    )
}

fn no_such_huge_pages(f: &mut Formatter<'_>, size: Kib) -> fmt::Result {
    write!(
        f,
        "this system has no huge pages of {size}; /sys/kernel/mm/hugepages lists the sizes that \
         it has"
    )
}

fn huge_pages(f: &mut Formatter<'_>, size: Kib, asked: u64, free: u64, total: u64) -> fmt::Result {
    write!(
        f,
        "the segment needs {asked} huge pages of {size}, and {free} of {total} are free; \
         reserve more (vm.nr_hugepages), or do without SHM_HUGETLB"
    )
}

fn committed_memory(f: &mut Formatter<'_>, asked: Kib, committed: Kib, limit: Kib) -> fmt::Result {
    write!(
        f,
        "{asked} were requested, and {committed} of the {limit} that the system commits \
         (vm.overcommit_memory is 2) are committed; request less, or raise vm.overcommit_ratio"
    )
}

fn more_than_there_is(f: &mut Formatter<'_>, asked: Kib, ram: Kib, swap: Kib) -> fmt::Result {
    write!(
        f,
        "{asked} were requested, and this machine has {ram} of memory and {swap} of swap space; \
         request less"
    )
}

fn address_space(f: &mut Formatter<'_>, asked: u64, used: u64, limit: u64) -> fmt::Result {
    write!(
        f,
        "the segment's {} do not fit into the address space of this process, which may have {} \
         (RLIMIT_AS, ulimit -v) and uses {}; raise that limit, or detach segments",
        Kib(asked.div_ceil(1024)),
        Kib(limit >> 10),
        Kib(used >> 10)
    )
}

fn mappings(f: &mut Formatter<'_>, used: u64, limit: u64) -> fmt::Result {
    write!(
        f,
        "this process has {used} mappings, and {limit} are allowed (vm.max_map_count); \
         detach segments, or raise that limit"
    )
}

fn locked(f: &mut Formatter<'_>, asked: u64, user: User, limit: u64) -> fmt::Result {
    write!(
        f,
        "the segment's {} and the memory that {user} has locked, in this process and in others, \
         exceed {} (RLIMIT_MEMLOCK of this process, ulimit -l); raise that limit, or grant \
         CAP_IPC_LOCK",
        Kib(asked.div_ceil(1024)),
        Kib(limit >> 10)
    )
}

pub(super) const LOCKED_NONE: &str = "this process may not lock any memory (RLIMIT_MEMLOCK, ulimit -l, is 0); \
     raise that limit, or grant CAP_IPC_LOCK";

// Ids and indexes.

fn no_id(f: &mut Formatter<'_>, id: c_int, names: &Names) -> fmt::Result {
    match id {
        -1 => write!(
            f,
            "the id -1 is what a failed {} returns; check its result before using it",
            names.opener
        ),
        ..0 => write!(
            f,
            "an id is never negative; pass the number {}",
            names.of_id
        ),
        _ => f.write_str(
            "there is no segment with this id; it may have been removed: open it again by its key",
        ),
    }
}

fn not_an_id(f: &mut Formatter<'_>, id: c_int, meant: Meant, names: &'static Names) -> fmt::Result {
    write!(
        f,
        "no segment has the id {id}: {}; pass the id {}",
        meant.text(names),
        names.of_id
    )
}

fn gone(f: &mut Formatter<'_>, other: c_int) -> fmt::Result {
    write!(
        f,
        "there is no segment with this id: the segment {other} has its place in {}, so the \
         segment with this id was destroyed, or never existed; open it again by its key",
        files::table()
    )
}

fn no_index(f: &mut Formatter<'_>, index: c_int, highest: c_int) -> fmt::Result {
    write!(
        f,
        "no segment has the index {index}: this command takes an index into {}, not an id, and \
         the highest index in use is {highest} (SHM_INFO returns it)",
        files::table()
    )
}

fn no_such_owner(f: &mut Formatter<'_>, what: &str, number: u32, names: &Names) -> fmt::Result {
    write!(
        f,
        "{what} {number} does not exist in this user namespace; {}",
        names.known_owner
    )
}

// Addresses.

fn not_aligned(f: &mut Formatter<'_>, address: usize, page: usize) -> fmt::Result {
    write!(
        f,
        "the address {address:#x} is not a multiple of {page}, the size of a page; \
         pass NULL to let the kernel choose, or SHM_RND to round it down"
    )
}

fn occupied(f: &mut Formatter<'_>, from: usize, to: usize) -> fmt::Result {
    write!(
        f,
        "the addresses from {from:#x} to {to:#x} are mapped already; \
         pass NULL to let the kernel choose"
    )
}

fn too_low(f: &mut Formatter<'_>, address: usize, lowest: usize) -> fmt::Result {
    write!(
        f,
        "the address {address:#x} is below {lowest:#x}, the lowest that a process without \
         CAP_SYS_RAWIO may map (vm.mmap_min_addr); pass NULL to let the kernel choose"
    )
}

fn too_high(f: &mut Formatter<'_>, address: usize, end: usize, unless: bool) -> fmt::Result {
    write!(f, "the addresses of a process end at {end:#x}")?;
    if unless {
        f.write_str(", unless the processor and the kernel have five levels of page tables")?;
    }
    write!(
        f,
        ", and the segment at {address:#x} would reach beyond; pass NULL to let the kernel choose"
    )
}

fn not_attached(f: &mut Formatter<'_>, why: Unattached, names: &Names) -> fmt::Result {
    let from = names.of_address;
    match why {
        Unattached::Null => f.write_str(names.null),
        Unattached::Failed => f.write_str(
            "the address is (void *) -1, which shmat returns on failure; check its result before \
             using it",
        ),
        Unattached::Id => write!(
            f,
            "this number is the id of a segment; pass the address {from}"
        ),
        Unattached::Free => write!(
            f,
            "no segment is attached at this address; pass the address {from}, and detach it once"
        ),
        Unattached::Unknown => write!(
            f,
            "the attachments of this process cannot be read; pass the address {from}, and detach \
             it once"
        ),
    }
}

fn inside(f: &mut Formatter<'_>, id: c_int, start: usize, names: &Names) -> fmt::Result {
    write!(
        f,
        "this address is inside an attachment of the segment {id}, which begins at {start:#x}; \
         pass the address {}",
        names.of_address
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_one_takes_the_singular() {
        for (cause, start) in [
            (
                Cause::BeyondLimit { shmmax: 1 },
                "the limit kernel.shmmax allows a segment to have 1 byte;",
            ),
            (
                Cause::Ids { used: 1, shmmni: 1 },
                "1 of 1 segment (kernel.shmmni) is in use;",
            ),
            (
                Cause::Pages {
                    asked: 1,
                    used: 1,
                    limit: 1,
                },
                "1 of 1 page of shared memory (kernel.shmall) is in use, and 1 more is too many;",
            ),
        ] {
            let text = cause.text(&super::super::names::C).to_string();
            assert!(text.starts_with(start), "{text}");
        }
    }
}
