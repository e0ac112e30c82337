//! An object that is subscribed to: the messages that other bridges publish are delivered into it.
//!
//! | file | content |
//! |---|---|
//! | `sink` | the object |
//! | `origin` | one publishing bridge, and which of its messages have arrived |
//! | `waiting` | the messages that wait for room |
//! | `clerk` | the thread that opens the object, sends acknowledgements, and delivers the packets that wait |
//!
//! A thread of Zenoh delivers each packet as it arrives, as long as there is room in the object. Messages that do not
//! fit wait, and the clerk delivers them later; the clerk also opens the object, and sends acknowledgements. A thread
//! of Zenoh neither sends nor waits, because it also reads the packets of other objects.

mod clerk;
pub mod origin;
pub mod sink;
pub mod waiting;

use crate::{
    Failure,
    counters::Counters,
    description::{Description, Kind},
    lock,
    network::{Network, Subscription},
    offer::Offer,
    options::Options,
    refusals::Refusals,
    wire::{self, Header, What},
};
use clerk::Clerk;
use origin::{Arrival, MOST, Origin, make_place};
use sink::Sink;
use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use waiting::Queue;

/// The largest number of bytes that wait for room in an object. No publisher has a larger window.
pub const MOST_WAITING: usize = 64 << 20;

/// An object that is subscribed to.
pub struct Incoming {
    shared: Arc<Shared>,
    subscription: Option<Subscription>,
    clerk: Option<thread::JoinHandle<()>>,
}

/// The state that the clerk and the threads of Zenoh share.
struct Shared {
    name: String,
    network: Network,
    options: Options,
    state: Mutex<State>,
    /// Locked after `state`, or without it. Only the clerk waits for room while it holds this lock, and packets that
    /// arrive then wait in the state.
    sink: Mutex<Option<Sink>>,
    /// Notified when there is work for the clerk.
    work: Condvar,
    stop: AtomicBool,
    refusals: Refusals,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    /// The description of the object, once the object is open.
    what: Option<Description>,
    origins: HashMap<u64, Origin>,
    /// The offers of bridges that are not known yet.
    offers: HashMap<u64, Offer>,
    /// The messages that wait for room in the object.
    waiting: Queue,
    /// Whether the clerk is delivering messages, so that later ones must wait.
    is_busy: bool,
    /// Whether the clerk has to send acknowledgements now.
    is_due: bool,
}

impl Incoming {
    /// Starts to deliver the messages that other bridges publish under this name.
    ///
    /// # Errors
    /// If the object exists and is of a kind that is not carried, or if Zenoh fails.
    pub fn start(name: &str, network: &Network, options: &Options) -> Result<Incoming, Failure> {
        Description::of(name)?;
        let counters = network.counters.add("subscribe", name);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            network: network.clone(),
            options: options.clone(),
            state: Mutex::default(),
            sink: Mutex::default(),
            work: Condvar::new(),
            stop: AtomicBool::new(false),
            refusals: Refusals::new(&counters),
            counters,
        });
        let subscription = network.subscriber(name, {
            let shared = Arc::clone(&shared);
            move |instance, packet| shared.receive(instance, packet)
        })?;
        let clerk = thread::Builder::new().name(format!("subscribe {name}"));
        let clerk = clerk.spawn({
            let shared = Arc::clone(&shared);
            move || Clerk::new(&shared).run()
        })?;
        Ok(Incoming {
            shared,
            subscription: Some(subscription),
            clerk: Some(clerk),
        })
    }

    /// Stops, and acknowledges exactly the messages that were delivered, so that the next bridge gets the others.
    pub fn end(mut self) {
        self.subscription = None;
        self.shared.stop.store(true, Relaxed);
        self.shared.work.notify_one();
        if let Some(clerk) = self.clerk.take() {
            let _ = clerk.join(); // a panic was reported when it happened
        }
    }
}

impl Shared {
    /// Handles a packet under the key of the bridge with this instance, in a thread of Zenoh.
    fn receive(&self, instance: Option<u64>, packet: &[u8]) {
        if let Err(why) = self.read(instance, packet) {
            let peer = format!("{:016x}", instance.unwrap_or_default());
            self.refusals.packet(&peer, &why);
        }
    }

    fn read(&self, instance: Option<u64>, packet: &[u8]) -> Result<(), String> {
        let (header, body) = Header::read(packet).map_err(|why| why.to_string())?;
        if instance != Some(header.from) {
            return Err("it comes under the key of another bridge".to_owned());
        }
        let mut state = lock(&self.state);
        match header.what {
            What::Messages | What::Part => self.take(&mut state, &header, body)?,
            What::Offer => self.take_offer(&mut state, &header, body)?,
            What::Goodbye => {
                if let Some(origin) = state.origins.remove(&header.from) {
                    self.refusals
                        .news(&origin.name, "the other bridge has ended");
                }
            }
            What::Refusal if header.third == self.network.instance => {
                let why = wire::text(body, 400);
                let why = format!("the other bridge refuses this one: {why}");
                self.refusals.mismatch(header.from, &why);
            }
            What::Refusal => {}
            What::Want => {
                return Err("a packet of kind Want does not come from a publisher".to_owned());
            }
        }
        self.count(&state);
        Ok(())
    }

