//! The receiving end.

use super::{
    LINE, PIECE, Peers, RingError, View,
    frame::{Damaged, Frame, FrameKind, WORD, sender_cpu},
    lag,
};
use crate::sync::{
    area::Buffer,
    atomic::{
        self,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        fence, light_barrier,
    },
    wait::{self, Deadline, Sleep},
};
#[cfg(not(loom))]
use crate::sys::waitv::Word;
use core::num::NonZeroU32;

/// How many PAUSEs the receiver makes before it looks again, after a message that was there when it
/// was asked for: looking takes the line away from the sender, who is about to write the next one.
const STREAM: u32 = 16;

/// How often the receiver looks, a PAUSE apart, before it takes the trouble to find out where the
/// sender runs and how to wait for it.
const SOON: u32 = 16;

/// How often a receiver that does not wait tries again, when the sender has dropped the message that it
/// was reading.
const OVERTAKEN: u32 = 100;

/// How far behind the messages that it takes a receiver clears lines, at most: they are still in its cache then, and
/// the sender does not look at them yet. In bytes.
const DISTANCE: usize = 2048;

/// What the receiver knows by itself.
pub struct Consumer {
    /// Where the next message is, or will be, and its offset.
    pos: u64,
    offset: usize,
    /// Up to where lines are clear, and up to where they were freed.
    cleared: u64,
    given: u64,
    /// How far behind it clears lines, and how many it frees at a time, in bytes.
    distance: u64,
    step: u64,
    /// Where it stood after the last message that it had to wait for.
    waited: u64,
    /// The processor that the sender ran on, when its messages last changed.
    sender: Option<u32>,
    known: Known,
}

/// The word of the last short message, and what it says. Most messages are as long as the one before
/// them; and whether it is the same word again is something that the processor guesses, so that it
/// copies the message, and goes on to the next, while the word is still on its way.
struct Known {
    word: u64,
    len: usize,
    /// Of the frame.
    size: usize,
}

impl Known {
    /// What no frame has.
    const NONE: Known = Known {
        word: 0,
        len: 0,
        size: usize::MAX,
    };
}

/// A message that was found and not yet released.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pos: u64,
    /// Where its bytes begin.
    pub offset: usize,
    pub len: usize,
    /// The bytes of its frame.
    size: usize,
    /// Its sender still writes it.
    begun: bool,
}

/// How much of a begun message is written.
struct Progress {
    /// The frame's first word.
    word: u64,
    /// In bytes.
    written: usize,
}

impl Span {
    /// Returns whether its bytes go round the end of the ring.
    pub fn goes_round(&self, view: View) -> bool {
        view.goes_round(self.offset, self.len)
    }
}

impl Consumer {
    /// Begins where the last receiver ended, and frees what that one had taken and not freed.
    pub fn find(view: View) -> Consumer {
        let receiver = &view.words.receiver;
        // Acquire, both: pair with the releases in `release` and `give_back` of the last receiver. No ring has moved
        // so many bytes that a bit is lost here; so no sum of positions overflows.
        let head = receiver.head.load(Acquire) & (u64::MAX >> 1);
        let taken = receiver.taken.load(Acquire);
        let is_possible = !view.drops && (head..=view.limit(head)).contains(&taken);
        let pos = if is_possible { taken } else { head };
        let step = lag(view.capacity) / 2;
        let mut head = Consumer {
            pos,
            offset: view.offset(pos),
            cleared: head,
            given: head,
            distance: (step.min(DISTANCE) & !(LINE - 1)) as u64,
            step: step as u64,
            waited: pos,
            sender: None,
            known: Known::NONE,
        };
        head.say_where(view);
        head.give_all_back(view);
        // The last receiver may have been killed between moving `head` and waking the sender.
        head.wake_sender(view);
        head
    }

    /// Tells the sender which processor this one runs on.
    fn say_where(&mut self, view: View) {
        #[cfg(not(loom))]
        {
            let cpu = crate::sys::cpu().map_or(0, |cpu| cpu.saturating_add(1));
            // Relaxed, both: a hint. The line is written only when there is news.
            if view.words.receiver.cpu.load(Relaxed) != cpu {
                view.words.receiver.cpu.store(cpu, Relaxed);
            }
        }
        #[cfg(loom)]
        let _ = view;
    }

