//! The subscribing end.

use super::{
    BroadcastError, MemberWords, Peer, View,
    frame::{HEADER, LINE, NUMBER, cpu_of, parse, size_of_frame},
};
use crate::sync::{
    area::Buffer,
    atomic::{
        self,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence, light_barrier,
    },
    wait::{self, Deadline, Inquiry, Sleep},
};
#[cfg(not(loom))]
use crate::sys::waitv::Word;
use core::num::NonZeroU32;

/// The number of times that a subscriber that does not wait tries again, if the publisher has overtaken it.
const OVERTAKEN: u32 = 100;

/// What a subscriber keeps in its own memory.
pub struct Subscriber {
    /// The position of the next message, present or future, and its offset.
    pub(super) pos: u64,
    offset: usize,
    /// The number of the next message, if none is missed.
    pub(super) expected: u64,
    missed: u64,
    /// Its number, if it is a member.
    member: Option<usize>,
    /// The processor that the publisher ran on, as the last message told.
    publisher: Option<u32>,
}

/// A message that was found, and is not yet released.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pos: u64,
    number: u64,
    /// The offset of its first byte; its bytes may wrap at the end of the area.
    pub offset: usize,
    pub len: usize,
}

impl Subscriber {
    /// Subscribes from the next message that is published, or from the oldest one that is there. In a lossless broadcast
    /// `member` is a number whose claim the caller has.
    pub fn join(
        view: View,
        member: Option<usize>,
        from_oldest: bool,
    ) -> Result<Subscriber, BroadcastError> {
        let member = member.filter(|_| !view.lossy);
        let mut found = find(view, from_oldest)?;
        if let Some(member) = member {
            found = enter(view, member, found, from_oldest).inspect_err(|_| view.leave(member))?;
        }
        let (pos, expected) = found;
        let mut joined = Subscriber {
            pos,
            offset: view.offset(pos),
            expected,
            missed: 0,
            member,
            publisher: None,
        };
        joined.announce_cpu(view);
        Ok(joined)
    }

    /// Returns the number of messages that it has missed in front of the last one that it has found.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Tells the publisher which processor the subscriber runs on.
    fn announce_cpu(&mut self, view: View) {
        #[cfg(not(loom))]
        if let Some(line) = self.member.and_then(|member| view.members.get(member)) {
            let cpu = crate::sys::cpu().map_or(0, |cpu| cpu.saturating_add(1));
            // Relaxed, both: a hint. The line is written only if the processor has changed.
            if line.cpu.load(Relaxed) != cpu {
                line.cpu.store(cpu, Relaxed);
            }
        }
        #[cfg(loom)]
        let _ = view;
    }

    /// Receives a message into the buffer that `buffer` returns for its length; waits for it. Returns its length.
    #[inline]
    pub fn receive<'b>(
        &mut self,
        view: View,
        buffer: impl FnMut(usize) -> Option<Buffer<'b>>,
        deadline: Deadline,
        peer: impl Fn(Inquiry) -> Peer,
    ) -> Result<usize, BroadcastError> {
        let message = self.copy(view, buffer, deadline, peer)?;
        self.release(view, message);
        Ok(message.len)
    }

    /// Copies a message as [`receive`](Subscriber::receive) does, and does not release it. The copy is never torn.
    #[inline]
    pub fn copy<'b>(
        &mut self,
        view: View,
        mut buffer: impl FnMut(usize) -> Option<Buffer<'b>>,
        deadline: Deadline,
        peer: impl Fn(Inquiry) -> Peer,
    ) -> Result<Span, BroadcastError> {
        let mut overtaken = 0;
        loop {
            let message = self.peek(view, deadline, &peer)?;
            let Some(buffer) = buffer(message.len).and_then(|room| room.part(0, message.len))
            else {
                return Err(BroadcastError::TooLong(message.len));
            };
            view.area.read_wrapping(message.offset, buffer);
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

    /// Waits for a message. In a lossy broadcast it can be overwritten at any time: check
    /// [`is_whole`](Subscriber::is_whole) after reading it.
    #[inline]
    pub fn peek(
        &mut self,
        view: View,
        deadline: Deadline,
        peer: impl Fn(Inquiry) -> Peer,
    ) -> Result<Span, BroadcastError> {
        let message = match self.look(view)? {
            Some(message) => message,
            None => self.wait(view, deadline, peer)?,
        };
        let missed = message.number.wrapping_sub(self.expected);
        self.missed = self.missed.wrapping_add(missed);
        self.expected = message.number;
        Ok(message)
    }

    /// Returns whether the bytes that were read before this call are those of the message.
    pub fn is_whole(&self, view: View, message: &Span) -> bool {
        self.is_next(message) && self.is_there(view)
    }

    /// Returns whether a message that was found is still the next one: it was not released.
    pub fn is_next(&self, message: &Span) -> bool {
        message.pos == self.pos
    }

    /// Releases a message.
    #[inline(always)]
    pub fn release(&mut self, view: View, message: Span) {
        self.expected = message.number.wrapping_add(1);
        let size = size_of_frame(message.len);
        let before = self.pos;
        self.pos = message.pos.wrapping_add(size as u64);
        self.offset = view.behind(self.offset, size);
        if let Some(line) = self.member.and_then(|member| view.members.get(member)) {
            line.move_on(before, self.pos);
        }
    }

    /// Returns whether the next message was not overwritten before this call.
    #[inline(always)]
    fn is_there(&self, view: View) -> bool {
        let Some(line) = self.member.and_then(|member| view.members.get(member)) else {
            return is_there(view, self.pos);
        };
        // The publisher waits for this member until it takes it for dead, even if it had moved `floor` before it saw the
        // member's bit. Acquire: see `View::leave`.
        fence(Acquire);
        // Relaxed: the fence orders it. No other thread changes it while the publisher waits for this member.
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
        // Acquire: makes the frame's bytes and number visible.
        let word = view.area.word(self.offset).load(Acquire);
        // Relaxed: the acquire above makes it visible.
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
            // Acquire: makes the frame at `floor` visible.
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
        self.announce_cpu(view);
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
        peer: impl Fn(Inquiry) -> Peer,
    ) -> Result<Span, BroadcastError> {
        let look = |this: &mut Subscriber| this.look(view).transpose();
        if matches!(deadline, Deadline::Now) {
            let gone = peer(Inquiry::Full).check();
            return match look(self) {
                // The message came, and then the publisher ended.
                Some(found) => found,
                None => gone.and(Err(BroadcastError::TimedOut)),
            };
        }
        if let Some(found) = wait::stay_awake(self.publisher, || look(self)) {
            return found;
        }
        if let Err(gone) = peer(Inquiry::Brief).check() {
            // The publisher may have published a message before it ended.
            return look(self).unwrap_or(Err(gone));
        }
        let mut sleep = Sleep::until(deadline);
        loop {
            self.announce_cpu(view);
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
            } else if has_news() {
                sleep.is_in_time()
            } else {
                // It cannot announce that it sleeps, so no one wakes it: it looks again at the end of each slice.
                atomic::sleep(word, seen, &mut sleep)
            };
            if let Some(found) = found.or_else(|| look(self)) {
                return found;
            }
            if let Err(gone) = peer(Inquiry::Full).check() {
                // The publisher may have published a message before it ended.
                return look(self).unwrap_or(Err(gone));
            }
            if !slept {
                return Err(BroadcastError::TimedOut);
            }
        }
    }
}

