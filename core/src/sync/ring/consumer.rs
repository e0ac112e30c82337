//! The receiving end.

use super::{
    LARGE, LINE, PIECE, Peers, RingError, RingWords, View,
    frame::{Damaged, Frame, FrameKind, WORD, sender_cpu},
    lag,
};
use crate::sync::{
    area::{Area, Buffer},
    atomic::{
        self,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        fence, light_barrier,
    },
    wait::{self, Deadline, Inquiry, Sleep},
};
#[cfg(not(loom))]
use crate::sys::waitv::Word;
use core::{num::NonZeroU32, ops::RangeInclusive};

/// The number of PAUSE instructions before the receiver looks again, after a message for which it did not have to wait:
/// each look takes the cache line away from the sender, which is about to write the next message. If the next message
/// is there by then, the number is doubled: the further the sender is ahead, the more seldom both use the same line.
/// (On a Zen processor, a message of 64 bytes then takes 10 ns instead of 10 to 30.)
const STREAM: RangeInclusive<u32> = 16..=96;

/// The number of looks, a PAUSE apart, before the receiver finds out where the sender runs and how to wait for it.
const SOON: u32 = 32;

/// The number of times that a receiver that does not wait tries again, if the sender has dropped the message that it
/// was reading.
const OVERTAKEN: u32 = 100;

/// How many bytes of lines the receiver leaves uncleared in front of the last message, at most: few enough that the
/// lines are still in its cache, and enough that it clears many at a time.
const DISTANCE: u64 = 4096;

/// What the receiver keeps in its own memory.
pub struct Consumer {
    /// The position of the next message, present or future, and its offset.
    pos: u64,
    offset: usize,
    /// The position up to which lines are cleared, and its offset.
    cleared: u64,
    cleared_offset: usize,
    /// The position up to which lines are freed.
    freed: u64,
    /// The position in front of which releasing a message takes no more than storing `released`: up to there, the ring
    /// does not end, and no line is to be cleared.
    horizon: u64,
    /// In bytes: how far in front of `pos` the uncleared lines may reach (`farthest`), and how much must be cleared before
    /// the receiver frees it (`step`).
    farthest: u64,
    step: u64,
    /// The position behind the last message for which it had to wait.
    waited: u64,
    /// The number of PAUSE instructions, in `STREAM`.
    pause: u32,
    /// The processor that the sender ran on, from the last new word.
    sender: Option<u32>,
    known: Known,
}

/// The word of the last short message, and what it stands for. Most messages are as long as the one before. The
/// processor predicts that the word is the same again: it copies the message, and goes on to the next, before the word
/// has arrived from the sender's cache.
struct Known {
    word: u64,
    len: usize,
    /// The size of its frame in bytes.
    size: usize,
}

impl Known {
    /// The word 0, which no frame has, and a length and a size that no area has. They are half of `usize::MAX`, so that
    /// their sum with an offset does not overflow.
    const NONE: Known = Known {
        word: 0,
        len: usize::MAX / 2,
        size: usize::MAX / 2,
    };
}

/// A message that was found, and is not yet released.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pos: u64,
    /// The offset of its first byte.
    pub offset: usize,
    pub len: usize,
    /// The size of its frame in bytes.
    size: usize,
    /// Whether its sender is still writing it.
    begun: bool,
}

/// The result of looking for the usual message: see [`Consumer::find_usual`].
pub enum Found<T> {
    /// The next message is as long as the one before, and does not wrap.
    Usual(T),
    /// There is no message.
    Nothing,
    /// There may be a message, but not the usual one; or it does not fit into the buffer.
    Other,
}

/// How much of a begun message is written.
struct Progress {
    /// The frame's first word.
    word: u64,
    /// The number of bytes that are written.
    written: usize,
}

impl Span {
    /// Returns whether its bytes wrap at the end of the ring.
    #[inline(always)]
    pub fn wraps(&self, view: View) -> bool {
        view.area.wraps(self.offset, self.len)
    }
}

