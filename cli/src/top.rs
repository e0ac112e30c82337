//! `shmkey top`.

use crate::{
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
What is new, changed or gone is bright, and fades; the row of a segment that is gone stays for three \
seconds. The columns are those of shmkey list. An orphan is a segment that no process has attached \
and whose creator is dead.

q, Esc, Ctrl-C  quit
↑ ↓ j k         the row above or below
PgUp PgDn       a screen up or down
Home End        the first and the last
Enter           watch this segment; q leads back
s               sort by the next: id, key, size, owner, users, age, used
r               reverse the order
o               only orphans, and all
m               only those that you own, and all
+ -             update less often, more often
?               this help, and back";

/// How often a segment is looked at that is watched from here.
const WATCH: Duration = Duration::from_millis(100);

/// How long what is gone is still shown.
const GONE: Duration = Duration::from_secs(3);

pub fn run(options: &Options) -> Result<(), Failure> {
    let look = options.looking.or(Look::Inside);
    let mut top = Top::new(options.interval, options.choice.clone(), look);
    top.look()?;
    let mut screen = Screen::open("top", "shmkey list")?;
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

/// All segments, and those to be seen.
struct Top {
    interval: Duration,
    choice: Choice,
    inside: Look,
    known: HashMap<i32, Known>,
    /// The rows, in order, gone ones among them.
    rows: Vec<Fact>,
    summary: String,
    /// The row that keys act on, and its place among the rows.
    chosen: Option<i32>,
    at: usize,
    /// The row that is at the top of the screen.
    first: usize,
    /// When all was last looked at.
    now: Instant,
    started: bool,
    help: bool,
    /// Why something cannot be done.
    complaint: Option<String>,
}

/// A segment, and when it came, went, and became another.
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

    /// Looks at all segments.
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
        for (id, known) in &mut self.known {
            if !is_there.contains(id) {
                known.gone.get_or_insert(now);
            }
        }
        self.known
            .retain(|_, known| known.gone.is_none_or(|gone| now - gone < GONE));
        self.arrange(facts)
    }

    /// Chooses and orders the rows, of what is known.
    fn arrange(&mut self, mut facts: Facts) -> Result<(), Failure> {
        let totals = Totals::of(&facts);
        self.choice.apply(&mut facts.segments)?;
        let summary = summary::summary(&facts, &totals, &self.choice.filter);
        self.summary = anstream::adapter::strip_str(&summary).to_string();
        self.reorder()
    }

    fn reorder(&mut self) -> Result<(), Failure> {
        self.rows = self
            .known
            .values()
            .map(|known| known.fact.clone())
            .collect();
        self.choice.apply(&mut self.rows)?;
        let place = self
            .rows
            .iter()
            .position(|fact| Some(fact.status.id) == self.chosen);
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

    /// Watches the chosen segment until the user comes back.
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

    /// The parts of the screen: what is listed, the table, the sums, the keys.
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
        let area = frame.area();
        let [title, body, sums, keys] = self.parts(area);
        frame.render_widget(Paragraph::new(self.title(area.width)), title);
        let lines = if self.help {
            let lines = words::wrapped(HELP, area.width.into());
            lines.into_iter().map(Line::from).collect()
        } else {
            self.table(body)
        };
        frame.render_widget(Paragraph::new(lines), body);
        frame.render_widget(Paragraph::new(self.sums(area.width)), sums);
        let footer = match &self.complaint {
            Some(why) => Line::from(table::cut(why, area.width.into())).red().bold(),
            None => screen::keys(&KEYS, area.width),
        };
        frame.render_widget(Paragraph::new(footer), keys);
    }

    /// `shared memory segments by age`, and how often they are looked at.
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

    /// The rows that are in sight, with the chosen one among them.
    fn table(&mut self, area: Rect) -> Vec<Line<'static>> {
        const MARK: usize = 2;
        if self.rows.is_empty() {
            return Vec::new();
        }
        let room = usize::from(area.height).saturating_sub(1);
        let least = (self.at + 1).saturating_sub(room);
        self.first = self.first.clamp(least, self.at.max(least));
        // Rows that are taken away leave no gap at the end.
        self.first = self
            .first
            .min(self.rows.len().saturating_sub(room))
            .max(least);
        // Only these: thousands of rows take longer than a key is pressed.
        let in_sight = self.rows.iter().skip(self.first).take(room);
        let rows: Vec<Vec<Cell>> = in_sight.map(|fact| self.row(fact)).collect();
        let width = usize::from(area.width).saturating_sub(MARK);
        let columns = columns::layout(&columns::usual(columns::SEGMENTS), &rows, false);
        let lines = table::cells(&columns, &rows, Some(width));
        let chosen = 1 + self.at - self.first; // the titles come first
        let marks = (0..).map(|place| if place == chosen { "▸" } else { " " });
        let lines = marks.zip(lines.map(screen::line));
        lines.map(|(mark, line)| marked(mark, line)).collect()
    }

    /// A row of the list, with what has changed in it.
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
        let unused = |nattch| nattch == 0;
        let same =
            (status.attached_at, status.detached_at) == (before.attached_at, before.detached_at);
        let us = status.lpid == process::id() as i32;
        // To look into what no process has attached is to use it. Once is enough, until another process uses it.
        if unused(status.nattch) && unused(before.nattch) && (us || same) {
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
    columns::row(&columns::usual(columns::SEGMENTS), fact, Form::default())
}

/// What a row says, without the durations, which grow by themselves.
fn texts(fact: &Fact) -> Vec<String> {
    let titles = columns::usual(columns::SEGMENTS);
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

    #[test]
    fn what_comes_and_goes_is_said() {
        let make = || {
            let options = Segment::options()
                .create(true)
                .remove_on_drop(true)
                .size(4096);
            options.open(Key::PRIVATE).unwrap()
        };
        let first = make();
        let mut top = Top::new(Duration::from_secs(1), Choice::default(), Look::Inside);
        top.look().unwrap();
        assert_eq!(note(&top, first.id()).as_deref(), Some(""));
        let second = make();
        top.look().unwrap();
        assert_eq!(note(&top, second.id()).as_deref(), Some("new"));
        let (first, attached) = (first.id(), first.attach().unwrap());
        top.look().unwrap();
        let users = columns::usual(columns::SEGMENTS)
            .iter()
            .position(|field| field.column.title == "attached");
        assert_eq!(top.known[&first].changed[users.unwrap()], Some(top.now));
        drop(attached);
        let gone = second.id();
        drop(second);
        top.look().unwrap();
        assert_eq!(note(&top, gone).as_deref(), Some("gone"));

        for (width, height) in [1, 2, 9, 24, 80, 200]
            .iter()
            .flat_map(|&w| [1, 3, 7, 24].map(|h| (w, h)))
        {
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
