//! The sending end.

use super::{
    LINE, PIECE, Peers, RingError, RingWords, View,
    frame::{Damaged, Frame, FrameKind, WORD, processor},
};
use crate::sync::{
    area::Source,
    atomic::{
        self,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        fence, heavy_barrier,
    },
    wait::{self, Deadline, Sleep},
};

/// Up to here, the first bytes of a copy are written last (see `copy`).
const SHORT: usize = 128;

/// How far beyond a message a sender says that it writes, so that it need not say so for each message. In bytes.
const AHEAD: u64 = 4096;

/// How many lines a sender fetches for its next message, at most.
const FETCHED: usize = 17;

/// How often a sender that has run out of room looks whether there is plenty, before it makes do
/// with what it needs: else it would look again for every message, and take the line with `head`
/// away from the receiver each time.
const PATIENCE: u32 = 64;

/// What the sender knows by itself.
#[derive(Default)]
pub struct Producer {
    /// Where the next frame goes, and its offset.
    pos: u64,
    offset: usize,
    /// How far there is room, as far as is known; 0 while something is to be done before the next message.
    limit: u64,
    /// What the ring's `reserved` is, as far as this sender has said it.
    reserved: u64,
    /// Whether this sender has said that it writes behind the tail without being about to commit.
    unclear: bool,
    /// The end of the slot that was reserved last.
    slot_end: u64,
    /// The first of the frames that were written and not committed: its position, offset and word.
    pending: Option<(u64, usize, u64)>,
    cpu: Cpu,
    pace: Pace,
}

/// There is no room for a frame that ends here.
struct Full {
    end: u64,
}

