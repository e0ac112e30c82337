//! The command in a real terminal, narrow and wide.

mod support;

use shmkey::{Attachment, Broadcast, Latest, Mutex, Ring, Segment};
use std::{
    cell::{Cell, RefCell},
    fs,
    mem::ManuallyDrop,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use support::{Child, Name};

/// The widths of the terminals.
const WIDTHS: [usize; 2] = [80, 200];

const SHMKEY: &str = env!("CARGO_BIN_EXE_shmkey");

/// A terminal that runs a shell. Dropping it ends both.
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

    /// The text on the screen; a line that the terminal has broken is one line.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// The same with its colours.
    fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// The same with what has scrolled off the screen.
    fn history(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// Waits until the screen shows what is expected, and returns the screen.
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
            assert!(Instant::now() < end, "no {what} on the screen:\n{seen}");
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

    /// Quits, which restores the terminal.
    fn quit(&self, key: &str) {
        self.type_keys(&[key]);
        self.expect_restored();
    }

    fn expect_restored(&self) {
        self.wait("the shell", |screen| {
            let lines = screen.trim_end().lines();
            lines.last() == Some("ready$") && !screen.contains("q quit")
        });
        // It echoes what is typed, and ends lines at the left margin.
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

/// Runs a test in a terminal of each width; skips it without tmux.
fn in_terminals(widths: &[usize], test: impl Fn(&Terminal)) {
    if !support::skipped("tmux", support::succeeds("tmux", &["-V"])) {
        widths.iter().for_each(|&width| test(&Terminal::new(width)));
    }
}

/// A segment with a key. Dropping this removes it.
fn segment(size: usize) -> Segment {
    // The segment removes itself.
    let name = ManuallyDrop::new(Name::new());
    let options = Segment::options().create(true).remove_on_drop(true);
    options.size(size).open(name.key()).unwrap()
}

fn key(segment: &Segment) -> String {
    format!("{:#010x}", segment.status().unwrap().key.as_raw())
}

fn us() -> String {
    std::process::id().to_string()
}

/// Alternates the bytes at an offset until a cell on the screen is bright: bright cells fade, and a busy machine may
/// look too late.
fn expect_bright(terminal: &Terminal, memory: &Attachment, offset: usize, text: &[u8]) -> String {
    let mut turn = 0;
    let change = || {
        turn += 1;
        let shown = [&vec![b'.'; text.len()][..], text];
        memory.write_at(offset, shown[turn % 2]).unwrap();
        thread::sleep(Duration::from_millis(100));
        terminal.coloured()
    };
    let text = String::from_utf8_lossy(text);
    let is_bright = |seen: &str| seen.contains(&*text) && seen.contains("\x1b[7m");
    terminal.wait_for("changed bytes", change, is_bright)
}

#[test]
fn list_fits() {
    let segment = segment(4096);
    let _attached = segment.attach().unwrap();
    in_terminals(&WIDTHS, |terminal| {
        terminal.run(&format!("list --key {}", key(&segment)));
        let screen = terminal.wait("list", |screen| screen.contains("1 of "));
        terminal.assert_fits(&screen);
        let id = segment.id().to_string();
        let mut lines = screen.lines();
        let row = lines.find(|line| line.trim_start().starts_with(&id));
        let row = row.unwrap_or_else(|| panic!("{screen}"));
        assert!(row.contains(&us()) && row.contains("4 KiB"), "{row}");
        assert!(screen.contains("attached") && !screen.contains("nattch"));
        let coloured = terminal.coloured();
        assert!(coloured.contains("\x1b[1mattached"), "{coloured}");
    });
}

#[test]
fn map_fits_and_draws_lines() {
    let segment = segment(4096);
    let _attached = segment.attach().unwrap();
    in_terminals(&WIDTHS, |terminal| {
        terminal.run("map");
        let is_complete =
            |screen: &str| screen.contains("● may write") && screen.trim_end().ends_with("ready$");
        let screen = terminal.wait_for("map", || terminal.history(), is_complete);
        terminal.assert_fits(&screen);
        let process = format!("╭─ {}", us());
        let column = screen.lines().find_map(|line| {
            let column = line.find(&process)?;
            Some(line[..column].chars().count())
        });
        let column = column.unwrap_or_else(|| panic!("a process is missing: {screen}"));
        let id = segment.id().to_string();
        let row = screen.lines().find(|line| line.starts_with(&id)).unwrap();
        assert_eq!(row.chars().nth(column), Some('●'), "{screen}");
    });
}

#[test]
fn watch_lights_up_what_changes() {
    let segment = segment(1 << 20);
    let memory = segment.attach().unwrap();
    in_terminals(&WIDTHS, |terminal| {
        terminal.run(&format!("watch {} --interval 50ms", segment.id()));
        let title = format!("segment {}", segment.id());
        let screen = terminal.wait("segment", |screen| {
            screen.contains(&title) && screen.contains("q quit")
        });
        terminal.assert_fits(&screen);
        for text in [
            &us(),
            ", and this view",
            "1048576 bytes (1 MiB)",
            "every 50ms",
        ] {
            assert!(screen.contains(text), "{text}: {screen}");
        }
        let text = format!("wide {}", terminal.width);
        expect_bright(terminal, &memory, 100, text.as_bytes());
        memory.write_at(100, text.as_bytes()).unwrap();
        terminal.wait("rate", |screen| !screen.contains("changes  0 per"));
        terminal.wait_for(
            "faded bytes",
            || terminal.coloured(),
            |seen| !seen.contains("\x1b[7m"),
        );
        terminal.quit("q");
    });
}

#[test]
fn watch_pauses_and_scrolls() {
    let segment = segment(1 << 20);
    let memory = segment.attach().unwrap();
    memory.write_at(100, b"before").unwrap();
    in_terminals(&WIDTHS[..1], |terminal| {
        terminal.run(&format!("watch {} --interval 50ms", segment.id()));
        terminal.wait("bytes", |screen| screen.contains("before"));
        terminal.type_keys(&["Space"]);
        terminal.wait("pause", |screen| screen.contains("paused"));
        memory.write_at(100, b"unseen").unwrap();
        terminal.type_keys(&["Down", "Up", "+", "?"]);
        terminal.wait("help", |screen| screen.contains("show this help"));
        terminal.type_keys(&["Escape"]);
        let screen = terminal.wait("bytes", |screen| screen.contains("before"));
        assert!(!screen.contains("unseen"), "{screen}");
        terminal.type_keys(&["Space"]);
        let screen = terminal.wait("new bytes", |screen| screen.contains("unseen"));
        assert!(screen.contains("every 100ms"), "{screen}");
        terminal.type_keys(&["End"]);
        terminal.wait("end", |screen| screen.contains("to 1048575 of 1048576"));
        terminal.type_keys(&["PageUp"]);
        terminal.wait("page before", |screen| !screen.contains("to 1048575 "));
        terminal.type_keys(&["Home"]);
        terminal.wait("beginning", |screen| screen.contains("bytes 0 to "));
        terminal.quit("q");
    });
}

/// Starts `watch` of a segment that holds `abc`, and waits until it shows that.
fn watch_abc(terminal: &Terminal, segment: &Segment, prefix: &str) {
    terminal.run(&format!("{prefix}watch {}", segment.id()));
    terminal.wait("bytes", |screen| screen.contains("61 62 63"));
}

#[test]
fn watch_without_colours_is_bright() {
    let segment = segment(3);
    let memory = segment.attach().unwrap();
    memory.write_at(0, b"abc").unwrap();
    in_terminals(&[80], |terminal| {
        watch_abc(
            terminal,
            &segment,
            &format!("list > /dev/null; NO_COLOR=1 {SHMKEY} "),
        );
        let coloured = expect_bright(terminal, &memory, 0, b"xyz");
        assert!(!coloured.contains("[38;5;"), "{coloured}");
        terminal.quit("C-c");
    });
}

#[test]
fn watch_survives_resizing_signals_and_removal() {
    in_terminals(&[80], |terminal| {
        let segment = segment(3);
        segment.attach().unwrap().write_at(0, b"abc").unwrap();
        watch_abc(terminal, &segment, "");
        for (width, height) in [("40", "10"), ("12", "4"), ("3", "1"), ("100", "30")] {
            terminal.tmux(&["resize-window", "-x", width, "-y", height]);
            thread::sleep(Duration::from_millis(150));
        }
        let screen = terminal.wait("bytes", |screen| screen.contains("61 62 63"));
        assert_eq!(screen.trim_end().lines().count(), 30, "{screen}");
        // SAFETY: sends a signal to a child of the terminal's own shell.
        unsafe { libc::kill(terminal.program(), libc::SIGTERM) };
        terminal.expect_restored();
        watch_abc(terminal, &segment, "");
        drop(segment);
        let screen = terminal.wait("end", |screen| screen.contains("removed; last bytes"));
        assert!(screen.contains("61 62 63"), "{screen}");
        terminal.quit("q");
    });
}

#[test]
fn watch_and_top_end_with_the_terminal() {
    let watched = segment(4096);
    for command in [format!("watch {}", watched.id()), "top".to_owned()] {
        let program = Cell::new(None);
        in_terminals(&[80], |terminal| {
            // Also where SIGHUP is ignored.
            terminal.type_keys(&["trap '' HUP", "Enter"]);
            terminal.run(&command);
            terminal.wait("keys", |screen| screen.contains("q quit"));
            program.set(Some(terminal.program()));
        });
        let Some(program) = program.get() else { return };
        let end = Instant::now() + Duration::from_secs(30);
        // SAFETY: signal 0 only asks whether the process exists.
        while unsafe { libc::kill(program, 0) } == 0 {
            assert!(Instant::now() < end, "{command} goes on");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn watch_shows_the_state_of_a_ring() {
    let name = Name::new();
    let ring = Ring::open(name.0.as_str(), 4096).unwrap();
    let mut sender = ring.sender().unwrap();
    while ring.used() < 2048 {
        sender.try_send(&[7; 64]).unwrap();
    }
    in_terminals(&[80], |terminal| {
        terminal.run(&format!("watch '{}'", name.0));
        let screen = terminal.wait("ring", |screen| screen.contains("% full"));
        terminal.assert_fits(&screen);
        for text in [&format!("ring \"{}\"", name.0), "█", "░", "no receiver"] {
            assert!(screen.contains(text), "{text}: {screen}");
        }
        terminal.quit("Escape");
    });
}

#[test]
fn watch_counts_versions() {
    let name = Name::new();
    let latest = Latest::<[u8; 32]>::open(name.0.as_str()).unwrap();
    let publisher = RefCell::new(latest.publisher().unwrap());
    in_terminals(&[80], |terminal| {
        terminal.run(&format!("watch '{}'", name.0));
        let publish = || {
            publisher.borrow_mut().publish([1; 32]).unwrap();
            terminal.screen()
        };
        let rate = |line: &str| -> Option<f64> {
            let rate = line.strip_prefix("changes")?.split(" versions").next()?;
            rate.trim().parse().ok()
        };
        terminal.wait_for("versions", publish, |screen| {
            let rate = screen.lines().find_map(rate);
            rate.is_some_and(|rate| rate > 1.0) && screen.contains("state    version ")
        });
        terminal.quit("q");
    });
}

#[test]
fn watch_shows_who_takes_part_in_a_broadcast() {
    let name = Name::new();
    let news = Broadcast::open(name.0.as_str(), 4096).unwrap();
    let _subscriber = news.subscribe().unwrap();
    news.publisher().unwrap().publish(b"headline").unwrap();
    in_terminals(&[80], |terminal| {
        terminal.run(&format!("watch '{}'", name.0));
        let screen = terminal.wait("the message", |screen| screen.contains("headline"));
        assert!(screen.contains("1 published, 1 subscriber"), "{screen}");
        assert!(screen.contains("no publisher, subscriber "), "{screen}");
        assert!(screen.contains("── messages "), "{screen}");
        terminal.quit("q");
    });
}

/// The row of a segment in `top`.
fn row(screen: &str, id: &str) -> Option<String> {
    let is_row = |line: &&str| line.trim_start_matches("▸").trim_start().starts_with(id);
    screen.lines().find(is_row).map(str::to_owned)
}

#[test]
fn top_shows_new_changed_and_gone_segments() {
    in_terminals(&WIDTHS, |terminal| {
        let watched = segment(4096);
        let id = watched.id().to_string();
        terminal.run(&format!("top --interval 100ms --key {}", key(&watched)));
        let shows = |what: &'static str| {
            let id = id.clone();
            move |screen: &str| row(screen, &id).is_some_and(|row| row.contains(what))
        };
        let screen = terminal.wait("segment", shows("  -  "));
        terminal.assert_fits(&screen);
        for text in ["attached", "shmmni", "segments by id"] {
            assert!(screen.contains(text), "{text}: {screen}");
        }
        // Attaches and detaches until the change is seen: bright cells fade.
        let bright = format!("\x1b[7m\x1b[38;5;3m{}", us());
        let mut attached = None;
        let change = || {
            attached = if attached.is_some() {
                None
            } else {
                Some(watched.attach().unwrap())
            };
            thread::sleep(Duration::from_millis(300));
            terminal.coloured()
        };
        terminal.wait_for("new user", change, |seen| seen.contains(&bright));
        drop(attached);
        drop(watched);
        terminal.wait("gone segment", shows("gone"));
        terminal.wait("end of its row", |screen| row(screen, &id).is_none());
        terminal.quit("q");
    });
}

#[test]
fn top_sorts_filters_and_watches() {
    let watched = segment(4096);
    let id = watched.id().to_string();
    in_terminals(&WIDTHS[..1], |terminal| {
        terminal.run(&format!("top --interval 100ms --key {}", key(&watched)));
        terminal.wait("segment", |screen| row(screen, &id).is_some());
        terminal.type_keys(&["s", "r"]);
        let reversed = |screen: &str| screen.contains("segments by key, reversed");
        terminal.wait("order", reversed);
        // Its creator is live.
        terminal.type_keys(&["o"]);
        terminal.wait("orphans", |screen| {
            screen.contains("only orphans") && row(screen, &id).is_none()
        });
        terminal.type_keys(&["o", "m"]);
        terminal.wait("own segments", |screen| {
            screen.contains("only mine") && row(screen, &id).is_some()
        });
        terminal.type_keys(&["?"]);
        terminal.wait("help", |screen| screen.contains("show this help"));
        terminal.type_keys(&["?", "Enter"]);
        let title = format!("segment {id}");
        terminal.wait("segment", |screen| screen.contains(&title));
        terminal.type_keys(&["q"]);
        terminal.wait("list", reversed);
        terminal.quit("q");
    });
}

/// `top` has read what orphans hold, as `list` does, and need not say "unless".
#[test]
fn top_says_the_same_of_orphans_as_list() {
    let name = Name::new();
    name.create("100");
    in_terminals(&[120], |terminal| {
        terminal.run(&format!("top --key {}", name.key()));
        let screen = terminal.wait("orphan", |screen| screen.contains("1 orphan:"));
        assert!(
            screen.contains(" removes it.") && !screen.contains("unless"),
            "{screen}"
        );
        terminal.quit("q");
    });
}

#[test]
fn without_a_terminal_they_say_what_to_use() {
    let segment = segment(4096);
    let id = segment.id().to_string();
    let dump = format!("shmkey dump {id}");
    let beyond = "beyond the end of the segment, which has 4096 bytes";
    for (arguments, said) in [
        (&["watch", &id][..], &*dump),
        (&["top"], "shmkey list"),
        (&["watch", &id, "--offset", "4096"], beyond),
    ] {
        let why = support::refusal(arguments);
        assert!(why.contains(said), "{why}");
    }
}

/// In a narrow terminal, names are shortened, but never the key and the state.
#[test]
fn list_never_cuts_the_key_and_the_state() {
    let name = |what| {
        Name(format!(
            "a name that is too long for a table, {what} {}",
            us()
        ))
    };
    let (ring_name, mutex_name) = (name("ring"), name("mutex"));
    let ring = Ring::open(ring_name.0.as_str(), 64).unwrap();
    ring.sender().unwrap().send(&[0; 56]).unwrap();
    let mutex = Mutex::<u64>::open(mutex_name.0.as_str(), 0).unwrap();
    let holder = Child::new(|| std::mem::forget(mutex.lock().unwrap()));
    let locked = format!("locked by {} (dead)", holder.pid());
    holder.kill();
    in_terminals(&[80, 120], |terminal| {
        terminal.run("list");
        let is_complete =
            |screen: &str| screen.contains("Limits:") && screen.trim_end().ends_with("ready$");
        let screen = terminal.wait_for("list", || terminal.history(), is_complete);
        terminal.assert_fits(&screen);
        for (segment, state) in [(mutex.segment(), &*locked), (ring.segment(), "100% full")] {
            let row = screen.lines().find(|line| line.contains(&key(&segment)));
            assert!(row.is_some_and(|row| row.contains(state)), "{screen}");
        }
    });
}
