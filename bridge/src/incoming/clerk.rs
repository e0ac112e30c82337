//! The thread that opens the object, sends acknowledgements, and delivers the packets that wait.

use super::{
    Shared, State,
    origin::{FORGOTTEN, MOST, Origin},
    sink::Sink,
};
use crate::{
    Failure, HEARTBEAT, TICK,
    description::Description,
    is_removed, lock,
    network::Channel,
    offer::Offer,
    wire::{Header, JOINS, LACKS, What},
};
use std::{
    collections::HashMap,
    sync::{MutexGuard, atomic::Ordering::Relaxed},
    thread,
    time::Instant,
};
use tracing::warn;

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
            for offer in offers {
                self.accept(&offer);
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
    fn wait_for_work(&self) -> Vec<Offer> {
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
    fn accept(&mut self, offer: &Offer) {
        let (from, what) = (offer.header.from, &offer.what);
        let opened = self.open(what);
        if self.channel(from).is_none() {
            return;
        }
        let shared = self.shared;
        let mut state = lock(&shared.state);
        if let Err(why) = opened {
            state.origins.remove(&from);
            drop(state);
            self.refuse(from, &offer.name, &why);
            return;
        }
        self.refused.remove(&from);
        if state.what.as_ref() == Some(what) && state.origins.contains_key(&from) {
            return; // this offer arrived while an earlier one was being accepted, and messages may have arrived since
        }
        let text = format!("{}: delivering what another bridge publishes", what.kind);
        shared.refusals.news(&offer.name, &text);
        let is_ours = offer.is_to(shared.network.instance);
        let origin = Origin::new(offer, is_ours, Instant::now());
        state.what = Some(what.clone());
        state.origins.insert(from, origin);
        state.is_due = true;
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
        if self.refused.len() >= MOST {
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

    /// Forgets the object if it was removed, and the channels to bridges that are silent.
    fn look_after_object(&mut self) {
        let shared = self.shared;
        let mut state = lock(&shared.state);
        let mut sink = lock(&shared.sink);
        let is_gone = |sink: &Sink| is_removed(&sink.segment);
        if state.what.is_some() && sink.as_ref().is_none_or(is_gone) {
            // The publishers still have the messages that were not delivered.
            *sink = None;
            *state = State::default();
        }
        let (origins, refused) = (&state.origins, &mut self.refused);
        refused.retain(|_, last| last.elapsed() < FORGOTTEN);
        let now = Instant::now();
        let is_live = |origin: &Origin| !origin.is_forgotten(now);
        self.channels.retain(|instance, _| {
            origins.get(instance).is_some_and(is_live) || refused.contains_key(instance)
        });
        shared.refusals.log_repeated(now);
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
            let now = Instant::now();
            let live = state
                .origins
                .iter_mut()
                .filter(|(_, origin)| !origin.is_forgotten(now));
            for (&instance, origin) in live {
                let mut header = Header::new(what, self.shared.network.instance);
                (header.number, header.other, header.third) =
                    (origin.expects, origin.delivered(), instance);
                header.round = origin.round;
                header.flags = if origin.lacks { LACKS } else { 0 };
                if std::mem::take(&mut origin.is_new) {
                    header.flags |= JOINS;
                }
                origin.unacknowledged = 0;
                wants.push(header);
            }
            if what == What::Goodbye {
                state.origins.clear(); // what arrives from now on is for the next bridge
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
            && let Some(waiting) = state.waiting.pop()
        {
            state.is_busy = true;
            drop(state);
            let messages = waiting.messages();
            let delivered = shared.put_into_sink(&messages, TICK);
            state = lock(&shared.state);
            shared.note_delivered(&mut state, waiting.from, &messages[..delivered]);
            state.is_busy = false;
            drop(messages);
            let origin = state.origins.get(&waiting.from);
            if origin.is_some_and(|origin| !origin.is_ours()) {
                continue; // another bridge has got them since
            }
            if state.waiting.put_back(waiting, delivered) {
                pause_if(delivered == 0, state);
                return;
            }
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
