//! The sending end.

use super::{
    LARGE, LINE, PIECE, Peers, RingError, RingWords, View,
    frame::{Damaged, Frame, FrameKind, WORD, processor},
    largest_gap,
};
use crate::sync::{
    area::{Area, Source, Stretch},
    atomic::{
        self, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        fence,
    },
    wait::{self, Deadline, Inquiry},
    wish::Wish,
};

/// The longest copy in bytes of which the first bytes are written last (see `copy`).
const SHORT: usize = 128;

/// The number of bytes beyond a message that `reserved` covers, so that a sender need not store it for each message;
/// also the number of bytes between two looks at the clock.
const AHEAD: u64 = 8192;

/// The largest number of bytes that a sender fetches for its next message: 17 lines.
const FETCHED: usize = 17 * LINE;

/// The number of times that a sender without room looks for plenty of room before it accepts as much as it needs. If it
/// accepted that at once, it would look again for every message, and take the line with `head` away from the receiver
/// each time.
const PATIENCE: u32 = 64;

/// What the sender keeps in its own memory.
#[derive(Default)]
pub struct Producer {
    /// The position of the next frame, and its offset.
    pos: u64,
    offset: usize,
    /// The position up to which there is room, as last seen; 0 to make the next message take the slow path.
    limit: u64,
    /// The value of the ring's `reserved`, as this sender last stored or loaded it.
    reserved: u64,
    /// Whether this sender has set the ring's `dirty`.
    dirty: bool,
    /// The value of the ring's `uncleared`; infinite in a ring that drops the oldest message.
    uncleared: u64,
    /// The end of the last reserved slot.
    slot_end: u64,
    /// The first of the frames that were added and not committed.
    pending: Option<Uncommitted>,
    /// The offset in front of which a short message needs no other check: up to there, the ring does not end, there is
    /// room, `reserved` covers it, and no look at the clock is due. 0 if the next short message has to find it anew.
    horizon: usize,
    usual: Usual,
    pace: Pace,
}

/// The position of a frame that is written and not committed, its offset and its word.
type Uncommitted = (u64, usize, u64);

/// The length of the last short message, and the size and the word of its frame. Most messages are as long as the one
/// before.
#[derive(Clone, Copy)]
struct Usual {
    len: usize,
    size: usize,
    word: u64,
}

impl Usual {
    fn new(len: usize, cpu: u64) -> Usual {
        let frame = message(len);
        Usual {
            len,
            size: frame.size,
            word: frame.word(cpu),
        }
    }
}

/// A length that no message has, and a size that ends in front of no horizon: half of the largest, so that a sum with
/// an offset does not overflow.
impl Default for Usual {
    fn default() -> Usual {
        Usual {
            len: usize::MAX,
            size: usize::MAX / 2,
            word: 0,
        }
    }
}

/// There is no room for a frame that ends at this position.
struct Full {
    end: u64,
}

impl Producer {
    /// Finds the end of what was committed, for a new sender, or for one that follows a dead one.
    pub fn find(view: View) -> Result<Producer, Damaged> {
        let head = view.words.receiver.head.load(Acquire);
        // Acquire, both: make visible what the last sender and the receiver did. A dead sender may have committed more.
        let tail = view.words.sender.tail.load(Acquire);
        let pos = if head <= tail {
            tail
        } else if view.drops {
            head
        } else {
            // The receiver has freed lines of a message that the dead sender has committed. `head` may be in the middle
            // of it. Acquire: as above; it is at least the `head` that was loaded.
            view.words.receiver.released.load(Acquire).max(head)
        };
        let limit = view.limit(head);
        if pos > limit || pos > u64::MAX / 2 {
            return Err(Damaged);
        }
        let mut found = Producer {
            pos,
            offset: view.offset(pos),
            ..Producer::default()
        };
        loop {
            let word = view.area.word(found.offset);
            // Acquire: as above, for the frame.
            let value = word.load(Acquire);
            if value == 0 {
                // The end, or a line that a live receiver has released and cleared since `tail` was loaded.
                // Acquire: pairs with the fence in `Consumer::clear_up_to`.
                let released = view.words.receiver.released.load(Acquire);
                if view.drops || released <= found.pos {
                    break;
                }
                if released > limit {
                    return Err(Damaged);
                }
                (found.pos, found.offset) = (released, view.offset(released));
                continue;
            }
            let frame = Frame::parse(value, view.room())?;
            if found.pos + frame.size as u64 > limit {
                return Err(Damaged);
            }
            if frame.kind == FrameKind::Begun {
                // Its sender is dead. Release: orders the store behind what the dead sender wrote.
                word.store(gap(frame.size).word(processor(None)), Release);
            }
            found.advance(view, frame.size);
            if frame.kind == FrameKind::Begun {
                view.words.asleep.receivers.wake(word, found.pos);
            }
        }
        found.load_uncleared(view);
        found.expect_uncommitted(view);
        // Release: pairs with the acquire above, in the next sender.
        view.words.sender.tail.store(found.pos, Release);
        Ok(found)
    }

