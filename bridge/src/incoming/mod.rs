//! An object that is subscribed to: what other bridges publish is delivered into it.
//!
//! | file | what |
//! |---|---|
//! | `sink` | the object |
//! | `origin` | what has arrived from one publishing bridge |
//!
//! A thread of Zenoh delivers each packet as it arrives, as long as there is room in the object. What does not fit waits,
//! and a thread of this module, the clerk, delivers it later; the clerk also opens the object, and sends
//! acknowledgements. A thread of Zenoh sends nothing and waits for nothing, because it also reads the packets of other
//! objects.

pub mod origin;
pub mod sink;

use crate::{
    Failure, HEARTBEAT, TICK,
    counters::Counters,
    description::{Description, Kind},
    lock,
    network::{Channel, Network, Subscription},
    options::Options,
    wire::{self, Header, JOINS, LACKS, What},
};
use origin::{Arrival, Origin};
use sink::Sink;
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tracing::{info, warn};
use zenoh::bytes::ZBytes;

/// The largest number of bytes that wait for room in an object. No publisher has a larger window.
pub const MOST_WAITING: usize = 64 << 20;
/// The largest number of bridges that publish the same object.
const MOST_ORIGINS: usize = 64;
/// How long a publishing bridge is silent before it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// An object that is subscribed to.
pub struct Incoming {
    shared: Arc<Shared>,
    subscription: Option<Subscription>,
    clerk: Option<thread::JoinHandle<()>>,
}

/// What the clerk and the threads of Zenoh share.
struct Shared {
    name: String,
    network: Network,
    options: Options,
    state: Mutex<State>,
    /// Locked after `state`, or without it. Only the clerk waits while it has this lock; then packets wait in the state.
    sink: Mutex<Option<Sink>>,
    /// Notified when the clerk has something to do.
    work: Condvar,
    stop: AtomicBool,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    /// What the object is, once it is open.
    what: Option<Description>,
    origins: HashMap<u64, Origin>,
    /// The offers of bridges that are not known yet.
    offers: HashMap<u64, (Header, Description, String)>,
    /// What does not fit into the object, in order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Whether the clerk delivers what has waited.
    is_busy: bool,
    /// Whether acknowledgements are to be sent now.
    is_due: bool,
}

/// A packet, or a long message, that waits for room.
struct Waiting {
    from: u64,
    contents: Contents,
    /// How many of its messages were delivered.
    done: usize,
}

enum Contents {
    Packet(ZBytes),
    Message(Vec<u8>),
}

impl Contents {
    fn len(&self) -> usize {
        match self {
            Contents::Packet(packet) => packet.len(),
            Contents::Message(message) => message.len(),
        }
    }
}

impl Incoming {
    /// Starts to deliver what other bridges publish under this name.
    ///
    /// # Errors
    /// If the object exists and is not carried, or Zenoh fails.
    pub fn start(name: &str, network: &Network, options: &Options) -> Result<Incoming, Failure> {
        Description::of(name)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            network: network.clone(),
            options: options.clone(),
            state: Mutex::default(),
            sink: Mutex::default(),
            work: Condvar::new(),
            stop: AtomicBool::new(false),
            counters: network.counters.add("subscribe", name),
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

    /// Ends: acknowledges exactly what was delivered, so that another bridge gets the rest.
    pub fn end(mut self) {
        self.subscription = None;
        self.shared.stop.store(true, Relaxed);
        self.shared.work.notify_one();
        if let Some(clerk) = self.clerk.take() {
            let _ = clerk.join(); // it has said why, if it panicked
        }
    }
}

impl Shared {
    /// Takes a packet of the bridge with this instance, in a thread of Zenoh.
    fn receive(&self, instance: Option<u64>, packet: &ZBytes) {
        if let Err(why) = self.read(instance, packet) {
            self.counters.refused.fetch_add(1, Relaxed);
            warn!(object = self.name, "refused a packet: {why}");
        }
    }

    fn read(&self, instance: Option<u64>, packet: &ZBytes) -> Result<(), String> {
        let bytes = packet.to_bytes();
        let (header, body) = Header::read(&bytes).map_err(|why| why.to_string())?;
        if instance != Some(header.from) {
            return Err("it comes under the key of another bridge".to_owned());
        }
        let mut state = lock(&self.state);
        match header.what {
            What::Messages | What::Part => self.take(&mut state, &header, body, packet)?,
            What::Offer => self.take_offer(&mut state, &header, body)?,
            What::Goodbye => {
                if let Some(origin) = state.origins.remove(&header.from) {
                    info!(
                        object = self.name,
                        peer = origin.name,
                        "the other bridge has ended"
                    );
                }
            }
            What::Refusal if header.third == self.network.instance => {
                self.counters.mismatches.fetch_add(1, Relaxed);
                let why = String::from_utf8_lossy(&body[..body.len().min(400)]);
                warn!(
                    object = self.name,
                    "the other bridge refuses this one: {why}"
                );
            }
            What::Refusal => {}
            What::Want => return Err("a want does not come from a publisher".to_owned()),
        }
        self.count(&state);
        Ok(())
    }

