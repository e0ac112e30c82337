//! `shmkey limits`: what the kernel allows of System V IPC, and how much of that is in use.

use crate::{
    columns::Form,
    json,
    output::{self, Failure},
    process,
    table::{self, Cell, Column},
    words,
};
use clap::Args;
use serde::Serialize;
use shmkey_core::{
    backend::{self, messages, semaphores},
    sys::Errno,
};

#[derive(Args)]
pub struct Options {
    /// Show exact sizes in bytes
    #[arg(long)]
    bytes: bool,
    /// Print one JSON object for programs; shmkey-limits(1) describes it
    #[arg(long, conflicts_with = "bytes")]
    json: bool,
}

/// The names are the kernel's. A kind that the kernel does not have is `None`.
#[derive(Serialize)]
struct All {
    schema: u32,
    segments: Option<Segments>,
    semaphores: Option<Semaphores>,
    messages: Option<Messages>,
}

#[derive(Serialize)]
struct Segments {
    count: u64,
    shmmni: u64,
    shmmin: u64,
    shmmax: u64,
    pages: u64,
    shmall: u64,
    resident_pages: u64,
    swapped_pages: u64,
    page_size: u64,
}

#[derive(Serialize)]
struct Semaphores {
    arrays: u64,
    semmni: u64,
    count: u64,
    semmns: u64,
    semmsl: u64,
    semopm: u64,
    semvmx: u64,
}

#[derive(Serialize)]
struct Messages {
    queues: u64,
    msgmni: u64,
    count: u64,
    bytes: u64,
    msgmax: u64,
    msgmnb: u64,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let all = All {
        schema: 1,
        segments: Segments::read().ok(),
        semaphores: Semaphores::read().ok(),
        messages: Messages::read().ok(),
    };
    if options.json {
        return output::print(&json::line(&all));
    }
    let form = Form {
        bytes: options.bytes,
        seconds: false,
    };
    let mut rows = Vec::new();
    rows.extend(all.segments.iter().flat_map(|of| of.rows(form)));
    rows.extend(all.semaphores.iter().flat_map(Semaphores::rows));
    rows.extend(all.messages.iter().flat_map(|of| of.rows(form)));
    if rows.is_empty() {
        let why = "this kernel does not have System V IPC, or does not allow its use";
        return Err(Failure::Because(why.to_owned()));
    }
    let columns = [
        Column::left("", 0),
        Column::right("in use", 0),
        Column::right("limit", 0),
        Column::right("%", 0),
        Column::left("name", 0),
    ];
    let lines = table::lines(&columns, &rows, output::width());
    output::print(&(lines.join("\n") + "\n"))
}

impl Segments {
    fn read() -> Result<Segments, Errno> {
        let (limits, (_, usage)) = (backend::limits()?, backend::usage()?);
        Ok(Segments {
            count: usage.used_ids as u64,
            shmmni: limits.shmmni,
            shmmin: limits.shmmin,
            shmmax: limits.shmmax,
            pages: usage.shm_tot,
            shmall: limits.shmall,
            resident_pages: usage.shm_rss,
            swapped_pages: usage.shm_swp,
            page_size: process::page_size(),
        })
    }

    fn rows(&self, form: Form) -> Vec<Vec<Cell>> {
        let pages = |pages: u64| {
            let size = form.size(pages.saturating_mul(self.page_size));
            format!("{pages} ({size})")
        };
        let size = |bytes| form.size(bytes);
        vec![
            used("segments", self.count, self.shmmni, "shmmni", number),
            used("  pages, total", self.pages, self.shmall, "shmall", pages),
            ["  pages in memory", &pages(self.resident_pages), "", "", ""]
                .map(cell)
                .to_vec(),
            [
                "  pages swapped out",
                &pages(self.swapped_pages),
                "",
                "",
                "",
            ]
            .map(cell)
            .to_vec(),
            limit("  smallest segment", self.shmmin, "shmmin", size),
            limit("  largest segment", self.shmmax, "shmmax", size),
        ]
    }
}

impl Semaphores {
    fn read() -> Result<Semaphores, Errno> {
        let (limits, (_, usage)) = (semaphores::limits()?, semaphores::usage()?);
        Ok(Semaphores {
            arrays: usage.semusz as u64,
            semmni: limits.semmni as u64,
            count: usage.semaem as u64,
            semmns: limits.semmns as u64,
            semmsl: limits.semmsl as u64,
            semopm: limits.semopm as u64,
            semvmx: limits.semvmx as u64,
        })
    }

    fn rows(&self) -> Vec<Vec<Cell>> {
        vec![
            used(
                "semaphore arrays",
                self.arrays,
                self.semmni,
                "semmni",
                number,
            ),
            used(
                "  semaphores, total",
                self.count,
                self.semmns,
                "semmns",
                number,
            ),
            limit("  semaphores in one array", self.semmsl, "semmsl", number),
            limit("  operations in one call", self.semopm, "semopm", number),
            limit("  largest value", self.semvmx, "semvmx", number),
        ]
    }
}

impl Messages {
    fn read() -> Result<Messages, Errno> {
        let (limits, (_, usage)) = (messages::limits()?, messages::usage()?);
        Ok(Messages {
            queues: usage.msgpool as u64,
            msgmni: limits.msgmni as u64,
            count: usage.msgmap as u64,
            bytes: usage.msgtql as u64,
            msgmax: limits.msgmax as u64,
            msgmnb: limits.msgmnb as u64,
        })
    }

    fn rows(&self, form: Form) -> Vec<Vec<Cell>> {
        let size = |bytes| form.size(bytes);
        vec![
            used("message queues", self.queues, self.msgmni, "msgmni", number),
            ["  messages, total", &number(self.count), "", "", ""]
                .map(cell)
                .to_vec(),
            ["  bytes, total", &size(self.bytes), "", "", ""]
                .map(cell)
                .to_vec(),
            limit("  largest message", self.msgmax, "msgmax", size),
            limit("  largest queue", self.msgmnb, "msgmnb", size),
        ]
    }
}

fn number(number: u64) -> String {
    number.to_string()
}

fn cell(text: &str) -> Cell {
    Cell::from(text.to_owned())
}

fn used(what: &str, used: u64, limit: u64, name: &str, shown: impl Fn(u64) -> String) -> Vec<Cell> {
    let (limit, percent) = if words::unlimited(limit) {
        ("none".to_owned(), String::new())
    } else {
        (shown(limit), words::percent(used, limit).to_string())
    };
    [what, &shown(used), &limit, &percent, name]
        .map(cell)
        .to_vec()
}

fn limit(what: &str, limit: u64, name: &str, shown: impl Fn(u64) -> String) -> Vec<Cell> {
    let limit = if words::unlimited(limit) {
        "none".to_owned()
    } else {
        shown(limit)
    };
    [what, "", &limit, "", name].map(cell).to_vec()
}
