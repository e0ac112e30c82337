//! `shmkey top`.

use crate::{
    backend,
    columns::{self, Form},
    facts::{Fact, Facts, Look},
    json::Totals,
    list::{self, Choice, Looking},
    output::Failure,
    screen::{self, Input, Screen},
    summary,
    table::{self, Cell},
    watch::Watch,
    words,
};
use anstyle::AnsiColor;
use clap::{Args, ValueEnum};
use ratatui::{
    Frame,
    crossterm::event::KeyCode,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Stylize},
    text::Line,
    widgets::Paragraph,
};
use std::{
    collections::{HashMap, HashSet},
    process,
    time::{Duration, Instant},
};

#[derive(Args)]
pub struct Options {
    /// Update this often: 10ms to 1h
    #[arg(long, short, value_name = "TIME", value_parser = screen::interval, default_value = "1s")]
    interval: Duration,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    looking: Looking,
}

const KEYS: [(&str, &str); 8] = [
    ("q", "quit"),
    ("↑↓", "select"),
    ("Enter", "watch"),
    ("s", "sort"),
    ("r", "reverse"),
    ("o", "orphans"),
    ("m", "mine"),
    ("?", "help"),
];

const HELP: &str = "\
q, Esc, Ctrl-C  quit
↑ ↓ j k         select the row above, below
PgUp PgDn       move a screen up, down
Home End        select the first row, the last row
Enter           watch the selected segment; q returns to the list
s               sort by the next: id, key, size, owner, users, age, used
r               reverse the order
o               show only orphans, or all segments
m               show only segments that you own, or all
+ -             lengthen, shorten the interval
?               show this help, or return to the list

The columns are those of shmkey list. A row that is new, changed or gone is bright, and fades; the row \
of a segment that is gone stays for three seconds. An orphan is a segment that no process has attached \
and whose creator is dead.";

/// The interval at which a segment is read that is watched from here.
const WATCH: Duration = Duration::from_millis(100);

/// How long the row of a segment stays that is gone.
const GONE: Duration = Duration::from_secs(3);

pub fn run(options: &Options) -> Result<(), Failure> {
    let look = options.looking.or(Look::Inside);
    let mut top = Top::new(options.interval, options.choice.clone(), look);
    top.look()?;
    let mut screen = Screen::open("top", &format!("{} list", backend::command()))?;
    loop {
        screen.draw(|frame| top.draw(frame))?;
        match screen.input(top.now + top.interval)? {
            Input::Stop => return Ok(()),
            Input::Time => top.look()?,
            Input::Resize => {}
            Input::Key(KeyCode::Char('q') | KeyCode::Esc) if !top.help => return Ok(()),
            Input::Key(KeyCode::Enter) => top.watch(&mut screen)?,
            Input::Key(key) => {
                let page = top.parts(screen.area()?)[1].height.saturating_sub(1);
                top.press(key, page.into())?;
            }
        }
    }
}

/// All segments, and the rows on the screen.
struct Top {
    interval: Duration,
    choice: Choice,
    inside: Look,
    known: HashMap<i32, Known>,
    /// The rows, sorted, with those of segments that are gone.
    rows: Vec<Fact>,
    summary: String,
    /// The id of the selected segment, and the place of its row.
    chosen: Option<i32>,
    at: usize,
    /// The row that is at the top of the screen.
    first: usize,
    /// When the segments were last listed.
    now: Instant,
    started: bool,
    help: bool,
    /// Why the last key had no effect.
    complaint: Option<String>,
}

/// A segment, and when it appeared, changed and disappeared.
struct Known {
    fact: Fact,
    texts: Vec<String>,
    changed: Vec<Option<Instant>>,
    came: Option<Instant>,
    gone: Option<Instant>,
}

impl Top {
    fn new(interval: Duration, choice: Choice, inside: Look) -> Top {
        Top {
            interval,
            choice,
            inside,
            known: HashMap::new(),
            rows: Vec::new(),
            summary: String::new(),
            chosen: None,
            at: 0,
            first: 0,
            now: Instant::now(),
            started: false,
            help: false,
            complaint: None,
        }
    }

