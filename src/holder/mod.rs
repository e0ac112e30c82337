//! Holders: a thread that has a lock, or a process that has a role, as one number. Every process can find
//! out whether a holder is the calling thread or process, and whether it is live, dead or unknown.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the number, and those of the calling thread |
//! | `life` | the liveness check |
//! | `process` | the numbers of this process, also after `fork` |
//! | `token` | the token of life |
//!
//! A thread's id is not enough: the kernel reuses it after the thread's death, and each PID namespace
//! has ids of its own. So the number holds, beside the id, a value that no other holder has:
//!
//! | bits | what |
//! |--:|---|
//! | 0, 1 | 0 |
//! | 2 | 0 for a thread; 1 for a process, which lives as long as one of its threads |
//! | 3 to 24 | the id of the thread or process, in its own PID namespace |
//! | 25 to 61 | a value that depends on the kind |
//! | 62, 63 | the kind: 0 inode, 1 ticks, 2 token, 3 random |
//!
//! So bits 0 to 2 of a thread's number are 0, and a lock keeps its three flags there.
//!
//! *Inode* (Linux 6.9 and later): the inode number on pidfs, unique as long as the machine is up.
//! *Ticks* (older kernels): a hash of the start time in clock ticks and of the namespaces in which
//! it counts. *Random*: where the kernel gives neither. *Token*: the id of a segment that exists as
//! long as its process does (see [`token`]), and 6 bits of the thread. The kernel says in every PID
//! namespace and without `/proc` whether a token exists. So a process uses one if it is not known to
//! be in the initial PID namespace, or if it shares an object with processes of other namespaces. A token
//! means something in the IPC namespace in which it was made; to an object of another one, which its
//! thread has left or joined since with `unshare(2)` or `setns(2)`, the other number is written.
//!
//! Two cases are not distinguished: in a process with a token, a younger thread from a dead one that had the
//! same id and the same 6 bits (1 of 63); and a child that shares its parent's memory (`vfork`, `CLONE_VM`)
//! from its parent.
//!
//! A holder of which the kernel says nothing is [`Life::Unknown`]: it is neither this thread nor dead.

mod life;
mod process;
mod token;

pub(crate) use life::Life;

use crate::{
    hash::fnv1a,
    sys::{self, PidFd, Scope, Stat},
};
use core::{cell::Cell, ffi::c_int};
use process::Process;
pub(crate) use process::Proof;

/// A thread or a process, as its number in shared memory. Any bits may have been written there: a
/// number that no thread or process has is that of a dead holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberKind {
    Inode = 0,
    Ticks = 1,
    Token = 2,
    Random = 3,
}

/// The numbers of one thread or process. A holder that was written before the token was made is
/// known by the first.
#[derive(Clone, Copy)]
struct Names {
    plain: u64,
    /// 0 if there is none.
    token: u64,
    /// The IPC namespace in which the token was made.
    ipc_namespace: u64,
}

const PROCESS: u64 = 1 << 2;
const ID_SHIFT: u32 = 3;
const ID_BITS: u32 = 22; // the kernel's limit is 4,194,304
const VALUE_SHIFT: u32 = ID_SHIFT + ID_BITS;
const VALUE_BITS: u32 = 37;
const KIND_SHIFT: u32 = VALUE_SHIFT + VALUE_BITS;
/// The bits of a token's value that distinguish the threads of its process.
const TAG_BITS: u32 = 6;

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The bits of a holder's number that are always 0.
pub(crate) const FREE_BITS: u64 = 0b11;

/// Inode numbers from here on may not fit into a holder, and so are not looked up by it. A machine that
/// starts 10,000 threads a second needs five months to get here. The limit keeps a distance from the
/// largest value because each processor takes inode numbers in batches.
const INODES_END: u64 = mask(VALUE_BITS) - (1 << 30);

thread_local! {
    /// What this thread knows of itself, and the number of the process in which it found that out.
    static KNOWN: Cell<(u64, Names)> = const { Cell::new((0, Names { plain: 0, token: 0, ipc_namespace: 0 })) };
}