impl Producer {
    /// Finds the end of what was committed, for a new sender, or for one that follows a dead one.
    pub fn find(view: View) -> Result<Producer, Damaged> {
        let head = view.words.receiver.head.load(Acquire);
        // Acquire, both: what the last sender and the receiver did is seen. A dead sender may have committed more.
        let tail = view.words.sender.tail.load(Acquire);
        let pos = tail.max(head);
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
                // The end; or a line that a live receiver has taken and cleared since.
                // Acquire: pairs with the fence in `Consumer::clear_up_to`.
                let taken = view.words.receiver.taken.load(Acquire);
                if view.drops || taken <= found.pos {
                    break;
                }
                if taken > limit {
                    return Err(Damaged);
                }
                (found.pos, found.offset) = (taken, view.offset(taken));
                continue;
            }
            let frame = Frame::parse(value, view.room())?;
            if found.pos + frame.size as u64 > limit {
                return Err(Damaged);
            }
            if frame.kind == FrameKind::Begun {
                // Its sender is dead. Release: orders it behind what that one wrote.
                word.store(gap(frame.size).word(processor(None)), Release);
            }
            found.advance(view, frame.size);
            if frame.kind == FrameKind::Begun {
                view.words.asleep.receivers.wake(word, found.pos);
            }
        }
        found.clear_behind(view);
        // Release: for the next one to find.
        view.words.sender.tail.store(found.pos, Release);
        Ok(found)
    }

    /// Moves to where other senders have sent since. What was added before that and not committed is
    /// given up: others have written there.
    #[inline]
    pub fn catch_up(&mut self, view: View) {
        self.pending = None;
        // Relaxed, here and below: a sender has the senders' lock, which orders it.
        let pos = view.words.sender.tail.load(Relaxed);
        if pos != self.pos {
            self.pos = pos;
            self.offset = view.offset(pos);
        }
        self.reserved = view.words.sender.reserved.load(Relaxed);
        self.unclear = false;
        if view.words.sender.unclear.load(Relaxed) != 0 {
            self.clear_behind(view);
        }
    }

    /// Sends a short message, if there is room as far as is known: what happens most often, and
    /// nothing else. Whether it was sent.
    #[inline(always)]
    pub fn send_short(&mut self, view: View, bytes: Source) -> bool {
        let frame = message(bytes.len());
        let size = frame.size;
        let fits = self.pending.is_none()
            && bytes.len() <= PIECE
            && bytes.len() <= view.capacity
            && size <= view.room() - self.offset
            && self.knows_room(size);
        if !fits {
            return false;
        }
        if size > LINE && self.pos + size as u64 > self.reserved {
            self.announce(view, size);
        }
        let (offset, word) = (self.offset, frame.word(self.cpu.get()));
        self.advance(view, size);
        self.end_here(view);
        if bytes.len() <= SHORT {
            view.area.write(offset + WORD, bytes);
        } else {
            // The line with the frame's word comes last, all at once: a receiver that looks at it
            // takes it away from here each time. Short copies do so by themselves.
            let (first, rest) = bytes.split_at(LINE - WORD);
            view.area.write(offset + LINE, rest);
            view.area.write(offset + WORD, first);
        }
        self.publish(view, offset, word);
        if self.pace.is_slow() {
            self.fetch(view, size);
        }
        true
    }

    /// Brings the lines of the next message here while the receiver has its turn. In a ring that is nearly full, or
    /// in a stream, the receiver has still to do with them.
    #[inline(always)]
    fn fetch(&self, view: View, size: usize) {
        if view.drops || !self.knows_room(2 * size) {
            return;
        }
        let mut offset = self.offset;
        for _ in 0..(size / LINE).min(FETCHED) {
            if offset >= view.room() {
                offset -= view.room();
            }
            // Relaxed: it is 0 already, and this sender's own.
            view.area.word(offset).store(0, Relaxed);
            offset += LINE;
        }
    }

    /// Sends a message, waiting for room.
    #[cold]
    #[inline(never)]
    pub fn send(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<(), RingError> {
        self.add(view, bytes, deadline, peers)?;
        self.commit(view);
        Ok(())
    }

    /// Writes a message, waiting for room. It is there for the receiver after [`commit`](Producer::commit).
    pub fn add(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<(), RingError> {
        if bytes.len() > PIECE {
            return self.send_in_pieces(view, bytes, deadline, peers);
        }
        self.reserve(view, bytes.len(), deadline, peers)?;
        self.append_copy(view, bytes);
        Ok(())
    }

    /// Finds room for a message, and says where its bytes go. Nothing comes of it unless
    /// `append_message` and `commit` follow.
    pub fn reserve(
        &mut self,
        view: View,
        len: usize,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<usize, RingError> {
        if len > view.capacity {
            return Err(RingError::TooLong(len));
        }
        let size = message(len).size;
        self.make_room(view, size, deadline, peers)?;
        self.slot_end = self.pos + size as u64;
        // A message of one line leaves nothing behind unless it is committed.
        if size > LINE || self.pending.is_some() {
            self.announce(view, size);
            self.say_unclear(view);
        }
        Ok(self.offset + WORD)
    }

    /// Gives up what was added and not committed, and what was reserved. Nothing is written: the next use of
    /// this end does that.
    pub fn abort(&mut self) {
        if let Some((pos, offset, _)) = self.pending.take() {
            (self.pos, self.offset) = (pos, offset);
        }
        self.limit = 0;
    }

    /// Returns whether this end has committed last: then it still owns what it has added or reserved
    /// since.
    pub fn is_last(&self, view: View) -> bool {
        let committed = self.pending.map_or(self.pos, |(pos, ..)| pos);
        // Relaxed: this end has stored it, or another one has at any time since.
        view.words.sender.tail.load(Relaxed) == committed
    }

    /// Adds the message whose bytes were written where [`reserve`](Producer::reserve) said; at most as
    /// many.
    pub fn append_message(&mut self, view: View, len: usize) {
        let frame = message(len);
        if !view.drops {
            // What is not used of the slot. Relaxed in `clear`: `publish` releases it.
            view.clear(self.pos + frame.size as u64, self.slot_end);
        }
        self.append(view, frame);
    }

    /// Adds a message at the place that was reserved for it.
    pub fn append_copy(&mut self, view: View, bytes: Source) {
        view.area.write_round(self.offset + WORD, bytes);
        self.append_message(view, bytes.len());
    }

    fn append(&mut self, view: View, frame: Frame) {
        let word = frame.word(self.cpu.get());
        match self.pending {
            None => self.pending = Some((self.pos, self.offset, word)),
            // Relaxed: no receiver comes here before the first one is committed, which releases it.
            Some(_) => view.area.word(self.offset).store(word, Relaxed),
        }
        self.advance(view, frame.size);
    }

    #[inline(always)]
    fn advance(&mut self, view: View, size: usize) {
        self.pos = self.pos.wrapping_add(size as u64);
        self.offset += size;
        if self.offset >= view.room() {
            self.offset -= view.room();
        }
    }

    /// Commits what was added, all of it at once.
    pub fn commit(&mut self, view: View) {
        let Some((_, offset, word)) = self.pending.take() else {
            return;
        };
        self.end_here(view);
        self.publish(view, offset, word);
        if self.unclear {
            self.unclear = false;
            // Release: a sender that sees it sees what was committed.
            view.words.sender.unclear.store(0, Release);
        }
    }

    /// Has the line behind what is to be committed begin with 0. In most rings, it does.
    #[inline(always)]
    fn end_here(&self, view: View) {
        if view.drops {
            // Relaxed: `publish` releases it.
            view.area.word(self.offset).store(0, Relaxed);
        }
    }

    /// Commits what begins with a word at an offset and ends here.
    #[inline(always)]
    fn publish(&self, view: View, offset: usize, word: u64) {
        let first = view.area.word(offset);
        // Release: a receiver that sees the frame sees its bytes, the frames behind it, and the 0 at the end.
        first.store(word, Release);
        // Release: for the next sender.
        view.words.sender.tail.store(self.pos, Release);
        view.words.asleep.receivers.wake(first, self.pos);
    }

    /// Says that this sender writes into the lines of a message of this size, before it does.
    #[inline]
    fn announce(&mut self, view: View, size: usize) {
        let end = self.pos + size as u64;
        if view.drops || end <= self.reserved {
            return;
        }
        self.reserved = end.saturating_add(AHEAD).min(self.limit.max(end));
        // Relaxed: a sender that follows a killed one sees all that was stored before its end. The compiler
        // keeps the order of this store and those of the message.
        view.words.sender.reserved.store(self.reserved, Relaxed);
        atomic::keep_order();
    }

    /// Says that what was announced may not be committed soon, or at all.
    fn say_unclear(&mut self, view: View) {
        if !self.unclear && !view.drops {
            self.unclear = true;
            // Relaxed: as in `announce`.
            view.words.sender.unclear.store(1, Relaxed);
            atomic::keep_order();
        }
    }

    /// Clears what a sender has written behind the tail and not committed.
    #[cold]
    fn clear_behind(&mut self, view: View) {
        if view.drops {
            return;
        }
        let words = &view.words.sender;
        // Acquire: what was written there is overwritten.
        let head = view.words.receiver.head.load(Acquire);
        let end = words.reserved.load(Acquire).min(view.limit(head));
        view.clear(self.pos, end);
        self.reserved = end;
        self.unclear = false;
        // Release: a sender that sees it sees the lines cleared.
        words.reserved.store(end, Release);
        words.unclear.store(0, Release);
    }

    #[cold]
    #[inline(never)]
    fn send_in_pieces(
        &mut self,
        view: View,
        bytes: Source,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<(), RingError> {
        if bytes.len() > view.capacity {
            return Err(RingError::TooLong(bytes.len()));
        }
        self.commit(view);
        let frame = |kind| Frame::new(kind, bytes.len());
        let size = frame(FrameKind::Begun).size;
        self.make_room(view, size, deadline, peers)?;
        let cpu = self.cpu.get();
        let first = view.area.word(self.offset);
        let progress = view.area.word(self.offset + WORD);
        let to = self.offset + 2 * WORD;
        let pos = self.pos;
        self.advance(view, size);
        // Relaxed, both: the next line releases them.
        progress.store(0, Relaxed);
        self.end_here(view);
        // Release: a receiver that sees that it is begun sees that no bytes are there yet.
        first.store(frame(FrameKind::Begun).word(cpu), Release);
        // A receiver that sleeps here, from now on also until it is done, sleeps after the same count.
        view.words.asleep.receivers.wake(first, pos);
        let (mut done, mut rest) = (0, bytes);
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(PIECE);
            view.area.write_round(to + done, piece);
            done += piece.len();
            if !rest.is_empty() {
                // Release: a receiver that sees the number sees the bytes.
                progress.store(done as u64, Release);
            }
        }
        // Release: a receiver that sees that it is done sees all bytes.
        first.store(frame(FrameKind::Done).word(cpu), Release);
        view.words.sender.tail.store(self.pos, Release);
        view.words.asleep.receivers.wake(first, self.pos);
        Ok(())
    }

    /// Makes sure that a frame of this size can be written at `offset`.
    fn make_room(
        &mut self,
        view: View,
        size: usize,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<(), RingError> {
        if self.knows_room(size) {
            return Ok(());
        }
        if self.unclear && self.pending.is_none() {
            self.clear_behind(view);
        }
        loop {
            match self.look_for_room(view, size) {
                Ok(Ok(())) => return Ok(()),
                Err(damaged) => {
                    // It is for this call to commit: others may send before the next one.
                    self.commit(view);
                    return Err(damaged.into());
                }
                Ok(Err(full)) => {
                    // The receiver may have to take this, to make room.
                    self.commit(view);
                    self.wait_for_room(view, full.end, deadline, &peers)?;
                }
            }
        }
    }

    /// Returns whether there is room for a frame of this size, as far as is known.
    #[inline(always)]
    fn knows_room(&self, size: usize) -> bool {
        self.pos.saturating_add(size as u64) <= self.limit
    }

    /// Looks again how far there is room, and drops messages if that is what senders of this ring do.
    fn look_for_room(&mut self, view: View, size: usize) -> Result<Result<(), Full>, Damaged> {
        loop {
            // Acquire: what was freed is no longer read, and is clear.
            let head = view.words.receiver.head.load(Acquire);
            // No ring has moved so many bytes; and so no sum of positions goes beyond 64 bits.
            let possible = head <= self.pos && self.pos <= u64::MAX / 2;
            if !possible || self.pos > view.limit(head) {
                return Err(Damaged);
            }
            self.limit = view.room_end(head);
            if self.knows_room(size) {
                return Ok(Ok(()));
            }
            if !view.drops {
                let end = self.pos + size as u64;
                return Ok(Err(Full { end }));
            }
            if self.pending.is_some_and(|(pos, ..)| pos == head) {
                self.commit(view); // there is nothing older
            }
            self.drop_oldest(view, head)?;
        }
    }

    /// Moves `head` on, as the receiver does, unless that one comes first.
    fn drop_oldest(&mut self, view: View, head: u64) -> Result<(), Damaged> {
        let offset = view.offset(head);
        // Relaxed: this sender has written it, or has found it when it became the sender.
        let frame = Frame::parse(view.area.word(offset).load(Relaxed), view.room())?;
        let next = head.wrapping_add(frame.size as u64);
        // Acquire: as in `look_for_room`. Release: a receiver that reads a byte that is written from here
        // on, and then does its acquire fence, sees that `head` has moved.
        let moved = view
            .words
            .receiver
            .head
            .compare_exchange(head, next, AcqRel, Relaxed);
        fence(Release);
        if moved.is_ok() && frame.kind != FrameKind::Gap {
            // Relaxed: a number to look at; only the sender changes it.
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
        peers: impl Fn() -> Peers,
    ) -> Result<(), RingError> {
        if matches!(deadline, Deadline::Now) {
            let gone = peers().check();
            // The receiver may have released messages before it ended.
            return if has_room(view, end) {
                Ok(())
            } else {
                gone.and(Err(RingError::TimedOut))
            };
        }
        // A quarter of the ring more than is needed, so that the sender does not wait for every message;
        // at most until the ring is empty.
        let all = self.pos.saturating_add(view.longest());
        let plenty = end.saturating_add(view.room() as u64 / 4).min(all);
        if !stay_awake_for_room(view, end, plenty) {
            sleep_until_room(view, end, plenty, deadline, peers)?;
        }
        self.cpu.refresh();
        Ok(())
    }

    /// Wakes the receivers, because something other than a message has come.
    pub fn wake_receivers(view: View) {
        // Relaxed: a receiver that does not sleep at the last message sees the next one.
        let pos = view.words.sender.tail.load(Relaxed);
        let word = view.area.word(view.offset(pos));
        view.words.asleep.receivers.wake(word, pos);
    }
}

/// Returns whether there is room for a frame that ends at `end`.
fn has_room(view: View, end: u64) -> bool {
    // Relaxed: `look_for_room` loads it again, with acquire.
    view.room_end(view.words.receiver.head.load(Relaxed)) >= end
}

/// Stays awake until there is room up to `plenty`, or after [`PATIENCE`] looks up to `end`. Returns false if it is time
/// to sleep.
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

/// Sleeps until there is room up to `end`. The receiver wakes this sender when there is room up to `plenty`.
fn sleep_until_room(
    view: View,
    end: u64,
    plenty: u64,
    deadline: Deadline,
    peers: impl Fn() -> Peers,
) -> Result<(), RingError> {
    let RingWords {
        receiver, asleep, ..
    } = view.words;
    // There is room up to `plenty` when all before this position was freed.
    let wanted = plenty.saturating_sub(view.longest());
    // Relaxed: the heavy barrier orders this store before the loads of `head` and `taken`. It pairs with the light
    // barrier in `Consumer::answer`, between the stores of these and the load of `wanted`. So this thread sees what
    // was taken before the receiver sees the wish: less than is wanted, if it sleeps. The receiver then passes the
    // position with the wish in sight, frees all that it has taken, and wakes this thread.
    asleep.wanted.store(wanted, Relaxed);
    let mut sleep = Sleep::until(deadline);
    if !heavy_barrier() {
        sleep.stay_light();
    }
    loop {
        // Relaxed: as above. The kernel compares it again.
        let seen = receiver.head.load(Relaxed);
        let in_time = has_room(view, end) || atomic::sleep(&receiver.head, seen, &mut sleep);
        let gone = if has_room(view, end) {
            Ok(())
        } else {
            peers().check()
        };
        // Checked after `peers`: the receiver may have released messages before it ended.
        if has_room(view, end) {
            return Ok(());
        }
        gone?;
        if !in_time {
            return Err(RingError::TimedOut);
        }
    }
}

#[inline(always)]
fn message(len: usize) -> Frame {
    Frame::new(FrameKind::Message, len)
}

/// Returns a gap of so many bytes, its word included.
fn gap(size: usize) -> Frame {
    Frame::new(FrameKind::Gap, size - WORD)
}

/// The processor that the sender runs on, asked now and then: a number that is out of date costs
/// the receiver a little time, and asking for every message costs more.
#[derive(Default)]
struct Cpu {
    /// As frames have it.
    known: u64,
    age: u8,
}

impl Cpu {
    #[inline(always)]
    fn get(&mut self) -> u64 {
        if self.age == 0 {
            self.refresh();
        }
        self.age = (self.age + 1) % 64;
        self.known
    }

    fn refresh(&mut self) {
        #[cfg(not(loom))]
        {
            self.known = processor(crate::sys::cpu());
        }
    }
}

/// Whether messages are sent one at a time, far apart, as by ends that answer each other, or in a stream: measured
/// over the last 16.
#[derive(Default)]
struct Pace {
    sends: u8,
    is_slow: bool,
    since: u64,
}

impl Pace {
    /// How many ticks of the processor lie between two messages at least, so that they are far apart.
    const FAR: u64 = 150;
    const SENDS: u8 = 16;

    /// Counts a message, and returns whether messages are far apart.
    #[inline(always)]
    fn is_slow(&mut self) -> bool {
        self.sends = (self.sends + 1) % Pace::SENDS;
        if self.sends == 0 {
            let now = crate::sys::ticks();
            self.is_slow = now.wrapping_sub(self.since) > u64::from(Pace::SENDS) * Pace::FAR;
            self.since = now;
        }
        self.is_slow
    }
}