    /// Lists all segments.
    fn look(&mut self) -> Result<(), Failure> {
        let mut facts = Facts::gather(Look::Outside)?;
        self.now = Instant::now();
        let now = self.now;
        let is_there: HashSet<i32> = facts.segments.iter().map(|fact| fact.status.id).collect();
        for fact in &mut facts.segments {
            match self.known.get_mut(&fact.status.id) {
                Some(known) => known.update(fact, self.inside, now),
                None => {
                    fact.look_inside(self.inside);
                    let came = self.started.then_some(now);
                    self.known
                        .insert(fact.status.id, Known::new(fact.clone(), came));
                }
            }
        }
        self.started = true;
        facts.look = self.inside;
        for (id, known) in &mut self.known {
            if !is_there.contains(id) {
                known.gone.get_or_insert(now);
            }
        }
        self.known
            .retain(|_, known| known.gone.is_none_or(|gone| now - gone < GONE));
        self.arrange(facts)
    }

    /// Chooses and sorts the rows.
    fn arrange(&mut self, mut facts: Facts) -> Result<(), Failure> {
        let totals = Totals::of(&facts);
        self.choice.apply(&mut facts.segments)?;
        let summary = summary::summary(&facts, &totals, &self.choice.filter);
        self.summary = anstream::adapter::strip_str(&summary).to_string();
        let facts = self.known.values().map(|known| known.fact.clone());
        self.rows = facts.collect();
        self.choice.apply(&mut self.rows)?;
        let mut rows = self.rows.iter();
        let place = rows.position(|fact| Some(fact.status.id) == self.chosen);
        self.choose(place.unwrap_or(self.at));
        Ok(())
    }

    fn choose(&mut self, at: usize) {
        self.at = at.min(self.rows.len().saturating_sub(1));
        self.chosen = self.rows.get(self.at).map(|fact| fact.status.id);
    }

    fn press(&mut self, key: KeyCode, page: usize) -> Result<(), Failure> {
        self.complaint = None;
        match key {
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('q') | KeyCode::Esc => self.help = false,
            KeyCode::Char('s') => {
                let all = list::Sort::value_variants();
                let place = all.iter().position(|sort| *sort == self.choice.sort);
                self.choice.sort = all[place.map_or(0, |place| place + 1) % all.len()];
            }
            KeyCode::Char('r') => self.choice.reverse = !self.choice.reverse,
            KeyCode::Char('o') => self.choice.orphans = !self.choice.orphans,
            KeyCode::Char('m') => self.choice.filter.mine = !self.choice.filter.mine,
            _ => {
                if let Some(interval) = screen::paced(key, self.interval) {
                    self.interval = interval;
                }
                let last = self.rows.len().saturating_sub(1);
                if let Some(to) = screen::moved(key, self.at, page, last) {
                    self.choose(to);
                }
                return Ok(());
            }
        }
        self.look()
    }

    /// Watches the selected segment until the user returns to the list.
    fn watch(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        let Some(id) = self.chosen else {
            return Ok(());
        };
        match Watch::begin(id, WATCH, None) {
            Ok(mut watch) => watch.run(screen)?,
            Err(Failure::Because(why)) => self.complaint = Some(words::plain(&why)),
            Err(failure) => return Err(failure),
        }
        self.look()
    }

    /// The parts of the screen: title, table, summary, keys.
    fn parts(&self, area: Rect) -> [Rect; 4] {
        let sums = self.sums(area.width).len() as u16;
        Layout::vertical([
            Constraint::Length(u16::from(area.height > 3)),
            Constraint::Min(0),
            Constraint::Length(sums.min(area.height / 3)),
            Constraint::Length(u16::from(area.height > 2)),
        ])
        .areas(area)
    }

