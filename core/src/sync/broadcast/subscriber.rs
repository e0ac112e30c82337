//! The subscribing end.

use super::{
    BroadcastError, Peer, Slot, View,
    frame::{HEADER, LINE, NUMBER, cpu_of, parse, size_of_frame},
};
use crate::sync::{
    area::Buffer,
    atomic::{
        self,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence, light_barrier,
    },
    wait::{self, Deadline, Sleep},
};
#[cfg(not(loom))]
use crate::sys::waitv::Word;
use core::num::NonZeroU32;

/// How often a subscriber begins anew where the publisher has overtaken it, before it looks at the time.
const OVERTAKEN: u32 = 100;

/// What a subscriber knows by itself.
pub struct Subscriber {
    /// Where the next message is, or will be, and its offset.
    pub(super) pos: u64,
    offset: usize,
    /// The number that the next message has if none is missed.
    pub(super) expected: u64,
    missed: u64,
    /// Its slot, if the publisher waits for it.
    slot: Option<usize>,
    /// The processor that the publisher ran on, when it was last looked at.
    publisher: Option<u32>,
}

/// A message that was found and not yet released.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pos: u64,
    number: u64,
    /// Where its bytes begin; they may go round the end of the area.
    pub offset: usize,
    pub len: usize,
}

impl Subscriber {
    /// Subscribes: with the next message that is published, or with the oldest that is there. In a lossless broadcast
    /// `slot` is one whose claim the caller has.
    pub fn join(
        view: View,
        slot: Option<usize>,
        from_oldest: bool,
    ) -> Result<Subscriber, BroadcastError> {
        let slot = slot.filter(|_| !view.lossy);
        let mut found = find(view, from_oldest)?;
        if let Some(slot) = slot {
            found = enter(view, slot, found, from_oldest).inspect_err(|_| view.leave(slot))?;
        }
        let (pos, expected) = found;
        let mut joined = Subscriber {
            pos,
            offset: view.offset(pos),
            expected,
            missed: 0,
            slot,
            publisher: None,
        };
        joined.say_where(view);
        Ok(joined)
    }

    /// Returns how many messages it has missed so far, between two that it has received.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Tells the publisher which processor this one runs on.
    fn say_where(&mut self, view: View) {
        #[cfg(not(loom))]
        if let Some(line) = self.slot.and_then(|slot| view.slots.get(slot)) {
            let cpu = crate::sys::cpu().map_or(0, |cpu| cpu.saturating_add(1));
            // Relaxed, both: a hint. The line is written only when there is news.
            if line.cpu.load(Relaxed) != cpu {
                line.cpu.store(cpu, Relaxed);
            }
        }
        #[cfg(loom)]
        let _ = view;
    }

