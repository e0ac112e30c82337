//! The terminal, for the commands that fill it.

use crate::{
    output::Failure,
    table::{self, Cell},
    words,
};
use anstyle::{AnsiColor, Effects};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};
use std::{
    env,
    io::{self, IsTerminal},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};
use unicode_width::UnicodeWidthStr;

/// The whole terminal. Dropping this restores its former state; so does a panic, before its
/// message is printed.
pub struct Screen {
    terminal: DefaultTerminal,
    colours: bool,
}

/// What ended the wait for a key.
pub enum Input {
    Key(KeyCode),
    /// The terminal has another size.
    Resize,
    /// Nothing happened until the given time.
    Time,
    /// Ctrl-C, or a signal.
    Stop,
}

impl Screen {
    /// Takes the terminal for a command. Without one, the error names the command to use `instead`.
    pub fn open(command: &str, instead: &str) -> Result<Screen, Failure> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Failure::Because(format!(
                "{command} needs a terminal; without one, use {instead}"
            )));
        }
        catch_signals();
        Ok(Screen {
            terminal: ratatui::try_init()?,
            colours: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        })
    }

    pub fn area(&self) -> Result<Rect, Failure> {
        Ok(Rect::from((
            ratatui::layout::Position::ORIGIN,
            self.terminal.size()?,
        )))
    }

    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame)) -> Result<(), Failure> {
        let colours = self.colours;
        self.terminal.draw(|frame| {
            picture(frame);
            if !colours {
                for cell in &mut frame.buffer_mut().content {
                    (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
                }
            }
        })?;
        Ok(())
    }

    /// Waits for a key until a time.
    pub fn input(&self, until: Instant) -> Result<Input, Failure> {
        /// The longest time until a signal is noticed.
        const SLICE: Duration = Duration::from_millis(100);
        loop {
            if STOP.load(Relaxed) {
                return Ok(Input::Stop);
            }
            let left = until.saturating_duration_since(Instant::now());
            // `event::poll` does not notice that the terminal has gone, and would wait for ever.
            if has_gone(left.min(SLICE)) {
                return Ok(Input::Stop);
            }
            if !event::poll(Duration::ZERO)? {
                if left.is_zero() {
                    return Ok(Input::Time);
                }
                continue;
            }
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Release => {}
                Event::Key(key) if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    if matches!(key.code, KeyCode::Char('c' | 'd')) {
                        STOP.store(true, Relaxed);
                    }
                }
                Event::Key(key) => return Ok(Input::Key(key.code)),
                Event::Resize(..) => return Ok(Input::Resize),
                _ => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone away needs nothing.
        let _ = ratatui::try_restore();
    }
}

/// Whether a signal or a key has asked the program to end.
static STOP: AtomicBool = AtomicBool::new(false);

fn catch_signals() {
    extern "C" fn stop(_: libc::c_int) {
        STOP.store(true, Relaxed);
    }
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        // SAFETY: the handler does nothing but store into an atomic.
        unsafe { libc::signal(signal, stop as extern "C" fn(_) as libc::sighandler_t) };
    }
}

/// Waits for input for at most this time; returns whether the terminal has gone.
fn has_gone(most: Duration) -> bool {
    let mut terminal = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: libc::POLLIN,
        revents: 0,
    };
    // Rounded up, or the last part of a millisecond would be spent in a loop.
    let most = most.as_micros().div_ceil(1_000) as libc::c_int;
    // SAFETY: `terminal` is one such structure, and lives on.
    let found = unsafe { libc::poll(&mut terminal, 1, most) };
    found > 0 && terminal.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}

/// Returns the place that a key moves to from `at`, among `0..=last`, of which `page` are on the screen.
pub fn moved(key: KeyCode, at: usize, page: usize, last: usize) -> Option<usize> {
    let to = match key {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => at.saturating_add(1),
        KeyCode::PageUp => at.saturating_sub(page),
        KeyCode::PageDown => at.saturating_add(page),
        KeyCode::Home => 0,
        KeyCode::End => last,
        _ => return None,
    };
    Some(to.min(last))
}

const PACES: [u64; 10] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// The next longer or shorter interval, for `+` and `-`.
pub fn paced(key: KeyCode, interval: Duration) -> Option<Duration> {
    let mut paces = PACES.map(Duration::from_millis).into_iter();
    match key {
        KeyCode::Char('+' | '=') => paces.find(|&pace| pace > interval),
        KeyCode::Char('-') => paces.rfind(|&pace| pace < interval),
        _ => None,
    }
}

/// An interval from the command line: `100ms`, `1s`.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text)
        .map_err(|_| "expected a duration such as 100ms, 1s or 1min".to_owned())?;
    match interval {
        _ if interval < Duration::from_millis(10) => Err("10ms is the shortest".to_owned()),
        _ if interval > Duration::from_secs(3_600) => Err("1h is the longest".to_owned()),
        _ => Ok(interval),
    }
}

