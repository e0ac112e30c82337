//! The columns of `shmkey list`, as a table or as CSV.

use crate::{
    facts::Fact,
    output::Failure,
    process::Named,
    table::{self, Cell, Column, left, right, text},
    words,
};
use anstyle::{AnsiColor, Style};
use shmkey::Life;
use std::time::{Duration, SystemTime};
use unicode_width::UnicodeWidthStr;

/// A column of a list of `T`.
pub struct Field<T: 'static> {
    pub column: Column,
    /// Shown unless columns are chosen.
    usual: bool,
    cell: fn(&T, Form) -> Cell,
}

/// How numbers are written.
#[derive(Clone, Copy, Default)]
pub struct Form {
    /// Sizes in bytes: `3221225472`, not `3 GiB`.
    pub bytes: bool,
    /// Durations in seconds: `7200`, not `2 h`.
    pub seconds: bool,
}

impl Form {
    pub fn size(self, bytes: u64) -> String {
        if self.bytes {
            bytes.to_string()
        } else {
            words::size(bytes)
        }
    }

    pub fn span(self, time: Option<Duration>) -> String {
        match time {
            Some(time) if self.seconds => time.as_secs().to_string(),
            Some(time) => words::span(time),
            None => "-".to_owned(),
        }
    }
}

/// A column that is shown unless columns are chosen.
pub const fn usual<T>(column: Column, cell: fn(&T, Form) -> Cell) -> Field<T> {
    let usual = true;
    Field {
        column,
        usual,
        cell,
    }
}

/// A column that is shown only if it is chosen.
pub const fn extra<T>(column: Column, cell: fn(&T, Form) -> Cell) -> Field<T> {
    let usual = false;
    Field {
        column,
        usual,
        cell,
    }
}

/// Returns the columns that are shown unless columns are chosen.
pub fn usual_of<T>(fields: &'static [Field<T>]) -> Vec<&'static Field<T>> {
    fields.iter().filter(|field| field.usual).collect()
}

/// Returns the columns with these names, in this order; the usual ones if there are no names.
pub fn chosen<T>(
    fields: &'static [Field<T>],
    names: &[String],
) -> Result<Vec<&'static Field<T>>, Failure> {
    if names.is_empty() {
        return Ok(usual_of(fields));
    }
    let find = |name: &String| {
        let found = fields.iter().find(|field| field.column.title == name);
        found.ok_or_else(|| {
            let all: Vec<&str> = fields.iter().map(|field| field.column.title).collect();
            let name = words::plain(name);
            Failure::Usage(format!(
                "there is no column \"{name}\"; the columns are {}",
                all.join(", ")
            ))
        })
    };
    names.iter().map(find).collect()
}

