//! The session with Zenoh, and the keys of objects.
//!
//! | key | packets |
//! |---|---|
//! | `shmkey/1/NAME/from/INSTANCE` | offers and messages of the publishing bridge with this instance |
//! | `shmkey/1/NAME/to/INSTANCE` | requests and acknowledgements to that bridge, from bridges that subscribe |
//!
//! So the access control in Zenoh's configuration can allow a machine to publish an object, to subscribe to it, or
//! neither.
//! In NAME, each byte other than an ASCII letter, digit, `-`, `_` or `.` is written as `%` and two hexadecimal digits.

use crate::{
    Failure,
    counters::AllCounters,
    options::{Options, WhenFull},
    sockets,
};
use bytes::Bytes;
use std::{
    collections::hash_map::RandomState,
    fmt::Write,
    fs,
    hash::BuildHasher,
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};
use tracing::{debug, info};
use zenoh::{
    Config, Session, Wait,
    pubsub::{Publisher, Subscriber},
    qos::CongestionControl,
    sample::Locality,
};

/// The session with Zenoh, and how this bridge identifies itself.
#[derive(Clone)]
pub struct Network {
    session: Session,
    /// The instance of this bridge: a random number.
    pub instance: u64,
    /// The name of this machine.
    pub host: String,
    /// The counters of all objects.
    pub counters: AllCounters,
}

/// A key under which this bridge puts packets.
pub struct Channel {
    /// `None` while it is being dropped.
    way: Option<Way>,
    thread: Option<thread::JoinHandle<()>>,
    /// The subscription to the packets that come back.
    _answers: Option<Subscription>,
}

/// How packets get to Zenoh.
enum Way {
    /// At once: the caller waits while the link is full.
    Direct(Publisher<'static>),
    /// By a thread of its own: a caller that sheds messages must not wait for the network.
    Thread(SyncSender<Bytes>),
}

/// The largest number of packets that wait for a channel's thread. Unless the packets are short, the window is full
/// before so many wait.
const MOST_QUEUED: usize = 1 << 14;

/// A subscription to packets, which ends when it is dropped.
pub struct Subscription {
    _subscriber: Subscriber<()>,
}

impl Network {
    /// Opens a session, which connects in the background, and reconnects after each failure.
    ///
    /// # Errors
    /// If the configuration is wrong, or an address to listen at is in use.
    pub fn open(options: &Options) -> Result<Network, Failure> {
        let config = config(options)?;
        if options.config.is_none() {
            sockets::limit()?;
        }
        let session = zenoh::open(config).wait()?;
        info!(zid = %session.zid(), "connecting in the background");
        Ok(Network {
            session,
            instance: RandomState::new().hash_one(std::process::id()) >> 2,
            host: options.name.clone(),
            counters: AllCounters::default(),
        })
    }

    /// Returns the channel of an object that this bridge publishes. Threads of Zenoh call `answer` with each packet
    /// that comes back. With [`WhenFull::Shed`], a thread puts the packets.
    ///
    /// # Errors
    /// Those of Zenoh.
    pub fn publisher(
        &self,
        name: &str,
        when_full: WhenFull,
        answer: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> Result<Channel, Failure> {
        let answers = self
            .session
            .declare_subscriber(key(name, "to", self.instance)?);
        let answers = answers.callback(move |sample| answer(&sample.payload().to_bytes()));
        let answers = Subscription {
            _subscriber: answers.allowed_origin(Locality::Remote).wait()?,
        };
        let mut channel = self.channel(key(name, "from", self.instance)?, Some(answers))?;
        if when_full == WhenFull::Shed {
            channel.put_in_thread()?;
        }
        Ok(channel)
    }

    /// Returns a channel to a publishing bridge.
    ///
    /// # Errors
    /// Those of Zenoh.
    pub fn to_publisher(&self, name: &str, instance: u64) -> Result<Channel, Failure> {
        self.channel(key(name, "to", instance)?, None)
    }

    /// Subscribes to what other bridges publish under this name. Threads of Zenoh call `take` with each packet, and
    /// with the instance in its key.
    ///
    /// # Errors
    /// Those of Zenoh.
    pub fn subscriber(
        &self,
        name: &str,
        take: impl Fn(Option<u64>, &[u8]) + Send + Sync + 'static,
    ) -> Result<Subscription, Failure> {
        let subscriber = self
            .session
            .declare_subscriber(format!("{}/from/*", prefix(name)?));
        let subscriber = subscriber.callback(move |sample| {
            let instance = sample.key_expr().as_str().rsplit('/').next();
            let instance = instance.and_then(|hex| u64::from_str_radix(hex, 16).ok());
            take(instance, &sample.payload().to_bytes());
        });
        Ok(Subscription {
            _subscriber: subscriber.allowed_origin(Locality::Remote).wait()?,
        })
    }

    /// Ends the session.
    pub fn close(self) {
        if let Err(why) = self.session.close().wait() {
            debug!("the session with Zenoh ended with an error: {why}");
        }
    }

    fn channel(&self, key: String, answers: Option<Subscription>) -> Result<Channel, Failure> {
        let publisher = self.session.declare_publisher(key);
        // Express: Zenoh does not wait for more packets to send together, because a packet already has all messages
        // that are ready.
        let publisher = publisher
            .congestion_control(CongestionControl::Block)
            .express(true);
        let publisher = publisher.allowed_destination(Locality::Remote).wait()?;
        Ok(Channel {
            way: Some(Way::Direct(publisher)),
            thread: None,
            _answers: answers,
        })
    }
}

impl Channel {
    /// Sends a packet. Waits while the link is full or, if a thread puts the packets, while `MOST_QUEUED` of them wait
    /// for it. If a packet is lost, its receiver notices that from the next one.
    pub fn put(&self, packet: Bytes) {
        match &self.way {
            Some(Way::Direct(publisher)) => put(publisher, packet),
            Some(Way::Thread(queue)) => _ = queue.send(packet), // the thread ends after the queue
            None => {}
        }
    }

