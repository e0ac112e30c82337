//! The command line.

use crate::{Failure, incoming::MOST_WAITING};
use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

/// What `--help` prints.
pub const HELP: &str = "\
Carries shared-memory objects between machines, over Zenoh.

Usage: shmkey-bridge [--publish NAME]... [--subscribe NAME]... [--connect ADDRESS]... [--listen ADDRESS]...
       shmkey-bridge --status [HOST:PORT]

What to carry:
  --publish NAME        takes messages, values or posts from the object NAME on this machine
  --subscribe NAME      delivers what other machines publish as NAME into the object NAME on this machine;
                        creates it if it does not exist

With whom:
  --connect ADDRESS     connects to a bridge or a router: tcp/HOST:PORT or tls/HOST:PORT
  --listen ADDRESS      lets other bridges connect: tcp/0.0.0.0:7447
  --mode MODE           peer (the default), client or router
  --config FILE         a configuration file of Zenoh, for TLS and access control; --connect, --listen and
                        --mode replace its entries
  --name NAME           the name of this machine in the logs; its host name by default

When the other machine or the network is slow:
  --when-full block     senders of lossless objects wait (the default)
  --when-full shed      messages of lossless objects are dropped and counted before senders have to wait
  --window SIZE         the most bytes under way, for each object; 1M by default, at most 64M
  --peer-timeout SECS   how long a bridge may be silent before a broadcast no longer waits for it: 1 or more;
                        30 by default
  --drain SECS          how long the bridge waits for deliveries before it ends; 10 by default

Objects that the bridge creates:
  --mode-bits MODE      their permission bits; 0600 by default
  --max-size SIZE       the size of the largest one; 64M by default

Watching the bridge:
  --metrics [HOST:PORT] serves the counters as Prometheus text at /metrics; 127.0.0.1:9464 by default
  --status [HOST:PORT]  prints the counters of a bridge that was started with --metrics
  --log LEVEL           error, warn, info (the default), debug or trace, to standard error
  --help, --version
";

/// The shortest `--peer-timeout`: a few times [`HEARTBEAT`](crate::HEARTBEAT), so that a live bridge is not taken for one
/// that is silent.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// The address at which counters are served by default.
pub const METRICS: &str = "127.0.0.1:9464";

/// What happens to a lossless object when the network is slower than its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The sender waits.
    Block,
    /// Messages are dropped and counted.
    Shed,
}

/// The task of the bridge, as the command line states it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The objects to publish.
    pub publish: Vec<String>,
    /// The objects to subscribe to.
    pub subscribe: Vec<String>,
    /// The addresses to connect to.
    pub connect: Vec<String>,
    /// The addresses at which others may connect.
    pub listen: Vec<String>,
    /// The mode of Zenoh: peer, client or router.
    pub mode: Option<String>,
    /// The configuration file of Zenoh.
    pub config: Option<PathBuf>,
    /// The name of this machine.
    pub name: String,
    /// What happens to lossless objects when the network is slow.
    pub when_full: WhenFull,
    /// The largest number of bytes under way, for each object.
    pub window: usize,
    /// How long a bridge may be silent before a broadcast no longer waits for it.
    pub peer_timeout: Duration,
    /// How long to wait at the end for deliveries.
    pub drain: Duration,
    /// The permission bits of objects that are created.
    pub mode_bits: u32,
    /// The size in bytes of the largest object that is created.
    pub max_size: u64,
    /// The address at which to serve the counters.
    pub metrics: Option<String>,
    /// The address from which to read the counters.
    pub status: Option<String>,
    /// The level of the least important events that are logged.
    pub log: tracing::Level,
    /// The text that `--help` or `--version` prints.
    pub text: Option<String>,
}