/// Returns one row.
pub fn row<T>(fields: &[&'static Field<T>], of: &T, form: Form) -> Vec<Cell> {
    fields.iter().map(|field| (field.cell)(of, form)).collect()
}

/// Returns how the columns behave in a table that has these rows. Columns that were chosen by name all stay.
pub fn layout<T>(fields: &[&'static Field<T>], rows: &[Vec<Cell>], named: bool) -> Vec<Column> {
    let column = |(place, field): (usize, &&'static Field<T>)| {
        let mut column = field.column;
        if named {
            column.rank = 0;
        }
        // The state of one object is never cut; the states of several are, to the width of the longest single state.
        if column.title == STATE {
            let texts = rows.iter().map(|row| row[place].text.as_str());
            let single = texts.filter(|text| !text.contains("; "));
            column.least = Some(single.map(UnicodeWidthStr::width).max().unwrap_or(0));
        }
        column
    };
    fields.iter().enumerate().map(column).collect()
}

/// Returns the lines of a table.
pub fn table<'a, T>(
    fields: &[&'static Field<T>],
    all: impl IntoIterator<Item = &'a T>,
    form: Form,
    named: bool,
    width: Option<usize>,
) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = all.into_iter().map(|one| row(fields, one, form)).collect();
    table::lines(&layout(fields, &rows, named), &rows, width)
}

/// Returns the rows as CSV (RFC 4180, but for the ends of lines), after a row of the columns' names.
pub fn csv<'a, T>(
    fields: &[&'static Field<T>],
    all: impl IntoIterator<Item = &'a T>,
    form: Form,
) -> String {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let line = |texts: Vec<String>| texts.join(",") + "\n";
    let titles = fields.iter().map(|field| field.column.title.to_owned());
    let mut text = line(titles.collect());
    for one in all {
        let cells = row(fields, one, form);
        text += &line(cells.iter().map(|cell| quoted(&cell.text)).collect());
    }
    text
}

const STATE: &str = "state";

/// The columns of segments. At 80 columns, those of a high rank are left out; names are cut before.
pub const SEGMENTS: &[Field<Fact>] = &[
    usual(right("id", 0), |fact, _| text(fact.status.id)),
    usual(left("key", 0), |fact, _| text(words::key(fact.status.key))),
    usual(right("size", 3), |fact, form| {
        text(form.size(fact.status.size as u64))
    }),
    usual(left("owner", 4).cut_to(8), |fact, _| {
        text(words::user(fact.status.uid))
    }),
    usual(left("mode", 6), |fact, _| {
        text(format_args!("{:04o}", fact.status.mode))
    }),
    usual(left("attached", 0).cut_to(8).readable_from(14), attached),
    usual(left("creator", 5).cut_to(14), creator),
    usual(right("age", 7), |fact, form| text(form.span(fact.age()))),
    usual(right("used", 8), |fact, form| text(form.span(fact.idle))),
    usual(left("object", 1).cut_to(16).readable_from(24), |fact, _| {
        styled(object(fact), CYAN)
    }),
    usual(left(STATE, 0), |fact, _| styled(state(fact), CYAN)),
    usual(left(NOTE, 2).cut_to(7).readable_from(16), note),
    extra(right("nattch", 0), |fact, _| text(fact.status.nattch)),
    extra(right("resident", 0), |fact, form| {
        memory(fact.resident, form)
    }),
    extra(right("swapped", 0), |fact, form| memory(fact.swapped, form)),
    extra(right("uid", 0), |fact, _| text(fact.status.uid)),
    extra(right("gid", 0), |fact, _| text(fact.status.gid)),
    extra(left("group", 0), |fact, _| {
        text(words::group(fact.status.gid))
    }),
    extra(right("cuid", 0), |fact, _| text(fact.status.cuid)),
    extra(left("cuser", 0), |fact, _| {
        text(words::user(fact.status.cuid))
    }),
    extra(right("cgid", 0), |fact, _| text(fact.status.cgid)),
    extra(left("cgroup", 0), |fact, _| {
        text(words::group(fact.status.cgid))
    }),
    extra(right("cpid", 0), |fact, _| text(fact.status.cpid)),
    extra(right("lpid", 0), |fact, _| text(fact.status.lpid)),
    extra(left("last", 0), |fact, _| process(&fact.last)),
    extra(left("atime", 0), |fact, _| when(fact.status.attached_at)),
    extra(left("dtime", 0), |fact, _| when(fact.status.detached_at)),
    extra(left("ctime", 0), |fact, _| when(fact.status.changed_at)),
];

/// The last of the usual columns.
const NOTE: &str = "note";
const CYAN: Style = AnsiColor::Cyan.on_default();

fn styled(text: String, style: Style) -> Cell {
    Cell { text, style }
}

fn memory(bytes: Option<u64>, form: Form) -> Cell {
    text(bytes.map_or("-".to_owned(), |bytes| form.size(bytes)))
}

pub fn process(named: &Option<Named>) -> Cell {
    text(named.as_ref().map_or("-".to_owned(), words::process))
}

pub fn when(time: Option<SystemTime>) -> Cell {
    text(time.map_or("-".to_owned(), words::moment))
}

fn attached(fact: &Fact, _: Form) -> Cell {
    let style = match fact.status.nattch {
        0 => Style::new().dimmed(),
        _ => AnsiColor::Green.on_default(),
    };
    styled(users(fact).unwrap_or_else(|| "-".to_owned()), style)
}

fn creator(fact: &Fact, _: Form) -> Cell {
    let style = match fact.creator.life {
        Life::Dead => Style::new().dimmed(),
        _ => Style::new(),
    };
    styled(words::process(&fact.creator), style)
}

/// `orphan, published value, looked at`.
fn note(fact: &Fact, _: Form) -> Cell {
    let mut notes = words::flags(fact);
    notes.extend(fact.data().filter(|_| fact.is_orphan()));
    notes.extend(fact.is_looked_at().then_some("looked at"));
    let style = match (fact.status.removed, fact.is_orphan()) {
        (true, _) => AnsiColor::Red.on_default(),
        (_, true) => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    };
    styled(notes.join(", "), style)
}

/// Returns the processes that have a segment attached, such as `4242 writer ×2, 4243 reader`; `None` if none has.
pub fn users(fact: &Fact) -> Option<String> {
    if fact.status.nattch == 0 {
        return None;
    }
    let user = |attached: &crate::attached::Attached| {
        let times = match attached.times {
            0 | 1 => String::new(),
            times => format!(" ×{times}"),
        };
        format!("{} {}{times}", attached.pid, words::plain(&attached.name))
    };
    let mut who: Vec<String> = fact.attached.iter().map(user).collect();
    match fact.hidden() {
        0 => {}
        hidden if who.is_empty() => who.push(format!("{hidden} unseen")),
        hidden => who.push(format!("and {hidden} unseen")),
    }
    Some(who.join(", "))
}

/// `ring "orders"`; `mutex at 64; ring at 4096`.
pub fn object(fact: &Fact) -> String {
    if fact.is_token() {
        return match fact.creator.pid {
            0 => "token of a process in another container".to_owned(),
            pid => format!("token of process {pid}"),
        };
    }
    if fact.seen.closed {
        return "(no permission)".to_owned();
    }
    let objects = fact.seen.objects.iter();
    objects.map(words::kind_at).collect::<Vec<_>>().join("; ")
}

/// `37% full`; `free; empty`.
fn state(fact: &Fact) -> String {
    let objects = fact.seen.objects.iter();
    let states = objects.map(|found| words::state(&found.contents));
    states.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field<&str>] = &[
        usual(left("name", 1).cut_to(4), |name, _| text(name)),
        usual(left(STATE, 0), |name, _| text(name.to_uppercase())),
        extra(right("len", 0), |name, form| {
            text(form.size(name.len() as u64))
        }),
    ];

    #[test]
    fn columns_are_chosen_by_name() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            chosen(FIELDS, &names).map(|fields| csv(&fields, [&"a"], Form::default()))
        };
        assert_eq!(named(&[]).unwrap(), "name,state\na,A\n");
        assert_eq!(named(&["len", "name"]).unwrap(), "len,name\n1 B,a\n");
        let Err(Failure::Usage(why)) = named(&["size"]) else {
            panic!("there is no such column")
        };
        assert_eq!(
            why,
            "there is no column \"size\"; the columns are name, state, len"
        );
    }

    #[test]
    fn csv_quotes_what_would_break_it() {
        let text = csv(
            &usual_of(FIELDS)[..1],
            [&"a,b", &"say \"x\"", &"a\nb"],
            Form::default(),
        );
        assert_eq!(text, "name\n\"a,b\"\n\"say \"\"x\"\"\"\n\"a\nb\"\n");
    }

    #[test]
    fn the_manual_page_lists_each_column() {
        let page = include_str!("../man/list.md");
        for field in SEGMENTS {
            let name = field.column.title;
            assert!(page.contains(&format!("\n- `{name}`: ")), "{name}");
        }
    }

    #[test]
    fn a_state_is_never_cut() {
        let lines = table(
            &usual_of(FIELDS),
            [&"locked by 4711 (dead)"],
            Form::default(),
            false,
            Some(27),
        );
        let lines: Vec<String> = lines
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        assert_eq!(
            lines,
            ["name  state", "loc…  LOCKED BY 4711 (DEAD)"].map(str::to_owned)
        );
    }
}
