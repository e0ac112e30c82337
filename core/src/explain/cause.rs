//! What was found out, and the sentences that say it: the cause, then a remedy.

use super::{
    key::{Meant, NoKey},
    ownership::{Orphans, Ownership},
    permission::Access,
    words::{Bytes, Count, Kib, User, are},
};
use core::{ffi::c_int, fmt};

/// Why a call failed. Plain numbers, so that keeping one costs no allocation.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// A sentence that needs no numbers.
    Plain(&'static str),
    NoFile {
        relative: bool,
        empty: bool,
    },
    KeyOfFailedFtok,
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
        shmall: usize,
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
        committed: u64,
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
    LockedNone,
    NoId {
        id: c_int,
    },
    /// The number that was given for an id is something else.
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
        /// Five levels of page tables would do.
        unless: bool,
    },
    NoIndex {
        index: c_int,
        highest: c_int,
    },
    NoSuchUser {
        user: u32,
    },
    NoSuchGroup {
        group: u32,
    },
    NotAttached(&'static str),
    Inside {
        id: c_int,
        start: usize,
    },
    Filter,
}

impl Cause {
    pub(super) fn plain(sentence: &'static str) -> Cause {
        Cause::Plain(sentence)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::Plain(sentence) | Cause::TooLarge(sentence) | Cause::NotAttached(sentence) => f.write_str(sentence),
            Cause::NoFile { empty: true, .. } => {
                f.write_str("the path is empty, and a key is made from a file that exists")
            }
            Cause::NoFile { relative, .. } => {
                f.write_str(
                    "there is no such file, and a key is made from one that exists; create it (touch) or open by name instead",
                )?;
                match relative {
                    true => f.write_str(
                        "; this path is relative: it is looked for in the directory that the program runs in",
                    ),
                    false => Ok(()),
                }
            }
            Cause::KeyOfFailedFtok => f.write_str(
                "the key 0xffffffff is the number -1, which ftok returns when it fails, so most likely a failed ftok was not \
                 noticed: its file has to exist; check the result of ftok before it is used",
            ),
            Cause::ZeroSize => f.write_str(
                "a segment of 0 bytes cannot be created; give a size (0 is for opening one that exists)",
            ),
            Cause::BeyondLimit { shmmax } => write!(
                f,
                "the largest segment that the limit kernel.shmmax allows has {}; ask for less, or raise the limit",
                Bytes(shmmax)
            ),
            Cause::NoKey(no_key) => no_key.fmt(f),
            Cause::Smaller {
                id,
                have,
                asked,
                ownership,
            } => write!(
                f,
                "the segment under this key (id {id}) has {}, and {asked} were asked for; \
                 ask for its size or for 0; {ownership}",
                Bytes(have)
            ),
            Cause::Exists { id, ownership } => write!(
                f,
                "a segment with this key exists (id {id}) and it was to be created exclusively; \
                 open it without exclusive (IPC_EXCL); {ownership}"
            ),
            Cause::Access(access) => access.fmt(f),
            Cause::NotYours {
                owner,
                creator,
                user,
                capability,
            } => write!(
                f,
                "only the owner ({}), the creator ({}) and root (with {capability}) may do this, whatever the mode; this is {}",
                User(owner),
                User(creator),
                User(user)
            ),
            Cause::Ids { used, shmmni } => write!(
                f,
                "{used} of {} (kernel.shmmni) {} in use; this is not about the disk; {Orphans}",
                Count(shmmni as u64, "segment"),
                are(used as u64)
            ),
            Cause::Pages {
                asked,
                used,
                shmall,
            } => write!(
                f,
                "{used} of {} of shared memory (kernel.shmall) {} in use, and {asked} more {} too many; \
                 this is not about the disk; {Orphans}",
                Count(shmall as u64, "page"),
                are(used as u64),
                are(asked as u64)
            ),
            Cause::NoSuchHugePages { kib } => write!(
                f,
                "this system has no huge pages of {}; /sys/kernel/mm/hugepages has those it knows",
                Kib(kib)
            ),
            Cause::HugePages {
                kib,
                asked,
                free,
                total,
            } => write!(
                f,
                "huge pages of {}: {asked} needed, {free} free, of {total} that the system has; \
                 have it keep more (vm.nr_hugepages), or do without SHM_HUGETLB",
                Kib(kib)
            ),
            Cause::Committed {
                asked,
                committed,
                limit,
            } => write!(
                f,
                "{} were asked for, and of the {} that the system may promise (vm.overcommit_memory is 2) {} are promised; \
                 ask for less, or raise vm.overcommit_ratio",
                Kib(asked),
                Kib(limit),
                Kib(committed)
            ),
            Cause::MoreThanThereIs { asked, ram, swap } => write!(
                f,
                "{} were asked for, more than this machine's memory ({}) and swap space ({}) together; ask for less",
                Kib(asked),
                Kib(ram),
                Kib(swap)
            ),
            Cause::AddressSpace { asked, used, limit } => write!(
                f,
                "this process may have {} of addresses (RLIMIT_AS, ulimit -v) and uses {}, so the segment's {} do not fit; \
                 raise that limit, or detach what is not needed",
                Kib(limit >> 10),
                Kib(used >> 10),
                Kib(asked.div_ceil(1024))
            ),
            Cause::Mappings { used, limit } => write!(
                f,
                "this process has {used} mappings, and {limit} are allowed (vm.max_map_count); \
                 detach what is not needed, or raise that limit"
            ),
            Cause::Locked { asked, user, limit } => write!(
                f,
                "the segment's {}, with what {} has locked already, in this process and in others, are more than {} \
                 (RLIMIT_MEMLOCK, ulimit -l, of this process); raise that limit, or give it CAP_IPC_LOCK",
                Kib(asked.div_ceil(1024)),
                User(user),
                Kib(limit >> 10)
            ),
            Cause::LockedNone => f.write_str(
                "this process may lock no memory at all (RLIMIT_MEMLOCK, ulimit -l, is 0); raise that limit, or give it \
                 CAP_IPC_LOCK",
            ),
            Cause::NoId { id: -1 } => f.write_str(
                "the id -1 is what a failed shmget returns; check its result before it is used",
            ),
            Cause::NoId { id } if id < 0 => {
                f.write_str("an id is never negative; it is the number that shmget returned")
            }
            Cause::NoId { .. } => f.write_str(
                "there is no segment with this id; it may have been removed, so open it again by its key",
            ),
            Cause::NotAnId { id, meant } => write!(
                f,
                "no segment has the id {id}: {meant}; pass that id, which is what shmget returned"
            ),
            Cause::Gone { other } => write!(
                f,
                "there is no segment with this id: the segment {other} has its place, so the one with this id was removed and \
                 destroyed, or this never was an id; open it again by its key"
            ),
            Cause::NotAligned { address, page } => write!(
                f,
                "the address {address:#x} is not a multiple of {page}, the size of a page; \
                 let the system choose (NULL), or have it rounded down (SHM_RND)"
            ),
            Cause::Occupied { from, to } => write!(
                f,
                "something is mapped there already, from {from:#x} to {to:#x}; let the system choose (NULL)"
            ),
            Cause::TooLow { address, lowest } => write!(
                f,
                "the address {address:#x} is below {lowest:#x}, where those begin that a process without CAP_SYS_RAWIO may map \
                 (vm.mmap_min_addr); let the system choose (NULL)"
            ),
            Cause::TooHigh {
                address,
                end,
                unless,
            } => {
                let unless = match unless {
                    true => ", unless the processor and the kernel have five levels of page tables",
                    false => "",
                };
                write!(
                    f,
                    "the addresses of a process end at {end:#x}{unless}, and the segment at {address:#x} would not; let the \
                     system choose (NULL)"
                )
            }
            Cause::NoIndex { index, highest } => write!(
                f,
                "no segment has the index {index}; this command takes no id but a place in the kernel's table, and the highest \
                 in use is {highest}, as SHM_INFO tells it"
            ),
            Cause::NoSuchUser { user } => write!(
                f,
                "uid {user} is no user that the segment could belong to here; fill the buffer by IPC_STAT before it is changed"
            ),
            Cause::NoSuchGroup { group } => write!(
                f,
                "gid {group} is no group that the segment could belong to here; fill the buffer by IPC_STAT before it is changed"
            ),
            Cause::Inside { id, start } => write!(
                f,
                "this address is inside of an attachment of the segment {id} that begins at {start:#x}; \
                 what is needed is the address that attaching returned"
            ),
            Cause::Filter => f.write_str(
                "a seccomp filter is installed for this process, as containers and sandboxes do, and most likely it answers in the \
                 kernel's place; allow shmget, shmat, shmdt and shmctl in that policy (such as docker's --security-opt seccomp=...)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        for (cause, start) in [
            (
                Cause::BeyondLimit { shmmax: 1 },
                "the largest segment that the limit kernel.shmmax allows has 1 byte;",
            ),
            (
                Cause::Ids { used: 1, shmmni: 1 },
                "1 of 1 segment (kernel.shmmni) is in use;",
            ),
            (
                Cause::Pages {
                    asked: 1,
                    used: 1,
                    shmall: 1,
                },
                "1 of 1 page of shared memory (kernel.shmall) is in use, and 1 more is too many;",
            ),
        ] {
            let text = cause.to_string();
            assert!(text.starts_with(start), "{text}");
        }
    }
}
