//! Tables that fit the terminal.

use anstyle::Style;
use std::fmt::Display;
use unicode_width::UnicodeWidthStr;

/// A column: its title, and how it behaves in a narrow terminal.
#[derive(Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    pub right: bool,
    /// Columns with a higher number are left out first; 0 stays.
    pub rank: u8,
    /// Texts may be cut down to this width.
    pub least: Option<usize>,
    /// Details are left out before texts are cut below this width.
    pub readable: usize,
}

/// Columns of this rank and above are details.
const DETAIL: u8 = 5;

/// Returns a column whose texts begin at the same place.
pub const fn left(title: &'static str, rank: u8) -> Column {
    column(title, rank, false)
}

/// Returns a column whose texts end at the same place.
pub const fn right(title: &'static str, rank: u8) -> Column {
    column(title, rank, true)
}

const fn column(title: &'static str, rank: u8, right: bool) -> Column {
    Column {
        title,
        right,
        rank,
        least: None,
        readable: 0,
    }
}

impl Column {
    pub const fn cut_to(mut self, least: usize) -> Column {
        self.least = Some(least);
        self
    }

    pub const fn readable_from(mut self, width: usize) -> Column {
        self.readable = width;
        self
    }

    /// Returns by how much the column can be cut.
    fn slack(&self, width: usize, has_details: bool) -> usize {
        let readable = if has_details { self.readable } else { 0 };
        self.least.map_or(0, |least| {
            width.saturating_sub(least.max(readable).max(self.title.width()))
        })
    }
}

/// A cell, and how it looks.
#[derive(Clone, Default)]
pub struct Cell {
    pub text: String,
    pub style: Style,
}

/// Returns a cell in the usual style.
pub fn text(text: impl Display) -> Cell {
    let (text, style) = (text.to_string(), Style::new());
    Cell { text, style }
}

const GAP: usize = 2;

