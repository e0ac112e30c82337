//! `shmkey map`: draws which process has which segment attached.

use crate::{
    facts::{Fact, Facts, Look},
    list,
    output::{self, Failure},
    summary, table, words,
};
use anstyle::{AnsiColor, Style};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::PathBuf,
};
use unicode_width::UnicodeWidthStr;

#[derive(Args)]
pub struct Options {
    /// Write a picture in SVG into this file; - is standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    looking: list::Looking,
}

/// The processes that have segments attached, and the segments, in the order in which they are drawn.
struct Map {
    processes: Vec<(i32, String)>,
    segments: Vec<Fact>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let facts = Facts::gather(options.looking.or(Look::Inside))?;
    let unseen = summary::unseen(&facts);
    let map = Map::new(facts.segments);
    if let Some(path) = &options.svg {
        if path.as_os_str() == "-" {
            return Ok(io::stdout().write_all(map.svg().as_bytes())?);
        }
        return fs::write(path, map.svg())
            .map_err(|error| Failure::Because(output::of_file(path, &error)));
    }
    let mut text = map.text(output::width());
    text += &unseen;
    output::print(&text)
}

impl Map {
    fn new(mut segments: Vec<Fact>) -> Map {
        // Attached segments come first.
        segments.sort_by_key(|fact| (fact.attached.is_empty(), fact.status.id));
        let attached = segments.iter().flat_map(|fact| &fact.attached);
        let processes: BTreeMap<i32, String> = attached
            .map(|attached| (attached.pid, words::plain(&attached.name)))
            .collect();
        Map {
            processes: processes.into_iter().collect(),
            segments,
        }
    }

    /// Draws a column for each process, from its name down to the last segment that it has attached. As many processes
    /// as fit are side by side; the others follow below.
    ///
    /// ```text
    ///                 ╭─ 4242 writer
    ///                 │  ╭─ 4243 reader
    /// 32770: ring     ●──○
    /// 32771: 1 MiB    ●
    /// 32772: 4 KiB
    /// ```
    fn text(&self, width: Option<usize>) -> String {
        if self.segments.is_empty() {
            return "There are no segments.\n".to_owned();
        }
        let widest = self.segments.iter().map(|fact| title(fact).width());
        let room = width.unwrap_or(usize::MAX);
        let left = widest.max().unwrap_or(0).min((room / 2).max(20));
        // A column is three wide, and the name behind the last column needs room.
        let most = (room.saturating_sub(left + 24) / 3).max(1);
        let mut text = String::new();
        for processes in self.processes.chunks(most) {
            let is_attached = |fact: &&Fact| {
                let mut attached = fact.attached.iter();
                attached.any(|attached| processes.iter().any(|(pid, _)| *pid == attached.pid))
            };
            let segments: Vec<&Fact> = self.segments.iter().filter(is_attached).collect();
            text += &block(processes, &segments, left, room);
            text.push('\n');
        }
        let rest = self.segments.iter().filter(|fact| fact.attached.is_empty());
        let rest: Vec<&Fact> = rest.collect();
        if !rest.is_empty() {
            text += &block(&[], &rest, left, room);
            text.push('\n');
        }
        if !self.processes.is_empty() {
            text += &output::note("● may write   ○ only reads");
        }
        text
    }

