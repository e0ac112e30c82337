//! The differences between the backends that cannot be removed. `documented.txt` lists them with their reasons.
//!
//! ```text
//! == The name of a situation
//! The reason for the difference.
//! - A stat x → the answer of the kernel
//! + A stat x → the answer of the user backend
//! ```

/// A situation that differs in exactly these lines.
pub struct Documented {
    pub name: String,
    pub reason: String,
    pub lines: Vec<String>,
}

/// Returns all documented differences.
pub fn all() -> Vec<Documented> {
    let mut all: Vec<Documented> = Vec::new();
    for line in include_str!("documented.txt").lines() {
        if let Some(name) = line.strip_prefix("== ") {
            all.push(Documented {
                name: name.to_owned(),
                reason: String::new(),
                lines: Vec::new(),
            });
        } else if let Some(entry) = all.last_mut() {
            if line.starts_with("- ") || line.starts_with("+ ") {
                entry.lines.push(line.to_owned());
            } else if !line.is_empty() {
                entry.reason.push_str(line);
            }
        }
    }
    all
}
