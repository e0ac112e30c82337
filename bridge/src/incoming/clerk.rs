//! The thread that opens the object, sends acknowledgements, and delivers the packets that wait.

use super::{Contents, MOST_ORIGINS, Shared, State, origin::Origin, sink::Sink};
use crate::{
    Failure, HEARTBEAT, TICK,
    description::{Description, Kind},
    is_removed, lock,
    network::Channel,
    wire::{self, Header, JOINS, LACKS, What},
};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{MutexGuard, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// How long a publishing bridge is silent before it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The state of the thread.
pub struct Clerk<'a> {
    shared: &'a Shared,
    /// The channels to the publishing bridges, by instance.
    channels: HashMap<u64, Channel>,
    /// When bridges were refused last.
    refused: HashMap<u64, Instant>,
    heartbeat: Instant,
}

/// Why the object of another bridge is refused: as this side says it, and as the other side does.
struct Unfit {
    here: String,
    there: String,
}

impl From<Failure> for Unfit {
    fn from(Failure(why): Failure) -> Unfit {
        Unfit {
            here: why.clone(),
            there: why,
        }
    }
}

impl<'a> Clerk<'a> {
    /// Returns the clerk of an object.
    pub fn new(shared: &'a Shared) -> Clerk<'a> {
        Clerk {
            shared,
            channels: HashMap::new(),
            refused: HashMap::new(),
            heartbeat: Instant::now(),
        }
    }

    /// Works until the stop.
    pub fn run(&mut self) {
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

    /// Waits until there is work, at most for a tick. Returns the offers of new bridges.
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
                // A ring continues where the last bridge has ended; a broadcast begins with the next message.
                let first = if what.kind == Kind::Broadcast {
                    offer.number
                } else {
                    offer.other
                };
                info!(object = self.shared.name, peer = name, kind = %what.kind, "delivering what another bridge publishes");
                let origin = Origin::new(name, offer, first, Instant::now());
                state.what = Some(what);
                state.origins.insert(offer.from, origin);
                state.is_due = true;
            }
            Err(why) => {
                state.origins.remove(&offer.from);
                drop(state);
                self.refuse(offer.from, &name, &why);
            }
        }
    }

    /// Refuses a bridge, and tells it so. It gets the reason with each offer, because a packet may be lost.
    fn refuse(&mut self, instance: u64, name: &str, why: &Unfit) {
        let host = &self.shared.network.host;
        let text = format!("{host} refuses it: {}", why.there);
        let why = format!("refused the object of another bridge: {}", why.here);
        self.shared
            .refusals
            .mismatch(instance, &format!("{why} ({name})"));
        let mut header = Header::new(What::Refusal, self.shared.network.instance);
        header.third = instance;
        if let Some(channel) = self.channel(instance) {
            channel.put(header.with_body(text.as_bytes()).into());
        }
        if self.refused.len() >= MOST_ORIGINS {
            self.refused.clear();
        }
        self.refused.insert(instance, Instant::now());
    }

    /// Opens or creates the object, unless it differs from the one that is offered.
    fn open(&self, offered: &Description) -> Result<(), Unfit> {
        let shared = self.shared;
        let found = Description::of(&shared.name)?;
        let native = Description::native(offered);
        compare(found.as_ref().unwrap_or(&native), offered)?;
        if offered.size > shared.options.max_size {
            let (size, most) = (offered.size, shared.options.max_size);
            let text = format!("it takes {size} bytes, and --max-size allows {most}");
            return Err(Failure(text).into());
        }
        if lock(&shared.sink).is_some() {
            return Ok(());
        }
        let sink = Sink::open(&shared.name, offered, shared.options.mode_bits)?;
        if let Some(created) = Description::of(&shared.name)?
            && let Err(why) = compare(&created, offered)
        {
            if found.is_none() {
                let _ = sink.segment.remove(); // it was created just now, and nothing is lost if it stays
            }
            return Err(why);
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
        let is_gone = |sink: &Sink| is_removed(&sink.segment);
        if state.what.is_some() && sink.as_ref().is_none_or(is_gone) {
            // The publishers still have the messages that were not delivered.
            *sink = None;
            *state = State::default();
        }
        let (origins, refused) = (&state.origins, &mut self.refused);
        refused.retain(|_, last| last.elapsed() < FORGOTTEN);
        self.channels
            .retain(|instance, _| origins.contains_key(instance) || refused.contains_key(instance));
        shared.refusals.log_repeated(Instant::now());
        shared.count(&state);
    }

    /// Sends the publishing bridges the numbers of what has arrived and what is delivered. A want is sent only if it
    /// is due.
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

    /// Delivers the packets that wait, until there was no room for a tick or an acknowledgement is due.
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

/// Compares the object here with the one that is offered.
fn compare(here: &Description, there: &Description) -> Result<(), Unfit> {
    match (here.difference(there), there.difference(here)) {
        (Some(here), Some(there)) => Err(Unfit { here, there }),
        _ => Ok(()),
    }
}

/// Sleeps for a short time if nothing was delivered, because the wait for room ends at once if there is no receiver.
fn pause_if(nothing_delivered: bool, state: MutexGuard<State>) {
    drop(state);
    if nothing_delivered {
        thread::sleep(TICK / 10);
    }
}

/// Returns the messages of a packet. It was checked when it arrived.
fn messages_again(packet: &[u8]) -> Vec<&[u8]> {
    let read = Header::read(packet).ok();
    let messages = read.and_then(|(header, body)| wire::messages(body, header.other).ok());
    messages.map(Iterator::collect).unwrap_or_default()
}