/// Returns the number of the calling thread's IPC namespace; the same number where `/proc` does not tell.
pub(crate) fn ipc_namespace() -> u64 {
    sys::ipc_namespace().unwrap_or(1)
}

impl Holder {
    /// Returns the calling thread, for an object of an IPC namespace. `abroad`: processes of other PID
    /// namespaces make liveness checks of it.
    #[inline]
    pub fn thread_in(ipc_namespace: u64, abroad: bool) -> Holder {
        Holder::thread_if_known(ipc_namespace, abroad)
            .unwrap_or_else(|| Holder::learn(Process::current(), abroad).best(ipc_namespace))
    }

    /// Returns the same if that takes no system call.
    #[inline(always)]
    pub fn thread_if_known(ipc_namespace: u64, abroad: bool) -> Option<Holder> {
        let process = Process::current();
        let (of, names) = KNOWN.get();
        let is_known = of != 0 && of == process.plain() && !(abroad && names.token == 0);
        is_known.then(|| names.best(ipc_namespace))
    }

    #[cold]
    fn learn(process: &Process, abroad: bool) -> Names {
        let token = process.settle(abroad);
        let tid = sys::thread_id();
        let (of, known) = KNOWN.get();
        // What is already written somewhere stays this thread's name.
        let plain = if of != 0 && of == process.plain() {
            Holder(known.plain)
        } else {
            Holder::plain(tid, Scope::Thread)
        };
        let names = Names {
            plain: plain.0,
            token: token.map_or(0, |id| Holder::of_token(id, tid, plain.tag()).0),
            ipc_namespace: process.names().ipc_namespace,
        };
        KNOWN.set((process.plain(), names));
        names
    }

    /// Returns the calling process, as [`thread_in`](Holder::thread_in) does the thread.
    pub fn process_in(ipc_namespace: u64, abroad: bool) -> Holder {
        let process = Process::current();
        process.settle(abroad);
        process.names().best(ipc_namespace)
    }

    /// Returns the calling process, for use within it: the number stays the same.
    pub fn this_process() -> Holder {
        Holder::process_in(0, false)
    }

    /// Returns whether this is the calling thread, or the calling process. False for a parent or child of
    /// it, and for a thread or process of another PID namespace that has the same id.
    #[inline(always)]
    pub fn is_mine(self) -> bool {
        let process = Process::current();
        if self.0 & PROCESS != 0 {
            return process.names().are(self);
        }
        let (of, names) = KNOWN.get();
        of != 0 && of == process.plain() && names.are(self)
    }

    /// Returns the same as `is_mine` for a process, faster if it is true.
    #[inline(always)]
    pub fn is_this_process(self) -> bool {
        self.0 != 0 && Process::is_certainly(self.0) || self.is_mine()
    }

    /// Returns the proof that this is the calling process.
    pub fn proof(self) -> Proof {
        Process::proof(self.0)
    }

    /// Returns its number, which is never 0, and in which [`FREE_BITS`] are 0.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Returns the holder with this number, which may be any number.
    pub fn from_bits(bits: u64) -> Holder {
        Holder(bits & !FREE_BITS)
    }

    /// Returns the id of the thread or process, in its own PID namespace.
    pub fn id(self) -> u32 {
        (self.0 >> ID_SHIFT & mask(ID_BITS)) as u32
    }

    /// Returns whether it is a process, and not a thread.
    pub fn is_process(self) -> bool {
        self.0 & PROCESS != 0
    }

    fn new(kind: NumberKind, id: c_int, value: u64, scope: Scope) -> Holder {
        let process = match scope {
            Scope::Process => PROCESS,
            Scope::Thread => 0,
        };
        Holder(
            (kind as u64) << KIND_SHIFT
                | (value & mask(VALUE_BITS)) << VALUE_SHIFT
                | (id as u64 & mask(ID_BITS)) << ID_SHIFT
                | process,
        )
    }

