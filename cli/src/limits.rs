//! `shmkey limits`: how much System V IPC may be used, and how much is in use.

use crate::{
    backend::{Namespace, is_user},
    columns::Form,
    json::{self, object},
    output::{self, Failure},
    process,
    table::{self, Cell, left, right, text},
    words,
};
use clap::Args;
use shmkey::Segment;
use shmkey_core::{
    backend::{self, messages, semaphores},
    sys::Errno,
};
use std::collections::BTreeMap;

#[derive(Args)]
pub struct Options {
    /// Show exact sizes in bytes
    #[arg(long)]
    bytes: bool,
    /// Print one JSON object for programs; shmkey-limits(1) describes it
    #[arg(long, conflicts_with = "bytes")]
    json: bool,
}

/// A line of the table: how much is in use, and how much may be, each with its name in JSON. The names of limits are
/// the kernel's.
struct Row {
    what: &'static str,
    unit: Unit,
    used: Option<(&'static str, u64)>,
    limit: Option<(&'static str, u64)>,
}

#[derive(Clone, Copy)]
enum Unit {
    Number,
    Bytes,
    Pages,
}
use Unit::{Bytes, Number, Pages};

pub fn run(options: &Options) -> Result<(), Failure> {
    let segments = segments();
    if segments.is_err() && is_user() {
        // The kernel may lack each of the three kinds, but a directory that cannot be used has a remedy, which this explains.
        Segment::list()?;
    }
    let all = [segments, semaphores(), messages()].map(Result::ok);
    if options.json {
        let [segments, semaphores, messages] = all.map(|rows| rows.as_deref().map(values));
        let namespace = Namespace::current();
        let all = object! {
            schema: 1,
            backend: namespace.backend(),
            directory: namespace.directory().map(|path| path.to_string_lossy().into_owned()),
            ipc_namespace: namespace.ipc(),
            segments: segments,
            semaphores: semaphores,
            messages: messages,
        };
        return output::print(&json::line(&all));
    }
    let form = Form {
        bytes: options.bytes,
        seconds: false,
    };
    let rows = all.iter().flatten().flatten();
    let rows: Vec<_> = rows
        .filter(|row| !row.what.is_empty())
        .map(|row| row.cells(form))
        .collect();
    if rows.is_empty() {
        let why = "this kernel does not have System V IPC, or does not allow its use";
        return Err(Failure::Because(why.to_owned()));
    }
    let columns = [
        left("", 0),
        right("in use", 0),
        right("limit", 0),
        right("%", 0),
        left("name", 0),
    ];
    let lines = table::lines(&columns, &rows, output::width());
    let segments = format!("Backend of the segments: {}.", Namespace::current());
    output::print(&(lines.join("\n") + "\n\n" + &output::note(&segments)))
}

/// Returns the numbers of some rows, by name.
fn values(rows: &[Row]) -> BTreeMap<&'static str, u64> {
    rows.iter()
        .flat_map(|row| [row.used, row.limit])
        .flatten()
        .collect()
}

impl Row {
    const fn used(what: &'static str, unit: Unit, name: &'static str, used: u64) -> Row {
        let used = Some((name, used));
        Row {
            what,
            unit,
            used,
            limit: None,
        }
    }

    const fn limit(what: &'static str, unit: Unit, name: &'static str, limit: u64) -> Row {
        let limit = Some((name, limit));
        Row {
            what,
            unit,
            used: None,
            limit,
        }
    }

    /// Adds the limit of what is in use.
    const fn of(mut self, name: &'static str, limit: u64) -> Row {
        self.limit = Some((name, limit));
        self
    }

    fn cells(&self, form: Form) -> Vec<Cell> {
        let number = |number: u64| match self.unit {
            Number => number.to_string(),
            Bytes => form.size(number),
            Pages => {
                let size = form.size(number.saturating_mul(process::page_size()));
                let unit = if form.bytes { " bytes" } else { "" };
                format!("{number} ({size}{unit})")
            }
        };
        let used = self.used.map(|(_, used)| number(used)).unwrap_or_default();
        let (mut limit, mut percent, mut name) = (String::new(), String::new(), "");
        if let Some((of, most)) = self.limit {
            name = of;
            if words::unlimited(most) {
                limit = "none".to_owned();
            } else {
                limit = number(most);
                let used = self.used.map(|(_, used)| words::percent(used, most));
                percent = used.unwrap_or_default();
            }
        }
        [self.what, &used, &limit, &percent, name]
            .map(text)
            .to_vec()
    }
}

fn segments() -> Result<Vec<Row>, Errno> {
    let (limits, (_, usage)) = (backend::limits()?, backend::usage()?);
    Ok(vec![
        Row::used("segments", Number, "count", usage.used_ids as u64).of("shmmni", limits.shmmni),
        Row::used("  pages, total", Pages, "pages", usage.shm_tot).of("shmall", limits.shmall),
        Row::used("  pages in memory", Pages, "resident_pages", usage.shm_rss),
        Row::used("  pages swapped out", Pages, "swapped_pages", usage.shm_swp),
        Row::limit("  smallest segment", Bytes, "shmmin", limits.shmmin),
        Row::limit("  largest segment", Bytes, "shmmax", limits.shmmax),
        // Only for programs.
        Row::limit("", Bytes, "page_size", process::page_size()),
    ])
}

fn semaphores() -> Result<Vec<Row>, Errno> {
    let (limits, (_, usage)) = (semaphores::limits()?, semaphores::usage()?);
    let arrays = Row::used("semaphore arrays", Number, "arrays", usage.semusz as u64);
    let count = Row::used("  semaphores, total", Number, "count", usage.semaem as u64);
    Ok(vec![
        arrays.of("semmni", limits.semmni as u64),
        count.of("semmns", limits.semmns as u64),
        Row::limit(
            "  semaphores in one array",
            Number,
            "semmsl",
            limits.semmsl as u64,
        ),
        Row::limit(
            "  operations in one call",
            Number,
            "semopm",
            limits.semopm as u64,
        ),
        Row::limit("  largest value", Number, "semvmx", limits.semvmx as u64),
    ])
}

fn messages() -> Result<Vec<Row>, Errno> {
    let (limits, (_, usage)) = (messages::limits()?, messages::usage()?);
    let queues = Row::used("message queues", Number, "queues", usage.msgpool as u64);
    Ok(vec![
        queues.of("msgmni", limits.msgmni as u64),
        Row::used("  messages, total", Number, "count", usage.msgmap as u64),
        Row::used("  bytes, total", Bytes, "bytes", usage.msgtql as u64),
        Row::limit("  largest message", Bytes, "msgmax", limits.msgmax as u64),
        Row::limit("  largest queue", Bytes, "msgmnb", limits.msgmnb as u64),
    ])
}