impl Options {
    fn new() -> Options {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Options {
            publish: Vec::new(),
            subscribe: Vec::new(),
            connect: Vec::new(),
            listen: Vec::new(),
            mode: None,
            config: None,
            name: host.trim().to_owned(),
            when_full: WhenFull::Block,
            window: 1 << 20,
            peer_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            mode_bits: 0o600,
            max_size: 64 << 20,
            metrics: None,
            status: None,
            log: tracing::Level::INFO,
            text: None,
        }
    }

    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// If one is unknown or malformed, or the options contradict each other.
    pub fn of<A: Into<OsString>>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Options, Failure> {
        let mut options = Options::new();
        let mut parser = lexopt::Parser::from_args(arguments.into_iter().map(Into::into));
        while let Some(argument) = parser.next()? {
            let lexopt::Arg::Long(option) = argument else {
                return Err(argument.unexpected().into());
            };
            let option = option.to_owned();
            options.read(&option, &mut parser)?;
        }
        options.check()?;
        Ok(options)
    }

    fn read(&mut self, option: &str, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        let mut value = || -> Result<String, Failure> {
            let value = parser.value()?;
            value
                .into_string()
                .map_err(|value| Failure(format!("{value:?} is not UTF-8")))
        };
        match option {
            "publish" => self.publish.push(value()?),
            "subscribe" => self.subscribe.push(value()?),
            "connect" => self.connect.push(value()?),
            "listen" => self.listen.push(value()?),
            "mode" => self.mode = Some(one_of(option, value()?, &["peer", "client", "router"])?),
            "config" => self.config = Some(value()?.into()),
            "name" => self.name = value()?,
            "when-full" => {
                let shed = one_of(option, value()?, &["block", "shed"])? == "shed";
                self.when_full = if shed {
                    WhenFull::Shed
                } else {
                    WhenFull::Block
                };
            }
            "window" => self.window = size(option, &value()?)? as usize,
            "peer-timeout" => self.peer_timeout = seconds(option, &value()?)?,
            "drain" => self.drain = seconds(option, &value()?)?,
            "mode-bits" => {
                let bits = value()?;
                let bits = u32::from_str_radix(&bits, 8)
                    .ok()
                    .filter(|bits| bits & !0o777 == 0);
                self.mode_bits = bits.ok_or(Failure(
                    "--mode-bits takes octal bits such as 0660".to_owned(),
                ))?;
            }
            "max-size" => self.max_size = size(option, &value()?)?,
            "log" => {
                let level = one_of(
                    option,
                    value()?,
                    &["error", "warn", "info", "debug", "trace"],
                )?;
                self.log = level.parse().unwrap_or(tracing::Level::INFO);
            }
            "metrics" => self.metrics = Some(address(parser)?),
            "status" => self.status = Some(address(parser)?),
            "help" => self.text = Some(HELP.to_owned()),
            "version" => self.text = Some(format!("shmkey-bridge {}\n", env!("CARGO_PKG_VERSION"))),
            _ => {
                return Err(Failure(format!(
                    "there is no option --{option}; see --help"
                )));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        if self.text.is_some() || self.status.is_some() {
            return Ok(());
        }
        let names = || self.publish.iter().chain(&self.subscribe);
        let both = self
            .publish
            .iter()
            .find(|name| self.subscribe.contains(name));
        let twice = names().find(|name| names().filter(|other| other == name).count() > 1);
        let mut addresses = self.connect.iter().chain(&self.listen);
        let malformed = addresses.find(|address| !is_address(address));
        let why = match (both, twice) {
            (Some(name), _) => format!(
                "{name:?} is both published and subscribed to: its messages would go in a circle"
            ),
            (None, Some(name)) => format!("{name:?} is named twice"),
            _ if names().next().is_none() && self.mode.as_deref() != Some("router") => {
                "there is nothing to carry: name objects with --publish or --subscribe; see --help"
                    .to_owned()
            }
            _ if self.connect.is_empty() && self.listen.is_empty() && self.config.is_none() => {
                "there is no bridge to carry to: give --connect, --listen or --config".to_owned()
            }
            _ if self.window > MOST_WAITING => "--window is at most 64M".to_owned(),
            _ if self.peer_timeout < LEAST_TIMEOUT => {
                "--peer-timeout is at least 1 second: live bridges report every 0.25 seconds"
                    .to_owned()
            }
            _ => {
                let Some(address) = malformed else {
                    return Ok(());
                };
                format!("{address:?} is not an address such as tcp/HOST:PORT or tls/HOST:PORT")
            }
        };
        Err(Failure(why))
    }
}

/// Returns whether Zenoh can use an address: a protocol, a slash, and for TCP and TLS a host and a port. Zenoh would
/// try in vain, without a message, to connect to a host without a port.
fn is_address(address: &str) -> bool {
    match address.split_once('/') {
        Some(("tcp" | "tls", rest)) => {
            let host = rest.split(['?', '#']).next().unwrap_or_default();
            let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(_)))
        }
        Some((protocol, rest)) => !protocol.is_empty() && !rest.is_empty(),
        None => false,
    }
}