    fn count(&self, state: &State) {
        self.counters
            .peers
            .store(state.origins.len() as u64, Relaxed);
        let lag = state
            .origins
            .values()
            .map(|origin| origin.expects - origin.delivered)
            .sum();
        self.counters.lag.store(lag, Relaxed);
        self.counters
            .waiting_bytes
            .store(state.waiting_bytes as u64, Relaxed);
    }

    fn take_offer(&self, state: &mut State, header: &Header, body: &[u8]) -> Result<(), String> {
        let (what, name) = Description::read(body).ok_or("its description is malformed")?;
        let now = Instant::now();
        if state.what.as_ref() == Some(&what)
            && let Some(origin) = state.origins.get_mut(&header.from)
        {
            let lost = origin.offer(header, now);
            self.counters.lost.fetch_add(lost, Relaxed);
            if origin.lacks {
                state.is_due = true;
                self.work.notify_one();
            }
            return Ok(());
        }
        if state.offers.len() + state.origins.len() >= MOST_ORIGINS {
            return Err(format!("{MOST_ORIGINS} bridges publish it already"));
        }
        let name = String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
        state.offers.insert(header.from, (*header, what, name));
        self.work.notify_one();
        Ok(())
    }

    /// Takes messages: delivers them, or lets them wait.
    fn take(
        &self,
        state: &mut State,
        header: &Header,
        body: &[u8],
        packet: &ZBytes,
    ) -> Result<(), String> {
        let Some(what) = &state.what else {
            return Ok(()); // the publisher sends them to other bridges
        };
        let longest = what.longest();
        let messages = match header.what {
            What::Messages => messages(header, body, what)?,
            _ => Vec::new(),
        };
        if state.waiting_bytes + packet.len() > MOST_WAITING + longest as usize {
            return Err("more than the largest window waits already".to_owned());
        }
        let Some(origin) = state.origins.get_mut(&header.from) else {
            return Ok(()); // as above
        };
        let is_value = what.kind == Kind::Latest;
        match origin.arrive(header, body, longest, Instant::now()) {
            // The newest value of another machine, which it repeats for a bridge that has joined.
            Arrival::Next(known) if is_value && !origin.is_newer(messages[known..].last()) => {
                origin.delivered = origin.expects;
            }
            Arrival::Whole(value) if is_value && !origin.is_newer(Some(&&value[..])) => {
                origin.delivered = origin.expects;
            }
            Arrival::Next(known) => {
                let contents = || Contents::Packet(packet.clone());
                self.deliver(state, header.from, &messages[known..], known, contents);
            }
            Arrival::Whole(message) => {
                let copy = message.clone();
                self.deliver(state, header.from, &[&copy], 0, || {
                    Contents::Message(message)
                });
            }
            Arrival::Nothing => {}
            Arrival::Gap => {
                state.is_due = true;
                self.work.notify_one();
            }
            Arrival::Malformed(why) => return Err(why.to_owned()),
        }
        Ok(())
    }

    /// Delivers messages without waiting. The rest waits: `contents`, of which `known` messages were delivered before.
    fn deliver(
        &self,
        state: &mut State,
        from: u64,
        messages: &[&[u8]],
        known: usize,
        contents: impl FnOnce() -> Contents,
    ) {
        let mut delivered = 0;
        if state.waiting.is_empty() && !state.is_busy {
            delivered = self.put_into_sink(messages, Duration::ZERO);
            self.note_delivered(state, from, &messages[..delivered]);
        }
        if delivered < messages.len() {
            let contents = contents();
            state.waiting_bytes += contents.len();
            let done = known + delivered;
            state.waiting.push_back(Waiting {
                from,
                contents,
                done,
            });
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
                warn!(object = self.name, "{why}; opening the object again");
                *sink = None;
                0
            })
    }

    fn note_delivered(&self, state: &mut State, from: u64, messages: &[&[u8]]) {
        let bytes = messages.iter().map(|message| message.len()).sum();
        self.counters.add_messages(messages.len(), bytes);
        let Some(origin) = state.origins.get_mut(&from) else {
            return; // it has ended
        };
        origin.delivered += messages.len() as u64;
        // As the window of the publisher counts: a message takes at least the four bytes of its length.
        origin.unacknowledged += bytes + 4 * messages.len();
        if origin.unacknowledged >= self.options.window / 4 {
            state.is_due = true;
            self.work.notify_one();
        }
    }
}