    /// Continues behind what other senders have sent since. Gives up messages that were added and not committed: others
    /// have written there. Returns whether no other sender has sent.
    #[inline]
    pub fn catch_up(&mut self, view: View) -> bool {
        self.pending = None;
        // Relaxed, here and below: the senders' lock, which this thread holds, orders them. No ring ever moves enough
        // bytes to need the highest bit; without it, no sum of positions overflows.
        let pos = view.words.sender.tail.load(Relaxed) & (u64::MAX >> 1);
        let is_last = pos == self.pos;
        if !is_last {
            let offset = view.offset(pos);
            // The horizon is an offset, and valid only in the round in which it was found.
            let round = |pos: u64, offset: usize| pos.wrapping_sub(offset as u64);
            if round(pos, offset) != round(self.pos, self.offset) {
                self.horizon = 0;
            }
            (self.pos, self.offset) = (pos, offset);
        }
        self.reserved = view.words.sender.reserved.load(Relaxed);
        self.load_uncleared(view);
        self.dirty = false;
        if view.words.sender.dirty.load(Relaxed) != 0 {
            self.expect_uncommitted(view);
        }
        is_last
    }

    /// Sends a message if it is short, does not wrap, and is known to have room. Returns whether it was sent.
    #[inline]
    pub fn send_short(&mut self, view: View, bytes: Source) -> bool {
        self.send_usual(view, bytes)
            || self.pending.is_none()
                && self.prepare(view, bytes.len())
                && self.send_usual(view, bytes)
    }

    /// Sends a message that is as long as the last one and ends in front of the horizon: the most frequent case alone.
    /// Returns whether it was sent.
    #[inline(always)]
    pub fn send_usual(&mut self, view: View, bytes: Source) -> bool {
        let len = bytes.len();
        if !self.is_prepared(self.offset, len) || self.horizon > view.room() {
            return false;
        }
        let Usual { size, word, .. } = self.usual;
        // SAFETY: the offset is a multiple of a line's size. The frame, which has at least `len` bytes behind its word,
        // ends in front of the horizon, which is not beyond the area: both are checked above.
        let frame = unsafe { view.area.stretch_unchecked(self.offset, len) };
        write_first_line_last(frame, bytes);
        self.pos += size as u64;
        self.offset += size;
        self.store_end(view);
        self.commit_frame(view, frame.word(), word);
        self.fetch_if_slow(view, size, FETCHED);
        true
    }