impl Consumer {
    /// Begins where the last receiver ended, and frees the lines that it had released but not freed.
    pub fn find(view: View) -> Consumer {
        let receiver = &view.words.receiver;
        // Acquire, both: pair with the releases in `release` and `free_cleared` of the last receiver. No ring ever
        // moves enough bytes to need the highest bit; without it, no sum of positions overflows.
        let head = receiver.head.load(Acquire) & (u64::MAX >> 1);
        let released = receiver.released.load(Acquire);
        let is_possible = !view.drops && (head..=view.limit(head)).contains(&released);
        let pos = if is_possible { released } else { head };
        let lag = lag(view.capacity);
        let step = (lag / 4).max(LINE);
        let mut head = Consumer {
            pos,
            offset: view.offset(pos),
            cleared: head,
            cleared_offset: view.offset(head),
            freed: head,
            horizon: 0,
            farthest: (lag - step) as u64,
            step: step as u64,
            waited: pos,
            pause: *STREAM.start(),
            sender: None,
            known: Known::NONE,
        };
        head.announce_cpu(view);
        head.free_all(view);
        // The last receiver may have been killed between moving `head` and waking the sender.
        head.wake_sender(view);
        head
    }

    /// Tells the sender which processor the receiver runs on.
    fn announce_cpu(&mut self, view: View) {
        #[cfg(not(loom))]
        {
            let cpu = crate::sys::cpu().map_or(0, |cpu| cpu.saturating_add(1));
            // Relaxed, both: a hint. The line is written only if the processor has changed.
            if view.words.receiver.cpu.load(Relaxed) != cpu {
                view.words.receiver.cpu.store(cpu, Relaxed);
            }
        }
        #[cfg(loom)]
        let _ = view;
    }

    /// Looks for the next message, and finds it only if it is as long as the last one and does not wrap, as most messages
    /// do. The frame of a message that was found lies in the area.
    #[inline(always)]
    pub fn find_usual(&self, view: View) -> Found<Span> {
        let Known { word, size, .. } = self.known;
        // The sum does not overflow: see `NONE`.
        if view.drops || self.offset.wrapping_add(size) > view.room() {
            return Found::Other;
        }
        // Acquire: makes the frame's bytes visible.
        let found = view.area.word(self.offset).load(Acquire);
        if found != word {
            // The caller has to know whether there is no message: it then does not look again at once, because each
            // look takes the line away from the sender.
            return if found == 0 {
                Found::Nothing
            } else {
                Found::Other
            };
        }
        Found::Usual(self.known_message())
    }

    /// Receives a message that [`find_usual`](Consumer::find_usual) finds, if it fits into the buffer. Returns its length.
    #[inline(always)]
    pub fn receive_usual(&mut self, view: View, buffer: Buffer) -> Found<usize> {
        let Span { len, size, .. } = match self.find_usual(view) {
            Found::Usual(message) => message,
            Found::Nothing => return Found::Nothing,
            Found::Other => return Found::Other,
        };
        let Some(buffer) = buffer.part(0, len) else {
            return Found::Other;
        };
        // SAFETY: the offset is a multiple of a line's size. The frame, which has at least `len` bytes behind its word,
        // lies in the area.
        let frame = unsafe { view.area.stretch_unchecked(self.offset, len) };
        frame.read(buffer);
        self.release_next(view, size);
        Found::Usual(len)
    }

    /// Receives a message if it is there, is short, does not wrap, and fits into the buffer. Returns its length.
    #[inline]
    pub fn receive_short(&mut self, view: View, buffer: Buffer) -> Option<usize> {
        if view.drops {
            return None;
        }
        let (len, size) = self.copy_short(view, self.offset, buffer)?;
        self.release_next(view, size);
        Some(len)
    }