    /// Draws processes on the left, segments on the right, and lines between them.
    fn svg(&self) -> String {
        let rows = self.processes.len().max(self.segments.len()).max(1);
        let height = TOP + rows * ROW + 40;
        let mut svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 900 {height}' width='900' height='{height}' \
             font-family='system-ui, sans-serif' font-size='13'>\n<style>\n\
             .page {{ fill: #ffffff; }} text {{ fill: #0f172a; }} .small {{ font-size: 11px; fill: #475569; }}\n\
             .process {{ fill: #e0f2fe; stroke: #0369a1; }} .segment {{ fill: #f0fdf4; stroke: #15803d; }}\n\
             .orphan {{ fill: #fefce8; stroke: #a16207; }} .line {{ fill: none; stroke: #475569; stroke-width: 1.5; }}\n\
             .reads {{ stroke-dasharray: 5 4; }}\n</style>\n\
             <rect class='page' width='900' height='{height}'/>\n\
             <text x='{LEFT}' y='32' font-weight='bold'>Processes</text>\n\
             <text x='{RIGHT}' y='32' font-weight='bold'>Segments</text>\n"
        );
        svg += &self.lines();
        for (row, (pid, name)) in self.processes.iter().enumerate() {
            svg += &boxed("process", LEFT, row, name, &format!("process {pid}"));
        }
        for (row, fact) in self.segments.iter().enumerate() {
            let class = if fact.is_orphan() {
                "orphan"
            } else {
                "segment"
            };
            svg += &boxed(class, RIGHT, row, &title(fact), &subtitle(fact));
        }
        svg + &format!(
            "<text class='small' x='{LEFT}' y='{}'>A line: the process has the segment attached; dashed: for reading \
             only. Yellow: an orphan.</text>\n</svg>\n",
            height - 14
        )
    }

    /// The lines of the picture, from processes to segments.
    fn lines(&self) -> String {
        let middle = |row: usize| TOP + row * ROW + ROW / 2 - 4;
        let (start, end) = (LEFT + BOX, RIGHT);
        let mut lines = String::new();
        for (row, fact) in self.segments.iter().enumerate() {
            for attached in &fact.attached {
                let mut processes = self.processes.iter();
                let from = processes.position(|(pid, _)| *pid == attached.pid);
                let (from, to) = (middle(from.unwrap_or(0)), middle(row));
                let class = if attached.read_only {
                    "line reads"
                } else {
                    "line"
                };
                lines += &format!(
                    "<path class='{class}' d='M {start} {from} C {} {from}, {} {to}, {end} {to}'/>\n",
                    start + 100,
                    end - 100
                );
            }
        }
        lines
    }
}

// The measures of the picture.
const ROW: usize = 44;
const TOP: usize = 60;
const LEFT: usize = 20;
const RIGHT: usize = 520;
const BOX: usize = 300;

/// A box of the picture, with two lines of text.
fn boxed(class: &str, x: usize, row: usize, title: &str, below: &str) -> String {
    let (y, text) = (TOP + row * ROW, x + 10);
    format!(
        "<rect class='{class}' x='{x}' y='{y}' width='{BOX}' height='{}' rx='6'/>\
         <text x='{text}' y='{}'>{}</text><text class='small' x='{text}' y='{}'>{}</text>\n",
        ROW - 8,
        y + 16,
        escape(&table::cut(title, 40)),
        y + 30,
        escape(&table::cut(below, 48)),
    )
}

/// `32770: ring "orders"`; without an object, the size instead.
fn title(fact: &Fact) -> String {
    let what = match fact.seen.objects.as_slice() {
        [] => words::size(fact.status.size as u64),
        [found] => words::kind_at(found),
        objects => words::count(objects.len() as u64, "object"),
    };
    format!("{}: {what}", fact.status.id)
}

fn subtitle(fact: &Fact) -> String {
    let size = || words::size(fact.status.size as u64);
    let mut said = vec![words::user(fact.status.uid)];
    if let [found] = fact.seen.objects.as_slice() {
        said.extend([size(), words::state(&found.contents)]);
    }
    said.extend(words::flags(fact).into_iter().map(str::to_owned));
    said.extend(
        (fact.hidden() > 0).then(|| format!("{} unseen", words::count(fact.hidden(), "user"))),
    );
    said.join(", ")
}