    fn draw(&mut self, frame: &mut Frame) {
        if self.help {
            return screen::help(frame, HELP, &KEYS);
        }
        let area = frame.area();
        let [title, body, sums, keys] = self.parts(area);
        frame.render_widget(Paragraph::new(self.title(area.width)), title);
        let lines = self.table(body);
        frame.render_widget(Paragraph::new(lines), body);
        frame.render_widget(Paragraph::new(self.sums(area.width)), sums);
        let footer = match &self.complaint {
            Some(why) => Line::from(table::cut(why, area.width.into())).red().bold(),
            None => screen::keys(&KEYS, area.width),
        };
        frame.render_widget(Paragraph::new(footer), keys);
    }

    /// `shared memory segments by age`, and the interval.
    fn title(&self, width: u16) -> Line<'static> {
        let sort = self.choice.sort.to_possible_value();
        let mut title = "shared memory segments by ".to_owned();
        title += sort.as_ref().map_or("", |sort| sort.get_name());
        for (is, what) in [
            (self.choice.reverse, ", reversed"),
            (self.choice.orphans, ", only orphans"),
            (self.choice.filter.mine, ", only mine"),
        ] {
            title += if is { what } else { "" };
        }
        let pace = format!("every {}", humantime::format_duration(self.interval));
        screen::title(&title, pace.dim(), width)
    }

    fn sums(&self, width: u16) -> Vec<Line<'static>> {
        let lines = words::wrapped(&self.summary, width.into());
        let dim = |line: String| Line::from(line.dim());
        lines.into_iter().map(dim).collect()
    }

    /// The rows that fit on the screen, with the selected one among them.
    fn table(&mut self, area: Rect) -> Vec<Line<'static>> {
        const MARK: usize = 2;
        if self.rows.is_empty() {
            return Vec::new();
        }
        let room = usize::from(area.height).saturating_sub(1);
        let least = (self.at + 1).saturating_sub(room);
        self.first = self.first.clamp(least, self.at.max(least));
        // Rows that disappear leave no gap at the end.
        self.first = self
            .first
            .min(self.rows.len().saturating_sub(room))
            .max(least);
        // Only these are formatted: thousands of rows would take longer than the time between two keys.
        let in_sight = self.rows.iter().skip(self.first).take(room);
        let rows: Vec<Vec<Cell>> = in_sight.map(|fact| self.row(fact)).collect();
        let width = usize::from(area.width).saturating_sub(MARK);
        let columns = columns::layout(&columns::usual_of(columns::SEGMENTS), &rows, false);
        let lines = table::cells(&columns, &rows, Some(width));
        let chosen = 1 + self.at - self.first; // the titles come first
        let marks = (0..).map(|place| if place == chosen { "▸" } else { " " });
        let lines = marks.zip(lines.map(screen::line));
        lines.map(|(mark, line)| marked(mark, line)).collect()
    }

    /// A row of the list, in which changed cells are bright.
    fn row(&self, fact: &Fact) -> Vec<Cell> {
        let mut row = row(fact);
        let Some(known) = self.known.get(&fact.status.id) else {
            return row;
        };
        let lit = |colour, time| screen::lit(colour, self.now.saturating_duration_since(time));
        let note = row.len() - 1;
        if known.gone.is_some() {
            row[note].text = "gone".to_owned();
            for cell in &mut row {
                cell.style = AnsiColor::Red.on_default().strikethrough();
            }
            row[note].style = AnsiColor::Red.on_default().invert();
        } else if let Some(style) = known.came.and_then(|came| lit(AnsiColor::Green, came)) {
            let others = std::mem::take(&mut row[note].text);
            row[note].text =
                [others.as_str(), "new"].join(if others.is_empty() { "" } else { ", " });
            for cell in &mut row {
                cell.style = style;
            }
        } else {
            for (cell, changed) in row.iter_mut().zip(&known.changed) {
                let style = changed.and_then(|time| lit(AnsiColor::Yellow, time));
                cell.style = style.unwrap_or(cell.style);
            }
        }
        row
    }
}

