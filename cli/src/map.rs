//! `shmkey map`: which process has which segment.

use crate::{
    facts::{Fact, Facts, Look},
    list,
    output::{self, Failure},
    table, words,
};
use anstyle::{AnsiColor, Style};
use clap::Args;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::PathBuf,
};
use unicode_width::UnicodeWidthStr;

#[derive(Args)]
pub struct Options {
    /// Into this file, as a picture in SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    looking: list::Looking,
}

/// The processes that have something attached, and the segments, in the order they are drawn.
struct Map {
    processes: Vec<(i32, String)>,
    segments: Vec<Fact>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let facts = Facts::gather(options.looking.or(Look::Inside))?;
    let unseen = list::unseen(&facts);
    let map = Map::new(facts.segments);
    if let Some(path) = &options.svg {
        if path.as_os_str() == "-" {
            return Ok(io::stdout().write_all(map.svg().as_bytes())?);
        }
        return fs::write(path, map.svg())
            .map_err(|error| Failure::Because(format!("{}: {error}", path.display())));
    }
    let mut text = map.text(output::width());
    text += &unseen;
    output::print(&text)
}

impl Map {
    fn new(mut segments: Vec<Fact>) -> Map {
        // Those that are used come first.
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

    /// A column for each process, from its name down to the segments that it has attached.
    ///
    /// ```text
    ///                 ╭─ 4242 writer
    ///                 │  ╭─ 4243 reader
    /// 32770: ring    ●──○
    /// ```
    fn text(&self, width: Option<usize>) -> String {
        if self.segments.is_empty() {
            return "There are no segments.\n".to_owned();
        }
        let titles: Vec<String> = self.segments.iter().map(title).collect();
        let widest = titles.iter().map(|title| title.width()).max().unwrap_or(0);
        let room = width.unwrap_or(usize::MAX);
        let left = widest.min((room / 2).max(20));
        // A column takes three places, and a name wants some behind the last.
        let most = room.saturating_sub(left + 24) / 3;
        let shown = &self.processes[..self.processes.len().min(most.max(1))];
        let mut text = String::new();
        for (number, (pid, name)) in shown.iter().enumerate() {
            let legs = "│  ".repeat(number);
            let bold = Style::new().bold();
            let line = format!("{}{legs}╭─ ", " ".repeat(left + 2));
            let name = table::cut(
                &format!("{pid} {name}"),
                room.saturating_sub(line.width()).max(8),
            );
            text += &format!("{line}{bold}{name}{bold:#}\n");
        }
        for (fact, title) in self.segments.iter().zip(&titles) {
            let title = table::cut(title, left);
            let style = match (fact.is_orphan(), fact.status.nattch) {
                (true, _) => AnsiColor::Yellow.on_default(),
                (_, 0) => Style::new().dimmed(),
                _ => Style::new(),
            };
            let marks = marks(fact, shown);
            let room = " ".repeat(left.saturating_sub(title.width()));
            let line = format!("{style}{title}{style:#}{room}  {marks}");
            text += line.trim_end();
            text += &match fact.hidden() {
                0 => String::new(),
                hidden => format!("  +{hidden} unseen"),
            };
            text.push('\n');
        }
        text.push('\n');
        if !shown.is_empty() {
            text += &output::note("● may write   ○ only reads");
        }
        match self.processes.len() - shown.len() {
            0 => {}
            more => {
                let processes = words::count(more as u64, "process");
                text += &output::note(&format!(
                    "There is no room for {processes} more: use a wider terminal, or --svg FILE."
                ));
            }
        }
        text
    }

    /// Processes on the left, segments on the right, and lines between them.
    fn svg(&self) -> String {
        const ROW: usize = 44;
        const TOP: usize = 60;
        const LEFT: usize = 20;
        const RIGHT: usize = 520;
        const BOX: usize = 300;
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
        let middle = |row: usize| TOP + row * ROW + ROW / 2 - 4;
        for (row, fact) in self.segments.iter().enumerate() {
            for attached in &fact.attached {
                let from = self
                    .processes
                    .iter()
                    .position(|(pid, _)| *pid == attached.pid);
                let (Some(from), to) = (from.map(middle), middle(row)) else {
                    continue;
                };
                let class = if attached.read_only {
                    "line reads"
                } else {
                    "line"
                };
                let (start, end) = (LEFT + BOX, RIGHT);
                // Writing into a string does not fail; also below.
                let _ = writeln!(
                    svg,
                    "<path class='{class}' d='M {start} {from} C {} {from}, {} {to}, {end} {to}'/>",
                    start + 100,
                    end - 100
                );
            }
        }
        let mut boxed = |class: &str, x: usize, row: usize, title: &str, below: &str| {
            let y = TOP + row * ROW;
            let _ = writeln!(
                svg,
                "<rect class='{class}' x='{x}' y='{y}' width='{BOX}' height='{}' rx='6'/>\
                 <text x='{}' y='{}'>{}</text><text class='small' x='{}' y='{}'>{}</text>",
                ROW - 8,
                x + 10,
                y + 16,
                escape(&table::cut(title, 40)),
                x + 10,
                y + 30,
                escape(&table::cut(below, 48)),
            );
        };
        for (row, (pid, name)) in self.processes.iter().enumerate() {
            boxed("process", LEFT, row, name, &format!("process {pid}"));
        }
        for (row, fact) in self.segments.iter().enumerate() {
            let class = if fact.is_orphan() {
                "orphan"
            } else {
                "segment"
            };
            boxed(class, RIGHT, row, &title(fact), &subtitle(fact));
        }
        let _ = writeln!(
            svg,
            "<text class='small' x='{LEFT}' y='{}'>A line: has it attached; dashed: only reads. \
             Yellow: nobody uses it, and whoever created it has ended.</text>\n</svg>",
            height - 14
        );
        svg
    }
}

/// What a segment is called: by its id, and by what it holds or how large it is.
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

/// A mark for each process that has it, joined by a line, and legs of the others that pass.
fn marks(fact: &Fact, processes: &[(i32, String)]) -> String {
    let mark = |pid: i32| {
        let attached = fact.attached.iter().find(|attached| attached.pid == pid)?;
        Some(if attached.read_only { '○' } else { '●' })
    };
    let found: Vec<Option<char>> = processes.iter().map(|&(pid, _)| mark(pid)).collect();
    let first = found.iter().position(Option::is_some);
    let last = found.iter().rposition(Option::is_some);
    let mut text = String::new();
    for (place, mark) in found.iter().enumerate() {
        let inside =
            first.is_some_and(|first| first < place) && last.is_some_and(|last| place <= last);
        if place > 0 {
            text += if inside { "──" } else { "  " };
        }
        text.push(match mark {
            Some(mark) => *mark,
            None if inside => '┼',
            None => '│',
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