    /// Adds messages under the conditions of [`send_short`](Producer::send_short). Returns how many it has added, and
    /// the first that it has not.
    ///
    /// The caller commits them before another sender can have the senders' lock, so `dirty` need not be set: if this
    /// sender dies, the next one moves `uncleared` up to `reserved`, whatever `dirty` says.
    #[inline(always)]
    pub fn add_short<'a, E>(
        &mut self,
        view: View,
        messages: &mut impl Iterator<Item = Result<Source<'a>, E>>,
    ) -> (usize, Option<Result<Source<'a>, E>>) {
        let mut added = 0;
        // Copies, which stay in registers.
        let (mut pos, mut offset, mut pending) = (self.pos, self.offset, self.pending);
        let next = loop {
            let next = messages.next();
            let Some(Ok(bytes)) = next else {
                break next;
            };
            if !self.is_prepared(offset, bytes.len()) {
                (self.pos, self.offset) = (pos, offset);
                if !self.prepare(view, bytes.len()) {
                    break next;
                }
            }
            let Usual { size, word, .. } = self.usual;
            let Some(frame) = view.area.stretch(offset, bytes.len()) else {
                break next;
            };
            write_first_line_last(frame, bytes);
            match pending {
                None => pending = Some((pos, offset, word)),
                // Relaxed: no receiver reads it before the first frame is committed, which releases it.
                Some(_) => frame.word().store(word, Relaxed),
            }
            pos += size as u64;
            offset += size;
            added += 1;
        };
        (self.pos, self.offset, self.pending) = (pos, offset, pending);
        (added, next)
    }

    /// Returns whether a message of this length is as long as the last one, and ends in front of the horizon if it
    /// begins at this offset.
    #[inline(always)]
    fn is_prepared(&self, offset: usize, len: usize) -> bool {
        // The sum does not overflow: neither an offset nor a size is larger than half of the largest number.
        len == self.usual.len && offset.wrapping_add(self.usual.size) < self.horizon
    }

    /// Makes this length the usual one, and finds the next horizon. Returns false if a message of this length is not
    /// short, is not known to have room, or reaches the end of the ring.
    #[cold]
    #[inline(never)]
    fn prepare(&mut self, view: View, len: usize) -> bool {
        if len > PIECE || len > view.capacity {
            return false;
        }
        let size = message(len).size;
        // It does not overflow, as in `knows_room`; the offset is at most the room.
        let end_of_ring = self.pos.saturating_add((view.room() - self.offset) as u64);
        let end = self.pos.saturating_add(size as u64);
        if end > self.limit || end >= end_of_ring {
            return false;
        }
        if end >= self.pace.due {
            self.pace.look(self.pos, size);
        }
        self.usual = Usual::new(len, self.pace.cpu);
        self.extend_reserved(view, size);
        let reserved = if view.drops { u64::MAX } else { self.reserved };
        let known = self.limit.min(reserved).saturating_add(1);
        let mut horizon = known.min(end_of_ring).min(self.pace.due);
        if size >= LARGE {
            self.expect_large(view, size);
            horizon = 0; // so that each large message comes here
        }
        // This message, at least, ends in front of the horizon: if a look at the clock was due, it was made above.
        horizon = horizon.max(end + 1);
        // It is at most the room, because `horizon` is at most `end_of_ring`.
        self.horizon = self.offset + (horizon - self.pos) as usize;
        true
    }

    /// Brings lines of the next message into this processor's cache while the receiver works, if the pace is slow.
    /// `size`: that of the last frame. `most`: the largest number of bytes to fetch.
    #[inline(always)]
    fn fetch_if_slow(&self, view: View, size: usize, most: usize) {
        if self.pace.is_slow && !view.drops {
            self.fetch(view.area, size, most);
        }
    }

    /// Stores 0 into lines of the next frame, which brings them into the cache. Does nothing if the ring is nearly full,
    /// because the receiver still uses these lines.
    #[inline(never)]
    fn fetch(&self, area: Area, size: usize, most: usize) {
        // There is no slot and no uncommitted frame at `pos` or behind it, and the lines up to `limit` stay free, because
        // `head` only grows. So other processes read these lines only to wait for a word other than 0. A sender that is
        // killed here leaves zeroes, so `reserved` need not cover these lines.
        if !self.knows_room(2 * size + LINE) {
            return;
        }
        area.clear_words::<LINE>(self.offset, size.min(most));
        if size >= LARGE {
            // The line behind the next frame, in which `store_end` stores 0.
            area.clear_words::<LINE>(area.wrap(self.offset + size), LINE);
        }
    }

    /// Sends a message; waits for room.
    #[cold]
    #[inline(never)]
    pub fn send(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<(), RingError> {
        self.add(view, bytes, deadline, peers)?;
        self.commit(view);
        Ok(())
    }

    /// Adds a message; waits for room. The receiver sees it after [`commit`](Producer::commit).
    pub fn add(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<(), RingError> {
        if bytes.len() > PIECE {
            return self.send_in_pieces(view, bytes, deadline, peers);
        }
        self.reserve(view, bytes.len(), deadline, peers)?;
        view.area.write_wrapping(self.offset + WORD, bytes);
        self.pending = Some(self.append_message(view, bytes.len()));
        Ok(())
    }

    /// Finds room for a message, and returns the offset for its bytes. The receiver sees nothing before `commit_message`,
    /// or `commit` after `append_message`.
    pub fn reserve(
        &mut self,
        view: View,
        len: usize,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<usize, RingError> {
        if len > view.capacity {
            return Err(RingError::TooLong(len));
        }
        self.reserve_frames(view, message(len).size, deadline, peers)?;
        Ok(self.offset + WORD)
    }

    /// Finds room for a message as `reserve` does, if it does not wrap and is known to have room: the most frequent
    /// case alone.
    #[inline(always)]
    pub fn reserve_at_once(&mut self, view: View, len: usize) -> Option<usize> {
        let size = message(len).size;
        let has_place = len <= view.capacity
            && size <= view.room() - self.offset
            && self.pending.is_none()
            && self.knows_room(size);
        if !has_place {
            return None;
        }
        self.prepare_slot(view, size);
        Some(self.offset + WORD)
    }

    /// Finds room for frames of this size together, of which the last is that of the slot.
    #[inline]
    fn reserve_frames(
        &mut self,
        view: View,
        size: usize,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<(), RingError> {
        self.make_room(view, size, deadline, peers)?;
        self.prepare_slot(view, size);
        Ok(())
    }

    /// Prepares writing into frames of this size, which have room.
    #[inline(always)]
    fn prepare_slot(&mut self, view: View, size: usize) {
        self.slot_end = self.pos + size as u64;
        // An uncommitted message of one line leaves the first word of every line 0.
        if size > LINE || self.pending.is_some() {
            self.extend_reserved(view, size);
            self.mark_dirty(view);
        }
    }

    /// Finds room for a message as `reserve` does. Its bytes do not wrap, unless the gap in front of it would be too
    /// large, or the last gap is not released.
    pub fn reserve_slot(
        &mut self,
        view: View,
        len: usize,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<usize, RingError> {
        let to_end = view.room() - self.offset;
        let wraps = len <= view.capacity && view.area.wraps(self.offset + WORD, len);
        if wraps && to_end <= largest_gap(view.capacity) {
            if self.dirty {
                self.expect_uncommitted(view);
            }
            // Relaxed: `make_room` loads it with acquire.
            let first = view.first_unreleased(view.words.receiver.head.load(Relaxed));
            if view.words.sender.gap_between(first, self.pos) == 0 {
                return self.reserve_behind_gap(view, to_end, len, deadline, peers);
            }
        }
        self.reserve(view, len, deadline, peers)
    }

    #[cold]
    fn reserve_behind_gap(
        &mut self,
        view: View,
        to_end: usize,
        len: usize,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<usize, RingError> {
        let words = &view.words.sender;
        let size = to_end + message(len).size;
        // Relaxed, both: as in `gap_between`. Until the gap is committed, the two words mean nothing to others.
        words.gap.store(to_end as u64, Relaxed);
        words.gap_end.store(self.pos + to_end as u64, Relaxed);
        if let Err(refused) = self.reserve_frames(view, size, deadline, peers) {
            // The limit may count the gap.
            (self.limit, self.horizon) = (0, 0);
            words.gap.store(0, Relaxed);
            return Err(refused);
        }
        self.pending = Some(self.append(view, gap(to_end)));
        Ok(self.offset + WORD)
    }

    /// Gives up messages that were added and not committed, and reserved room. Writes nothing: the next use of this end
    /// moves `uncleared`.
    pub fn abort(&mut self) {
        if let Some((pos, offset, _)) = self.pending.take() {
            (self.pos, self.offset) = (pos, offset);
        }
        (self.limit, self.horizon) = (0, 0);
    }

    /// Returns whether this end was the last to commit. If so, what it has added or reserved since is still its own.
    #[inline(always)]
    pub fn is_last(&self, view: View) -> bool {
        let committed = self.pending.map_or(self.pos, |(pos, ..)| pos);
        // Relaxed: this end has stored the value, or another sender has, at any time.
        view.words.sender.tail.load(Relaxed) == committed
    }

    /// Commits the message that was written at the offset that [`reserve`](Producer::reserve) returned. `len`: at most
    /// the length that was reserved.
    #[inline(always)]
    pub fn commit_message(&mut self, view: View, len: usize) {
        let first = self.append_message(view, len);
        self.commit_from(view, first);
    }

    /// Copies a message to the room that `reserve` has found, and commits it.
    pub fn commit_copy(&mut self, view: View, bytes: Source) {
        view.area.write_wrapping(self.offset + WORD, bytes);
        self.commit_message(view, bytes.len());
    }

    /// Adds the message of a slot, and returns what `append` returns.
    #[inline(always)]
    fn append_message(&mut self, view: View, len: usize) -> Uncommitted {
        let frame = message(len);
        if self.pos + (frame.size as u64) < self.slot_end {
            // The caller may have written into the other lines of the slot.
            self.extend_uncleared(view, self.slot_end);
        }
        self.append(view, frame)
    }

    /// Adds a frame. Takes `pending` and returns it, or returns this frame if there was none. The caller commits it, or
    /// stores it in `pending` again.
    #[inline(always)]
    fn append(&mut self, view: View, frame: Frame) -> Uncommitted {
        let word = frame.word(self.pace.cpu_at(self.pos, frame.size));
        let first = match self.pending.take() {
            None => (self.pos, self.offset, word),
            Some(first) => {
                // Relaxed: as in `add_short`.
                view.area.word(self.offset).store(word, Relaxed);
                first
            }
        };
        self.expect_large(view, frame.size);
        self.advance(view, frame.size);
        first
    }

    /// Moves `uncleared` behind the place in the next round of a frame at `pos` that is about to be
    /// committed, if it is large.
    #[inline(always)]
    fn expect_large(&mut self, view: View, size: usize) {
        if size >= LARGE {
            self.extend_uncleared(view, self.pos + (size + view.room()) as u64);
        }
    }

    #[inline(always)]
    fn advance(&mut self, view: View, size: usize) {
        self.pos = self.pos.wrapping_add(size as u64);
        self.offset += size;
        if self.offset >= view.room() {
            self.offset -= view.room();
            self.horizon = 0; // in the next round, it is another
        }
    }

    /// Commits all added messages at once.
    #[inline]
    pub fn commit(&mut self, view: View) {
        if let Some(first) = self.pending.take() {
            self.commit_from(view, first);
        }
    }

    /// Commits all frames from the first one on.
    #[inline(always)]
    fn commit_from(&mut self, view: View, (pos, offset, word): Uncommitted) {
        self.store_end(view);
        self.commit_frame(view, view.area.word(offset), word);
        if self.dirty {
            self.dirty = false;
            // Release: a sender that sees this 0 sees the committed frames.
            view.words.sender.dirty.store(0, Release);
        }
        let size = (self.pos - pos) as usize;
        // The caller need not write all of a large slot, and the receiver has not cleared the lines of the last one.
        let most = if size < LARGE { FETCHED } else { LINE };
        self.fetch_if_slow(view, size, most);
    }

    /// Stores 0 where the next frame will begin, unless 0 is there.
    #[inline(always)]
    fn store_end(&self, view: View) {
        if self.pos < self.uncleared {
            // Relaxed: `commit_frame` releases it.
            view.area.word(self.offset).store(0, Relaxed);
        }
    }

    /// Stores the first word of a frame, which commits all frames from it up to `pos`.
    #[inline(always)]
    fn commit_frame(&self, view: View, first: &AtomicU64, word: u64) {
        // Release: a receiver that sees the frame sees its bytes, the frames behind it, and the 0 at the end.
        first.store(word, Release);
        // Release: pairs with the acquire in `find` of the next sender.
        view.words.sender.tail.store(self.pos, Release);
        view.words.asleep.receivers.wake(first, self.pos);
    }

    /// Makes `reserved` cover the lines of a frame of this size, before the sender writes into them.
    #[inline(always)]
    fn extend_reserved(&mut self, view: View, size: usize) {
        let end = self.pos + size as u64;
        if end > self.reserved && !view.drops {
            self.move_reserved(view, end);
        }
    }

    #[cold]
    fn move_reserved(&mut self, view: View, end: u64) {
        self.reserved = end.saturating_add(AHEAD).min(self.limit.max(end));
        // Relaxed: a sender that follows a killed one sees all stores that it made. `keep_order` keeps the compiler
        // from moving the stores of the message before this one.
        view.words.sender.reserved.store(self.reserved, Relaxed);
        atomic::keep_order();
    }

    /// Sets `dirty`: what this sender writes next may never be committed.
    #[inline(always)]
    fn mark_dirty(&mut self, view: View) {
        if !self.dirty {
            self.dirty = true;
            // Relaxed: as in `extend_reserved`.
            view.words.sender.dirty.store(1, Relaxed);
            atomic::keep_order();
        }
    }

    /// Moves `uncleared` behind what a sender has written behind `tail` and not committed, and forgets a gap there.
    #[cold]
    fn expect_uncommitted(&mut self, view: View) {
        let words = &view.words.sender;
        // Relaxed, both: as in `gap_between`.
        if words.gap_end.load(Relaxed) > self.pos {
            words.gap.store(0, Relaxed);
        }
        // Relaxed: as in `load_uncleared`.
        self.reserved = words.reserved.load(Relaxed);
        self.extend_uncleared(view, self.reserved);
        self.dirty = false;
        // Release: a sender that sees this 0 sees `uncleared`.
        words.dirty.store(0, Release);
    }

    fn load_uncleared(&mut self, view: View) {
        self.uncleared = if view.drops {
            u64::MAX
        } else {
            // Relaxed: the senders' lock, or the death of the last sender, orders its stores before this load.
            view.words.sender.uncleared.load(Relaxed)
        };
    }

    fn extend_uncleared(&mut self, view: View, end: u64) {
        if end > self.uncleared {
            self.uncleared = end;
            // Relaxed: as in `extend_reserved`. The store that commits the next frame releases it.
            view.words.sender.uncleared.store(end, Relaxed);
            atomic::keep_order();
        }
    }

    #[cold]
    #[inline(never)]
    fn send_in_pieces(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<(), RingError> {
        if bytes.len() > view.capacity {
            return Err(RingError::TooLong(bytes.len()));
        }
        self.commit(view);
        let frame = |kind| Frame::new(kind, bytes.len());
        let size = frame(FrameKind::Begun).size;
        self.make_room(view, size, deadline, peers)?;
        let cpu = self.pace.cpu_at(self.pos, size);
        let first = view.area.word(self.offset);
        let progress = view.area.word(self.offset + WORD);
        let to = self.offset + frame(FrameKind::Begun).header();
        let pos = self.pos;
        self.expect_large(view, size);
        self.advance(view, size);
        // Relaxed, both: the next line releases them.
        progress.store(0, Relaxed);
        self.store_end(view);
        // Release: a receiver that sees the message begun sees a progress of 0 bytes.
        first.store(frame(FrameKind::Begun).word(cpu), Release);
        // A receiver that sleeps until the message is complete is one of the sleepers at this position, too.
        view.words.asleep.receivers.wake(first, pos);
        let (mut done, mut rest) = (0, bytes);
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(PIECE);
            view.area.write_wrapping(to + done, piece);
            done += piece.len();
            if !rest.is_empty() {
                // Release: a receiver that sees the number sees the bytes.
                progress.store(done as u64, Release);
            }
        }
        // Release: a receiver that sees the message complete sees all its bytes.
        first.store(frame(FrameKind::Done).word(cpu), Release);
        view.words.sender.tail.store(self.pos, Release);
        view.words.asleep.receivers.wake(first, self.pos);
        self.fetch_if_slow(view, size, FETCHED);
        Ok(())
    }

    /// Waits until there is room for a frame of this size.
    fn make_room(
        &mut self,
        view: View,
        size: usize,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<(), RingError> {
        if self.knows_room(size) {
            return Ok(());
        }
        if self.dirty && self.pending.is_none() {
            self.expect_uncommitted(view);
        }
        let mut has_waited = false;
        loop {
            match self.look_for_room(view, size) {
                Ok(Ok(())) => return Ok(()),
                Err(damaged) => {
                    // Committed now, because other senders may send before this end's next call.
                    self.commit(view);
                    return Err(damaged.into());
                }
                // A hostile process can give room and take it back without end.
                Ok(Err(_)) if has_waited && deadline.is_over() => return Err(RingError::TimedOut),
                Ok(Err(full)) => {
                    // The receiver may have to release these messages to make room.
                    self.commit(view);
                    self.wait_for_room(view, full.end, deadline, &peers)?;
                    has_waited = true;
                }
            }
        }
    }

    /// Returns whether a frame of this size is known to have room.
    #[inline(always)]
    fn knows_room(&self, size: usize) -> bool {
        // Half the range is never used, so this does not overflow.
        self.pos.wrapping_add(size as u64) <= self.limit
    }

    /// Finds out how far there is room, and drops messages if the ring drops the oldest.
    fn look_for_room(&mut self, view: View, size: usize) -> Result<Result<(), Full>, Damaged> {
        // In each round, `head` moves on by a line or more, and not beyond `pos`, unless a hostile process moves it back.
        for _ in 0..view.room() / LINE + 2 {
            // Acquire: orders the sender's writes behind the receiver's reads and its clearing of the freed lines.
            let head = view.words.receiver.head.load(Acquire);
            // No ring ever moves that many bytes, and without larger positions no sum of them overflows.
            let possible = head <= self.pos && self.pos <= u64::MAX / 2;
            if !possible || self.pos > view.limit(head) {
                return Err(Damaged);
            }
            let end = self.pos + size as u64;
            self.limit = view.room_end(head, end);
            if self.knows_room(size) {
                return Ok(Ok(()));
            }
            if !view.drops {
                return Ok(Err(Full { end }));
            }
            if self.pending.is_some_and(|(pos, ..)| pos == head) {
                self.commit(view); // there is no older message
            }
            self.drop_oldest(view, head)?;
        }
        Err(Damaged)
    }

    /// Drops the oldest message by moving `head` on, unless the receiver moves it first.
    fn drop_oldest(&mut self, view: View, head: u64) -> Result<(), Damaged> {
        let offset = view.offset(head);
        // Relaxed: this sender has written the word, or has loaded it when it became the sender.
        let frame = Frame::parse(view.area.word(offset).load(Relaxed), view.room())?;
        let next = head.wrapping_add(frame.size as u64);
        // Acquire: as in `look_for_room`. Release, by the fence: a receiver that reads a byte that is written after
        // it, and then passes its acquire fence, sees that `head` has moved.
        let moved = view
            .words
            .receiver
            .head
            .compare_exchange(head, next, AcqRel, Relaxed);
        fence(Release);
        if moved.is_ok() && frame.kind != FrameKind::Gap {
            // Relaxed: a statistic, which only the sender changes.
            let dropped = view.words.sender.dropped.load(Relaxed);
            view.words
                .sender
                .dropped
                .store(dropped.wrapping_add(1), Relaxed);
        }
        Ok(())
    }

    /// Waits until there is room for a frame that ends at `end`.
    #[cold]
    fn wait_for_room(
        &mut self,
        view: View,
        end: u64,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<(), RingError> {
        if matches!(deadline, Deadline::Now) {
            let gone = peers(Inquiry::Full).check();
            // The receiver may have released messages before it ended.
            return if has_room(view, end) {
                Ok(())
            } else {
                gone.and(Err(RingError::TimedOut))
            };
        }
        // Waits for a quarter of the ring more than is needed, so that it does not wait for every message; at most
        // until the ring is empty.
        let all = self.pos.saturating_add(view.most(self.pos, end));
        let plenty = end.saturating_add(view.room() as u64 / 4).min(all);
        if !stay_awake_for_room(view, end, plenty) {
            sleep_until_room(view, end, plenty, deadline, peers)?;
        }
        self.pace.refresh_cpu();
        self.horizon = 0; // so that `usual` gets the processor
        Ok(())
    }

    /// Wakes the receivers for something other than a message: a sender has released its role.
    pub fn wake_receivers(view: View) {
        // Relaxed: a receiver that waits at an earlier position has a message there, and does not sleep.
        let pos = view.words.sender.tail.load(Relaxed);
        let word = view.area.word(view.offset(pos));
        view.words.asleep.receivers.wake(word, pos);
    }
}

/// Returns whether there is room for a frame that ends at `end`.
fn has_room(view: View, end: u64) -> bool {
    // Relaxed: `look_for_room` loads it again, with acquire.
    view.room_end(view.words.receiver.head.load(Relaxed), end) >= end
}

/// Stays awake until there is room up to `plenty`, or, after [`PATIENCE`] looks, up to `end`. Returns false if it is
/// time to sleep.
fn stay_awake_for_room(view: View, end: u64, plenty: u64) -> bool {
    // Relaxed: a hint.
    let cpu = view.words.receiver.cpu.load(Relaxed).checked_sub(1);
    let mut looks = 0;
    let found = wait::stay_awake(cpu, || {
        looks += 1;
        let wanted = if looks < PATIENCE { plenty } else { end };
        has_room(view, wanted).then_some(())
    });
    found.is_some()
}

/// Sleeps until there is room up to `end`, unless the receiver is known to be gone. The receiver wakes this sender when
/// there is room up to `plenty`, or, after a slice, up to `end`.
fn sleep_until_room(
    view: View,
    end: u64,
    plenty: u64,
    deadline: Deadline,
    peers: impl Fn(Inquiry) -> Peers,
) -> Result<(), RingError> {
    let RingWords {
        receiver, asleep, ..
    } = view.words;
    let gone = peers(Inquiry::Brief).check();
    // Checked after `peers`: the receiver may have released messages before it ended.
    if has_room(view, end) {
        return Ok(());
    }
    gone?;
    // A receiver that passes a wish frees all that it has released.
    let (most, least) = (view.released_for(plenty), view.released_for(end));
    let mut wish = Wish::new(&asleep.wanted, most, least, deadline);
    loop {
        // Relaxed: ordered by the barrier, see `Wish`. The kernel compares it again.
        let seen = receiver.head.load(Relaxed);
        let in_time = has_room(view, end) || wish.sleep(&receiver.head, seen);
        let gone = if has_room(view, end) {
            Ok(())
        } else {
            peers(Inquiry::Full).check()
        };
        // Checked again after `peers`: the receiver may have released messages before it ended.
        if has_room(view, end) {
            return Ok(());
        }
        gone?;
        if !in_time {
            return Err(RingError::TimedOut);
        }
    }
}

/// Writes the bytes of a frame. If they are many, the line with the frame's word is written last, all at once: each
/// look of a receiver takes that line away from this processor. Short copies write it last anyway.
#[inline(always)]
fn write_first_line_last(frame: Stretch, bytes: Source) {
    if bytes.len() <= SHORT {
        frame.write(0, bytes);
    } else {
        let (first, rest) = bytes.split_at(LINE - WORD);
        frame.write(LINE - WORD, rest);
        frame.write(0, first);
    }
}

#[inline(always)]
fn message(len: usize) -> Frame {
    Frame::new(FrameKind::Message, len)
}

/// Returns a gap of `size` bytes, its word included.
fn gap(size: usize) -> Frame {
    Frame::new(FrameKind::Gap, size - WORD)
}

/// What the sender finds out from time to time: whether messages are far apart, as in a dialogue, or close together, as
/// in a stream; and the number of the processor that it runs on. An outdated number costs the receiver a little time,
/// but looking it up for every message would cost more.
#[derive(Default)]
struct Pace {
    /// In the form of a frame's word.
    cpu: u64,
    is_slow: bool,
    /// The time of the last look in processor ticks, and the position then.
    since: u64,
    from: u64,
    /// The position at which the next look is due.
    due: u64,
}

impl Pace {
    /// The number of processor ticks between two messages above which they are far apart, on average, and the number to
    /// add for each line of a message: about four times as many as a copy takes.
    const FAR: u64 = 150;
    const FAR_PER_LINE: u64 = 8;

    /// Returns the processor for a frame of this size at this position.
    #[inline(always)]
    fn cpu_at(&mut self, pos: u64, size: usize) -> u64 {
        if pos >= self.due {
            self.look(pos, size);
        }
        self.cpu
    }

    /// Looks at the clock and at the processor. `size`: the size of the next frame; the frames since the last look
    /// count as if they had this size.
    #[cold]
    #[inline(never)]
    fn look(&mut self, pos: u64, size: usize) {
        let now = crate::sys::ticks();
        let bytes = pos.saturating_sub(self.from);
        let far = (bytes / size as u64).saturating_mul(Pace::FAR);
        let far = far.saturating_add(bytes / LINE as u64 * Pace::FAR_PER_LINE);
        self.is_slow = now.wrapping_sub(self.since) > far;
        (self.since, self.from) = (now, pos);
        self.due = pos.saturating_add(AHEAD);
        self.refresh_cpu();
    }

    fn refresh_cpu(&mut self) {
        #[cfg(not(loom))]
        {
            self.cpu = processor(crate::sys::cpu());
        }
    }
}