    /// Lets the clerk send acknowledgements now.
    fn set_due(&self, state: &mut State) {
        state.is_due = true;
        self.work.notify_one();
    }

    fn count(&self, state: &State) {
        let now = Instant::now();
        let peers = state.origins.values().filter(|origin| origin.is_heard(now));
        let lag = state.origins.values().map(Origin::undelivered).sum();
        let counters = &self.counters;
        counters.peers.store(peers.count() as u64, Relaxed);
        counters.lag.store(lag, Relaxed);
        counters
            .waiting_bytes
            .store(state.waiting.bytes() as u64, Relaxed);
    }

    fn take_offer(&self, state: &mut State, header: &Header, body: &[u8]) -> Result<(), String> {
        let offer = Offer::read(header, body).ok_or("its description is malformed")?;
        let now = Instant::now();
        if state.what.as_ref() == Some(&offer.what)
            && let Some(origin) = state.origins.get_mut(&header.from)
        {
            let is_ours = offer.is_to(self.network.instance);
            if origin.is_ours() && !is_ours {
                state.waiting.drop_from(header.from); // another bridge gets them
            }
            let lost = origin.offer(header, is_ours, now);
            self.counters.lost.fetch_add(lost, Relaxed);
            if origin.lacks {
                self.set_due(state);
            }
            return Ok(());
        }
        if state.offers.len() >= MOST || !make_place(&mut state.origins, now) {
            return Err(format!("{MOST} bridges publish it already"));
        }
        state.offers.insert(header.from, offer);
        self.work.notify_one();
        Ok(())
    }

    /// Handles a packet of messages: delivers them, or keeps them waiting.
    fn take(&self, state: &mut State, header: &Header, body: &[u8]) -> Result<(), String> {
        let Some(what) = &state.what else {
            return Ok(()); // this bridge has not joined yet: the packet is for other bridges
        };
        let messages = messages(header, body, what)?;
        if state.waiting.bytes() + body.len() > MOST_WAITING + what.longest() as usize {
            return Err("more bytes than the largest window has are waiting already".to_owned());
        }
        let Some(origin) = state.origins.get_mut(&header.from) else {
            return Ok(()); // as above
        };
        let is_value = what.kind == Kind::Latest;
        let whole;
        let whole_message: [&[u8]; 1];
        let messages = match origin.arrive(header, body, Instant::now()) {
            Arrival::Next(known) => &messages[known..],
            Arrival::Whole(message) => {
                whole = message;
                whole_message = [&whole];
                &whole_message
            }
            Arrival::Nothing => return Ok(()),
            Arrival::Gap => {
                self.set_due(state);
                return Ok(());
            }
            Arrival::Malformed(why) => return Err(why.to_owned()),
        };
        if is_value && !origin.is_newer(messages.last()) {
            // The other machine has repeated its newest value for a bridge that has joined.
            origin.deliver(messages.len(), 0, 0);
            self.set_due(state);
        } else {
            self.deliver(state, header.from, messages);
        }
        Ok(())
    }

    /// Delivers messages if there is room. Otherwise keeps them for the clerk.
    fn deliver(&self, state: &mut State, from: u64, messages: &[&[u8]]) {
        let mut delivered = 0;
        if state.waiting.is_empty() && !state.is_busy {
            delivered = self.put_into_sink(messages, Duration::ZERO);
            self.note_delivered(state, from, &messages[..delivered]);
        }
        if delivered < messages.len() {
            state.waiting.push(from, &messages[delivered..]);
            self.work.notify_one();
        }
    }

    fn put_into_sink(&self, messages: &[&[u8]], timeout: Duration) -> usize {
        let mut sink = lock(&self.sink);
        let Some(open) = sink.as_mut() else {
            return 0;
        };
        open.deliver(messages, timeout)
            .unwrap_or_else(|Failure(why)| {
                self.refusals.failure(&why);
                *sink = None;
                0
            })
    }

    fn note_delivered(&self, state: &mut State, from: u64, messages: &[&[u8]]) {
        let bytes = messages.iter().map(|message| message.len()).sum();
        self.counters.add_messages(messages.len(), bytes);
        let Some(origin) = state.origins.get_mut(&from) else {
            return; // the bridge has ended
        };
        if messages.is_empty() {
            return;
        }
        let window = match &state.what {
            // The publisher waits for this acknowledgement before it sends further values.
            Some(what) if what.kind == Kind::Latest => 0,
            _ => self.options.window,
        };
        if origin.deliver(messages.len(), bytes, window) {
            self.set_due(state);
        }
    }
}

/// Returns the messages of a packet, none for a part of one, after checking that this object allows their lengths.
fn messages<'a>(
    header: &Header,
    body: &'a [u8],
    what: &Description,
) -> Result<Vec<&'a [u8]>, String> {
    let (messages, are_allowed) = if header.what == What::Part {
        (Vec::new(), what.allows(header.third))
    } else {
        let messages = wire::messages(body, header.other).map_err(|why| why.to_string())?;
        let messages: Vec<&[u8]> = messages.collect();
        let are_allowed = messages
            .iter()
            .all(|message| what.allows(message.len() as u64));
        (messages, are_allowed)
    };
    if are_allowed {
        Ok(messages)
    } else {
        Err(format!(
            "it has a message of a length that this {} does not allow",
            what.kind
        ))
    }
}