/// Returns the messages of a packet, each of which may be in this object.
fn messages<'a>(
    header: &Header,
    body: &'a [u8],
    what: &Description,
) -> Result<Vec<&'a [u8]>, String> {
    let messages = wire::messages(body, header.other).map_err(|why| why.to_string())?;
    let messages: Vec<&[u8]> = messages.collect();
    let longest = what.longest();
    let fits = |message: &&[u8]| match what.kind {
        Kind::Latest | Kind::Semaphore => message.len() as u64 == longest,
        Kind::Ring | Kind::Broadcast => message.len() as u64 <= longest,
    };
    if messages.iter().all(fits) {
        Ok(messages)
    } else {
        Err(format!(
            "it has a message whose length is not one of this {}",
            what.kind
        ))
    }
}

/// The clerk's own state.
struct Clerk<'a> {
    shared: &'a Shared,
    /// To the publishing bridges.
    channels: HashMap<u64, Channel>,
    /// Why bridges were refused, to say it once.
    refused: HashMap<u64, String>,
    heartbeat: Instant,
}

impl<'a> Clerk<'a> {
    fn new(shared: &'a Shared) -> Clerk<'a> {
        Clerk {
            shared,
            channels: HashMap::new(),
            refused: HashMap::new(),
            heartbeat: Instant::now(),
        }
    }

    fn run(&mut self) {
        while !self.shared.stop.load(Relaxed) {
            let offers = self.wait_for_work();
            for (header, what, name) in offers {
                self.accept(&header, what, name);
            }
            if self.heartbeat <= Instant::now() {
                self.heartbeat = Instant::now() + HEARTBEAT;
                self.look_after_object();
                lock(&self.shared.state).is_due = true;
            }
            self.acknowledge(What::Want);
            self.deliver_waiting();
        }
        self.acknowledge(What::Goodbye);
    }

    /// Waits until there is something to do. Returns the offers of new bridges.
    fn wait_for_work(&self) -> Vec<(Header, Description, String)> {
        let state = lock(&self.shared.state);
        let is_idle = |state: &mut State| {
            state.waiting.is_empty()
                && state.offers.is_empty()
                && !state.is_due
                && !self.shared.stop.load(Relaxed)
        };
        let waited = self.shared.work.wait_timeout_while(state, TICK, is_idle);
        let mut state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        state.offers.drain().map(|(_, offer)| offer).collect()
    }

    /// Opens the object for a bridge that publishes it, or refuses that bridge.
    fn accept(&mut self, offer: &Header, what: Description, name: String) {
        let opened = self.open(&what);
        if self.channel(offer.from).is_none() {
            return;
        }
        let mut state = lock(&self.shared.state);
        match opened {
            Ok(()) => {
                self.refused.remove(&offer.from);
                // A ring goes on where the last bridge has ended; a broadcast begins with the next message.
                let first = if what.kind == Kind::Broadcast {
                    offer.number
                } else {
                    offer.other
                };
                info!(object = self.shared.name, peer = name, kind = %what.kind, "delivering what another bridge publishes");
                let mut origin = Origin::new(name, first, Instant::now());
                origin.round = offer.round;
                state.what = Some(what);
                state.origins.insert(offer.from, origin);
                state.is_due = true;
            }
            Err(Failure(why)) => {
                state.origins.remove(&offer.from);
                drop(state);
                self.refuse(offer.from, &name, why);
            }
        }
    }

    fn refuse(&mut self, instance: u64, name: &str, why: String) {
        self.shared.counters.mismatches.fetch_add(1, Relaxed);
        if self.refused.get(&instance) == Some(&why) {
            return;
        }
        warn!(
            object = self.shared.name,
            peer = name,
            "refused the object of another bridge: {why}"
        );
        let mut header = Header::new(What::Refusal, self.shared.network.instance);
        header.third = instance;
        let text = format!("{} refuses it: {why}", self.shared.network.host);
        if let Some(channel) = self.channel(instance) {
            channel.put(header.with_body(text.as_bytes()).into());
        }
        if self.refused.len() >= MOST_ORIGINS {
            self.refused.clear();
        }
        self.refused.insert(instance, why);
    }

    /// Opens the object, or creates it, unless it differs from the one that is offered.
    fn open(&self, offered: &Description) -> Result<(), Failure> {
        let shared = self.shared;
        let found = Description::of(&shared.name)?;
        let native = Description::native(offered);
        if let Some(difference) = found.as_ref().unwrap_or(&native).difference(offered) {
            return Err(Failure(difference));
        }
        if offered.size > shared.options.max_size {
            let (size, most) = (offered.size, shared.options.max_size);
            return Err(Failure(format!(
                "it takes {size} bytes, and --max-size allows {most}"
            )));
        }
        if lock(&shared.sink).is_some() {
            return Ok(());
        }
        let sink = Sink::open(&shared.name, offered, shared.options.mode_bits)?;
        let created = Description::of(&shared.name)?;
        if let Some(difference) = created.and_then(|created| created.difference(offered)) {
            if found.is_none() {
                sink.remove();
            }
            return Err(Failure(difference));
        }
        *lock(&shared.sink) = Some(sink);
        Ok(())
    }

    /// Forgets bridges that are silent, and the object if it was removed.
    fn look_after_object(&mut self) {
        let shared = self.shared;
        let mut state = lock(&shared.state);
        state
            .origins
            .retain(|_, origin| origin.seen.elapsed() < FORGOTTEN);
        let mut sink = lock(&shared.sink);
        if state.what.is_some() && sink.as_ref().is_none_or(Sink::is_removed) {
            // The publishers still have what was not delivered.
            *sink = None;
            *state = State::default();
        }
        let origins = &state.origins;
        self.channels
            .retain(|instance, _| origins.contains_key(instance));
        shared.count(&state);
    }

    /// Tells the publishing bridges what has arrived and what is delivered, if that is due.
    fn acknowledge(&mut self, what: What) {
        let mut wants = Vec::new();
        {
            let mut state = lock(&self.shared.state);
            if !std::mem::take(&mut state.is_due) && what == What::Want {
                return;
            }
            for (&instance, origin) in &mut state.origins {
                let mut header = Header::new(what, self.shared.network.instance);
                (header.number, header.other, header.third) =
                    (origin.expects, origin.delivered, instance);
                header.round = origin.round;
                header.flags = if origin.lacks { LACKS } else { 0 };
                if std::mem::take(&mut origin.is_new) {
                    header.flags |= JOINS;
                }
                origin.unacknowledged = 0;
                wants.push(header);
            }
        }
        let name = self.shared.network.host.clone();
        for header in wants {
            if let Some(channel) = self.channel(header.third) {
                channel.put(header.with_body(name.as_bytes()).into());
            }
        }
    }

    fn channel(&mut self, instance: u64) -> Option<&Channel> {
        if !self.channels.contains_key(&instance) {
            let channel = self
                .shared
                .network
                .to_publisher(&self.shared.name, instance);
            let channel = channel.inspect_err(|Failure(why)| warn!("{why}")).ok()?;
            self.channels.insert(instance, channel);
        }
        self.channels.get(&instance)
    }

    /// Delivers what waits, until there is no room for a tick or an acknowledgement is due.
    fn deliver_waiting(&self) {
        let shared = self.shared;
        let mut state = lock(&shared.state);
        while !state.is_due
            && let Some(mut waiting) = state.waiting.pop_front()
        {
            state.is_busy = true;
            drop(state);
            let bytes = match &waiting.contents {
                Contents::Packet(packet) => packet.to_bytes(),
                Contents::Message(message) => Cow::Borrowed(&message[..]),
            };
            let messages = match &waiting.contents {
                Contents::Packet(_) => messages_again(&bytes),
                Contents::Message(_) => vec![&bytes[..]],
            };
            let rest = &messages[waiting.done.min(messages.len())..];
            let delivered = shared.put_into_sink(rest, TICK);
            state = lock(&shared.state);
            shared.note_delivered(&mut state, waiting.from, &rest[..delivered]);
            state.is_busy = false;
            if delivered < rest.len() {
                drop(bytes);
                waiting.done += delivered;
                state.waiting.push_front(waiting);
                pause_if(delivered == 0, state);
                return;
            }
            state.waiting_bytes -= waiting.contents.len();
        }
    }
}

/// Waits a little if nothing was delivered: without a receiver, the wait for room ends at once.
fn pause_if(nothing_delivered: bool, state: MutexGuard<State>) {
    drop(state);
    if nothing_delivered {
        thread::sleep(TICK / 10);
    }
}

/// Returns the messages of a packet that was checked when it arrived.
fn messages_again(packet: &[u8]) -> Vec<&[u8]> {
    let read = Header::read(packet).ok();
    let messages = read.and_then(|(header, body)| wire::messages(body, header.other).ok());
    messages.map(Iterator::collect).unwrap_or_default()
}
