//! The results as a picture: a panel for each group, with a point and its quartiles for each entry.

use crate::{
    report::Nanoseconds,
    schedule::{Against, Entry, Goal, Group},
};
use std::fmt::{self, Write};

const WIDTH: f64 = 900.0;
/// The ends of the axis; the names are left of it.
const LEFT: f64 = 300.0;
const RIGHT: f64 = 780.0;
const ROW: f64 = 20.0;
const TITLE: f64 = 52.0;

/// Draws the groups as SVG.
pub fn svg(groups: &[Group]) -> String {
    let mut text = String::new();
    write_svg(&mut text, groups).expect("writing to a string does not fail");
    text
}

fn write_svg(svg: &mut String, groups: &[Group]) -> fmt::Result {
    let panels: Vec<Panel> = groups.iter().filter_map(Panel::of).collect();
    let height: f64 = 50.0 + panels.iter().map(Panel::height).sum::<f64>();
    writeln!(
        svg,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' \
         font-family='sans-serif' font-size='12'>\n\
         <style>\
         .ours {{ fill: #c2410c; stroke: #c2410c; }} \
         .peer {{ fill: #475569; stroke: #475569; }} \
         .goal {{ stroke: #15803d; stroke-width: 2; }} \
         .grid {{ stroke: #e2e8f0; }} \
         text {{ stroke: none; fill: #0f172a; }} .small {{ font-size: 10px; fill: #64748b; }}\
         </style>\n\
         <rect width='{WIDTH}' height='{height}' fill='white'/>\n\
         <text x='12' y='24'>Dot: median. Line: first to third quartile. Logarithmic scale. \
         Orange: shmkey. Green: the goal for shmkey.</text>"
    )?;
    let mut top = 50.0;
    for panel in &panels {
        panel.write(svg, top)?;
        top += panel.height();
    }
    writeln!(svg, "</svg>")
}

struct Panel<'a> {
    group: &'a Group,
    rows: Vec<Row<'a>>,
    /// The ends of the axis, in nanoseconds.
    from: f64,
    to: f64,
}

struct Row<'a> {
    entry: &'a Entry,
    time: [f64; 3],
    /// The strictest of its goals, in nanoseconds.
    goal: Option<f64>,
}

impl Panel<'_> {
    /// Makes a panel; `None` if nothing of the group was measured.
    fn of(group: &Group) -> Option<Panel<'_>> {
        let row = |entry| Row::of(entry, group);
        let mut rows: Vec<Row> = group.entries.iter().filter_map(row).collect();
        rows.retain(|row| row.time[1] > 0.0); // a logarithmic axis has no 0
        rows.sort_by(|one, other| one.time[1].total_cmp(&other.time[1]));
        let (first, last) = (rows.first()?, rows.last()?);
        Some(Panel {
            group,
            from: first.time[1].min(first.goal.unwrap_or(f64::INFINITY)) / 1.5,
            to: last.time[1] * 1.5,
            rows,
        })
    }

    fn height(&self) -> f64 {
        TITLE + ROW * self.rows.len() as f64
    }

    /// Returns the place of this time on the axis.
    fn x(&self, nanoseconds: f64) -> f64 {
        let part = (nanoseconds / self.from).ln() / (self.to / self.from).ln();
        LEFT + (RIGHT - LEFT) * part.clamp(0.0, 1.0)
    }

    fn write(&self, svg: &mut String, top: f64) -> fmt::Result {
        let title = self.group.title;
        let y = top + 12.0;
        writeln!(
            svg,
            "<text x='12' y='{y}' font-weight='bold'>{title}</text>"
        )?;
        for tick in ticks(self.from, self.to) {
            let (x, from, to) = (self.x(tick), top + 32.0, top + self.height() - 16.0);
            let label = Nanoseconds(tick)
                .to_string()
                .replace(".00", "")
                .replace(".0", "");
            writeln!(
                svg,
                "<line class='grid' x1='{x:.1}' y1='{from}' x2='{x:.1}' y2='{to}'/>\
                 <text class='small' x='{x:.1}' y='{}' text-anchor='middle'>{label}</text>",
                from - 3.0
            )?;
        }
        for (number, row) in self.rows.iter().enumerate() {
            self.write_row(svg, row, top + 44.0 + ROW * number as f64)?;
        }
        Ok(())
    }

    fn write_row(&self, svg: &mut String, row: &Row, y: f64) -> fmt::Result {
        let [lower, median, upper] = row.time.map(|time| self.x(time));
        let class = if row.is_ours() { "ours" } else { "peer" };
        let (name_end, baseline) = (LEFT - 10.0, y + 4.0);
        writeln!(
            svg,
            "<text x='{name_end}' y='{baseline}' text-anchor='end'>{}</text>\
             <g class='{class}'><line x1='{lower:.1}' y1='{y}' x2='{upper:.1}' y2='{y}'/>\
             <circle cx='{median:.1}' cy='{y}' r='4'/></g>\
             <text x='{}' y='{baseline}'>{}</text>",
            row.entry.name,
            RIGHT + 10.0,
            Nanoseconds(row.time[1])
        )?;
        if let Some(goal) = row.goal {
            let (x, from, to) = (self.x(goal), y - 7.0, y + 7.0);
            writeln!(
                svg,
                "<line class='goal' x1='{x:.1}' y1='{from}' x2='{x:.1}' y2='{to}'/>"
            )?;
        }
        Ok(())
    }
}

impl<'a> Row<'a> {
    fn of(entry: &'a Entry, group: &Group) -> Option<Row<'a>> {
        let time = entry.nanoseconds()?;
        let in_nanoseconds = |goal: &Goal| match goal.against {
            Against::Nanoseconds => Some(goal.at_most),
            // The ratio that was reached belongs to this entry's time, so the goal is proportional to that.
            _ => Some(time[1] * goal.at_most / goal.reached(entry, group)?[1]),
        };
        Some(Row {
            entry,
            time,
            goal: entry
                .goals
                .iter()
                .filter_map(in_nanoseconds)
                .reduce(f64::min),
        })
    }

    fn is_ours(&self) -> bool {
        self.entry.name.starts_with("shmkey")
    }
}

/// Returns 1, 2 and 5 times the powers of ten in this range; only the powers if those are many.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let powers = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let all = |steps: &'static [f64]| -> Vec<f64> {
        let tick = |power| steps.iter().map(move |step| step * 10f64.powi(power));
        let between = |tick: &f64| (from..=to).contains(tick);
        powers.clone().flat_map(tick).filter(between).collect()
    };
    let fine = all(&[1.0, 2.0, 5.0]);
    if fine.len() > 8 { all(&[1.0]) } else { fine }
}
