//! `shmkey watch`.

mod draw;
mod layout;
mod rate;

use crate::{
    backend, create,
    facts::{Fact, Look},
    output::Failure,
    screen::{self, Input, Screen},
    sparse::Sparse,
    target::Target,
    window::{self, Window},
    words,
};
use clap::Args;
use ratatui::{crossterm::event::KeyCode, layout::Rect};
use rate::Rate;
use shmkey::{Contents, Holding, Segment};
use std::{
    process,
    time::{Duration, Instant},
};

#[derive(Args)]
pub struct Options {
    /// The segment: an id, a key or a name
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    /// Read the segment this often: 10ms to 1h
    #[arg(long, short, value_name = "TIME", value_parser = screen::interval, default_value = "100ms")]
    interval: Duration,
    /// Begin at this offset: 4096, 0x1000, 4K, 1MiB
    #[arg(long, short = 's', value_name = "BYTES", value_parser = create::bytes)]
    offset: Option<usize>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let id = options.segment.status()?.id;
    let mut watch = Watch::begin(id, options.interval, options.offset)?;
    let mut screen = Screen::open("watch", &format!("{} dump {id}", backend::command()))?;
    watch.run(&mut screen)
}

/// What is known of a segment that is being watched.
pub struct Watch {
    id: i32,
    size: usize,
    interval: Duration,
    /// Until the segment is gone.
    memory: Option<Sparse>,
    /// Without this process.
    fact: Fact,
    asked: Instant,
    contents: Option<Contents>,
    window: Window,
    /// Where the window moves to at the next reading.
    offset: usize,
    /// When the bytes were last read.
    now: Instant,
    changes: Rate,
    /// The number that the object counts: see [`count`].
    count: Option<u64>,
    counted: Rate,
    paused: bool,
    help: bool,
}

impl Watch {
    pub fn begin(id: i32, interval: Duration, offset: Option<usize>) -> Result<Watch, Failure> {
        let memory = Sparse::attach(&Segment::from_id(id))?;
        let size = memory.size();
        if offset.is_some_and(|offset| offset >= size) {
            return Err(Failure::Because(format!(
                "the offset is beyond the end of the segment, which has {}",
                words::count(size as u64, "byte")
            )));
        }
        let gone = || Failure::Because(format!("there is no segment with id {id}"));
        let fact = Fact::of(id, Look::Outside)?.ok_or_else(gone)?;
        let contents = look_into(&memory, size)?;
        let now = Instant::now();
        Ok(Watch {
            id,
            size,
            interval,
            memory: Some(memory),
            fact: without_us(fact),
            asked: now,
            offset: offset.unwrap_or_else(|| layout::beginning(contents.as_ref())),
            count: contents.as_ref().and_then(count),
            contents,
            window: Window::default(),
            now,
            changes: Rate::default(),
            counted: Rate::default(),
            paused: false,
            help: false,
        })
    }

    /// Runs until the user quits.
    pub fn run(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        loop {
            let area = screen.area()?;
            self.look(area)?;
            screen.draw(|frame| self.draw(frame))?;
            match screen.input(Instant::now() + self.interval)? {
                Input::Stop => return Ok(()),
                Input::Key(KeyCode::Char('q') | KeyCode::Esc) if !self.help => return Ok(()),
                Input::Key(key) => self.press(key, area),
                Input::Resize | Input::Time => {}
            }
        }
    }

    fn press(&mut self, key: KeyCode, area: Rect) {
        match key {
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('q') | KeyCode::Esc => self.help = false,
            KeyCode::Char(' ') => self.paused = !self.paused,
            _ => {}
        }
        if let Some(interval) = screen::paced(key, self.interval) {
            self.interval = interval;
        }
        let row = window::row(area.width.into(), self.size);
        // A terminal can have no lines.
        let page = usize::from(self.parts(area)[2].height).max(1);
        let last = self.size.div_ceil(row).saturating_sub(page);
        if let Some(to) = screen::moved(key, self.offset / row, page, last) {
            self.offset = to * row;
        }
    }

    /// Reads the bytes that are on the screen.
    fn look(&mut self, area: Rect) -> Result<(), Failure> {
        let row = window::row(area.width.into(), self.size);
        let Some(memory) = &self.memory else {
            self.offset = self.window.offset;
            return Ok(());
        };
        self.offset -= self.offset % row;
        let room = row * usize::from(self.parts(area)[2].height);
        let len = room.min(self.size.saturating_sub(self.offset));
        if self.paused {
            return Ok(self.window.shift(memory, self.offset, len)?);
        }
        let now = Instant::now();
        let passed = now - self.now;
        self.now = now;
        let changes = self.window.look(memory, self.offset, len, now)?;
        self.changes.add(changes, passed);
        self.contents = look_into(memory, self.size)?;
        let count = self.contents.as_ref().and_then(count);
        if let (Some(before), Some(after)) = (self.count, count) {
            self.counted.add(after.saturating_sub(before), passed);
        }
        self.count = count;
        self.ask();
        Ok(())
    }