    /// Receives a short message that is there, if the buffer has room for it: what happens most
    /// often, and nothing else. Its length.
    #[inline(always)]
    pub fn receive_short(&mut self, view: View, buffer: Buffer) -> Option<usize> {
        if view.drops {
            return None;
        }
        let message = self.next(view)?;
        if message.size > view.room() - self.offset {
            return None;
        }
        view.area.read(message.offset, buffer.part(0, message.len)?);
        self.release(view, message).then_some(message.len)
    }

    /// Returns whether there is no message, so that a try is in vain. False if only a longer look can
    /// tell.
    #[inline(always)]
    pub fn finds_nothing(&self, view: View) -> bool {
        // Relaxed: nothing is read but the word.
        !view.drops && view.area.word(self.offset).load(Relaxed) == 0
    }

    /// The same as `receive_short`, for a message that comes at once.
    #[inline(always)]
    pub fn receive_soon(&mut self, view: View, buffer: Buffer) -> Option<usize> {
        let word = view.area.word(self.offset);
        if self.pos != self.waited {
            // The last message was there when it was asked for, and more will come.
            (0..STREAM).for_each(|_| core::hint::spin_loop());
        }
        for look in 0..SOON {
            core::hint::spin_loop();
            // Relaxed: `receive_short` looks again.
            if word.load(Relaxed) != 0 {
                let len = self.receive_short(view, buffer);
                self.waited = self.pos;
                return len;
            }
            if look == SOON / 4 && self.shares_cpu_with_sender() {
                break;
            }
        }
        self.waited = self.pos;
        None
    }

    /// Whether looking is in vain, because the sender cannot run at the same time.
    fn shares_cpu_with_sender(&self) -> bool {
        #[cfg(not(loom))]
        {
            self.sender.is_some() && self.sender == crate::sys::cpu()
        }
        #[cfg(loom)]
        false
    }