    /// Returns the number of the calling thread or process, without a token.
    fn plain(id: c_int, scope: Scope) -> Holder {
        let new = |kind, value| Holder::new(kind, id, value, scope);
        if let Some(inode) = inode_of(id, scope) {
            return new(NumberKind::Inode, inode);
        }
        let stat = match scope {
            Scope::Thread => Stat::of_this_thread(),
            Scope::Process => Stat::of_this_process(),
        };
        match (stat, sys::namespaces()) {
            (Some(stat), namespaces) if namespaces != sys::NO_NAMESPACE => {
                new(NumberKind::Ticks, ticks(stat.start, namespaces))
            }
            _ => new(NumberKind::Random, sys::random()),
        }
    }

    /// Returns the thread with this id and this tag, of the process that has a token.
    fn of_token(token: c_int, tid: c_int, tag: u64) -> Holder {
        Holder::new(
            NumberKind::Token,
            tid,
            (token as u64) << TAG_BITS | tag,
            Scope::Thread,
        )
    }

    /// Returns the process that has a token.
    fn of_process_token(token: c_int, pid: c_int) -> Holder {
        Holder::new(
            NumberKind::Token,
            pid,
            (token as u64) << TAG_BITS,
            Scope::Process,
        )
    }

    fn kind(self) -> NumberKind {
        match self.0 >> KIND_SHIFT {
            0 => NumberKind::Inode,
            1 => NumberKind::Ticks,
            2 => NumberKind::Token,
            _ => NumberKind::Random,
        }
    }

    fn value(self) -> u64 {
        self.0 >> VALUE_SHIFT & mask(VALUE_BITS)
    }

    /// Returns what tells this thread from others of its process; 0 if nothing does.
    fn tag(self) -> u64 {
        match self.kind() {
            NumberKind::Inode => tag_of(self.value()),
            NumberKind::Token => self.value() & mask(TAG_BITS),
            NumberKind::Ticks | NumberKind::Random => 0,
        }
    }

    fn token(self) -> c_int {
        (self.value() >> TAG_BITS) as c_int
    }

    fn scope(self) -> Scope {
        if self.is_process() {
            Scope::Process
        } else {
            Scope::Thread
        }
    }
}

/// Proves that the calling thread is a particular one: contains that thread's number without a token, or 0.
#[derive(Default)]
pub(crate) struct ThreadProof(u64);

impl ThreadProof {
    /// Returns the proof for the calling thread. It never holds if the thread has no number yet.
    pub fn of_this_thread() -> ThreadProof {
        ThreadProof(KNOWN.get().1.plain)
    }

    /// Returns true only if the calling thread is the one for which this was made. May return false in that thread, too.
    #[inline(always)]
    pub fn holds(&self) -> bool {
        let (of, names) = KNOWN.get();
        self.0 != 0 && names.plain == self.0 && Process::is_certainly_plain(of)
    }
}

impl Names {
    #[inline]
    fn best(self, ipc_namespace: u64) -> Holder {
        Holder(match self.token {
            0 => self.plain,
            _ if self.ipc_namespace != ipc_namespace => self.plain,
            token => token,
        })
    }

    /// Returns whether a holder, whose number is not 0, has one of these numbers.
    #[inline]
    fn are(self, holder: Holder) -> bool {
        holder.0 == self.plain || holder.0 == self.token && holder.0 != 0
    }
}

/// Returns the inode number of a thread or process of this PID namespace, if the kernel gives one.
fn inode_of(id: c_int, scope: Scope) -> Option<u64> {
    PidFd::open(id, scope).ok()?.inode()
}

/// Returns what a token keeps of an inode number: never 0, and the same for its lower 37 bits.
fn tag_of(inode: u64) -> u64 {
    1 + (inode & mask(VALUE_BITS)) % (mask(TAG_BITS))
}

/// Returns the value of a start time, in the namespaces in which it counts.
fn ticks(start: u64, namespaces: u64) -> u64 {
    let numbers = [start, namespaces].map(u64::to_ne_bytes);
    fnv1a(numbers.into_iter().flatten()) & mask(VALUE_BITS)
}

#[cfg(test)]
impl Holder {
    pub fn thread(abroad: bool) -> Holder {
        Holder::thread_in(ipc_namespace(), abroad)
    }

    pub fn process(abroad: bool) -> Holder {
        Holder::process_in(ipc_namespace(), abroad)
    }
}

#[cfg(test)]
mod tests;