    /// Copies the message at this offset under the conditions of `receive_short`. Returns its length, and the size of
    /// its frame.
    #[inline(always)]
    fn copy_short(&mut self, view: View, offset: usize, buffer: Buffer) -> Option<(usize, usize)> {
        let mut frame = view.area.stretch(offset, self.known.len)?;
        // Acquire: makes the frame's bytes visible.
        let word = frame.word().load(Acquire);
        if word != self.known.word {
            if !self.learn(word, view.capacity) {
                return None;
            }
            frame = view.area.stretch(offset, self.known.len)?;
        }
        let len = frame.len();
        frame.read(buffer.part(0, len)?);
        Some((len, self.known.size))
    }

    /// Receives messages under the conditions of `receive_short`, one after the other in the buffer, and at most
    /// `count`. Passes the index and the length of each to `store`, and returns how many there are. Releases many at a
    /// time: a receiver that dies in this call leaves some of them to the next one.
    #[inline]
    pub fn receive_short_batch(
        &mut self,
        view: View,
        mut buffer: Buffer,
        count: usize,
        mut store: impl FnMut(usize, usize),
    ) -> usize {
        let mut received = 0;
        if view.drops {
            return received;
        }
        loop {
            let (mut offset, mut copied) = (self.offset, 0);
            // At most a step: a sender may wait for the room of these messages.
            while received < count && copied < self.step as usize {
                let Some((len, size)) = self.copy_short(view, offset, buffer) else {
                    break;
                };
                store(received, len);
                received += 1;
                buffer = buffer.behind(len);
                copied += size;
                offset += size;
                if offset >= view.room() {
                    offset = 0;
                }
            }
            if copied == 0 {
                return received;
            }
            self.release_next(view, copied);
        }
    }

    /// Returns whether there is certainly no message. If false, `receive` has to look.
    #[inline(always)]
    pub fn finds_nothing(&self, view: View) -> bool {
        // Relaxed: the caller reads nothing but the word.
        !view.drops && view.area.word(self.offset).load(Relaxed) == 0
    }

    /// Looks a few times for the next message. Returns whether there is a frame.
    #[inline(always)]
    pub fn arrives_soon(&mut self, view: View) -> bool {
        self.appears_soon(view.area, view.capacity, !view.drops)
    }

    #[inline(never)]
    fn appears_soon(&mut self, area: Area, capacity: usize, clears: bool) -> bool {
        let word = area.word(self.offset);
        // The receiver did not have to wait for the last message, so more will come.
        let is_stream = self.pos != self.waited;
        self.waited = self.pos;
        if clears && self.pos.wrapping_sub(self.cleared) >= LARGE as u64 {
            // Here, and not when the message was released: in a dialogue, its sender would get the answer later. Fewer
            // lines than `LARGE` are left for later, because many at a time are cleared faster.
            self.clear_up_to(area, self.pos);
        } else if is_stream {
            (0..self.pause).for_each(|_| core::hint::spin_loop());
        }
        for look in 0..SOON {
            core::hint::spin_loop();
            // Relaxed: the caller looks again.
            let found = word.load(Relaxed);
            if found != 0 {
                if look > 0 {
                    self.pause = *STREAM.start();
                } else if is_stream {
                    self.pause = (self.pause * 2).min(*STREAM.end());
                }
                // Counts this message as one that the receiver waited for, so that it looks for the next one without
                // the pause: an answer in a dialogue comes as soon as this message did.
                if (is_stream || look > 0) && self.knows(found, capacity) {
                    self.waited = self.pos.wrapping_add(self.known.size as u64);
                }
                return true;
            }
            if look == SOON / 4 && self.shares_cpu_with_sender() {
                break;
            }
        }
        false
    }

    /// Returns whether the sender runs on this processor, so that it cannot send while the receiver looks.
    fn shares_cpu_with_sender(&self) -> bool {
        #[cfg(not(loom))]
        {
            self.sender.is_some() && self.sender == crate::sys::cpu()
        }
        #[cfg(loom)]
        false
    }

