//! When a process ends, what it leaves: attachments that it has not detached, and segments that it
//! has created and no process has removed.
//!
//! Only a process that ends by `exit`, or by returning from `main`, comes here; one that is killed,
//! or calls `_exit`, or is replaced by `exec` does not. (`shmkey trace` reports those.) What it has created follows from the kernel's
//! own records, which name the creator of each segment, so nothing has to be kept.

use super::{
    line::{Json, OrNull, Time},
    notes, os, sink,
    users::Users,
};
use crate::{
    backend,
    explain::{Leftover, Removal, Segments},
    sys::{self, Errno, Mapping, Scratch, Stat},
};
use core::{
    ffi::c_int,
    fmt::{self, Write},
    sync::atomic::{AtomicI32, Ordering::Relaxed},
};

/// The process that has made a traced call: a child that has made none has nothing to tell.
static CALLED_BY: AtomicI32 = AtomicI32::new(0);

/// Takes note of a call.
pub(super) fn called() {
    let me = sys::process_id();
    // Relaxed: the number says nothing of other memory.
    if CALLED_BY.swap(me, Relaxed) != me {
        sink::begin();
        notes::called();
    }
}

/// Has `end` called when the process ends. It stands beside `called`, so that a linker takes both or
/// none.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

extern "C" fn end() {
    // Relaxed: as above.
    if !sink::is_on() || CALLED_BY.load(Relaxed) != sys::process_id() {
        return;
    }
    let mut attachments = 0;
    let read = sys::for_each_attachment(|mapping| {
        attachments += 1;
        sink::write(&|line, json| attached(line, json, mapping));
    });
    if sink::parent_reports() {
        return sink::end();
    }
    let own = read.ok().and_then(|()| Own::read(attachments));
    let mut segments = 0;
    let listed = for_each_created(|id, record| {
        segments += 1;
        let here = own.as_ref().map_or(0, |own| own.times(id));
        let count = record.shm_nattch.saturating_sub(here);
        // It takes long to look for the users of many segments.
        let name = segments <= 20;
        sink::write(&|line, json| left(line, json, id, record, Users { id, count, name }));
    });
    let segments = listed.ok().map(|()| segments);
    sink::write(&|line, json| ended(line, json, attachments, segments));
    sink::end();
    notes::told();
}

/// What this process has attached: the ids, in order, once for each attachment.
struct Own(Scratch);

impl Own {
    /// Reads `count` of them. `None` if there is no memory for that.
    fn read(count: usize) -> Option<Own> {
        let mut ids = Scratch::new(count).ok()?;
        let mut places = ids.numbers_mut().iter_mut();
        // Another thread may attach more at the same time, for which there is no place.
        let read = sys::for_each_attachment(|mapping| {
            if let Some(place) = places.next() {
                *place = mapping.id;
            }
        });
        read.ok()?;
        ids.numbers_mut().sort_unstable();
        Some(Own(ids))
    }

    /// Returns how often a segment is attached here.
    fn times(&self, id: c_int) -> u64 {
        let ids = self.0.numbers();
        let from = ids.partition_point(|&other| other < id);
        let to = ids.partition_point(|&other| other <= id);
        (to - from) as u64
    }
}

/// Calls `each` with the segments that this process has created, and that stay when it has ended.
/// Fails if they cannot be listed.
fn for_each_created(mut each: impl FnMut(c_int, &libc::shmid_ds)) -> Result<(), Errno> {
    let me = sys::process_id();
    // An earlier process can have had this one's id. Without /proc that is unknown.
    // Both clocks are rounded.
    let start = Stat::of_this_process().map_or(0, |stat| os::second_of(stat.start) - 1);
    let (highest, _) = backend::usage()?;
    for index in 0..=highest {
        let Ok((id, record)) = backend::stat_at(index) else {
            continue;
        };
        let to_be_destroyed = u32::from(record.shm_perm.mode) & backend::SHM_DEST != 0;
        if record.shm_cpid == me && record.shm_ctime >= start && !to_be_destroyed {
            each(id, &record);
        }
    }
    Ok(())
}

/// Writes what all events begin with in JSON.
fn begin(line: &mut dyn Write, event: &str) -> fmt::Result {
    let time = Time(os::nanoseconds(libc::CLOCK_REALTIME));
    let pid = sys::process_id();
    write!(line, r#"{{"event":"{event}","time":{time},"pid":{pid}"#)
}

fn attached(line: &mut dyn Write, json: bool, mapping: &Mapping) -> fmt::Result {
    let Mapping { start, id, .. } = *mapping;
    if json {
        begin(line, "attached")?;
        return write!(line, r#","id":{id},"address":{start}}}"#);
    }
    let pid = sys::process_id();
    write!(
        line,
        "shmkey[{pid}] ends with the segment {id} still attached at {start:#x}; the kernel detaches it now"
    )
}

fn left(
    line: &mut dyn Write,
    json: bool,
    id: c_int,
    record: &libc::shmid_ds,
    users: Users,
) -> fmt::Result {
    let (key, size) = (sys::key_of(&record.shm_perm), record.shm_segsz);
    let mode = u32::from(record.shm_perm.mode & 0o777);
    let others = users.count;
    let in_use = others > 0;
    let remedy = Removal { id, in_use };
    if json {
        begin(line, "left")?;
        return write!(
            line,
            r#","id":{id},"key":{key},"bytes":{size},"mode":{mode},"attached_by_others":{others},"remedy":{}}}"#,
            Json(remedy)
        );
    }
    let pid = sys::process_id();
    let leftover = Leftover {
        id,
        key,
        size,
        mode,
    };
    write!(
        line,
        "shmkey[{pid}] leaves behind {leftover}, which {users}; {remedy}"
    )
}

fn ended(
    line: &mut dyn Write,
    json: bool,
    attachments: usize,
    segments: Option<u64>,
) -> fmt::Result {
    if json {
        let segments = OrNull(segments);
        begin(line, "exit")?;
        return write!(
            line,
            r#","attachments":{attachments},"segments":{segments},"status":null,"signal":null,"called":true,"library":null}}"#
        );
    }
    let pid = sys::process_id();
    write!(line, "shmkey[{pid}] ends")?;
    match segments {
        None => line.write_str("; which segments it leaves behind is unknown"),
        Some(count) => write!(line, " and leaves {} behind", Segments(count)),
    }
}
