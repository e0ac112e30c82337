//! The counters of each object, as Prometheus text and as a table.

use crate::lock;
use std::{
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The counters of an object. All accesses are relaxed: no other data depends on a counter.
#[derive(Debug, Default)]
pub struct Counters {
    direction: &'static str,
    name: String,
    /// Messages that were taken from the object, or delivered into it.
    pub messages: AtomicU64,
    /// The bytes of these messages.
    pub bytes: AtomicU64,
    /// Messages that a lossy object has dropped, or that the other side no longer has.
    pub lost: AtomicU64,
    /// Messages that were dropped because of `--when-full shed`.
    pub shed: AtomicU64,
    /// Packets that were sent again.
    pub resent: AtomicU64,
    /// Packets that were refused.
    pub refused: AtomicU64,
    /// Refusals of the object, by this bridge or by one on the other side.
    pub mismatches: AtomicU64,
    /// Messages that were taken here and are not yet delivered there, or have arrived here and are not yet delivered.
    pub lag: AtomicU64,
    /// The bytes that wait on this machine.
    pub waiting_bytes: AtomicU64,
    /// The number of bridges on the other side.
    pub peers: AtomicU64,
}

impl Counters {
    /// Returns the name of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts messages that were taken or delivered, and their bytes.
    pub fn add_messages(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn all(&self) -> [(&'static str, &'static str, &AtomicU64); 10] {
        [
            ("messages", "counter", &self.messages),
            ("bytes", "counter", &self.bytes),
            ("lost", "counter", &self.lost),
            ("shed", "counter", &self.shed),
            ("resent", "counter", &self.resent),
            ("refused", "counter", &self.refused),
            ("mismatches", "counter", &self.mismatches),
            ("lag", "gauge", &self.lag),
            ("waiting_bytes", "gauge", &self.waiting_bytes),
            ("peers", "gauge", &self.peers),
        ]
    }
}

/// The counters of all objects.
#[derive(Clone, Debug, Default)]
pub struct AllCounters(Arc<Mutex<Vec<Arc<Counters>>>>);

impl AllCounters {
    /// Adds counters for an object.
    #[must_use]
    pub fn add(&self, direction: &'static str, name: &str) -> Arc<Counters> {
        let counters = Arc::new(Counters {
            direction,
            name: name.to_owned(),
            ..Counters::default()
        });
        lock(&self.0).push(Arc::clone(&counters));
        counters
    }

    /// Returns the counters in the text format of Prometheus.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let objects = lock(&self.0);
        let mut text = String::new();
        let kinds = Counters::default();
        for (at, (counter, kind, _)) in kinds.all().into_iter().enumerate() {
            let suffix = if kind == "counter" { "_total" } else { "" };
            // Writing to a string does not fail.
            let _ = writeln!(text, "# TYPE shmkey_bridge_{counter}{suffix} {kind}");
            for object in objects.iter() {
                let (name, direction) = (escaped(&object.name), object.direction);
                let value = object.all()[at].2.load(Relaxed);
                let _ = writeln!(
                    text,
                    "shmkey_bridge_{counter}{suffix}{{object=\"{name}\",direction=\"{direction}\"}} {value}"
                );
            }
        }
        text
    }

    /// Returns the counters as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let objects = lock(&self.0);
        let longest = objects
            .iter()
            .map(|object| object.name.chars().count())
            .max();
        let width = longest.unwrap_or(0).max(6);
        let mut text = format!("{:9} {:width$}", "", "object");
        for (counter, ..) in Counters::default().all() {
            let _ = write!(text, " {:>13}", counter.replace('_', " "));
        }
        for object in objects.iter() {
            let _ = write!(text, "\n{:9} {:width$}", object.direction, object.name);
            for (_, _, value) in object.all() {
                let _ = write!(text, " {:>13}", value.load(Relaxed));
            }
        }
        text.push('\n');
        text
    }
}

/// Returns a name, escaped as the value of a Prometheus label.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_prometheus_names_its_object() {
        let all = AllCounters::default();
        let counters = all.add("publish", "a \"quoted\" ring");
        counters.add_messages(2, 100);
        let text = all.prometheus();
        let line = "shmkey_bridge_messages_total{object=\"a \\\"quoted\\\" ring\",direction=\"publish\"} 2\n";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("# TYPE shmkey_bridge_peers gauge\n"),
            "{text}"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_object() {
        let all = AllCounters::default();
        all.add("publish", "orders").add_messages(2, 100);
        let _ = all.add("subscribe", "quotes");
        let table = all.table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(
            lines[1].starts_with("publish   orders             2           100"),
            "{table}"
        );
    }
}