/// Returns the lines of a table, the titles first, at most `width` wide if that is possible. Empty columns are left
/// out.
pub fn lines(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<String> {
    cells(columns, rows, width)
        .map(|line| styled(&line))
        .collect()
}

/// The same, each line as its cells and the spaces between them.
pub fn cells(
    columns: &[Column],
    rows: &[Vec<Cell>],
    width: Option<usize>,
) -> impl Iterator<Item = Vec<Cell>> {
    let (shown, widths) = layout(columns, rows, width);
    let bold = Style::new().bold();
    let titles = columns.iter().map(|column| Cell {
        text: column.title.to_owned(),
        style: bold,
    });
    let titles = line(columns, &titles.collect::<Vec<_>>(), &shown, &widths);
    let rows = rows
        .iter()
        .map(move |row| line(columns, row, &shown, &widths));
    std::iter::once(titles).chain(rows)
}

/// Returns a line for the terminal.
fn styled(line: &[Cell]) -> String {
    // Cells at the end may be empty.
    let is_blank = |cell: &&Cell| cell.text.trim_end().is_empty();
    let blank = line.iter().rev().take_while(is_blank).count();
    let styled = |cell: &Cell| format!("{}{}{:#}", cell.style, cell.text, cell.style);
    line[..line.len() - blank].iter().map(styled).collect()
}

/// Returns which columns are shown, and how wide each is.
fn layout(
    columns: &[Column],
    rows: &[Vec<Cell>],
    width: Option<usize>,
) -> (Vec<usize>, Vec<usize>) {
    let natural = |column: usize| {
        let cells = rows.iter().map(|row| row[column].text.width());
        cells.max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..columns.len()).map(natural).collect();
    let mut shown: Vec<usize> = (0..columns.len())
        .filter(|&column| widths[column] > 0 || columns[column].rank == 0)
        .collect();
    for (width, column) in widths.iter_mut().zip(columns) {
        *width = (*width).max(column.title.width());
    }
    let Some(width) = width else {
        return (shown, widths);
    };
    loop {
        let total = |widths: &[usize]| {
            let all: usize = shown.iter().map(|&column| widths[column] + GAP).sum();
            all.saturating_sub(GAP)
        };
        let over = total(&widths).saturating_sub(width);
        if over == 0 {
            break;
        }
        let has_details = shown.iter().any(|&column| columns[column].rank >= DETAIL);
        let slack =
            |column: usize, widths: &[usize]| columns[column].slack(widths[column], has_details);
        let all: usize = shown.iter().map(|&column| slack(column, &widths)).sum();
        if all >= over {
            shrink(slack, &shown, &mut widths, over);
            break;
        }
        // The last of the columns with the highest rank.
        let Some(&least) = shown.iter().max_by_key(|&&column| columns[column].rank) else {
            break;
        };
        if columns[least].rank == 0 {
            shrink(slack, &shown, &mut widths, all);
            break;
        }
        shown.retain(|&column| column != least);
    }
    (shown, widths)
}

/// Makes columns narrower by `over` in total, the widest first.
fn shrink(
    slack: impl Fn(usize, &[usize]) -> usize,
    shown: &[usize],
    widths: &mut [usize],
    mut over: usize,
) {
    while over > 0 {
        let able = |&&column: &&usize| slack(column, widths) > 0;
        let Some(&widest) = shown
            .iter()
            .filter(able)
            .max_by_key(|&&column| widths[column])
        else {
            return;
        };
        widths[widest] -= 1;
        over -= 1;
    }
}

fn line(columns: &[Column], row: &[Cell], shown: &[usize], widths: &[usize]) -> Vec<Cell> {
    let mut line = Vec::new();
    for (place, &column) in shown.iter().enumerate() {
        let cell = &row[column];
        let content = cut(&cell.text, widths[column]);
        let room = " ".repeat(widths[column].saturating_sub(content.width()));
        let is_last = place + 1 == shown.len();
        let style = cell.style;
        let (cell, room) = (
            Cell {
                text: content,
                style,
            },
            text(room),
        );
        if columns[column].right {
            line.extend([room, cell]);
        } else if is_last {
            line.push(cell);
        } else {
            line.extend([cell, room]);
        }
        if !is_last {
            line.push(text(" ".repeat(GAP)));
        }
    }
    line
}

/// Cuts a text to a width, with `…` at the end.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        // The width of the whole: several characters can be one glyph, which is wider than they are.
        if cut.width() + 1 > width {
            cut.pop();
            break;
        }
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_fits() {
        // A cloud has the width 1, and as an emoji 2.
        for text in [
            "hello",
            "\u{2601}\u{fe0f}\u{2601}\u{fe0f}a",
            "日本語",
            "e\u{301}e\u{301}",
        ] {
            for width in 0..8 {
                assert!(cut(text, width).width() <= width, "{text} {width}");
                let columns = [left("x", 0).cut_to(1), left("y", 0)];
                let row = vec![super::text(text), super::text("y")];
                lines(&columns, &[row], Some(width));
            }
        }
    }

    fn table(width: Option<usize>) -> Vec<String> {
        let columns = [
            left("name", 0).cut_to(4),
            right("size", 0),
            left("more", 1),
            left("nothing", 1),
        ];
        let row = |texts: [&str; 4]| texts.map(text).to_vec();
        let rows = [
            row(["orders", "1 KiB", "x", ""]),
            row(["grün", "12 B", "", ""]),
            row(["a", "1 B", "", ""]),
        ];
        lines(&columns, &rows, width)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect()
    }

    #[test]
    fn a_table_aligns_and_leaves_out_empty_columns() {
        assert_eq!(
            table(None),
            [
                "name     size  more",
                "orders  1 KiB  x",
                "grün     12 B",
                "a         1 B"
            ]
        );
    }

    /// A name is more important than a detail.
    #[test]
    fn details_are_left_out_before_a_text_is_cut_too_much() {
        let columns = [
            left("name", 0).cut_to(4).readable_from(8),
            left("age", DETAIL),
            left("mode", 1),
        ];
        let rows = [["orders of today", "2 h", "0600"].map(text).to_vec()];
        for (width, expected) in [
            (19, "orders …  2 h  0600"),
            (18, "orders of t…  0600"),
            (10, "ord…  0600"),
        ] {
            let line = lines(&columns, &rows, Some(width)).pop().unwrap();
            let line = anstream::adapter::strip_str(&line).to_string();
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn a_table_fits() {
        assert_eq!(
            table(Some(18)),
            [
                "name    size  more",
                "orde…  1 KiB  x",
                "grün    12 B",
                "a        1 B"
            ]
        );
        assert_eq!(
            table(Some(13)),
            [
                "name     size",
                "orders  1 KiB",
                "grün     12 B",
                "a         1 B"
            ]
        );
        assert_eq!(
            table(Some(5)),
            ["name   size", "ord…  1 KiB", "grün   12 B", "a       1 B"]
        );
    }
}