fn marked(mark: &'static str, line: Line<'static>) -> Line<'static> {
    let mut spans = vec![mark.add_modifier(Modifier::BOLD), " ".into()];
    spans.extend(line.spans);
    spans.into()
}

impl Known {
    fn new(fact: Fact, came: Option<Instant>) -> Known {
        let texts = texts(&fact);
        Known {
            fact,
            changed: vec![None; texts.len()],
            texts,
            came,
            gone: None,
        }
    }

    fn update(&mut self, fact: &mut Fact, look: Look, now: Instant) {
        let before = &self.fact.status;
        let status = &fact.status;
        let same =
            (status.attached_at, status.detached_at) == (before.attached_at, before.detached_at);
        let us = status.lpid == process::id() as i32;
        // Reading a segment that no process has attached counts as a use: it is read again only after another process
        // used it.
        if status.nattch == 0 && before.nattch == 0 && (us || same) {
            fact.seen = self.fact.seen.clone();
            fact.learn_creator();
        } else {
            fact.look_inside(look);
        }
        let texts = texts(fact);
        for ((changed, before), after) in self.changed.iter_mut().zip(&self.texts).zip(&texts) {
            if before != after {
                *changed = Some(now);
            }
        }
        self.texts = texts;
        self.fact = fact.clone();
        self.gone = None;
    }
}

fn row(fact: &Fact) -> Vec<Cell> {
    columns::row(&columns::usual_of(columns::SEGMENTS), fact, Form::default())
}

/// The texts of a row that are compared; without durations, which always change.
fn texts(fact: &Fact) -> Vec<String> {
    let titles = columns::usual_of(columns::SEGMENTS);
    let titles = titles.iter().map(|field| field.column.title);
    let cells = row(fact).into_iter().zip(titles);
    let text = |(cell, title): (Cell, &str)| match title {
        "age" | "used" => String::new(),
        _ => cell.text,
    };
    cells.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmkey::{Key, Segment};

    fn picture(top: &mut Top, width: u16, height: u16) -> Vec<String> {
        screen::picture(width, height, |frame| top.draw(frame))
    }

    fn note(top: &Top, id: i32) -> Option<String> {
        let fact = top.rows.iter().find(|fact| fact.status.id == id)?;
        Some(top.row(fact).pop()?.text)
    }

    fn segment() -> Segment {
        let options = Segment::options().create(true).remove_on_drop(true);
        options.size(4096).open(Key::PRIVATE).unwrap()
    }

    fn top() -> Top {
        let mut top = Top::new(Duration::from_secs(1), Choice::default(), Look::Inside);
        top.look().unwrap();
        top
    }

    #[test]
    fn rows_say_new_and_gone() {
        let first = segment();
        let mut top = top();
        assert_eq!(note(&top, first.id()).as_deref(), Some(""));
        let second = segment();
        top.look().unwrap();
        assert_eq!(note(&top, second.id()).as_deref(), Some("new"));
        let _attached = first.attach().unwrap();
        top.look().unwrap();
        let mut columns = columns::usual_of(columns::SEGMENTS).into_iter();
        let users = columns.position(|field| field.column.title == "attached");
        assert_eq!(
            top.known[&first.id()].changed[users.unwrap()],
            Some(top.now)
        );
        let gone = second.id();
        drop(second);
        top.look().unwrap();
        assert_eq!(note(&top, gone).as_deref(), Some("gone"));
    }

    #[test]
    fn pictures_of_every_size_and_order() {
        let _segment = segment();
        let mut top = top();
        for (width, height) in screen::sizes() {
            for key in ['?', '?', 'r'] {
                for key in [KeyCode::End, KeyCode::Up, KeyCode::Home, KeyCode::Char(key)] {
                    top.press(key, 5).unwrap();
                    picture(&mut top, width, height);
                }
            }
        }
        for sort in ["key", "size", "owner", "users", "age", "used", "id"] {
            top.press(KeyCode::Char('s'), 5).unwrap();
            let title = &picture(&mut top, 80, 24)[0];
            assert!(title.contains(&format!("by {sort}")), "{title}");
        }
    }
}