    /// Receives a message into a buffer; waits for it. Returns its length.
    #[cold]
    #[inline(never)]
    pub fn receive(
        &mut self,
        view: View,
        buffer: Buffer,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
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
                view.area.read_wrapping(message.offset, buffer);
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
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<Span, RingError> {
        match self.next(view) {
            Some(message) => Ok(message),
            None => self.wait(view, deadline, false, peers),
        }
    }

    /// Returns the next message as `next` does, if it arrives within a few looks.
    #[inline(always)]
    pub fn next_soon(&mut self, view: View) -> Option<Span> {
        if self.arrives_soon(view) {
            self.next(view)
        } else {
            None
        }
    }

    /// Returns the next message, if it is there and short, or was written in place: the most frequent case alone.
    #[inline(always)]
    pub fn next(&mut self, view: View) -> Option<Span> {
        if view.drops {
            self.follow(view);
        }
        // Acquire: makes the frame's bytes visible.
        let word = view.area.word(self.offset).load(Acquire);
        if !self.knows(word, view.capacity) {
            return None;
        }
        let is_true = self.known.size < view.room() && !self.was_overtaken(view);
        is_true.then(|| self.known_message())
    }

    /// Makes a word the known one. Returns false if it is not that of a short message.
    #[inline(always)]
    fn knows(&mut self, word: u64, capacity: usize) -> bool {
        word == self.known.word || self.learn(word, capacity)
    }

    #[cold]
    fn learn(&mut self, word: u64, capacity: usize) -> bool {
        let Some(Frame { len, size, .. }) = Frame::parse_message(word) else {
            return false;
        };
        if len > capacity {
            return false;
        }
        self.known = Known { word, len, size };
        self.sender = sender_cpu(word);
        true
    }

    /// Returns the next message, whose word is the known one.
    #[inline(always)]
    fn known_message(&self) -> Span {
        let Known { len, size, .. } = self.known;
        Span {
            pos: self.pos,
            offset: self.offset + WORD,
            len,
            size,
            begun: false,
        }
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

    /// Returns the next message, of any length, and perhaps only begun. Passes over gaps.
    fn look(&mut self, view: View) -> Result<Option<Span>, Damaged> {
        // There is a gap for each long message whose sender died. While this loop runs, other senders may add gaps and
        // die, or drop messages, but not without end.
        let gaps = 2 * (view.room() / PIECE + 2);
        let overtaken = if view.drops { OVERTAKEN as usize } else { 0 };
        for _ in 0..=gaps + overtaken {
            if view.drops {
                self.follow(view);
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
                if frame.len > view.capacity {
                    return Err(Damaged);
                }
                // The next message may be as long.
                if !self.learn(word, view.capacity) {
                    self.sender = sender_cpu(word);
                }
                return Ok(Some(self.message(frame)));
            }
            self.release_unread(view, self.message(frame));
        }
        // Where messages are dropped, the caller checks its deadline, and then calls this again.
        if view.drops { Ok(None) } else { Err(Damaged) }
    }

    /// Continues at `head` if the sender has moved it.
    #[inline]
    fn follow(&mut self, view: View) {
        // Acquire: makes visible what the sender did before.
        let pos = view.words.receiver.head.load(Acquire);
        if pos != self.pos {
            self.pos = pos;
            self.offset = view.offset(pos);
        }
    }

    /// Returns whether the sender has moved `head`; then the bytes that were read are arbitrary.
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

    /// Returns whether a message that was found is still the next one. In a ring that drops the oldest message it is
    /// true: the sender may have dropped the message, and `release` then fails.
    #[inline(always)]
    pub fn is_first(&self, view: View, message: &Span) -> bool {
        // Relaxed: this end has stored the value, or a later receiver has, at any time.
        view.drops || view.words.receiver.released.load(Relaxed) == message.pos
    }

    /// Releases a message if it is still the next one, is not large, and the ring does not drop messages. Returns whether
    /// it was released.
    #[inline(always)]
    pub fn release_usual(&mut self, view: View, message: Span) -> bool {
        let may_release = !view.drops && message.size < LARGE && self.is_first(view, &message);
        if may_release {
            self.release_next(view, message.size);
        }
        may_release
    }

    /// Releases a message. Returns false if the sender has dropped it; then the bytes that were read are arbitrary.
    #[inline(always)]
    pub fn release(&mut self, view: View, message: Span) -> bool {
        let receiver = &view.words.receiver;
        if !view.drops {
            self.release_next(view, message.size);
            return true;
        }
        let next = message.pos.wrapping_add(message.size as u64);
        // Acquire: see `Producer::drop_oldest`.
        fence(Acquire);
        // Release: orders the reads before the sender's writes to the same bytes. Acquire: as in `follow`.
        let released = receiver
            .head
            .compare_exchange(message.pos, next, AcqRel, Relaxed);
        if released.is_ok() {
            self.advance(view, message.size);
        }
        released.is_ok()
    }

    /// Releases this many bytes of frames from `pos` on.
    #[inline(always)]
    fn release_next(&mut self, view: View, size: usize) {
        let freed = self.freed;
        self.pos = self.pos.wrapping_add(size as u64);
        // Release: pairs with the acquire in `find` of a receiver that follows this one.
        view.words.receiver.released.store(self.pos, Release);
        self.offset += size;
        if self.pos >= self.horizon {
            self.pass_horizon(view.words, view.area, size as u64);
        }
        self.wake_if_wanted(view, freed);
    }

    /// Makes the offset wrap at the end of the ring, clears lines if some are too far in front of `pos`, frees
    /// lines if there are enough of them, and finds the next horizon.
    #[cold]
    #[inline(never)]
    fn pass_horizon(&mut self, words: &RingWords, area: Area, size: u64) {
        let room = area.len();
        if self.offset >= room {
            self.offset -= room;
        }
        // As many lines of the last message as possible stay uncleared: the receiver may soon wait, see `appears_soon`.
        let farthest = self.farthest.min(size + DISTANCE);
        if self.pos.wrapping_sub(self.cleared) > farthest {
            // Many lines at a time, which is faster than line by line.
            let distance = (farthest - farthest.min(DISTANCE) / 2) & !(LINE as u64 - 1);
            self.clear_up_to(area, self.pos.wrapping_sub(distance));
        }
        if self.cleared.wrapping_sub(self.freed) >= self.step {
            self.free_cleared(words);
        }
        let end = self.pos.saturating_add((room - self.offset) as u64);
        self.horizon = end.min(self.cleared.saturating_add(farthest + 1));
    }

    #[inline(always)]
    fn advance(&mut self, view: View, size: usize) {
        self.pos = self.pos.wrapping_add(size as u64);
        self.offset += size;
        if self.offset >= view.room() {
            self.offset -= view.room();
        }
    }

    /// Releases a message that was not copied as `release` does. Its lines need not be in this processor's cache, so
    /// those of a large one are not cleared.
    #[inline(always)]
    pub fn release_unread(&mut self, view: View, message: Span) -> bool {
        if view.drops || message.size < LARGE {
            return self.release(view, message);
        }
        self.release_large(view, message);
        true
    }

    #[inline(never)]
    fn release_large(&mut self, view: View, message: Span) {
        self.clear_up_to(view.area, message.pos);
        self.cleared = message.pos.wrapping_add(message.size as u64);
        self.cleared_offset = view.offset(self.cleared);
        self.horizon = 0;
        self.release_next(view, message.size);
    }

    /// Clears released lines.
    fn clear_up_to(&mut self, area: Area, to: u64) {
        // Release: orders the store of `released` before the stores of 0. A sender that follows a dead one and finds 0
        // in such a line (by an acquire load) sees `released` beyond it, and does not take the line for the end. A
        // receiver that follows this one never looks for a message in a line that was cleared.
        fence(Release);
        // The lines of a ring at most, whatever the positions are.
        let len = to.saturating_sub(self.cleared).min(area.len() as u64) as usize;
        self.cleared_offset = clear(area, self.cleared_offset, len);
        self.cleared = to;
    }

    /// Gives the cleared lines back to the sender.
    fn free_cleared(&mut self, words: &RingWords) {
        self.freed = self.cleared;
        // Release: orders the reads and the clearing before the sender's writes to the same lines.
        words.receiver.head.store(self.freed, Release);
    }

    /// Frees all released lines, and wakes the sender if it waits for them.
    #[cold]
    pub fn free_all(&mut self, view: View) {
        if !view.drops {
            let freed = self.freed;
            self.free_released(view.words, view.area);
            self.wake_if_wanted(view, freed);
        }
    }

    fn free_released(&mut self, words: &RingWords, area: Area) {
        if self.freed != self.pos {
            self.clear_up_to(area, self.pos);
            self.free_cleared(words);
        }
    }

    /// Wakes the sender if it waits for a position behind `freed`, which `head` was before this call of the receiver,
    /// and up to `pos`. The receiver passes each position once, so it wakes a sender once.
    #[inline(always)]
    fn wake_if_wanted(&mut self, view: View, freed: u64) {
        light_barrier();
        // Relaxed: ordered by the barriers, see `Wish::write`.
        let wanted = view.words.asleep.wanted.load(Relaxed);
        if wanted > freed {
            self.wake_at(view.words, view.area, wanted);
        }
    }

    /// Frees all released lines and wakes the sender, if they reach the position for which it waits.
    #[cold]
    #[inline(never)]
    fn wake_at(&mut self, words: &RingWords, area: Area, wanted: u64) {
        if wanted <= self.pos {
            self.free_released(words, area);
            atomic::wake(&words.receiver.head);
        }
    }

    /// Waits for a message that is complete or, with `begun_will_do`, at least begun.
    #[cold]
    #[inline(never)]
    fn wait(
        &mut self,
        view: View,
        deadline: Deadline,
        begun_will_do: bool,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<Span, RingError> {
        let begun_will_do = begun_will_do && !matches!(deadline, Deadline::Now);
        let look = |head: &mut Consumer| match head.look(view) {
            Ok(Some(message)) if message.begun && !begun_will_do => None,
            found => found.transpose(),
        };
        let found = match look(self) {
            Some(found) => found?,
            None if matches!(deadline, Deadline::Now) => {
                let gone = peers(Inquiry::Full).check();
                match look(self) {
                    // The message came, and then the senders ended.
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
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<Span, RingError> {
        if let Some(found) = wait::stay_awake(self.sender, || look(self)) {
            return Ok(found?);
        }
        if let Err(gone) = peers(Inquiry::Brief).check() {
            // The senders may have sent a message before they ended.
            return look(self).map_or(Err(gone), |found| Ok(found?));
        }
        let mut sleep = Sleep::until(deadline);
        self.free_all(view);
        loop {
            self.announce_cpu(view);
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
            if let Err(gone) = peers(Inquiry::Full).check() {
                // The senders may have sent a message before they ended.
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
        self.free_all(view);
        self.announce_cpu(view);
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
        self.free_all(view);
        // If a wake-up can be missed, the descriptor becomes readable at the end of its interval.
        view.words.asleep.receivers.enter(number, self.pos);
    }

    /// Removes a descriptor that is about to be closed.
    pub fn remove(&self, view: View, number: NonZeroU32) {
        view.words.asleep.receivers.remove(number);
    }

    /// Copies a message while its sender is still writing it. Returns false if the message no longer exists: the sender
    /// has dropped it, or died before it was complete.
    #[cold]
    #[inline(never)]
    fn copy_begun(
        &self,
        view: View,
        message: Span,
        buffer: Buffer,
        deadline: Deadline,
        peers: impl Fn(Inquiry) -> Peers,
    ) -> Result<bool, RingError> {
        let mut copied = 0;
        let mut sleep = Sleep::until(deadline);
        loop {
            let Some(Progress { word, written }) = self.progress(view, message) else {
                return Ok(false);
            };
            let new = written.saturating_sub(copied);
            if let Some(part) = buffer.part(copied, new) {
                view.area.read_wrapping(message.offset + copied, part);
                copied += new;
            }
            if copied == buffer.len() {
                return Ok(true);
            }
            // A hostile process can announce bytes and withdraw them without end, or announce few at a time. A sender
            // announces whole pieces.
            if new < PIECE && deadline.is_over() {
                return Err(RingError::TimedOut);
            }
            self.wait_for_more(view, message, copied, word, &mut sleep, &peers)?;
        }
    }

    /// Waits until more than `copied` bytes of a begun message are written, or the message no longer exists. May return
    /// early. `word`: the frame's first word, as loaded before.
    fn wait_for_more(
        &self,
        view: View,
        message: Span,
        copied: usize,
        word: u64,
        sleep: &mut Sleep,
        peers: impl Fn(Inquiry) -> Peers,
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
        let gone = peers(Inquiry::Full).check();
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

    /// Returns how much of a begun message is written; `None` if the message no longer exists.
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
                // Acquire: pairs with the release of the number, and makes that many bytes visible.
                let written = view.area.word(frame_offset + WORD).load(Acquire) as usize;
                // The last byte counts as written only with "done".
                written.min(message.len.saturating_sub(1)) & !(WORD - 1)
            }
            FrameKind::Message | FrameKind::Gap => return None,
        };
        Some(Progress { word, written })
    }

    /// Wakes the sender if it sleeps until there is room: there is room, or it must check the receiver's role.
    #[cold]
    pub fn wake_sender(&self, view: View) {
        atomic::wake(&view.words.receiver.head);
    }
}

/// Clears the first word of each line of `len` bytes, from an offset on. Returns the offset behind them.
#[inline(always)]
fn clear(area: Area, offset: usize, len: usize) -> usize {
    let to_end = area.len() - offset;
    if len < to_end {
        area.clear_words::<LINE>(offset, len);
        offset + len
    } else {
        area.clear_words::<LINE>(offset, to_end);
        area.clear_words::<LINE>(0, len - to_end);
        len - to_end
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::ring::frame::processor;
    use core::time::Duration;

    fn view<'a>(words: &'a RingWords, memory: &'a mut [u64]) -> View<'a> {
        let room = memory.len() * WORD;
        View {
            words,
            // SAFETY: the memory is borrowed as long as the area lives, has this length, and is aligned.
            area: unsafe { Area::new(memory.as_mut_ptr().cast(), room) },
            capacity: room - 4 * LINE,
            drops: false,
        }
    }

    /// A receiver that knows no message yet does not take the word 0 of an empty ring for that of a known one.
    #[test]
    fn an_empty_ring_has_no_short_message() {
        let (words, mut memory) = (RingWords::default(), [0; 1024]);
        let view = view(&words, &mut memory);
        let mut head = Consumer::find(view);
        let mut buffer = [7; 64];
        assert!(head.receive_short(view, (&mut buffer).into()).is_none());
        let batch = head.receive_short_batch(view, (&mut buffer).into(), 2, |_, _| panic!());
        assert_eq!((batch, head.position()), (0, 0));
        assert!(head.next(view).is_none());
        assert_eq!(buffer, [7; 64]);
    }

    const SOON: Duration = Duration::from_millis(20);

    /// The largest number of times that a hostile process writes.
    const MOST: u64 = 100_000;

    #[test]
    fn a_head_that_moves_on_keeps_no_receiver_beyond_its_deadline() {
        let (words, mut memory) = (RingWords::default(), [0; 1024]);
        let drops = true;
        let view = View {
            drops,
            ..view(&words, &mut memory)
        };
        let mut end = Consumer::find(view);
        let moves_on = |_| {
            let head = &words.receiver.head;
            if head.load(Relaxed) < MOST * LINE as u64 {
                head.fetch_add(LINE as u64, Relaxed);
            }
            Peers::Expected
        };
        let deadline = Deadline::after(Some(SOON));
        let received = end.receive(view, (&mut [0; 8]).into(), deadline, moves_on);
        assert_eq!(received, Err(RingError::TimedOut));
        assert!(words.receiver.head.load(Relaxed) < MOST * LINE as u64);
    }

    /// A hostile process announces the bytes of a long message one word at a time.
    #[test]
    fn a_message_that_never_ends_keeps_no_receiver_beyond_its_deadline() {
        const LEN: usize = 4 * PIECE;
        let (words, mut memory) = (RingWords::default(), vec![0; 2 * LEN / WORD]);
        memory[0] = Frame::new(FrameKind::Begun, LEN).word(processor(None));
        let view = view(&words, &mut memory);
        let (mut end, mut buffer) = (Consumer::find(view), vec![0_u8; LEN]);
        let announces_a_word = |_| {
            view.area.word(WORD).fetch_add(WORD as u64, Relaxed);
            Peers::Expected
        };
        let deadline = Deadline::after(Some(SOON));
        let received = end.receive(view, (&mut buffer).into(), deadline, announces_a_word);
        assert_eq!(received, Err(RingError::TimedOut));
        assert!(view.area.word(WORD).load(Relaxed) < PIECE as u64);
    }

    /// The receiver asks once, before it would sleep, and then looks once more.
    #[test]
    fn senders_that_are_known_to_be_gone_are_not_waited_for() {
        for sends in [false, true] {
            let (words, mut memory) = (RingWords::default(), [0; 1024]);
            let view = view(&words, &mut memory);
            let mut end = Consumer::find(view);
            let word = Frame::new(FrameKind::Message, 8).word(processor(None));
            let gone = |inquiry| {
                assert_eq!(inquiry, Inquiry::Brief, "it has slept");
                if sends {
                    view.area.word(0).store(word, Release);
                }
                Peers::Gone
            };
            let received = end.receive(view, (&mut [0; 8]).into(), Deadline::Never, gone);
            let expected = if sends { Ok(8) } else { Err(RingError::Closed) };
            assert_eq!(received, expected);
        }
    }

    /// Returns what the receiver finds in a ring of this memory.
    fn look_in(memory: &mut [u64]) -> Result<Option<Span>, Damaged> {
        let words = RingWords::default();
        let view = view(&words, memory);
        let mut head = Consumer::find(view);
        let next = head.next(view);
        let found = head.look(view);
        assert!(next.is_none() || found.as_ref().is_ok_and(|found| found.is_some()));
        found
    }

    fn look_at(gaps: &[usize]) -> Result<Option<Span>, Damaged> {
        let mut memory = vec![0; (gaps.iter().sum::<usize>() + 1) * LINE / WORD];
        let mut offset = 0;
        for lines in gaps {
            let gap = Frame::new(FrameKind::Gap, lines * LINE - WORD);
            memory[offset / WORD] = gap.word(processor(None));
            offset += lines * LINE;
        }
        look_in(&mut memory)
    }

    #[test]
    fn gaps_are_passed_over_and_do_not_go_on_for_ever() {
        assert!(look_at(&[3, 4]).unwrap().is_none());
        assert!(look_at(&[300, 257, 300]).unwrap().is_none());
        assert!(look_at(&[1; 100]).is_err());
    }

    #[test]
    fn no_message_is_longer_than_the_capacity() {
        for kind in [FrameKind::Message, FrameKind::Begun, FrameKind::Done] {
            let look_at_length = |len| {
                let mut memory = [0; 1024];
                memory[0] = Frame::new(kind, len).word(processor(None));
                look_in(&mut memory)
            };
            let capacity = 1024 * WORD - 4 * LINE;
            assert_eq!(look_at_length(capacity).unwrap().unwrap().len, capacity);
            assert!(look_at_length(capacity + 1).is_err());
        }
    }
}