fn one_of(option: &str, value: String, allowed: &[&str]) -> Result<String, Failure> {
    if allowed.contains(&&*value) {
        return Ok(value);
    }
    Err(Failure(format!(
        "--{option} takes one of {}, not {value:?}",
        allowed.join(", ")
    )))
}

fn seconds(option: &str, value: &str) -> Result<Duration, Failure> {
    let seconds = value
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| Failure(format!("--{option} takes seconds, not {value:?}")))
}

/// Reads a number of bytes: 4096, 64K, 1M or 2G.
fn size(option: &str, value: &str) -> Result<u64, Failure> {
    let (digits, shift) = match value.as_bytes() {
        [.., b'K'] => (&value[..value.len() - 1], 10),
        [.., b'M'] => (&value[..value.len() - 1], 20),
        [.., b'G'] => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    let number = digits
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(1 << shift));
    number.ok_or_else(|| {
        Failure(format!(
            "--{option} takes a size such as 4096, 64K or 1M, not {value:?}"
        ))
    })
}

/// Reads an address if the next argument is one; otherwise returns [`METRICS`].
fn address(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    if let Some(value) = parser.optional_value() {
        return Ok(value.to_string_lossy().into_owned());
    }
    let mut arguments = parser.raw_args()?;
    let is_address = |argument: &std::ffi::OsStr| !argument.to_string_lossy().starts_with('-');
    let next = arguments.next_if(is_address);
    Ok(next.map_or(METRICS.to_owned(), |value| {
        value.to_string_lossy().into_owned()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = "--publish a --subscribe b --connect tcp/h:7447 --window 64K --metrics --when-full shed \
                       --drain 2.5 --mode-bits 0660";
        let options = Options::of(options.split_whitespace()).unwrap();
        assert_eq!(
            (&options.publish[0][..], &options.subscribe[0][..]),
            ("a", "b")
        );
        assert_eq!(
            (options.window, options.when_full),
            (64 << 10, WhenFull::Shed)
        );
        assert_eq!(options.drain, Duration::from_millis(2500));
        assert_eq!(
            (options.metrics.as_deref(), options.mode_bits),
            (Some(METRICS), 0o660)
        );
        let options = Options::of(["--status", "localhost:1"]).unwrap();
        assert_eq!(options.status.as_deref(), Some("localhost:1"));
    }

    #[test]
    fn wrong_options_are_refused_with_the_reason() {
        for (arguments, why) in [
            ("--publish a --subscribe a --listen x", "in a circle"),
            ("--publish a --publish a --listen x", "twice"),
            ("--listen x", "nothing to carry"),
            ("--publish a", "no bridge to carry to"),
            ("--publish a --listen x --window 65M", "at most 64M"),
            ("--publish a --connect h:7447", "tcp/HOST:PORT"),
            ("--publish a --listen tcp/h", "tcp/HOST:PORT"),
            ("--publish a --listen x --window 1X", "such as 4096"),
            ("--publish a --listen x --drain -1", "takes seconds"),
            (
                "--publish a --listen x --peer-timeout 0",
                "at least 1 second",
            ),
            ("--publish a --listen x --mode moon", "one of peer"),
            ("--publish a --listen x --mode-bits 9", "octal"),
            ("--publsh a", "no option --publsh"),
            ("a", "unexpected"),
        ] {
            let Failure(text) = Options::of(arguments.split_whitespace()).unwrap_err();
            assert!(text.contains(why), "{arguments}: {text}");
        }
    }
}
