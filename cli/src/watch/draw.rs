//! What is on the screen: facts about the segment, a rule, the bytes, the keys.

use super::{
    Watch,
    layout::{PAYLOAD, WORDS, messages_of},
};
use crate::{columns, facts::Fact, screen, table, window, words};
use anstyle::AnsiColor;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};
use shmkey::{Contents, Holding, Party};

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

shmkey attaches the segment for reading only; that counts as a use. It detaches the \
segment when the segment is removed and no other process has it attached.";

/// The width of the label in front of each line.
const LABEL: usize = 9;

impl Watch {
    /// The parts of the screen: facts about the segment, a rule, the bytes, the keys.
    pub(super) fn parts(&self, area: Rect) -> [Rect; 4] {
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

    pub(super) fn draw(&self, frame: &mut Frame) {
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
