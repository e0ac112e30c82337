//! `shmkey watch`.

use crate::{
    columns, create,
    facts::{Fact, Look},
    output::Failure,
    screen::{self, Input, Screen},
    sparse::Sparse,
    table,
    target::Target,
    window::{self, Window},
    words,
};
use anstyle::AnsiColor;
use clap::Args;
use ratatui::{
    Frame,
    crossterm::event::KeyCode,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};
use shmkey::{Contents, Holding, Party, Segment};
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

const KEYS: [(&str, &str); 6] = [
    ("q", "quit"),
    ("↑↓", "scroll"),
    ("space", "pause"),
    ("+/-", "interval"),
    ("?", "help"),
    ("PgUp PgDn Home End", "scroll far"),
];

const HELP: &str = "\
q, Esc, Ctrl-C  quit
↑ ↓ j k         scroll a line up, down
PgUp PgDn       scroll a screen up, down
Home End        go to the beginning, the end
space           pause, or continue
+ -             lengthen, shorten the interval
?               show this help, or return to the bytes

Bytes that have just changed are bright, and fade within a second and a half.

shmkey reads only the bytes on the screen, and changes per second refer to them: a byte counts once \
for each reading that finds it changed, however often it changed in between. Versions and dropped \
messages are counted by the processes that use the object, so none is missed.

shmkey attaches the segment for reading only; the kernel records that as a use. It detaches the \
segment when the segment is removed and no other process has it attached.";

pub fn run(options: &Options) -> Result<(), Failure> {
    let id = options.segment.status()?.id;
    let mut watch = Watch::begin(id, options.interval, options.offset)?;
    let mut screen = Screen::open("watch", &format!("shmkey dump {id}"))?;
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

/// Events per second, smoothed.
#[derive(Clone, Copy, Default)]
struct Rate(f64);

impl Rate {
    fn add(&mut self, events: u64, time: Duration) {
        let seconds = time.as_secs_f64();
        if seconds > 0.0 {
            // An event of a second ago counts for a third.
            let weight = 1.0 - (-seconds).exp();
            self.0 += (events as f64 / seconds - self.0) * weight;
        }
    }

    fn text(self) -> String {
        match self.0 {
            ..0.05 => "0".to_owned(),
            ..10.0 => format!("{:.1}", self.0),
            _ => format!("{:.0}", self.0),
        }
    }
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
            offset: offset.unwrap_or_else(|| beginning(contents.as_ref())),
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

    /// The parts of the screen: facts about the segment, a rule, the bytes, the keys.
    fn parts(&self, area: Rect) -> [Rect; 4] {
        let facts = (self.facts(area.width).len() as u16).min(area.height / 2);
        let rule = u16::from(area.height > 5);
        let keys = u16::from(area.height > 2);
        Layout::vertical([
            Constraint::Length(facts),
            Constraint::Length(rule),
            Constraint::Min(0),
            Constraint::Length(keys),
        ])
        .areas(area)
    }

    fn draw(&self, frame: &mut Frame) {
        if self.help {
            return screen::help(frame, HELP, &KEYS);
        }
        let area = frame.area();
        let [facts, rule, bytes, keys] = self.parts(area);
        frame.render_widget(Paragraph::new(self.facts(area.width)), facts);
        frame.render_widget(Paragraph::new(self.rule(area.width)), rule);
        let row = window::row(area.width.into(), self.size);
        let lines = self.window.lines(row, self.size, self.now);
        frame.render_widget(Paragraph::new(lines), bytes);
        frame.render_widget(Paragraph::new(screen::keys(&KEYS, area.width)), keys);
    }

    /// The lines about the segment, the most important first.
    fn facts(&self, width: u16) -> Vec<Line<'static>> {
        let mut lines = vec![self.title(width)];
        let room = usize::from(width).saturating_sub(LABEL);
        let mut say = |label: &'static str, spans: Vec<Span<'static>>| {
            let mut line = vec![Span::styled(format!("{label:<LABEL$}"), bold())];
            line.extend(spans);
            lines.push(Line::from(line));
        };
        if let Some(contents) = &self.contents {
            say("state", state(contents, room));
            if let Some(who) = connected(contents, &self.fact) {
                say("roles", vec![table::cut(&who, room).into()]);
            }
        }
        say("changes", vec![table::cut(&self.rates(), room).into()]);
        let (others, us) = match columns::users(&self.fact) {
            _ if self.memory.is_none() => (String::new(), "-"),
            Some(others) => (others, ", and this view"),
            None => (String::new(), "only this view"),
        };
        let others = table::cut(&others, room.saturating_sub(us.len()));
        let green = Style::new().fg(Color::Green);
        say("attached", vec![Span::styled(others, green), dim(us)]);
        let size = self.size as u64;
        let mut kept = vec![words::count(size, "byte")];
        if size >= 1024 {
            kept[0] += &format!(" ({})", words::size(size));
        }
        if let Some(resident) = self.fact.resident {
            kept.push(format!("{} in memory", words::size(resident)));
        }
        let key = self.fact.status.key;
        kept.push(if key.is_private() {
            "no key".to_owned()
        } else {
            format!("key {}", words::key(key))
        });
        say("size", vec![table::cut(&kept.join(", "), room).into()]);
        let mut creator = words::process(&self.fact.creator);
        if let Some(age) = self.fact.age() {
            creator += &format!("; created or changed {} ago", words::span(age));
        }
        say("creator", vec![table::cut(&creator, room).into()]);
        lines
    }

    /// `segment 32770, ring "orders"`, and the interval.
    fn title(&self, width: u16) -> Line<'static> {
        let pace = match (&self.memory, self.paused) {
            (None, _) => Span::styled("removed; last bytes", lit(AnsiColor::Red)),
            (_, true) => Span::styled("paused", lit(AnsiColor::Yellow)),
            _ => dim(&format!(
                "every {}",
                humantime::format_duration(self.interval)
            )),
        };
        let mut title = format!("segment {}", self.id);
        if let Some(contents) = &self.contents {
            title += &format!(", {}", words::kind(contents));
        }
        if self.memory.is_some() {
            for flag in words::flags(&self.fact) {
                title += &format!(", {flag}");
            }
        }
        screen::title(&title, pace, width)
    }

    fn rates(&self) -> String {
        let changes = format!("{} per second in the bytes below", self.changes.text());
        let counted = match self.contents.as_ref().map(|contents| &contents.holding) {
            Some(Holding::Latest { .. }) => "versions",
            Some(Holding::Condvar { .. }) => "notifications",
            Some(Holding::Ring { dropped: 1.., .. }) => "messages dropped",
            Some(Holding::Broadcast { .. }) => "messages published",
            _ => return changes,
        };
        format!("{} {counted} per second; {changes}", self.counted.text())
    }

    /// A line above the bytes that says which they are.
    fn rule(&self, width: u16) -> Line<'static> {
        let (from, to) = (self.window.offset, self.window.end());
        let mut text = match to - from {
            0 => String::new(),
            _ => format!("── bytes {from} to {} of {} ", to - 1, self.size),
        };
        if let Some(contents) = &self.contents {
            text += match (from, messages_of(contents)) {
                (0..WORDS, _) => "── header ",
                (WORDS..PAYLOAD, _) => "── state of the object ",
                (_, None) => "── payload ",
                (_, Some((begin, _))) if from >= begin => "── messages ",
                (_, Some((_, before))) => before,
            };
        }
        let left = usize::from(width).saturating_sub(text.chars().count());
        text += &"─".repeat(left);
        dim(&text).into()
    }
}

