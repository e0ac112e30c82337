//! The publishing end.

use super::{
    BroadcastError, LEFT, SUBSCRIBERS, View,
    frame::{Damaged, HEADER, LINE, NUMBER, parse, processor, size_of_frame, word_of},
};
use crate::sync::{
    area::Source,
    atomic::{
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
    wait::{self, Deadline},
    wish::Wish,
};

/// The number of messages for which the publisher assumes that it still runs on the same processor.
const SAME_CPU: u32 = 64;

/// What the publisher keeps in its own memory.
pub struct Publisher {
    /// The position of the next frame, and its offset.
    pos: u64,
    offset: usize,
    /// The number of that frame's message.
    number: u64,
    /// The position up to which there is room, as last seen: one whole area behind `floor` and each member.
    limit: u64,
    /// The value of the broadcast's `floor`, and its offset.
    floor: u64,
    floor_offset: usize,
    /// The first of the frames that are written and not committed: its offset and word.
    pending: Option<(usize, u64)>,
    /// The processor that it runs on, in the form of a frame's word, and for how many more messages it assumes that.
    cpu: u64,
    cpu_age: u32,
}

/// The slowest member.
struct Slowest {
    member: usize,
    pos: u64,
}

impl Publisher {
    /// Finds the end of what was committed, for a new publisher, or for one that follows a dead one.
    pub fn find(view: View) -> Result<Publisher, BroadcastError> {
        // Acquire, all: make visible what the last publisher did. A dead one may have committed more.
        let pos = view.words.published.tail.load(Acquire);
        let floor = view.words.floor.floor.load(Acquire);
        let number = view.words.published.next.load(Acquire);
        let is_possible = floor <= pos
            && pos - floor <= view.room() as u64
            && pos <= u64::MAX / 2
            && (pos | floor).is_multiple_of(LINE as u64);
        if !is_possible {
            return Err(BroadcastError::Damaged);
        }
        let mut found = Publisher {
            pos,
            offset: view.offset(pos),
            number,
            // Nothing is known of the members yet.
            limit: 0,
            floor,
            floor_offset: view.offset(floor),
            pending: None,
            cpu: 0,
            cpu_age: 0,
        };
        found.pass_committed(view)?;
        // SeqCst: the last publisher may have died between moving `floor` and its barrier.
        fence(SeqCst);
        Ok(found)
    }

    /// Passes the frames that a dead publisher has committed behind `tail`.
    fn pass_committed(&mut self, view: View) -> Result<(), Damaged> {
        loop {
            // Acquire: as in `find`, for the frame.
            match view.area.word(self.offset).load(Acquire) {
                0 => break,
                word => {
                    let size = size_of_frame(parse(word, view.capacity)?);
                    if self.pos + size as u64 > self.floor + view.room() as u64 {
                        return Err(Damaged);
                    }
                    // Relaxed: the acquire of the frame's first word makes it visible.
                    self.number = view.area.word(self.offset + NUMBER).load(Relaxed);
                    self.number = self.number.wrapping_add(1);
                    self.advance(view, size);
                }
            }
        }
        // Release, both: pair with the acquires in `find` of the next publisher.
        view.words.published.next.store(self.number, Release);
        view.words.published.tail.store(self.pos, Release);
        Ok(())
    }

    /// Publishes a message if it is known to have room: the most frequent case alone. Returns whether it was published.
    #[inline(always)]
    pub fn publish_if_room(&mut self, view: View, bytes: Source) -> bool {
        let len = bytes.len();
        let fits =
            self.pending.is_none() && len <= view.capacity && self.knows_room(size_of_frame(len));
        if !fits {
            return false;
        }
        let offset = self.offset;
        let word = self.begin_frame(view, len);
        view.area.write_wrapping(offset + HEADER, bytes);
        self.commit_frame(view, offset, word);
        true
    }

    /// Publishes a message; waits for room. `is_gone` returns whether a member is dead, after removing it if
    /// it is.
    #[cold]
    #[inline(never)]
    pub fn publish(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        is_gone: impl FnMut(usize) -> bool,
    ) -> Result<(), BroadcastError> {
        self.add(view, bytes, deadline, is_gone)?;
        self.commit(view);
        Ok(())
    }

    /// Adds a message; waits for room. Subscribers see it after [`commit`](Publisher::commit).
    pub fn add(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        is_gone: impl FnMut(usize) -> bool,
    ) -> Result<(), BroadcastError> {
        let offset = self.reserve(view, bytes.len(), deadline, is_gone)?;
        view.area.write_wrapping(offset, bytes);
        self.append(view, bytes.len());
        Ok(())
    }

    /// Finds room for a message, and returns the offset for its bytes, which may wrap at the end of the area. It has no
    /// effect unless `append` and `commit` follow.
    pub fn reserve(
        &mut self,
        view: View,
        len: usize,
        deadline: Deadline,
        is_gone: impl FnMut(usize) -> bool,
    ) -> Result<usize, BroadcastError> {
        if len > view.capacity {
            return Err(BroadcastError::TooLong(len));
        }
        let size = size_of_frame(len);
        if !self.knows_room(size) {
            self.find_room(view, size, deadline, is_gone)?;
        }
        Ok(self.offset + HEADER)
    }

    /// Adds the message that was written at the offset that [`reserve`](Publisher::reserve) returned. `len`: at most the
    /// length that was reserved.
    pub fn append(&mut self, view: View, len: usize) {
        let offset = self.offset;
        let word = self.begin_frame(view, len);
        match self.pending {
            None => self.pending = Some((offset, word)),
            // Relaxed: no subscriber reads it before the first frame is committed, which releases it.
            Some(_) => view.area.word(offset).store(word, Relaxed),
        }
    }

    /// Commits all added messages at once.
    pub fn commit(&mut self, view: View) {
        if let Some((offset, word)) = self.pending.take() {
            self.commit_frame(view, offset, word);
        }
    }

    /// Writes a frame's number and the 0 behind the frame, and continues behind it. Returns the frame's first word.
    #[inline(always)]
    fn begin_frame(&mut self, view: View, len: usize) -> u64 {
        // Relaxed, both: `commit_frame` releases them.
        view.area
            .word(self.offset + NUMBER)
            .store(self.number, Relaxed);
        self.advance(view, size_of_frame(len));
        view.area.word(self.offset).store(0, Relaxed);
        self.number = self.number.wrapping_add(1);
        self.cpu_age = self.cpu_age.wrapping_sub(1);
        if self.cpu_age >= SAME_CPU {
            self.refresh_cpu();
        }
        word_of(len, self.cpu)
    }

    #[cold]
    fn refresh_cpu(&mut self) {
        #[cfg(not(loom))]
        {
            self.cpu = processor(crate::sys::cpu());
        }
        #[cfg(loom)]
        {
            self.cpu = processor(None);
        }
        self.cpu_age = SAME_CPU - 1;
    }

    #[inline(always)]
    fn advance(&mut self, view: View, size: usize) {
        self.pos = self.pos.wrapping_add(size as u64);
        self.offset = view.behind(self.offset, size);
    }

    /// Stores the first word of a frame, which commits all frames from it up to `pos`, where there is a 0 already.
    #[inline(always)]
    fn commit_frame(&self, view: View, offset: usize, word: u64) {
        let first = view.area.word(offset);
        // Release: a subscriber that sees the frame sees its bytes, the frames behind it, and the 0 at the end.
        first.store(word, Release);
        // Release, both, in this order: a subscriber that sees `next` sees the frame before it, and one that sees
        // `tail` sees a number that is at least that of the frame there (see `subscriber::find`).
        view.words.published.next.store(self.number, Release);
        view.words.published.tail.store(self.pos, Release);
        view.words.asleep.sleepers.wake(first, self.pos);
    }

    /// Returns whether a frame of this size, and the 0 behind it, are known to have room.
    #[inline(always)]
    fn knows_room(&self, size: usize) -> bool {
        self.pos.saturating_add((size + LINE) as u64) <= self.limit
    }

    #[cold]
    #[inline(never)]
    fn find_room(
        &mut self,
        view: View,
        size: usize,
        deadline: Deadline,
        mut is_gone: impl FnMut(usize) -> bool,
    ) -> Result<(), BroadcastError> {
        // Members may have to release these messages to make room.
        self.commit(view);
        // The frame and the 0 overwrite everything before `until`.
        let end = self.pos.saturating_add((size + LINE) as u64);
        let until = end.saturating_sub(view.room() as u64);
        let mut waits = 0;
        loop {
            let slowest = self.slowest(view);
            if let Some(slow) = &slowest
                && slow.pos < until
            {
                // Each member moves on or leaves once. But a hostile process can move it back or have it join again,
                // without end.
                if waits >= SUBSCRIBERS && deadline.is_over() {
                    return Err(BroadcastError::Slow(slow.member));
                }
                waits += 1;
                if self.wait_for(view, slow, until, deadline, &mut is_gone)? {
                    self.drop_gone(view, until, &mut is_gone);
                }
                continue;
            }
            let bound = slowest.map_or(self.pos, |slow| slow.pos.min(self.pos));
            let moved = self.raise_floor(view, until, bound)?;
            // Loaded again after the barrier in `raise_floor`: a member may have joined.
            let slowest = if moved { self.slowest(view) } else { None };
            let bound = slowest.map_or(bound, |slow| slow.pos.min(bound));
            if bound >= until {
                self.limit = bound.min(self.floor).saturating_add(view.room() as u64);
                // Release: as in `View::leave`, for a member whose number another subscriber has since.
                fence(Release);
                return Ok(());
            }
        }
    }

    /// Moves `floor` to the first frame at `until` or behind it, and a step further, but not beyond `bound`, where
    /// another frame begins. Returns whether it has moved.
    fn raise_floor(&mut self, view: View, until: u64, bound: u64) -> Result<bool, Damaged> {
        // In steps, so that the line with `floor` stays in the subscribers' caches for a while. The step is small enough
        // to leave the room that the capacity promises.
        let step = (view.room() / LINE - 1) / 9 * LINE;
        let target = until.saturating_add(step as u64).min(bound);
        let before = self.floor;
        while self.floor < target {
            // Relaxed: this publisher has written the word, or has loaded it when it took the role.
            let word = view.area.word(self.floor_offset).load(Relaxed);
            let size = size_of_frame(parse(word, view.capacity)?);
            let next = self.floor + size as u64;
            if next > self.pos {
                return Err(Damaged);
            }
            self.floor = next;
            self.floor_offset = view.behind(self.floor_offset, size);
        }
        let moved = self.floor != before;
        if moved {
            // Relaxed: the fence orders it.
            view.words.floor.floor.store(self.floor, Relaxed);
            if view.lossy {
                // Release: a subscriber that reads a byte that is written after this fence, and then passes its acquire
                // fence, sees that `floor` has moved.
                fence(Release);
            } else {
                // SeqCst: also orders the store of `floor` before the load of `joined`; see the module.
                fence(SeqCst);
            }
        }
        Ok(moved)
    }

    /// Returns the slowest member, if there is one.
    fn slowest(&self, view: View) -> Option<Slowest> {
        if view.lossy {
            return None;
        }
        let joined = view.joined().filter(|&(_, pos)| pos != LEFT);
        let (member, pos) = joined.min_by_key(|&(_, pos)| pos)?;
        Some(Slowest { member, pos })
    }

    /// Drops the slowest members, as long as they have not released everything before `until` and are gone: processes
    /// that were killed together are dropped together, without a sleep for each.
    fn drop_gone(&self, view: View, until: u64, mut is_gone: impl FnMut(usize) -> bool) {
        // As many as there can be: a hostile process can have one of them join again without end.
        for _ in 0..SUBSCRIBERS {
            let slowest = self.slowest(view).filter(|slow| slow.pos < until);
            if !slowest.is_some_and(|slow| is_gone(slow.member)) {
                return;
            }
        }
    }

    /// Waits until a member has released everything before `until`, or is gone. Returns whether it is gone.
    fn wait_for(
        &mut self,
        view: View,
        slow: &Slowest,
        until: u64,
        deadline: Deadline,
        mut is_gone: impl FnMut(usize) -> bool,
    ) -> Result<bool, BroadcastError> {
        let member = slow.member;
        let Some(line) = view.members.get(member) else {
            return Err(BroadcastError::Damaged);
        };
        // Acquire: orders the publisher's writes behind the member's reads. `LEFT` is behind every position.
        let has_released = |until| (line.pos.load(Acquire) >= until).then_some(());
        if matches!(deadline, Deadline::Now) {
            let gone = is_gone(member);
            return if gone || has_released(until).is_some() {
                Ok(gone)
            } else {
                Err(BroadcastError::Slow(member))
            };
        }
        // Waits for a quarter of the room more than is needed, so that it does not wait for every message; at most until
        // all messages are released.
        let plenty = until
            .saturating_add(view.room() as u64 / 4)
            .min(self.pos)
            .max(until);
        // Relaxed: a hint.
        let cpu = line.cpu.load(Relaxed).checked_sub(1);
        if wait::spin(|| has_released(plenty)).is_some()
            || wait::stay_awake(cpu, || has_released(until)).is_some()
        {
            return Ok(false);
        }
        let mut wish = Wish::new(&line.wanted, plenty, until, deadline);
        loop {
            // Relaxed: ordered by the barrier, see `Wish`; `has_released` loads it again, with acquire. The kernel
            // compares it.
            let seen = line.pos.load(Relaxed);
            let in_time = seen >= until || wish.sleep(&line.pos, seen);
            if has_released(until).is_some() {
                return Ok(false);
            }
            if is_gone(member) {
                return Ok(true);
            }
            if !in_time {
                return Err(BroadcastError::Slow(member));
            }
        }
    }
}
