//! What the command writes, and how it fails.

use crate::words;
use shmkey_core::sys::Errno;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// A sentence.
    Because(String),
    /// A usage error, in a sentence.
    Usage(String),
    /// A sentence, and the exit status.
    Status(u8, String),
    /// The reason is printed already.
    Reported,
    /// Standard output is a pipe without a reader, which is not an error.
    Closed,
}

impl Failure {
    pub fn report(self) -> ExitCode {
        match self {
            Failure::Because(why) => {
                complain(&why);
                ExitCode::FAILURE
            }
            Failure::Usage(why) => {
                complain(&why);
                ExitCode::from(2)
            }
            Failure::Status(status, why) => {
                complain(&why);
                ExitCode::from(status)
            }
            Failure::Reported => ExitCode::FAILURE,
            Failure::Closed => ExitCode::SUCCESS,
        }
    }
}

impl From<shmkey::Error> for Failure {
    fn from(error: shmkey::Error) -> Failure {
        Failure::Because(why(&error))
    }
}

/// Returns why something failed: the object, a sentence, and in parentheses the call and its error number.
pub fn why(error: &shmkey::Error) -> String {
    rearranged(&error.to_string(), error.errno())
}

/// Moves the call in an error's text behind the sentence: `ring "a" (id 7): send: EPIPE: it has ended` becomes
/// `ring "a" (id 7): it has ended (send: EPIPE)`.
pub fn rearranged(text: &str, errno: i32) -> String {
    let errno = Errno(errno);
    let Some((call, sentence)) = text.split_once(&format!(": {errno}: ")) else {
        return text.to_owned();
    };
    // The name of an action on an object has no arguments, and so no colon.
    let is_action = |text: &str| text.chars().all(|one| one.is_alphabetic() || one == ' ');
    match call.rsplit_once(": ") {
        Some((object, action)) if is_action(action) => {
            format!("{object}: {sentence} ({action}: {errno})")
        }
        _ => format!("{sentence} ({call}: {errno})"),
    }
}

/// Returns the system's reason, without the error number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Returns why something failed with a file.
pub fn of_file(path: &Path, error: &io::Error) -> String {
    let path = words::plain(&path.to_string_lossy());
    format!("{path}: {}", reason(error))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Because(reason(&error)),
        }
    }
}

/// Prints an error message. Does nothing if standard error is closed.
pub fn complain(what: impl fmt::Display) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{red}shmkey:{red:#} {what}");
}

/// Calls `act` for each, prints what it returns, and continues after a failure.
pub fn each<T>(
    all: &[T],
    mut act: impl FnMut(&T) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let mut failed = false;
    for one in all {
        match act(one) {
            Ok(text) => print(&text)?,
            Err(Failure::Because(why)) => {
                complain(why);
                failed = true;
            }
            Err(failure) => return Err(failure),
        }
    }
    if failed {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

/// Writes lines to standard output: with colours on a terminal, and without them elsewhere or if
/// NO_COLOR is set.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    // In one call: writing line by line takes as long as everything else.
    let written = match anstream::AutoStream::choice(&out) {
        anstream::ColorChoice::Never => {
            let plain = anstream::adapter::strip_str(text).to_string();
            out.write_all(plain.as_bytes())
        }
        _ => out.write_all(text.as_bytes()),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Because(format!(
            "standard output: {}",
            reason(&error)
        ))),
        result => Ok(result?),
    }
}

/// Returns the width of the terminal; `None` if standard output is not a terminal.
pub fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let known = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    Some(known.filter(|&width| width > 0).unwrap_or(80))
}

/// Returns a note below a table, wrapped and dimmed.
pub fn note(text: &str) -> String {
    let dim = anstyle::Style::new().dimmed();
    let lines = words::wrapped(&words::plain(text), width().unwrap_or(usize::MAX));
    let styled = |line: String| format!("{dim}{line}{dim:#}\n");
    lines.into_iter().map(styled).collect()
}
