//! The publishing end.

use super::{
    BroadcastError, LEFT, View,
    frame::{Damaged, HEADER, LINE, NUMBER, parse, processor, size_of_frame, word_of},
};
use crate::sync::{
    area::Source,
    atomic::{
        self,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence, heavy_barrier,
    },
    wait::{self, Deadline, Sleep},
};

/// For how many messages the publisher takes it that it still runs on the same processor.
const SAME_CPU: u32 = 64;

/// What the publisher knows by itself.
pub struct Publisher {
    /// Where the next frame goes, and its offset.
    pos: u64,
    offset: usize,
    /// The number of the message in it.
    number: u64,
    /// How far there is room, as far as is known: up to a whole area behind the floor and each subscriber.
    limit: u64,
    /// What this end has stored as the floor last, and its offset.
    floor: u64,
    floor_offset: usize,
    /// The first of the frames that were written and not committed: its offset and word.
    pending: Option<(usize, u64)>,
    /// The processor that it runs on, as a frame's word has it, and how many messages ago that was so.
    cpu: u64,
    cpu_age: u32,
}

/// The slowest subscriber that the publisher waits for.
struct Slowest {
    slot: usize,
    pos: u64,
}

impl Publisher {
    /// Finds the end of what was committed, for a new publisher, or for one that follows a dead one.
    pub fn find(view: View) -> Result<Publisher, BroadcastError> {
        // Acquire, both: what the last publisher did is seen. (A dead one may have committed more.)
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
            // Nothing is known of the subscribers.
            limit: 0,
            floor,
            floor_offset: view.offset(floor),
            pending: None,
            cpu: 0,
            cpu_age: 0,
        };
        found.pass_committed(view)?;
        // SeqCst: the last publisher may have died between moving the floor and its own barrier.
        fence(SeqCst);
        Ok(found)
    }

    /// Goes over the frames that a dead publisher has committed behind the tail.
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
                    // Relaxed: the frame's word has been acquired.
                    self.number = view.area.word(self.offset + NUMBER).load(Relaxed);
                    self.number = self.number.wrapping_add(1);
                    self.advance(view, size);
                }
            }
        }
        // Release, both: for the next one to find.
        view.words.published.next.store(self.number, Release);
        view.words.published.tail.store(self.pos, Release);
        Ok(())
    }

    /// Publishes a message, if there is room as far as is known: what happens most often, and nothing else.
    /// Returns whether it was published.
    #[inline(always)]
    pub fn publish_soon(&mut self, view: View, bytes: Source) -> bool {
        let len = bytes.len();
        let fits =
            self.pending.is_none() && len <= view.capacity && self.knows_room(size_of_frame(len));
        if !fits {
            return false;
        }
        let offset = self.offset;
        let word = self.begin_frame(view, len);
        view.write(offset + HEADER, bytes);
        self.store(view, offset, word);
        true
    }

    /// Publishes a message, waiting for room. `is_gone` returns whether the subscriber with a slot is dead, and
    /// then has ended its membership.
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

    /// Writes a message, waiting for room. Subscribers see it after [`commit`](Publisher::commit).
    pub fn add(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        is_gone: impl FnMut(usize) -> bool,
    ) -> Result<(), BroadcastError> {
        let offset = self.reserve(view, bytes.len(), deadline, is_gone)?;
        view.write(offset, bytes);
        self.append(view, bytes.len());
        Ok(())
    }

    /// Finds room for a message, and returns where its bytes go; they may go round the end of the area. Nothing
    /// comes of it unless `append` and `commit` follow.
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

    /// Adds the message whose bytes were written where [`reserve`](Publisher::reserve) said; at most as many.
    pub fn append(&mut self, view: View, len: usize) {
        let offset = self.offset;
        let word = self.begin_frame(view, len);
        match self.pending {
            None => self.pending = Some((offset, word)),
            // Relaxed: no subscriber comes here before the first one is committed, which releases it.
            Some(_) => view.area.word(offset).store(word, Relaxed),
        }
    }

    /// Commits what was added, all of it at once.
    pub fn commit(&mut self, view: View) {
        if let Some((offset, word)) = self.pending.take() {
            self.store(view, offset, word);
        }
    }

    /// Writes all of a frame but its bytes and its first word, which is returned, and goes on behind it.
    #[inline(always)]
    fn begin_frame(&mut self, view: View, len: usize) -> u64 {
        // Relaxed, both: `store` releases them.
        view.area
            .word(self.offset + NUMBER)
            .store(self.number, Relaxed);
        self.advance(view, size_of_frame(len));
        view.area.word(self.offset).store(0, Relaxed);
        self.number = self.number.wrapping_add(1);
        self.cpu_age = self.cpu_age.wrapping_sub(1);
        if self.cpu_age >= SAME_CPU {
            self.look_where();
        }
        word_of(len, self.cpu)
    }

    #[cold]
    fn look_where(&mut self) {
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

    /// Commits what begins with a word at an offset and ends here, where there is a 0 already.
    #[inline(always)]
    fn store(&self, view: View, offset: usize, word: u64) {
        let first = view.area.word(offset);
        // Release: a subscriber that sees the frame sees its bytes, the frames behind it, and the 0 at the end.
        first.store(word, Release);
        // Release, both, in this order: one that sees the number sees the frame before it; and one that sees the
        // tail sees a number that is not below that of the next frame (see `Subscriber::find`).
        view.words.published.next.store(self.number, Release);
        view.words.published.tail.store(self.pos, Release);
        view.words.asleep.sleepers.wake(first, self.pos);
    }

    /// Returns whether there is room for a frame of this size and the 0 behind it, as far as is known.
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
        // Subscribers may have to receive this, to make room.
        self.commit(view);
        // What lies before this is overwritten.
        let end = self.pos.saturating_add((size + LINE) as u64);
        let until = end.saturating_sub(view.room() as u64);
        loop {
            let slowest = self.slowest(view);
            if let Some(slow) = &slowest
                && slow.pos < until
            {
                self.wait_for(view, slow, until, deadline, &mut is_gone)?;
                continue;
            }
            let bound = slowest.map_or(self.pos, |slow| slow.pos.min(self.pos));
            let moved = self.raise_floor(view, until, bound)?;
            // Looked at anew after the barrier in `raise_floor`: a subscriber may have come.
            let slowest = if moved { self.slowest(view) } else { None };
            let bound = slowest.map_or(bound, |slow| slow.pos.min(bound));
            if bound >= until {
                self.limit = bound.min(self.floor).saturating_add(view.room() as u64);
                // Release: as in `View::leave`, for a slot that another subscriber has taken since.
                fence(Release);
                return Ok(());
            }
        }
    }

    /// Moves the floor to the first frame at `until` or behind it, and on by a step, but not beyond `bound`, where
    /// another frame begins. Returns whether it was moved.
    fn raise_floor(&mut self, view: View, until: u64, bound: u64) -> Result<bool, Damaged> {
        // In steps, so that the line with the floor stays with the subscribers for a while. With that, there is still
        // room for the messages that the capacity promises.
        let step = (view.room() / LINE - 1) / 9 * LINE;
        let target = until.saturating_add(step as u64).min(bound);
        let before = self.floor;
        while self.floor < target {
            // Relaxed: this publisher has written it, or has found it when it took the role.
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
                // Release: a subscriber that reads a byte that is written from here on, and then does its acquire fence,
                // sees that the floor has moved.
                fence(Release);
            } else {
                // SeqCst: also for the order of the floor and the members; see the module.
                fence(SeqCst);
            }
        }
        Ok(moved)
    }

    /// Returns the slowest subscriber; `None` if the publisher waits for none.
    fn slowest(&self, view: View) -> Option<Slowest> {
        if view.lossy {
            return None;
        }
        let members = view.members().filter(|&(_, pos)| pos != LEFT);
        let (slot, pos) = members.min_by_key(|&(_, pos)| pos)?;
        Some(Slowest { slot, pos })
    }

    /// Waits until a subscriber has released what lies before `until`, or is gone.
    fn wait_for(
        &mut self,
        view: View,
        slow: &Slowest,
        until: u64,
        deadline: Deadline,
        mut is_gone: impl FnMut(usize) -> bool,
    ) -> Result<(), BroadcastError> {
        let slot = slow.slot;
        let Some(line) = view.slots.get(slot) else {
            return Err(BroadcastError::Damaged);
        };
        // Acquire: what was released is no longer read. `LEFT` is behind every position.
        let has_released = |until| (line.pos.load(Acquire) >= until).then_some(());
        if matches!(deadline, Deadline::Now) {
            let gone = is_gone(slot);
            return if gone || has_released(until).is_some() {
                Ok(())
            } else {
                Err(BroadcastError::Slow(slot))
            };
        }
        // A quarter of the room more than is needed, so that the publisher does not wait for every message; at
        // most until all is released.
        let plenty = until
            .saturating_add(view.room() as u64 / 4)
            .min(self.pos)
            .max(until);
        // Relaxed: a hint.
        let cpu = line.cpu.load(Relaxed).checked_sub(1);
        if wait::spin(|| has_released(plenty)).is_some()
            || wait::stay_awake(cpu, || has_released(until)).is_some()
        {
            return Ok(());
        }
        // Relaxed: the heavy barrier orders this store before the loads of the position. It pairs with the light barrier
        // in `Slot::move_on`, between the store of the position and the load of `wanted`. So a subscriber whose position
        // this thread sees below the wish sees the wish when it passes it, and wakes this thread.
        line.wanted.store(plenty, Relaxed);
        let mut sleep = Sleep::until(deadline);
        if !heavy_barrier() {
            sleep.stay_light();
        }
        loop {
            // Relaxed: as above, and `has_released` loads it again, with acquire. The kernel compares it.
            let seen = line.pos.load(Relaxed);
            let in_time = seen >= until || atomic::sleep(&line.pos, seen, &mut sleep);
            if has_released(until).is_some() || is_gone(slot) {
                return Ok(());
            }
            if !in_time {
                return Err(BroadcastError::Slow(slot));
            }
        }
    }
}