    /// Asks the kernel for the segment's status; about once a second also which processes have it attached.
    fn ask(&mut self) {
        match Segment::from_id(self.id).status() {
            Ok(status) if !status.removed || status.nattch > 1 => {
                self.fact.status.removed = status.removed;
                if self.asked.elapsed() < Duration::from_secs(1) {
                    return;
                }
                self.asked = Instant::now();
                if let Ok(Some(fact)) = Fact::of(self.id, Look::Outside) {
                    self.fact = without_us(fact);
                }
            }
            // An attachment would keep the memory of a removed segment.
            _ => {
                self.memory = None;
                self.changes = Rate::default();
                self.counted = Rate::default();
            }
        }
    }
}

/// The object that a segment begins with, if there is one.
fn look_into(memory: &Sparse, size: usize) -> Result<Option<Contents>, shmkey::Error> {
    if !Contents::may_be_in(size) {
        return Ok(None);
    }
    let mut bytes = vec![0; size.min(Contents::LEN)];
    memory.read_at(0, &mut bytes)?;
    Ok(Contents::of(&bytes))
}

/// The number of events that an object counts: published versions, or dropped messages.
fn count(contents: &Contents) -> Option<u64> {
    match contents.holding {
        Holding::Latest { version, .. } => Some(version),
        Holding::Condvar { notifications, .. } => Some(u64::from(notifications)),
        Holding::Ring { dropped, .. } => Some(dropped),
        Holding::Broadcast { published, .. } => Some(published),
        _ => None,
    }
}

/// The same without this process, which has it attached once.
fn without_us(mut fact: Fact) -> Fact {
    let us = process::id() as i32;
    fact.attached.retain(|attached| attached.pid != us);
    fact.status.nattch = fact.status.nattch.saturating_sub(1);
    fact
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmkey::{Key, Ring};

    fn picture(watch: &mut Watch, width: u16, height: u16) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        watch.look(area).unwrap();
        screen::picture(width, height, |frame| watch.draw(frame))
    }

    /// A ring with a message. Dropping it removes its segment.
    struct Removed(Ring, String);

    impl Removed {
        fn new(test: &str) -> Removed {
            let name = format!("shmkey watch {test} {}", process::id());
            let ring = Ring::open(name.as_str(), 4096).unwrap();
            ring.sender().unwrap().send(b"hello").unwrap();
            Removed(ring, name)
        }
    }

    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = self.0.segment().remove();
        }
    }

    fn segment(bytes: &[u8]) -> Segment {
        let options = Segment::options().create(true).remove_on_drop(true);
        let segment = options.size(bytes.len()).open(Key::PRIVATE).unwrap();
        segment.attach().unwrap().write_at(0, bytes).unwrap();
        segment
    }

    fn watch(segment: &Segment) -> Watch {
        Watch::begin(segment.id(), Duration::from_millis(10), None).unwrap()
    }

    #[test]
    fn pictures_of_every_size() {
        let ring = Removed::new("sizes");
        for segment in [ring.0.segment(), segment(b"abc")] {
            let mut watch = watch(&segment);
            for help in [false, true] {
                watch.help = help;
                for (width, height) in screen::sizes() {
                    for key in [KeyCode::End, KeyCode::Up, KeyCode::Home] {
                        watch.press(key, Rect::new(0, 0, width, height));
                        picture(&mut watch, width, height);
                    }
                }
            }
        }
    }

    #[test]
    fn a_ring_has_state_roles_and_messages() {
        let ring = Removed::new("ring");
        let mut watch = watch(&ring.0.segment());
        let lines = picture(&mut watch, 80, 24);
        let title = format!("ring \"{}\"", ring.1);
        for (line, text) in [
            (0, &*title),
            (1, " 1% full"),
            (2, "no sender, no receiver"),
            (8, "hello"),
        ] {
            assert!(lines[line].contains(text), "{text}: {lines:#?}");
        }
        watch.help = true;
        let lines = picture(&mut watch, 80, 24);
        assert!(
            lines.iter().any(|line| line.contains("show this help")),
            "{lines:#?}"
        );
    }

    #[test]
    fn the_bytes_of_a_removed_segment_stay_on_the_screen() {
        let segment = segment(b"abc");
        let mut watch = watch(&segment);
        let shows = |lines: &[String]| lines.iter().any(|line| line.contains("61 62 63"));
        let lines = picture(&mut watch, 80, 24);
        assert!(shows(&lines), "{lines:#?}");
        assert!(lines[2].contains("attached only this view"), "{lines:#?}");
        drop(segment);
        picture(&mut watch, 80, 24);
        assert!(watch.memory.is_none());
        let lines = picture(&mut watch, 40, 10);
        assert!(lines[0].contains("removed; last bytes"), "{lines:#?}");
        assert!(shows(&lines), "{lines:#?}");
    }
}