    /// Receives a message into a buffer, waiting for it, and says how long it is.
    #[cold]
    #[inline(never)]
    pub fn receive(
        &mut self,
        view: View,
        buffer: Buffer,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<usize, RingError> {
        let mut overtaken = 0;
        loop {
            let message = self.wait(view, deadline, true, &peers)?;
            let Some(buffer) = buffer.part(0, message.len) else {
                return Err(RingError::TooLong(message.len));
            };
            let whole = if message.begun {
                self.copy_begun(view, message, buffer, deadline, &peers)?
            } else {
                view.area.read_round(message.offset, buffer);
                true
            };
            if whole && self.release(view, message) {
                return Ok(message.len);
            }
            // The sender was faster, and may be so again and again.
            overtaken += 1;
            let late = match deadline {
                Deadline::Now => overtaken > OVERTAKEN,
                _ => deadline.is_over(),
            };
            if late {
                return Err(RingError::TimedOut);
            }
        }
    }

    /// Waits for a message that is complete.
    #[inline]
    pub fn peek(
        &mut self,
        view: View,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<Span, RingError> {
        match self.next(view) {
            Some(message) => Ok(message),
            None => self.wait(view, deadline, false, peers),
        }
    }

    /// The message at the head, if it is a short one and there.
    #[inline(always)]
    fn next(&mut self, view: View) -> Option<Span> {
        if view.drops {
            self.follow(view);
        }
        // Acquire: with the frame's word come its bytes.
        let word = view.area.word(self.offset).load(Acquire);
        if word != self.known.word {
            self.learn(word)?;
        }
        let Known { len, size, .. } = self.known;
        let is_true = size < view.room() && !self.was_overtaken(view);
        is_true.then_some(Span {
            pos: self.pos,
            offset: self.offset + WORD,
            len,
            size,
            begun: false,
        })
    }

    /// Gets to know another word, if it is a short message's.
    #[cold]
    fn learn(&mut self, word: u64) -> Option<()> {
        let Frame { len, size, .. } = Frame::parse_message(word)?;
        self.known = Known { word, len, size };
        self.sender = sender_cpu(word);
        Some(())
    }

    #[inline(always)]
    fn message(&self, frame: Frame) -> Span {
        Span {
            pos: self.pos,
            offset: self.offset + frame.header(),
            len: frame.len,
            size: frame.size,
            begun: frame.kind == FrameKind::Begun,
        }
    }

    /// The message at the head, of whatever length, and perhaps begun only. Passes over gaps.
    fn look(&mut self, view: View) -> Result<Option<Span>, Damaged> {
        // There is one for each long message whose sender died; and senders may write on, and die, where this has
        // passed. But not again and again.
        let most = 2 * (view.room() / PIECE + 2);
        let mut gaps = most;
        loop {
            if view.drops && self.follow(view) {
                gaps = most;
            }
            // Acquire: as in `next`.
            let word = view.area.word(self.offset).load(Acquire);
            let found = Frame::parse(word, view.room() - LINE);
            if self.was_overtaken(view) {
                continue;
            }
            if word == 0 {
                return Ok(None);
            }
            let frame = found?;
            if frame.kind != FrameKind::Gap {
                self.sender = sender_cpu(word);
                return Ok(Some(self.message(frame)));
            }
            gaps = gaps.checked_sub(1).ok_or(Damaged)?;
            self.release(view, self.message(frame));
        }
    }

    /// Goes to where the sender has moved `head`, and says whether it has.
    #[inline]
    fn follow(&mut self, view: View) -> bool {
        // Acquire: with it comes what the sender did before.
        let pos = view.words.receiver.head.load(Acquire);
        let moved = pos != self.pos;
        if moved {
            self.pos = pos;
            self.offset = view.offset(pos);
        }
        moved
    }

    /// Whether the sender has moved `head`, so that what was read may be anything.
    #[inline]
    fn was_overtaken(&self, view: View) -> bool {
        if !view.drops {
            return false;
        }
        // Acquire: see `Producer::drop_oldest`.
        fence(Acquire);
        // Relaxed: the fence orders it.
        view.words.receiver.head.load(Relaxed) != self.pos
    }

    /// Returns whether a message that was found is still the first one. In a ring that drops the oldest
    /// the sender may have dropped it; `release` then fails.
    pub fn is_first(&self, view: View, message: &Span) -> bool {
        // Relaxed: this end has stored it, or another one has at any time since.
        view.drops || view.words.receiver.taken.load(Relaxed) == message.pos
    }

    /// Releases a message. Returns false if the sender has dropped it, so that what was read of it may be anything.
    #[inline(always)]
    pub fn release(&mut self, view: View, message: Span) -> bool {
        let receiver = &view.words.receiver;
        let next = message.pos.wrapping_add(message.size as u64);
        let given = self.given;
        if view.drops {
            // Acquire: see `Producer::drop_oldest`.
            fence(Acquire);
            // Release: the sender may write where this process has read. Acquire: as in `follow`.
            if receiver
                .head
                .compare_exchange(message.pos, next, AcqRel, Relaxed)
                .is_err()
            {
                return false;
            }
        } else {
            // Release: a receiver that follows this one, if it is killed, has received what this one has.
            receiver.taken.store(next, Release);
        }
        self.pos = next;
        self.offset += message.size;
        if self.offset >= view.room() {
            self.offset -= view.room();
        }
        if view.drops {
            return true; // its sender does not wait
        }
        if next.wrapping_sub(self.cleared) > self.distance {
            self.clear_up_to(view, next.wrapping_sub(self.distance));
            if self.cleared.wrapping_sub(self.given) >= self.step {
                self.give_back(view);
            }
        }
        self.answer(view, given);
        true
    }

    /// Clears lines that were taken.
    #[inline(always)]
    fn clear_up_to(&mut self, view: View, to: u64) {
        // Release: `taken` is stored before the first line is cleared. A sender that follows a dead one and finds 0
        // in such a line (its load is an acquire) sees that the line was taken, and so is not the ring's end. A
        // receiver that follows this one, if it is killed, never looks for a message in a line that was cleared.
        fence(Release);
        view.clear(self.cleared, to);
        self.cleared = to;
    }

    /// Gives the cleared lines back to the sender.
    #[inline(always)]
    fn give_back(&mut self, view: View) {
        self.given = self.cleared;
        // Release: the sender may write where this process has read, and sees the lines cleared.
        view.words.receiver.head.store(self.given, Release);
    }

    /// Frees all that was taken, and wakes the sender if it waits for that.
    #[cold]
    pub fn give_all_back(&mut self, view: View) {
        if !view.drops {
            let given = self.given;
            self.publish_taken(view);
            self.answer(view, given);
        }
    }

    fn publish_taken(&mut self, view: View) {
        if self.given != self.pos {
            self.clear_up_to(view, self.pos);
            self.give_back(view);
        }
    }

    /// Wakes the sender if it waits for a position that lies behind `given`, where `head` was before this call of the
    /// receiver, and not behind what was taken. The receiver passes each position once, so it wakes a sender once.
    #[inline(always)]
    fn answer(&mut self, view: View, given: u64) {
        light_barrier();
        // Relaxed: ordered by the barriers, see `sleep_until_room`.
        let wanted = view.words.asleep.wanted.load(Relaxed);
        // From 0 on: how far behind the first position that was not freed.
        let behind = wanted.wrapping_sub(given).wrapping_sub(1);
        if behind < self.pos.wrapping_sub(given) {
            self.serve_sender(view);
        }
    }

    #[cold]
    #[inline(never)]
    fn serve_sender(&mut self, view: View) {
        self.publish_taken(view);
        self.wake_sender(view);
    }

    /// Waits for a message: one that is complete, or that is begun if that will do.
    #[cold]
    #[inline(never)]
    fn wait(
        &mut self,
        view: View,
        deadline: Deadline,
        begun_will_do: bool,
        peers: impl Fn() -> Peers,
    ) -> Result<Span, RingError> {
        let begun_will_do = begun_will_do && !matches!(deadline, Deadline::Now);
        let look = |head: &mut Consumer| match head.look(view) {
            Ok(Some(message)) if message.begun && !begun_will_do => None,
            found => found.transpose(),
        };
        let found = match look(self) {
            Some(found) => found?,
            None if matches!(deadline, Deadline::Now) => {
                let gone = peers().check();
                match look(self) {
                    // It came, and then they went.
                    Some(found) => found?,
                    None => return gone.and(Err(RingError::TimedOut)),
                }
            }
            None => self.wait_for(view, deadline, look, peers)?,
        };
        self.waited = found.pos.wrapping_add(found.size as u64);
        Ok(found)
    }

    fn wait_for(
        &mut self,
        view: View,
        deadline: Deadline,
        mut look: impl FnMut(&mut Consumer) -> Option<Result<Span, Damaged>>,
        peers: impl Fn() -> Peers,
    ) -> Result<Span, RingError> {
        if let Some(found) = wait::stay_awake(self.sender, || look(self)) {
            return Ok(found?);
        }
        let mut sleep = Sleep::until(deadline);
        self.give_all_back(view);
        loop {
            self.say_where(view);
            let (pos, offset) = (self.pos, self.offset);
            let word = view.area.word(offset);
            // Relaxed: `look` looks again.
            let seen = word.load(Relaxed);
            let mut found = None;
            let sleepers = &view.words.asleep.receivers;
            let slept = sleepers.sleep(pos, word, seen, &mut sleep, || {
                found = look(self);
                found.is_some() || self.offset != offset || word.load(Relaxed) != seen
            });
            if let Some(found) = found.or_else(|| look(self)) {
                return Ok(found?);
            }
            if let Err(gone) = peers().check() {
                // What they did last came before they went.
                return look(self).map_or(Err(gone), |found| Ok(found?));
            }
            if !slept {
                return Err(RingError::TimedOut);
            }
        }
    }

    /// Announces that a thread is about to sleep until there is a message, or news of the senders, and returns the word
    /// for it. The thread makes a heavy barrier and looks for messages before it sleeps, and does not sleep if the
    /// [`position`](Consumer::position) has changed.
    #[cfg(not(loom))]
    pub fn announce_sleep(&mut self, view: View) -> Word {
        self.give_all_back(view);
        self.say_where(view);
        let word = view.area.word(self.offset);
        // Relaxed: the caller looks again, and the kernel compares it.
        let seen = word.load(Relaxed);
        view.words.asleep.receivers.announce_sleep(self.pos);
        Word::new(atomic::lower_half(word), seen as u32)
    }

    /// Returns where the next message is, or will be.
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// Returns the processor that the sender ran on, when its messages last changed.
    pub fn sender(&self) -> Option<u32> {
        self.sender
    }

    /// Enters a descriptor, which the next message makes readable, or news of the senders. The caller then looks for
    /// messages, and asks for news.
    #[cold]
    pub fn enter(&mut self, view: View, number: NonZeroU32) {
        self.give_all_back(view);
        // If a wake-up can be missed, the descriptor becomes readable at the end of its interval.
        view.words.asleep.receivers.enter(number, self.pos);
    }

    /// Takes a descriptor out that is about to be closed.
    pub fn remove(&self, view: View, number: NonZeroU32) {
        view.words.asleep.receivers.remove(number);
    }

    /// Copies a message while its sender still writes it. Returns false if the sender has dropped the
    /// message, or died before its end.
    #[cold]
    #[inline(never)]
    fn copy_begun(
        &self,
        view: View,
        message: Span,
        buffer: Buffer,
        deadline: Deadline,
        peers: impl Fn() -> Peers,
    ) -> Result<bool, RingError> {
        let mut copied = 0;
        let mut sleep = Sleep::until(deadline);
        loop {
            let Some(Progress { word, written }) = self.progress(view, message) else {
                return Ok(false);
            };
            let new = written.saturating_sub(copied);
            if let Some(part) = buffer.part(copied, new) {
                view.area.read_round(message.offset + copied, part);
                copied += new;
            }
            if copied == buffer.len() {
                return Ok(true);
            }
            self.wait_for_more(view, message, copied, word, &mut sleep, &peers)?;
        }
    }

    /// Waits until more than `copied` bytes of a begun message are written, or it is no longer a message.
    /// May return early. `word`: the frame's first word, as it was before.
    fn wait_for_more(
        &self,
        view: View,
        message: Span,
        copied: usize,
        word: u64,
        sleep: &mut Sleep,
        peers: impl Fn() -> Peers,
    ) -> Result<(), RingError> {
        let has_news = || {
            self.progress(view, message)
                .is_none_or(|progress| progress.written > copied)
        };
        if wait::stay_awake(self.sender, || has_news().then_some(())).is_some() {
            return Ok(());
        }
        let first = view.area.word(view.offset(message.pos));
        let receivers = &view.words.asleep.receivers;
        let in_time = receivers.sleep(message.pos, first, word, sleep, has_news);
        if has_news() {
            return Ok(());
        }
        let gone = peers().check();
        // Checked after `peers`: the sender may have written more before it ended.
        if has_news() {
            return Ok(());
        }
        gone?;
        if in_time {
            Ok(())
        } else {
            Err(RingError::TimedOut)
        }
    }

    /// Returns how much of a begun message is written; `None` if it is no longer a message.
    fn progress(&self, view: View, message: Span) -> Option<Progress> {
        if view.drops && self.was_overtaken(view) {
            return None;
        }
        let frame_offset = view.offset(message.pos);
        // Acquire: pairs with the releases in `Producer::send_in_pieces`: "done" makes all bytes visible,
        // and "begun" makes the progress word valid.
        let word = view.area.word(frame_offset).load(Acquire);
        let frame = Frame::parse(word, usize::MAX).ok()?;
        let written = match frame.kind {
            _ if frame.len != message.len => return None,
            FrameKind::Done => message.len,
            FrameKind::Begun => {
                // Acquire: pairs with the release of the number, so that so many bytes are visible.
                let written = view.area.word(frame_offset + WORD).load(Acquire) as usize;
                // The last byte is complete only with "done".
                written.min(message.len.saturating_sub(1)) & !(WORD - 1)
            }
            FrameKind::Message | FrameKind::Gap => return None,
        };
        Some(Progress { word, written })
    }

    /// Wakes the sender that sleeps until there is room, if one does: there is room, or other news for it.
    #[cold]
    pub fn wake_sender(&self, view: View) {
        atomic::wake(&view.words.receiver.head);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{
        Area,
        ring::{RingWords, frame::processor},
    };

    /// Returns what the receiver finds where there are gaps of so many lines, one behind the other.
    fn look_at(gaps: &[usize]) -> Result<Option<Span>, Damaged> {
        let room = (gaps.iter().sum::<usize>() + 1) * LINE;
        let mut memory = vec![0_u64; room / WORD];
        let mut offset = 0;
        for lines in gaps {
            let gap = Frame::new(FrameKind::Gap, lines * LINE - WORD);
            memory[offset / WORD] = gap.word(processor(None));
            offset += lines * LINE;
        }
        let words = RingWords::default();
        let view = View {
            words: &words,
            // SAFETY: the memory lives as long as the area, has this length, and is aligned.
            area: unsafe { Area::new(memory.as_mut_ptr().cast(), room) },
            capacity: room - 4 * LINE,
            drops: false,
        };
        Consumer::find(view).look(view)
    }

    #[test]
    fn gaps_are_passed_over_and_do_not_go_on_for_ever() {
        assert!(look_at(&[3, 4]).unwrap().is_none());
        assert!(look_at(&[300, 257, 300]).unwrap().is_none());
        assert!(look_at(&[1; 100]).is_err());
    }
}
