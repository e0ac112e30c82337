//! What a person sees: the command in a real terminal, narrow and wide.

mod support;

use shmkey::{Key, Latest, Mutex, Ring, Segment};
use std::{
    cell::RefCell,
    fs,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// The widths of terminals that all must do with.
const WIDTHS: [usize; 2] = [80, 200];

const SHMKEY: &str = env!("CARGO_BIN_EXE_shmkey");

/// A terminal with a shell in it, which goes when this is dropped.
struct Terminal {
    socket: String,
    width: usize,
}

impl Terminal {
    fn new(width: usize) -> Terminal {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let terminal = Terminal {
            socket: format!("shmkey-screens-{}-{number}", std::process::id()),
            width,
        };
        let size = width.to_string();
        let new = ["new-session", "-d", "-y", "24", "-x", &size];
        terminal.tmux(&[&new, &["env", "-u", "NO_COLOR", "PS1=ready$ ", "sh"][..]].concat());
        terminal.wait("the shell", |screen| screen.contains("ready$"));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.socket, "-f", "/dev/null"])
            .args(arguments)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a command, or keys by their names.
    fn type_keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn run(&self, command: &str) {
        self.type_keys(&[&format!("clear; {SHMKEY} {command}"), "Enter"]);
    }

    /// What is on the screen; lines that the terminal has broken are one.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// The same with its colours.
    fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Also what has gone out of sight at the top.
    fn history(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// Waits until the screen is as it should be.
    fn wait(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        self.wait_for(what, || self.screen(), is)
    }

    fn wait_for(
        &self,
        what: &str,
        mut look: impl FnMut() -> String,
        is: impl Fn(&str) -> bool,
    ) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = look();
            if is(&seen) {
                return seen;
            }
            assert!(Instant::now() < end, "{what} is not to be seen:\n{seen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn assert_fits(&self, screen: &str) {
        for line in screen.lines() {
            let line = line.trim_end();
            let is_typed = line.contains(SHMKEY);
            assert!(is_typed || line.chars().count() <= self.width, "{line}");
        }
    }

    /// Quits, which leaves the terminal as it was before.
    fn quit(&self, key: &str) {
        self.type_keys(&[key]);
        self.is_as_before();
    }

    fn is_as_before(&self) {
        self.wait("the shell", |screen| {
            let lines = screen.trim_end().lines();
            lines.last() == Some("ready$") && !screen.contains("q quit")
        });
        // It echoes what is typed, and a line ends where it should.
        self.type_keys(&["echo all' 'well", "Enter"]);
        self.wait("what the shell says", |screen| {
            screen.lines().any(|line| line.trim_end() == "all well")
        });
    }

    /// The program that the shell is waiting for.
    fn program(&self) -> libc::pid_t {
        let shell = self.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        children.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .stderr(Stdio::null())
            .status();
    }
}

/// A segment with a key of its own. Dropping this removes it.
fn segment(size: usize) -> Segment {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!("shmkey screens {} {number}", std::process::id());
    Segment::options()
        .create(true)
        .exclusive(true)
        .remove_on_drop(true)
        .size(size)
        .open(Key::from_name(name).unwrap())
        .unwrap()
}

fn key(segment: &Segment) -> String {
    format!("{:#010x}", segment.status().unwrap().key.as_raw())
}

/// Removes the segment of an object, however the test ends.
struct Removed(Segment);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

/// Returns whether there is no terminal to run the command in.
fn no_tmux() -> bool {
    support::skipped("tmux", support::succeeds("tmux", &["-V"]))
}

fn us() -> String {
    std::process::id().to_string()
}

#[test]
fn list_fits_and_says_who_uses_what() {
    if no_tmux() {
        return;
    }
    let segment = segment(4096);
    let _attached = segment.attach().unwrap();
    for width in WIDTHS {
        let terminal = Terminal::new(width);
        terminal.run(&format!("list --key {}", key(&segment)));
        let screen = terminal.wait("the list", |screen| screen.contains("1 of "));
        terminal.assert_fits(&screen);
        let id = segment.id().to_string();
        let row = screen
            .lines()
            .find(|line| line.trim_start().starts_with(&id));
        let row = row.unwrap_or_else(|| panic!("{screen}"));
        assert!(row.contains(&us()) && row.contains("4 KiB"), "{row}");
        assert!(screen.contains("attached") && !screen.contains("nattch"));
        let coloured = terminal.coloured();
        assert!(coloured.contains("\x1b[1mattached"), "{coloured}");
    }
}

#[test]
fn map_fits_and_draws_lines() {
    if no_tmux() {
        return;
    }
    let segment = segment(4096);
    let _attached = segment.attach().unwrap();
    for width in WIDTHS {
        let terminal = Terminal::new(width);
        terminal.run("map");
        let is_complete =
            |screen: &str| screen.contains("● may write") && screen.trim_end().ends_with("ready$");
        let screen = terminal.wait_for("the map", || terminal.history(), is_complete);
        terminal.assert_fits(&screen);
        let process = format!("╭─ {}", us());
        let column = screen.lines().find_map(|line| {
            let column = line.find(&process)?;
            Some(line[..column].chars().count())
        });
        let id = segment.id().to_string();
        let row = screen.lines().find(|line| line.starts_with(&id)).unwrap();
        match column {
            Some(column) => assert_eq!(row.chars().nth(column), Some('●'), "{screen}"),
            None => panic!("a process is left out: {screen}"),
        }
    }
}

#[test]
fn watch_lights_up_what_changes() {
    if no_tmux() {
        return;
    }
    let segment = segment(1 << 20);
    let memory = segment.attach().unwrap();
    for width in WIDTHS {
        let terminal = Terminal::new(width);
        terminal.run(&format!("watch {} --interval 50ms", segment.id()));
        let title = format!("segment {}", segment.id());
        let screen = terminal.wait("the segment", |screen| {
            screen.contains(&title) && screen.contains("q quit")
        });
        terminal.assert_fits(&screen);
        assert!(screen.contains(&us()), "{screen}");
        assert!(screen.contains("; and this view"), "{screen}");
        assert!(screen.contains("1048576 bytes (1 MiB)"), "{screen}");
        assert!(screen.contains("every 50ms"), "{screen}");

        let text = format!("wide {width}");
        // What is bright fades, and a busy machine may look too late: so it changes until seen.
        let mut turn = 0;
        let change = || {
            turn += 1;
            let shown = [vec![0; text.len()], text.clone().into_bytes()];
            memory.write_at(100, &shown[turn % 2]).unwrap();
            thread::sleep(Duration::from_millis(100));
            terminal.coloured()
        };
        terminal.wait_for("what has changed", change, |seen| {
            seen.contains(&text) && seen.contains("\x1b[7m")
        });
        memory.write_at(100, text.as_bytes()).unwrap();
        let look = || terminal.coloured();
        let screen = terminal.wait("how often it changes", |screen| {
            !screen.contains("changes  0 of")
        });
        assert!(screen.contains(&format!("{text}.")), "{screen}");
        terminal.wait_for("what has faded", look, |seen| !seen.contains("\x1b[7m"));

        // Nothing that is in sight moves while it pauses.
        terminal.type_keys(&["Space"]);
        terminal.wait("the pause", |screen| screen.contains("paused"));
        memory.write_at(100, b"unseen").unwrap();
        terminal.type_keys(&["Down"]);
        terminal.type_keys(&["Up"]);
        terminal.type_keys(&["+"]);
        terminal.type_keys(&["?"]);
        terminal.wait("the help", |screen| screen.contains("this help, and back"));
        terminal.type_keys(&["Escape"]);
        let screen = terminal.wait("the bytes", |screen| {
            screen.contains(&text) && !screen.contains("this help")
        });
        assert!(!screen.contains("unseen"), "{screen}");
        terminal.type_keys(&["Space"]);
        let screen = terminal.wait("what was missed", |screen| screen.contains("unseen"));
        assert!(screen.contains("every 100ms"), "{screen}");

        terminal.type_keys(&["End"]);
        terminal.wait("the end", |screen| screen.contains("to 1048575 of 1048576"));
        terminal.type_keys(&["PageUp"]);
        terminal.wait("what is before", |screen| !screen.contains("to 1048575 "));
        terminal.type_keys(&["Home"]);
        terminal.wait("the beginning", |screen| screen.contains("bytes 0 to "));
        terminal.quit("q");
    }
}

#[test]
fn watch_stands_what_happens_to_it() {
    if no_tmux() {
        return;
    }
    let watched = segment(3);
    watched.attach().unwrap().write_at(0, b"abc").unwrap();
    let terminal = Terminal::new(80);
    let command = format!("watch {}", watched.id());
    let title = format!("segment {}", watched.id());
    let shown = |screen: &str| screen.contains(&title) && screen.contains("61 62 63");

    // Without colours, what changes is bright all the same.
    terminal.run(&format!("list > /dev/null; NO_COLOR=1 {SHMKEY} {command}"));
    terminal.wait("the segment", shown);
    let mut turn = 0;
    let change = || {
        turn += 1;
        let text = if turn % 2 == 1 { b"ABC" } else { b"xyz" };
        watched.attach().unwrap().write_at(0, text).unwrap();
        thread::sleep(Duration::from_millis(150));
        terminal.coloured()
    };
    let is_bright = |seen: &str| seen.contains("\x1b[7m");
    let coloured = terminal.wait_for("what has changed", change, is_bright);
    assert!(!coloured.contains("[38;5;"), "{coloured}");
    watched.attach().unwrap().write_at(0, b"abc").unwrap();
    terminal.quit("C-c");

    terminal.run(&command);
    terminal.wait("the segment", shown);
    for (width, height) in [("40", "10"), ("12", "4"), ("3", "1"), ("100", "30")] {
        terminal.tmux(&["resize-window", "-x", width, "-y", height]);
        thread::sleep(Duration::from_millis(150));
    }
    let screen = terminal.wait("the segment", shown);
    let footer = screen.trim_end().lines().count();
    assert_eq!(footer, 30, "{screen}");

    // SAFETY: sends a signal to a child of the terminal's own shell.
    unsafe { libc::kill(terminal.program(), libc::SIGTERM) };
    terminal.is_as_before();

    terminal.run(&command);
    terminal.wait("the segment", shown);
    drop(watched);
    let screen = terminal.wait("its end", |screen| screen.contains("removed; last bytes"));
    assert!(shown(&screen), "{screen}");
    terminal.quit("q");
}

#[test]
fn a_terminal_that_has_gone_ends_it() {
    if no_tmux() {
        return;
    }
    let watched = segment(4096);
    for command in [format!("watch {}", watched.id()), "top".to_owned()] {
        let terminal = Terminal::new(80);
        // Also where the signal that says so is ignored.
        terminal.type_keys(&["trap '' HUP", "Enter"]);
        terminal.run(&command);
        terminal.wait("the keys", |screen| screen.contains("q quit"));
        let program = terminal.program();
        drop(terminal);
        let end = Instant::now() + Duration::from_secs(30);
        // SAFETY: signal 0 does nothing but ask whether the process is there.
        while unsafe { libc::kill(program, 0) } == 0 {
            assert!(Instant::now() < end, "{command} goes on");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn watch_knows_rings_and_latest_values() {
    if no_tmux() {
        return;
    }
    let name = format!("shmkey screens ring {}", us());
    let ring = Ring::open(name.as_str(), 4096).unwrap();
    let _removed = Removed(ring.segment());
    let mut sender = ring.sender().unwrap();
    while ring.used() < 2048 {
        sender.try_send(&[7; 64]).unwrap();
    }
    let terminal = Terminal::new(80);
    terminal.run(&format!("watch '{name}'"));
    let screen = terminal.wait("the ring", |screen| screen.contains("% full"));
    terminal.assert_fits(&screen);
    assert!(screen.contains(&format!("ring \"{name}\"")), "{screen}");
    assert!(screen.contains("█") && screen.contains("░"), "{screen}");
    assert!(screen.contains("no receiver"), "{screen}");
    terminal.quit("Escape");

    let name = format!("shmkey screens latest {}", us());
    let latest = Latest::<[u8; 32]>::open(name.as_str()).unwrap();
    let _removed = Removed(latest.segment());
    let publisher = RefCell::new(latest.publisher().unwrap());
    terminal.run(&format!("watch '{name}'"));
    terminal.wait_for(
        "versions",
        || {
            publisher.borrow_mut().publish([1; 32]).unwrap();
            terminal.screen()
        },
        |screen| {
            let rate = screen.lines().find_map(|line| {
                let rate = line.strip_prefix("changes")?.split(" versions").next()?;
                rate.trim().parse::<f64>().ok()
            });
            rate.is_some_and(|rate| rate > 1.0) && screen.contains("state    version ")
        },
    );
    terminal.quit("q");
}

#[test]
fn top_shows_what_comes_changes_and_goes() {
    if no_tmux() {
        return;
    }
    for width in WIDTHS {
        let watched = segment(4096);
        let id = watched.id().to_string();
        let terminal = Terminal::new(width);
        terminal.run(&format!("top --interval 100ms --key {}", key(&watched)));
        let row = |screen: &str| {
            let mut lines = screen.lines();
            let row =
                lines.find(|line| line.trim_start_matches("▸").trim_start().starts_with(&id))?;
            Some(row.to_owned())
        };
        let shows = |what: &'static str| {
            move |screen: &str| row(screen).is_some_and(|row| row.contains(what))
        };
        let screen = terminal.wait("the segment", shows("  -  "));
        terminal.assert_fits(&screen);
        assert!(
            screen.contains("attached") && screen.contains("shmmni"),
            "{screen}"
        );
        assert!(screen.contains("segments by id"), "{screen}");

        // What is bright fades, and a busy machine may look too late: so we come until seen.
        let bright = format!("\x1b[7m\x1b[38;5;3m{}", us());
        let mut attached = None;
        let come = || {
            attached = match attached.take() {
                None => Some(watched.attach().unwrap()),
                Some(_) => None,
            };
            thread::sleep(Duration::from_millis(300));
            terminal.coloured()
        };
        terminal.wait_for("who has come", come, |seen| seen.contains(&bright));
        let look = || terminal.coloured();
        terminal.wait_for("what has faded", look, |seen| !seen.contains("\x1b[7m"));
        drop(attached);
        terminal.wait("that no process has it", shows("  -  "));

        terminal.type_keys(&["s"]);
        terminal.type_keys(&["r"]);
        terminal.wait("the order", |screen| {
            screen.contains("segments by key, reversed")
        });
        // Its creator is live.
        terminal.type_keys(&["o"]);
        terminal.wait("the orphans", |screen| {
            screen.contains("only orphans") && row(screen).is_none()
        });
        terminal.type_keys(&["o"]);
        terminal.type_keys(&["m"]);
        terminal.wait("mine", |screen| {
            screen.contains("only mine") && row(screen).is_some()
        });

        terminal.type_keys(&["Enter"]);
        let title = format!("segment {id}");
        terminal.wait("the segment", |screen| screen.contains(&title));
        terminal.type_keys(&["q"]);
        terminal.wait("the list", |screen| screen.contains("segments by key"));

        drop(watched);
        terminal.wait("that it has gone", shows("gone"));
        terminal.wait("that nothing is left", |screen| row(screen).is_none());
        terminal.quit("q");
    }
}

#[test]
fn without_a_terminal_they_say_what_to_use() {
    let segment = segment(4096);
    let said = |arguments: &[&str]| -> (Output, String) {
        let output = Command::new(SHMKEY)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        (output, said)
    };
    let id = segment.id().to_string();
    for (arguments, instead) in [
        (&["watch", &id][..], format!("shmkey dump {id}")),
        (&["top"][..], "shmkey list".to_owned()),
    ] {
        let (output, said) = said(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(&instead), "{said}");
        assert!(output.stdout.is_empty());
    }
    let (output, said) = said(&["watch", &id, "--offset", "4096"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("beyond the end of the segment, which has 4096 bytes"),
        "{said}"
    );
}

/// The id of a child that has locked a mutex, and is dead.
fn dead_holder(mutex: &Mutex<u64>) -> i32 {
    // SAFETY: the child locks, and ends without unlocking.
    let dead = unsafe { libc::fork() };
    if dead == 0 {
        std::mem::forget(mutex.lock());
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for this child.
    unsafe { libc::waitpid(dead, std::ptr::null_mut(), 0) };
    dead
}

/// Where there is little room, names are shortened, but never the key and the state.
#[test]
fn list_never_cuts_the_key_and_the_state() {
    if no_tmux() {
        return;
    }
    let name = |what| format!("a name that is too long for a table, {what} {}", us());
    let ring = Ring::open(name("ring").as_str(), 64).unwrap();
    let mutex = Mutex::<u64>::open(name("mutex").as_str(), 0).unwrap();
    let _removed = [ring.segment(), mutex.segment()].map(Removed);
    ring.sender().unwrap().send(&[0; 56]).unwrap();
    let locked = format!("locked by {} (dead)", dead_holder(&mutex));
    for width in [80, 120] {
        let terminal = Terminal::new(width);
        terminal.run("list");
        let is_complete =
            |screen: &str| screen.contains("Limits:") && screen.trim_end().ends_with("ready$");
        let screen = terminal.wait_for("the list", || terminal.history(), is_complete);
        terminal.assert_fits(&screen);
        for (segment, state) in [(mutex.segment(), &*locked), (ring.segment(), "100% full")] {
            let row = screen.lines().find(|line| line.contains(&key(&segment)));
            assert!(row.is_some_and(|row| row.contains(state)), "{screen}");
        }
    }
}