/// The style of something that changed this long ago: first inverse, which is visible without colours; `None` after a
/// second and a half.
pub fn lit(colour: AnsiColor, age: Duration) -> Option<anstyle::Style> {
    match age.as_millis() {
        0..400 => Some(colour.on_default().invert()),
        400..1_500 => Some(colour.on_default().bold()),
        _ => None,
    }
}

/// Converts a style of the other commands' output.
pub fn style(of: anstyle::Style) -> Style {
    let mut style = Style::new();
    if let Some(anstyle::Color::Ansi(colour)) = of.get_fg_color() {
        style.fg = Some(Color::Indexed(anstyle::Ansi256Color::from(colour).0));
    }
    for (effect, modifier) in [
        (Effects::BOLD, Modifier::BOLD),
        (Effects::DIMMED, Modifier::DIM),
        (Effects::INVERT, Modifier::REVERSED),
        (Effects::STRIKETHROUGH, Modifier::CROSSED_OUT),
    ] {
        if of.get_effects().contains(effect) {
            style = style.add_modifier(modifier);
        }
    }
    style
}

/// A line of a table.
pub fn line(cells: Vec<Cell>) -> Line<'static> {
    let spans = cells
        .into_iter()
        .map(|cell| Span::styled(cell.text, style(cell.style)));
    spans.collect::<Vec<_>>().into()
}

/// A title, cut to the width, and a note at the end of the line.
pub fn title(what: &str, how: Span<'static>, width: u16) -> Line<'static> {
    let width = usize::from(width);
    let what = table::cut(what, width.saturating_sub(how.width() + 1));
    let what = Span::styled(what, Style::new().add_modifier(Modifier::BOLD));
    let gap = width.saturating_sub(what.width() + how.width());
    Line::from(vec![what, " ".repeat(gap).into(), how])
}

/// Keys and what they do, as many as fit.
pub fn keys(keys: &[(&'static str, &'static str)], width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let mut used = 0;
    for (key, does) in keys {
        used += key.width() + does.width() + 3;
        if used > usize::from(width) {
            break;
        }
        spans.push(Span::styled(
            format!(" {key}"),
            Style::new().add_modifier(Modifier::BOLD),
        ));
        spans.push(Span::styled(
            format!(" {does} "),
            Style::new().add_modifier(Modifier::DIM),
        ));
    }
    spans.into()
}

/// Shows a help text instead of everything but the keys.
pub fn help(frame: &mut Frame, text: &str, keys: &[(&'static str, &'static str)]) {
    let area = frame.area();
    let footer = Constraint::Length(u16::from(area.height > 2));
    let [body, footer] = Layout::vertical([Constraint::Min(0), footer]).areas(area);
    let lines = words::wrapped(text, area.width.into());
    let lines: Vec<Line> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines), body);
    frame.render_widget(Paragraph::new(self::keys(keys, area.width)), footer);
}

/// Sizes of terminals: columns and lines.
#[cfg(test)]
pub fn sizes() -> impl Iterator<Item = (u16, u16)> {
    let widths = [1, 2, 9, 24, 80, 200].into_iter();
    widths.flat_map(|width| [1, 3, 7, 24].map(|height| (width, height)))
}

/// The lines on a terminal of this size.
#[cfg(test)]
pub fn picture(width: u16, height: u16, draw: impl FnOnce(&mut Frame)) -> Vec<String> {
    use ratatui::{Terminal, backend::TestBackend, buffer::Cell};
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(draw).unwrap();
    let cells = &terminal.backend().buffer().content;
    let text = |line: &[Cell]| line.iter().map(Cell::symbol).collect();
    cells.chunks(width.into()).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_within_what_there_is() {
        assert_eq!(moved(KeyCode::Up, 0, 10, 99), Some(0));
        assert_eq!(moved(KeyCode::Char('j'), 5, 10, 99), Some(6));
        assert_eq!(moved(KeyCode::PageDown, 95, 10, 99), Some(99));
        assert_eq!(moved(KeyCode::End, 0, 10, 0), Some(0));
        assert_eq!(moved(KeyCode::Char('x'), 5, 10, 99), None);
    }

    #[test]
    fn intervals() {
        let ms = Duration::from_millis;
        assert_eq!(interval("100ms"), Ok(ms(100)));
        for wrong in ["", "0s", "1ms", "2h", "fast"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
        assert_eq!(paced(KeyCode::Char('+'), ms(100)), Some(ms(200)));
        assert_eq!(paced(KeyCode::Char('-'), ms(60)), Some(ms(50)));
        assert_eq!(paced(KeyCode::Char('-'), ms(10)), None);
    }
}