/// What a subscriber finds at its position.
enum Seen {
    Nothing,
    Message(Span),
    /// The publisher has overtaken it.
    Overwritten,
}

/// Returns whether the frame at a position was not overwritten before this call.
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

/// Returns the position where a new subscriber begins, and the number of the message there, present or future.
fn find(view: View, from_oldest: bool) -> Result<(u64, u64), BroadcastError> {
    let mut from_oldest = from_oldest;
    for _ in 0..OVERTAKEN {
        let words = &view.words;
        let begin = if from_oldest {
            &words.floor.floor
        } else {
            &words.published.tail
        };
        // Acquire: makes visible what was published before the position.
        let pos = begin.load(Acquire);
        // Acquire: if it counts the frame at `tail` already, the load below sees that frame.
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
            // There is no message: `floor` is `tail`.
            from_oldest = false;
            continue;
        }
        if let Some(found) = pass_committed(view, pos, next)? {
            return Ok(found);
        }
    }
    Err(BroadcastError::TimedOut)
}

/// Makes the subscriber a member from a position on, or from a later one if that is overwritten by now.
fn enter(
    view: View,
    member: usize,
    found: (u64, u64),
    from_oldest: bool,
) -> Result<(u64, u64), BroadcastError> {
    let mut found = found;
    let line = view.members.get(member).ok_or(BroadcastError::Damaged)?;
    // Stored before the bit, so that a publisher that sees the bit sees the position. The bit of a dead member may be set
    // already, and the publisher may sleep on its position, whatever it is: so this member moves on from 0, and wakes it.
    line.move_on(0, found.0);
    // Release: orders the store of the position before that of the bit.
    view.words.joined.joined.fetch_or(1 << member, AcqRel);
    // SeqCst: the publisher sees the bit, or this thread sees `floor`; see the module.
    fence(SeqCst);
    // The second round is for a publisher that was just moving `floor`. More are needed only if another program writes
    // there.
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

/// Passes frames that are committed behind `tail`, which the publisher has not stored yet. `None` if the publisher has
/// overwritten one.
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

impl MemberWords {
    /// Stores the position up to which the member has released messages, and wakes the publisher if it waits for a position
    /// behind `before` and up to `pos`. A member passes each position once, so it wakes the publisher once, and need
    /// not clear `wanted`.
    #[inline(always)]
    fn move_on(&self, before: u64, pos: u64) {
        // Release: orders this thread's reads before the publisher's writes.
        self.pos.store(pos, Release);
        light_barrier();
        // Relaxed: ordered by the barriers, see `Wish::write`.
        let wanted = self.wanted.load(Relaxed);
        if before < wanted && wanted <= pos {
            atomic::wake(&self.pos);
        }
    }
}
