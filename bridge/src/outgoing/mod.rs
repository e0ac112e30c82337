//! An object that is published: one thread takes its messages and sends them.
//!
//! | file | content |
//! |---|---|
//! | `carrier` | the thread |
//! | `source` | the object |
//! | `buffer` | the buffers of packets |
//! | `window` | the packets that were sent, and that some subscriber has not delivered |
//! | `peers` | the bridges that subscribe |
//!
//! Only this thread puts packets under its key, itself or through a queue, so they arrive in order. Four times a
//! second, it sends an offer, which has the number of the next message. A bridge that expects a smaller number has lost
//! packets, because a link was cut; it asks for them, and the thread sends them again. No timer guesses that a packet
//! is lost, however slow the network is.

pub mod buffer;
mod carrier;
pub mod peers;
pub mod source;
pub mod window;

use crate::{
    Failure,
    counters::Counters,
    description::Description,
    lock,
    network::Network,
    options::Options,
    refusals::Refusals,
    wire::{self, Header, What},
};
use carrier::Carrier;
use peers::{Answer, Peers};
use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

/// An object that is published.
pub struct Outgoing {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<bool>>,
}

/// The state that the thread and the callback of the network share.
struct Shared {
    name: String,
    peers: Mutex<Option<Peers>>,
    /// Notified when a packet of a bridge has arrived.
    news: Condvar,
    /// The number of the next message, which no bridge can have yet.
    next: AtomicU64,
    /// The instances of bridges that the thread has to refuse, and the reasons.
    refused: Mutex<Vec<(u64, String)>>,
    refusals: Refusals,
    stop: AtomicBool,
    counters: Arc<Counters>,
}

impl Outgoing {
    /// Starts a thread that publishes the object with this name as soon as it exists.
    ///
    /// # Errors
    /// If the object exists and is of a kind that is not carried, or if Zenoh fails.
    pub fn start(name: &str, network: &Network, options: &Options) -> Result<Outgoing, Failure> {
        Description::of(name)?;
        let counters = network.counters.add("publish", name);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            peers: Mutex::new(None),
            news: Condvar::new(),
            next: AtomicU64::new(0),
            refused: Mutex::new(Vec::new()),
            refusals: Refusals::new(&counters),
            stop: AtomicBool::new(false),
            counters,
        });
        let channel = network.publisher(name, options.when_full, {
            let shared = Arc::clone(&shared);
            move |packet| shared.receive(packet)
        })?;
        let mut carrier = Carrier::new(Arc::clone(&shared), channel, network, options);
        let thread = thread::Builder::new().name(format!("publish {name}"));
        let thread = thread.spawn(move || carrier.run())?;
        Ok(Outgoing {
            shared,
            thread: Some(thread),
        })
    }

    /// Makes the thread take no more messages.
    pub fn begin_end(&self) {
        self.shared.stop.store(true, Relaxed);
    }

    /// Waits until the messages that were taken are delivered, at most for the time that the options allow. Returns
    /// whether they are.
    pub fn end(mut self) -> bool {
        self.begin_end();
        self.thread
            .take()
            .is_none_or(|thread| thread.join().unwrap_or(false))
    }
}

impl Shared {
    /// Handles a packet of a subscribing bridge, in a thread of Zenoh. It must not send anything: while that thread
    /// waited for the network, it would read no packets.
    fn receive(&self, packet: &[u8]) {
        let (peer, taken) = match Header::read(packet) {
            Ok((header, body)) => {
                let text = wire::text(body, 400);
                let taken = self.take(&header, &text);
                let is_name = matches!(header.what, What::Want | What::Goodbye);
                let peer = format!("{:016x}", header.from);
                (if is_name { text } else { peer }, taken)
            }
            Err(why) => (String::new(), Err(why.to_string())),
        };
        if let Err(why) = taken {
            self.refusals.packet(&peer, &why);
        }
    }

    fn take(&self, header: &Header, text: &str) -> Result<(), String> {
        let mut peers = lock(&self.peers);
        let Some(peers) = peers.as_mut() else {
            return Ok(()); // the object does not exist yet
        };
        // Relaxed: it only bounds what the packet claims.
        let next = self.next.load(Relaxed);
        match header.what {
            What::Want => {
                match peers.want(header, text, next, Instant::now()) {
                    Answer::Known => {}
                    Answer::Joined => self.refusals.news(text, "carrying to another bridge"),
                    Answer::Refused(why) => {
                        let mut refused = lock(&self.refused);
                        if refused.len() < 64 {
                            refused.push((header.from, why.clone()));
                        }
                        return Err(format!("a request of {text}: {why}"));
                    }
                }
                self.news.notify_one();
            }
            What::Goodbye => {
                if peers.goodbye(header, next) {
                    self.refusals.news(text, "the other bridge has ended");
                }
            }
            What::Refusal => {
                peers.remove(header.from, 0);
                let why = format!("the other bridge refuses the object: {text}");
                self.refusals.mismatch(header.from, &why);
            }
            what => {
                return Err(format!(
                    "a packet of kind {what:?} does not come from a subscriber"
                ));
            }
        }
        let heard = peers.heard(Instant::now());
        self.counters.peers.store(heard as u64, Relaxed);
        Ok(())
    }
}
