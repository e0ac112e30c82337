//! The thread that takes messages from the object, and sends them.

use super::{
    Shared,
    buffer::{Buffer, Pool},
    peers::Peers,
    source::{Source, Taken},
    window::Window,
};
use crate::{
    Failure, HEARTBEAT, TICK,
    description::{Description, Kind},
    is_removed, lock,
    network::{Channel, Network},
    offer::Offer,
    options::{Options, WhenFull},
    wire::{Header, ROOM, What},
};
use bytes::Bytes;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tracing::{debug, info, warn};

/// The state of the thread.
pub struct Carrier {
    shared: Arc<Shared>,
    channel: Channel,
    network: Network,
    window: Window,
    pool: Pool,
    buffer: Option<Buffer>,
    round: u64,
    /// How many objects this bridge has opened under the name.
    opened: u64,
    /// When the next offer is due.
    heartbeat: Instant,
    /// The description of the object that was opened last.
    what: Option<Description>,
    options: Options,
}

impl Carrier {
    /// Returns the state of a thread that publishes an object.
    pub fn new(
        shared: Arc<Shared>,
        channel: Channel,
        network: &Network,
        options: &Options,
    ) -> Carrier {
        Carrier {
            shared,
            channel,
            network: network.clone(),
            window: Window::default(),
            pool: Pool::default(),
            buffer: None,
            round: 0,
            opened: 0,
            heartbeat: Instant::now(),
            what: None,
            options: options.clone(),
        }
    }

    /// Publishes until the stop. Returns whether all messages that were taken are delivered.
    pub fn run(&mut self) -> bool {
        let mut held = None;
        while !self.is_stopped() {
            match self.publish_object() {
                Ok(source) => held = source,
                Err(Failure(why)) => {
                    self.shared.refusals.failure(&why);
                    self.pause(Duration::from_secs(1));
                }
            }
        }
        self.drain();
        drop(held); // not before: the next bridge would overtake the messages that this one drains
        self.window.packets() == 0
    }

    fn is_stopped(&self) -> bool {
        // Relaxed: no other data depends on the flag.
        self.shared.stop.load(Relaxed)
    }

    fn pause(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < end {
            self.serve();
        }
    }

    /// Handles what bridges have sent, while no messages are taken. Waits for it, at most for a tick.
    fn serve(&mut self) {
        self.beat();
        self.read_peers();
        self.wait_for_peers();
    }

    /// Publishes an object until the stop, and returns it then; or until its segment is removed.
    fn publish_object(&mut self) -> Result<Option<Source>, Failure> {
        let Some(what) = Description::of(&self.shared.name)? else {
            self.pause(TICK * 2);
            return Ok(None);
        };
        let mut source = Source::open(&self.shared.name, &what, self.opened)?;
        self.opened += 1;
        info!(object = self.shared.name, kind = %what.kind, "publishing");
        self.begin(&what);
        while !self.is_stopped() {
            if self.beat() {
                self.count(&mut source);
                if is_removed(&source.segment) {
                    info!(
                        object = self.shared.name,
                        "the object was removed; waiting for a new one"
                    );
                    return Ok(None);
                }
            }
            let has_peers = self.read_peers();
            source.set_wanted(has_peers)?;
            if self.has_joined() {
                source.repeat_newest();
                self.offer();
            }
            if has_peers && self.has_room(&what) {
                self.carry(&mut source)?;
            } else if self.options.when_full == WhenFull::Shed
                && !what.is_lossy()
                && source.is_crowded()
            {
                self.shed(&mut source)?;
            } else {
                self.wait_for_peers();
            }
        }
        Ok(Some(source))
    }

    /// Begins with the messages of an object. Forgets those of the last one if no object can get both.
    fn begin(&mut self, what: &Description) {
        let mut peers = lock(&self.shared.peers);
        if self.what.as_ref().is_some_and(|last| last != what) {
            let undelivered = self.window.next() - self.window.base();
            self.shared.counters.lost.fetch_add(undelivered, Relaxed);
            self.window.forget(u64::MAX);
            *peers = None;
        }
        peers.get_or_insert_with(|| Peers::new(what.kind.is_for_one(), self.options.peer_timeout));
        self.what = Some(what.clone());
    }