    /// Starts a thread that puts the packets.
    fn put_in_thread(&mut self) -> io::Result<()> {
        if let Some(Way::Direct(publisher)) = self.way.take() {
            let (queue, packets) = sync_channel(MOST_QUEUED);
            let thread = thread::Builder::new().name(format!("put {}", publisher.key_expr()));
            let puts = move || {
                packets
                    .into_iter()
                    .for_each(|packet| put(&publisher, packet))
            };
            self.thread = Some(thread.spawn(puts)?);
            self.way = Some(Way::Thread(queue));
        }
        Ok(())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.way = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it has put the packets that were left; a panic was reported when it happened
        }
    }
}

fn put(publisher: &Publisher, packet: Bytes) {
    if let Err(why) = publisher.put(packet).wait() {
        debug!(key = %publisher.key_expr(), "lost a packet: {why}");
    }
}

/// Returns the configuration of Zenoh: that of the file, or `DEFAULTS`, with the entries that the options replace.
fn config(options: &Options) -> Result<Config, Failure> {
    let mut config = match &options.config {
        Some(file) => {
            fs::metadata(file).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
            Config::from_file(file)?
        }
        None => {
            let mut config = Config::default();
            for (key, value) in DEFAULTS {
                config.insert_json5(key, value)?;
            }
            config
        }
    };
    let mut set = |key, value: String| config.insert_json5(key, &value);
    if let Some(mode) = &options.mode {
        set("mode", format!("{mode:?}"))?;
    }
    if !options.connect.is_empty() {
        set("connect/endpoints", format!("{:?}", options.connect))?;
        // The bridge starts even if the other machine cannot be reached yet.
        set("connect/timeout_ms", "-1".to_owned())?;
        set("connect/exit_on_failure", "false".to_owned())?;
    }
    if !options.listen.is_empty() || options.config.is_none() {
        set("listen/endpoints", format!("{:?}", options.listen))?;
    }
    Ok(config)
}

/// The settings that differ from Zenoh's own defaults if there is no file.
const DEFAULTS: [(&str, &str); 5] = [
    // A bridge connects only to the addresses in its options, and others do not discover it.
    ("scouting/multicast/enabled", "false"),
    // The thread that makes a packet also writes it to the link, without a queue of Zenoh in between.
    ("transport/unicast/lowlatency", "true"),
    ("transport/unicast/qos/enabled", "false"),
    // A cut link is noticed, and replaced, within seconds.
    ("transport/link/tx/lease", "4000"),
    (
        "connect/retry",
        "{ period_init_ms: 250, period_max_ms: 2000, period_increase_factor: 2 }",
    ),
];

fn key(name: &str, direction: &str, instance: u64) -> Result<String, Failure> {
    Ok(format!("{}/{direction}/{instance:016x}", prefix(name)?))
}

/// Returns the beginning of the keys of an object.
///
/// # Errors
/// If the name is empty.
pub fn prefix(name: &str) -> Result<String, Failure> {
    if name.is_empty() {
        return Err(Failure("the name of an object is empty".to_owned()));
    }
    let mut key = "shmkey/1/".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            key.push(byte.into());
        } else {
            let _ = write!(key, "%{byte:02x}"); // writing to a string does not fail
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_characters_that_zenoh_allows() {
        assert_eq!(prefix("orders-1_a.b").unwrap(), "shmkey/1/orders-1_a.b");
        assert_eq!(
            prefix("a/*#$? ä").unwrap(),
            "shmkey/1/a%2f%2a%23%24%3f%20%c3%a4"
        );
        assert!(prefix("").is_err());
        for name in ["a/b", "**", "$*", "é"] {
            let key = key(name, "from", 7).unwrap();
            assert!(zenoh::key_expr::KeyExpr::new(key).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let options = Options::of(["--publish", "a", "--listen", "tcp/127.0.0.1:0"]).unwrap();
        assert!(config(&options).is_ok());
    }
}