    /// Receives a message into a buffer that `buffer` gives for its length, waiting for it, and returns its
    /// length.
    #[inline]
    pub fn receive<'b>(
        &mut self,
        view: View,
        buffer: impl FnMut(usize) -> Option<Buffer<'b>>,
        deadline: Deadline,
        peer: impl Fn() -> Peer,
    ) -> Result<usize, BroadcastError> {
        let message = self.copy(view, buffer, deadline, peer)?;
        self.release(view, message);
        Ok(message.len)
    }

    /// Copies a message and does not release it, otherwise as [`receive`](Subscriber::receive). The copy is whole.
    #[inline]
    pub fn copy<'b>(
        &mut self,
        view: View,
        mut buffer: impl FnMut(usize) -> Option<Buffer<'b>>,
        deadline: Deadline,
        peer: impl Fn() -> Peer,
    ) -> Result<Span, BroadcastError> {
        let mut overtaken = 0;
        loop {
            let message = self.peek(view, deadline, &peer)?;
            let Some(buffer) = buffer(message.len).and_then(|room| room.part(0, message.len))
            else {
                return Err(BroadcastError::TooLong(message.len));
            };
            view.read(message.offset, buffer);
            if self.is_there(view) {
                return Ok(message);
            }
            // The publisher was faster, and may be so again and again.
            overtaken += 1;
            let late = match deadline {
                Deadline::Now => overtaken > OVERTAKEN,
                _ => deadline.is_over(),
            };
            if late {
                return Err(BroadcastError::TimedOut);
            }
        }
    }

    /// Waits for a message. In a lossy broadcast it can be overwritten at any time: ask
    /// [`is_whole`](Subscriber::is_whole) after it was read.
    #[inline]
    pub fn peek(
        &mut self,
        view: View,
        deadline: Deadline,
        peer: impl Fn() -> Peer,
    ) -> Result<Span, BroadcastError> {
        match self.look(view)? {
            Some(message) => Ok(message),
            None => self.wait(view, deadline, peer),
        }
    }

    /// Returns whether what was read of a message before this call is the message.
    pub fn is_whole(&self, view: View, message: &Span) -> bool {
        self.is_next(message) && self.is_there(view)
    }

    /// Returns whether a message that was found is the next one still: it was not released.
    pub fn is_next(&self, message: &Span) -> bool {
        message.pos == self.pos
    }

    /// Releases a message.
    #[inline(always)]
    pub fn release(&mut self, view: View, message: Span) {
        let missed = message.number.wrapping_sub(self.expected);
        self.missed = self.missed.wrapping_add(missed);
        self.expected = message.number.wrapping_add(1);
        let size = size_of_frame(message.len);
        let before = self.pos;
        self.pos = message.pos.wrapping_add(size as u64);
        self.offset = view.behind(self.offset, size);
        if let Some(line) = self.slot.and_then(|slot| view.slots.get(slot)) {
            line.move_on(before, self.pos);
        }
    }

    /// Returns whether what was read before this call at the next message is not overwritten.
    #[inline(always)]
    fn is_there(&self, view: View) -> bool {
        let Some(line) = self.slot.and_then(|slot| view.slots.get(slot)) else {
            return is_there(view, self.pos);
        };
        // The publisher waits for this subscriber, also if it had moved the floor before it saw the bit, until it takes
        // it for dead. Acquire: see `View::leave`.
        fence(Acquire);
        // Relaxed: the fence orders it. No other thread changes it as long as the publisher waits.
        line.pos.load(Relaxed) == self.pos
    }

    /// Looks for the next message.
    #[inline(always)]
    fn look(&mut self, view: View) -> Result<Option<Span>, BroadcastError> {
        match self.look_here(view)? {
            Seen::Nothing => Ok(None),
            Seen::Message(message) => Ok(Some(message)),
            Seen::Overwritten => self.look_again(view),
        }
    }

    #[inline(always)]
    fn look_here(&mut self, view: View) -> Result<Seen, BroadcastError> {
        // Acquire: with the frame's word come its bytes and the number.
        let word = view.area.word(self.offset).load(Acquire);
        // Relaxed: as just said.
        let number = view.area.word(self.offset + NUMBER).load(Relaxed);
        if !self.is_there(view) {
            return Ok(Seen::Overwritten);
        }
        if word == 0 {
            return Ok(Seen::Nothing);
        }
        let len = parse(word, view.capacity)?;
        self.publisher = cpu_of(word);
        Ok(Seen::Message(Span {
            pos: self.pos,
            number,
            offset: self.offset + HEADER,
            len,
        }))
    }

    /// Goes on with the oldest message that is there.
    #[cold]
    #[inline(never)]
    fn look_again(&mut self, view: View) -> Result<Option<Span>, BroadcastError> {
        if !view.lossy {
            return Err(BroadcastError::Dropped);
        }
        for _ in 0..OVERTAKEN {
            // Acquire: with the floor comes the frame there.
            let floor = view.words.floor.floor.load(Acquire);
            if !is_position(floor) {
                return Err(BroadcastError::Damaged);
            }
            self.pos = floor;
            self.offset = view.offset(floor);
            match self.look_here(view)? {
                Seen::Nothing => return Ok(None),
                Seen::Message(message) => return Ok(Some(message)),
                Seen::Overwritten => {}
            }
        }
        Ok(None)
    }

    /// Announces that a thread is about to sleep until there is a message, or news of the publisher, and returns the word
    /// for it. The thread makes a heavy barrier and looks for messages before it sleeps, and does not sleep if the
    /// [`position`](Subscriber::position) has changed. Where this process may not write, the thread is not woken.
    #[cfg(not(loom))]
    pub fn announce_sleep(&mut self, view: View) -> Word {
        self.say_where(view);
        let word = view.area.word(self.offset);
        // Relaxed: the caller looks again, and the kernel compares it.
        let seen = word.load(Relaxed);
        if view.writable {
            view.words.asleep.sleepers.announce_sleep(self.pos);
        }
        Word::new(atomic::lower_half(word), seen as u32)
    }

    /// Returns where the next message is, or will be.
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// Returns the processor that the publisher ran on, when it was last looked at.
    pub fn publisher(&self) -> Option<u32> {
        self.publisher
    }

    /// Enters a descriptor, which the next message makes readable, or news of the publisher. The caller then looks for
    /// messages, and asks for news. Where this process may not write, it does nothing.
    #[cold]
    pub fn enter(&self, view: View, number: NonZeroU32) {
        if view.writable {
            // If a wake-up can be missed, the descriptor becomes readable at the end of its interval.
            view.words.asleep.sleepers.enter(number, self.pos);
        }
    }

    /// Takes a descriptor out that is about to be closed.
    pub fn remove(&self, view: View, number: NonZeroU32) {
        if view.writable {
            view.words.asleep.sleepers.remove(number);
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(
        &mut self,
        view: View,
        deadline: Deadline,
        peer: impl Fn() -> Peer,
    ) -> Result<Span, BroadcastError> {
        let look = |this: &mut Subscriber| this.look(view).transpose();
        if matches!(deadline, Deadline::Now) {
            let gone = peer().check();
            return match look(self) {
                // It came, and then the publisher went.
                Some(found) => found,
                None => gone.and(Err(BroadcastError::TimedOut)),
            };
        }
        if let Some(found) = wait::stay_awake(self.publisher, || look(self)) {
            return found;
        }
        let mut sleep = Sleep::until(deadline);
        loop {
            self.say_where(view);
            let pos = self.pos;
            let word = view.area.word(self.offset);
            // Relaxed: `look` looks again.
            let seen = word.load(Relaxed);
            let mut found = None;
            let mut has_news = || {
                found = look(self);
                found.is_some() || self.pos != pos || word.load(Relaxed) != seen
            };
            let slept = if view.writable {
                let sleepers = &view.words.asleep.sleepers;
                sleepers.sleep(pos, word, seen, &mut sleep, has_news)
            } else {
                // It cannot announce that it sleeps, and wakes up at the end of its slice.
                has_news() || atomic::sleep(word, seen, &mut sleep)
            };
            if let Some(found) = found.or_else(|| look(self)) {
                return found;
            }
            if let Err(gone) = peer().check() {
                // What it did last came before it went.
                return look(self).unwrap_or(Err(gone));
            }
            if !slept {
                return Err(BroadcastError::TimedOut);
            }
        }
    }
}

/// What is at a position.
enum Seen {
    Nothing,
    Message(Span),
    /// It is before the floor.
    Overwritten,
}

/// Returns whether what was read before this call at a position is not overwritten.
#[inline(always)]
fn is_there(view: View, pos: u64) -> bool {
    // Acquire: see `Publisher::raise_floor`.
    fence(Acquire);
    // Relaxed: the fence orders it.
    view.words.floor.floor.load(Relaxed) <= pos
}

/// Returns whether a word can be a position.
fn is_position(pos: u64) -> bool {
    pos.is_multiple_of(LINE as u64) && pos <= u64::MAX / 2
}

/// Finds where a new subscriber begins, and the number of the message there, or that will be there.
fn find(view: View, from_oldest: bool) -> Result<(u64, u64), BroadcastError> {
    let mut from_oldest = from_oldest;
    for _ in 0..OVERTAKEN {
        let words = &view.words;
        let begin = if from_oldest {
            &words.floor.floor
        } else {
            &words.published.tail
        };
        // Acquire: with the position comes what was published before it.
        let pos = begin.load(Acquire);
        // Acquire: if it counts the frame at the tail already, that frame is seen below.
        let next = words.published.next.load(Acquire);
        if !is_position(pos) {
            return Err(BroadcastError::Damaged);
        }
        if from_oldest {
            let offset = view.offset(pos);
            // Acquire and Relaxed: as in `look`.
            let word = view.area.word(offset).load(Acquire);
            let number = view.area.word(offset + NUMBER).load(Relaxed);
            if !is_there(view, pos) {
                continue;
            }
            if word != 0 {
                return Ok((pos, number));
            }
            // There is no message: the floor is the tail.
            from_oldest = false;
            continue;
        }
        if let Some(found) = pass_committed(view, pos, next)? {
            return Ok(found);
        }
    }
    Err(BroadcastError::TimedOut)
}

/// Has the publisher wait for the slot from a position on, or from a later one, if that is overwritten by now.
fn enter(
    view: View,
    slot: usize,
    found: (u64, u64),
    from_oldest: bool,
) -> Result<(u64, u64), BroadcastError> {
    let mut found = found;
    let line = view.slots.get(slot).ok_or(BroadcastError::Damaged)?;
    // Before the bit: the publisher that sees the bit sees the position. The bit of a dead subscriber may be there
    // already, and the publisher sleep on its position, which may be any: so this one comes from 0.
    line.move_on(0, found.0);
    // Release: as just said.
    view.words.members.members.fetch_or(1 << slot, AcqRel);
    // SeqCst: the publisher sees the bit, or this thread sees the floor; see the module.
    fence(SeqCst);
    // One more time for a floor that was on its way. Others follow only if another program writes there.
    for _ in 0..OVERTAKEN {
        if is_there(view, found.0) {
            return Ok(found);
        }
        let before = found.0;
        found = find(view, from_oldest)?;
        line.move_on(before, found.0);
    }
    Err(BroadcastError::Damaged)
}

/// Goes over frames that are committed behind a tail that the publisher has not stored yet. `None` if it was
/// faster.
fn pass_committed(
    view: View,
    mut pos: u64,
    mut next: u64,
) -> Result<Option<(u64, u64)>, BroadcastError> {
    let mut frames = view.room() / LINE + 1;
    loop {
        let offset = view.offset(pos);
        // Acquire and Relaxed: as in `look`.
        let word = view.area.word(offset).load(Acquire);
        let number = view.area.word(offset + NUMBER).load(Relaxed);
        if !is_there(view, pos) {
            return Ok(None);
        }
        if word == 0 {
            return Ok(Some((pos, next)));
        }
        let size = size_of_frame(parse(word, view.capacity)?);
        (pos, next) = (pos.wrapping_add(size as u64), number.wrapping_add(1));
        frames = frames.checked_sub(1).ok_or(BroadcastError::TimedOut)?;
    }
}

impl Slot {
    /// Stores the position up to which this subscriber has released messages, and wakes the publisher if it waits for a
    /// position behind `before` and not behind the new one. A subscriber passes each position once, so it wakes the
    /// publisher once, and need not clear the wish.
    #[inline(always)]
    fn move_on(&self, before: u64, pos: u64) {
        // Release: the publisher may write where this thread has read.
        self.pos.store(pos, Release);
        light_barrier();
        // Relaxed: ordered by the barriers, see `Publisher::wait_for`.
        let wanted = self.wanted.load(Relaxed);
        if before < wanted && wanted <= pos {
            atomic::wake(&self.pos);
        }
    }
}