    /// Forgets the packets that all subscribing bridges have delivered, and sends again those that they lack. Returns
    /// whether there are any such bridges.
    fn read_peers(&mut self) -> bool {
        let (delivered, lacking, has_peers) = match lock(&self.shared.peers).as_mut() {
            Some(peers) => {
                peers.has_news = false;
                let lacking = peers.take_lacking(self.round, Instant::now());
                (peers.delivered(), lacking, !peers.is_empty())
            }
            None => (None, None, false),
        };
        if let Some(delivered) = delivered {
            self.window.forget(delivered);
        }
        if let Some(number) = lacking {
            self.send_again(number);
        }
        has_peers
    }

    /// Returns whether a bridge that has no value has joined.
    fn has_joined(&self) -> bool {
        let mut peers = lock(&self.shared.peers);
        peers
            .as_mut()
            .is_some_and(|peers| peers.take_joined(Instant::now()))
    }

    fn send_again(&mut self, number: u64) {
        self.round += 1;
        let packets: Vec<Bytes> = self
            .window
            .from(number)
            .map(|sent| sent.packet.clone())
            .collect();
        debug!(
            object = self.shared.name,
            number,
            packets = packets.len(),
            "sending again"
        );
        self.shared
            .counters
            .resent
            .fetch_add(packets.len() as u64, Relaxed);
        for packet in packets {
            self.channel.put(packet);
        }
        self.heartbeat = Instant::now();
    }

    /// Returns whether there is room for more messages. A lossy object waits only for the fastest bridge: packets that
    /// this one has delivered are not sent again to the others.
    fn has_room(&mut self, what: &Description) -> bool {
        if !self.is_full(what) {
            return true;
        }
        let fastest = lock(&self.shared.peers).as_ref().and_then(Peers::fastest);
        if what.is_lossy()
            && let Some(delivered) = fastest
        {
            self.window.forget(delivered);
        }
        !self.is_full(what)
    }

    fn is_full(&self, what: &Description) -> bool {
        match what.kind {
            // At most two values are under way, so that the newest one follows soon.
            Kind::Latest => self.window.next() - self.window.base() >= 2,
            _ => self.window.bytes() + ROOM > self.options.window.max(2 * ROOM),
        }
    }

    /// Waits for messages, and sends those that are ready as one packet.
    fn carry(&mut self, source: &mut Source) -> Result<(), Failure> {
        let pool = &self.pool;
        let mut buffer = self.buffer.take().unwrap_or_else(|| pool.take());
        let until_heartbeat = self.heartbeat.saturating_duration_since(Instant::now());
        let mut header = Header::new(What::Messages, self.network.instance);
        header.number = self.window.next();
        header.round = self.round;
        let counters = &self.shared.counters;
        match source.take(&mut buffer, until_heartbeat.min(TICK))? {
            Taken::Nothing => self.buffer = Some(buffer),
            Taken::Messages(count) => {
                header.other = count as u64;
                let lengths = &source.lengths[..count];
                counters.add_messages(count, lengths.iter().sum());
                let packet = buffer.messages(&header, lengths);
                self.shared
                    .next
                    .store(header.number + header.other, Relaxed);
                self.window.push(header.other, packet.clone());
                self.channel.put(packet);
            }
            Taken::Long => {
                counters.add_messages(1, source.long.len());
                self.shared.next.store(header.number + 1, Relaxed);
                self.send_long(header, &source.long);
            }
        }
        Ok(())
    }

    /// Sends a message in parts.
    fn send_long(&mut self, mut header: Header, message: &[u8]) {
        header.what = What::Part;
        header.third = message.len() as u64;
        for part in message.chunks(ROOM) {
            let packet = self.pool.take().part(&header, part);
            header.other += part.len() as u64;
            if header.other == header.third {
                self.window.push(1, packet.clone());
            } else {
                self.window.push_part(1, packet.clone());
            }
            self.channel.put(packet);
        }
    }