/// Draws some processes, and below them the segments that they have attached.
fn block(processes: &[(i32, String)], segments: &[&Fact], left: usize, room: usize) -> String {
    let mut text = String::new();
    for (number, (pid, name)) in processes.iter().enumerate() {
        let legs = "│  ".repeat(number);
        let bold = Style::new().bold();
        let line = format!("{}{legs}╭─ ", " ".repeat(left + 2));
        let room = room.saturating_sub(line.width()).max(8);
        let name = table::cut(&format!("{pid} {name}"), room);
        text += &format!("{line}{bold}{name}{bold:#}\n");
    }
    for (number, fact) in segments.iter().enumerate() {
        let title = table::cut(&title(fact), left);
        let style = match (fact.is_orphan(), fact.status.nattch) {
            (true, _) => AnsiColor::Yellow.on_default(),
            (_, 0) => Style::new().dimmed(),
            _ => Style::new(),
        };
        let marks = marks(processes, &segments[number..]);
        let room = " ".repeat(left.saturating_sub(title.width()));
        let line = format!("{style}{title}{style:#}{room}  {marks}");
        text += line.trim_end();
        text += &match fact.hidden() {
            0 => String::new(),
            hidden => format!("  +{hidden} unseen"),
        };
        text.push('\n');
    }
    text
}

/// Draws a mark for each process that has the first of these segments attached, joined by a line, and the columns of
/// processes that have one of the other segments attached.
fn marks(processes: &[(i32, String)], segments: &[&Fact]) -> String {
    let mark = |fact: &Fact, pid: i32| {
        let attached = fact.attached.iter().find(|attached| attached.pid == pid)?;
        Some(if attached.read_only { '○' } else { '●' })
    };
    let [first, below @ ..] = segments else {
        return String::new();
    };
    let found: Vec<Option<char>> = processes.iter().map(|(pid, _)| mark(first, *pid)).collect();
    let begin = found.iter().position(Option::is_some);
    let end = found.iter().rposition(Option::is_some);
    let mut text = String::new();
    for (place, (found, (pid, _))) in found.iter().zip(processes).enumerate() {
        let inside =
            begin.is_some_and(|begin| begin < place) && end.is_some_and(|end| place <= end);
        let goes_on = below.iter().any(|fact| mark(fact, *pid).is_some());
        if place > 0 {
            text += if inside { "──" } else { "  " };
        }
        text.push(match (found, goes_on, inside) {
            (Some(mark), ..) => *mark,
            (None, true, true) => '┼',
            (None, true, false) => '│',
            (None, false, true) => '─',
            (None, false, false) => ' ',
        });
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmkey::{Key, Segment};

    /// A map of three segments and two processes: the first has the first two, the second has the first.
    fn map(processes: usize) -> Map {
        let segment = |_| {
            let options = Segment::options();
            let segment = options.create(true).size(4096).open(Key::PRIVATE).unwrap();
            let fact = Fact::of(segment.id(), Look::Outside).unwrap().unwrap();
            segment.remove().unwrap();
            fact
        };
        let mut segments: Vec<Fact> = (0..3).map(segment).collect();
        let attached = |pid: usize| crate::attached::Attached {
            pid: pid as i32,
            name: "name".to_owned(),
            times: 1,
            areas: 1,
            read_only: pid != 1,
            address: None,
            len: 0,
            huge: false,
        };
        segments[0].attached = (1..=processes).map(attached).collect();
        segments[1].attached = vec![attached(1)];
        for (fact, id) in segments.iter_mut().zip(1..) {
            (fact.status.id, fact.creator.life) = (id, shmkey::Life::Live);
        }
        Map::new(segments)
    }

    fn lines(map: &Map, width: usize) -> Vec<String> {
        let text = map.text(Some(width));
        let text = anstream::adapter::strip_str(&text).to_string();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_ends_at_the_last_segment_of_its_process() {
        assert_eq!(
            lines(&map(2), 80),
            [
                "          ╭─ 1 name",
                "          │  ╭─ 2 name",
                "1: 4 KiB  ●──○",
                "2: 4 KiB  ●",
                "",
                "3: 4 KiB",
                "",
                "● may write   ○ only reads"
            ]
        );
    }

    #[test]
    fn no_process_is_left_out() {
        let lines = lines(&map(50), 80);
        for pid in 1..=50 {
            let named = |line: &String| line.ends_with(&format!("╭─ {pid} name"));
            assert_eq!(lines.iter().filter(|line| named(line)).count(), 1, "{pid}");
        }
        assert!(lines.iter().all(|line| line.width() <= 80), "{lines:#?}");
    }
}