/// The width of the label in front of each line.
const LABEL: usize = 9;

/// Where the parts of an object begin: docs of the library's `object`.
const WORDS: usize = 512;
const PAYLOAD: usize = 1024;

/// Where the messages of an object begin, and what is in front of them; `None` for one without messages.
fn messages_of(contents: &Contents) -> Option<(usize, &'static str)> {
    match contents.holding {
        Holding::Ring { .. } => Some((PAYLOAD + 1024, "── senders ")),
        Holding::Broadcast { .. } => Some((PAYLOAD + 512 + 64 * 64, "── subscribers ")),
        Holding::RwLock { .. } => Some((PAYLOAD + 4160, "── state of the lock ")),
        _ => None,
    }
}

/// The first byte to show: where an object changes most, or 0 if there is no object.
fn beginning(contents: Option<&Contents>) -> usize {
    match contents {
        None => 0,
        Some(contents) if contents.size == 0 => WORDS,
        Some(contents) => messages_of(contents).map_or(PAYLOAD, |(begin, _)| begin),
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

/// The state of an object; for a ring with a bar that shows how full it is.
fn state(contents: &Contents, room: usize) -> Vec<Span<'static>> {
    let said = words::state(contents);
    let mut spans = Vec::new();
    if let Holding::Ring { capacity, used, .. } = contents.holding {
        const BAR: u64 = 20;
        let full = (u128::from(used) * u128::from(BAR)).div_ceil(u128::from(capacity.max(1)));
        let full = full.min(u128::from(BAR)) as usize;
        if room > BAR as usize + 10 {
            let cyan = Style::new().fg(Color::Cyan);
            spans.push(Span::styled("█".repeat(full), cyan));
            spans.push(dim(&"░".repeat(BAR as usize - full)));
            spans.push(" ".into());
        }
    }
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(table::cut(&said, room.saturating_sub(used)).into());
    spans
}

/// The processes that have the roles of a ring.
fn connected(contents: &Contents, fact: &Fact) -> Option<String> {
    let who = |party: &Party| {
        let mut attached = fact.attached.iter();
        match attached.find(|attached| attached.pid as u32 == party.id) {
            Some(attached) => format!("{} {}", attached.pid, words::plain(&attached.name)),
            None => words::party(party),
        }
    };
    let named = |role: &str, parties: &[Party]| match parties {
        [] => format!("no {role}"),
        [party] => format!("{role} {}", who(party)),
        parties => format!("{} {role}s", parties.len()),
    };
    match &contents.holding {
        Holding::Ring {
            senders, receiver, ..
        } => Some(format!(
            "{}, {}",
            named("sender", senders),
            named("receiver", receiver.as_slice())
        )),
        Holding::Broadcast {
            publisher,
            subscribers,
            ..
        } => Some(format!(
            "{}, {}",
            named("publisher", publisher.as_slice()),
            named("subscriber", subscribers)
        )),
        _ => None,
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn lit(colour: AnsiColor) -> Style {
    screen::style(colour.on_default().invert())
}

fn dim(text: &str) -> Span<'static> {
    Span::styled(text.to_owned(), Style::new().add_modifier(Modifier::DIM))
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