    /// Takes the messages that are ready, and drops and counts them.
    fn shed(&mut self, source: &mut Source) -> Result<(), Failure> {
        let mut buffer = self.pool.take();
        let count = match source.take(&mut buffer, TICK)? {
            Taken::Nothing => 0,
            Taken::Messages(count) => count as u64,
            Taken::Long => 1,
        };
        self.shared.counters.shed.fetch_add(count, Relaxed);
        Ok(())
    }

    /// Waits for a packet of a bridge, at most for a tick. Returns at once if one has arrived since `read_peers`.
    fn wait_for_peers(&self) {
        let peers = lock(&self.shared.peers);
        let has_none =
            |peers: &mut Option<Peers>| peers.as_ref().is_none_or(|peers| !peers.has_news);
        // The result is the lock, which is released here.
        let _ = self.shared.news.wait_timeout_while(peers, TICK, has_none);
    }

    /// If a heartbeat is due, sends an offer, drops the bridges that were silent for too long, and updates the
    /// counters. Returns whether it was due.
    fn beat(&mut self) -> bool {
        if Instant::now() < self.heartbeat {
            return false;
        }
        self.heartbeat = Instant::now() + HEARTBEAT;
        self.offer();
        self.shared.refusals.log_repeated(Instant::now());
        let counters = &self.shared.counters;
        if let Some(peers) = lock(&self.shared.peers).as_mut() {
            for name in peers.expire(Instant::now()) {
                warn!(
                    object = self.shared.name,
                    peer = name,
                    "dropped a bridge that was silent"
                );
            }
            let heard = peers.heard(Instant::now());
            counters.peers.store(heard as u64, Relaxed);
            if peers.is_empty() && !peers.is_for_one() {
                self.window.forget(u64::MAX); // no bridge subscribes
            }
        }
        let lag = self.window.next() - self.window.base();
        counters.lag.store(lag, Relaxed);
        true
    }

    /// Sends an offer, and refusals with their reasons. Does not postpone the next heartbeat, which also drops silent
    /// bridges and notices that the object was removed.
    fn offer(&self) {
        let Some(what) = self.what.clone() else {
            return; // there was no object yet
        };
        let mut header = Header::new(What::Offer, self.network.instance);
        (header.number, header.other) = (self.window.next(), self.window.base());
        // How many bytes the other side may leave unacknowledged.
        header.third = self.options.window.max(2 * ROOM) as u64;
        header.round = self.round;
        let offer = Offer {
            header,
            what,
            to: lock(&self.shared.peers).as_ref().map_or(0, Peers::only),
            name: self.network.host.clone(),
        };
        self.channel.put(offer.packet().into());
        for (instance, why) in std::mem::take(&mut *lock(&self.shared.refused)) {
            let mut header = Header::new(What::Refusal, self.network.instance);
            header.third = instance;
            self.channel.put(header.with_body(why.as_bytes()).into());
        }
    }

    /// Updates the counters that the object has.
    fn count(&self, source: &mut Source) {
        let counters = &self.shared.counters;
        counters.lost.fetch_add(source.take_lost(), Relaxed);
        let waiting = self.window.bytes() + source.used();
        counters.waiting_bytes.store(waiting as u64, Relaxed);
    }

    /// Waits until all messages that were taken are delivered, at most for the time that the options allow, and sends
    /// a goodbye.
    fn drain(&mut self) {
        let end = Instant::now() + self.options.drain;
        while self.window.packets() > 0 && Instant::now() < end {
            self.serve();
        }
        let undelivered = self.window.next() - self.window.base();
        if undelivered > 0 {
            warn!(
                object = self.shared.name,
                undelivered, "ending with undelivered messages"
            );
        }
        let goodbye = Header::new(What::Goodbye, self.network.instance);
        self.channel.put(goodbye.with_body(&[]).into());
    }
}
