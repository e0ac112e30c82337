//! iceoryx2: events, waited for with a wait set.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use iceoryx2::{
    port::{listener::Listener, notifier::Notifier},
    prelude::*,
    service::port_factory::event::PortFactory,
};
use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// This many event services, which are notified in turn. The listener waits for all of them.
pub struct Events<const COUNT: usize> {
    name: String,
}

/// A port, which needs its service.
type Port<P> = (P, PortFactory<ipc::Service>);

pub struct Notifiers(Vec<Port<Notifier<ipc::Service>>>, usize);

/// The guards of a wait set borrow it and the listeners, so these live as long as the process.
pub struct Listeners {
    waits: &'static WaitSet<ipc::Service>,
    attached: Vec<(
        WaitSetGuard<'static, 'static, ipc::Service>,
        &'static Listener<ipc::Service>,
    )>,
}

impl<const COUNT: usize> Events<COUNT> {
    fn open<P>(&self, port: impl Fn(&PortFactory<ipc::Service>) -> P) -> Vec<Port<P>> {
        let open = |at: usize| {
            let name = format!("{}/{at}", self.name);
            let node = NodeBuilder::new().create::<ipc::Service>();
            let service = node
                .expect("a node can be made")
                .service_builder(&name.as_str().try_into().expect("the name is valid"))
                .event()
                .open_or_create()
                .expect("the service opens");
            (port(&service), service)
        };
        (0..COUNT).map(open).collect()
    }
}

impl<const COUNT: usize> Channel for Events<COUNT> {
    type Sender<'a> = Notifiers;
    type Receiver<'a> = Listeners;

    fn new(_: usize, _: usize) -> Result<Self, Failure> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        set_log_level(LogLevel::Fatal);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("shmkey-bench/events/{}/{number}", process::id());
        Ok(Events { name })
    }
    fn sender(&self) -> Notifiers {
        let notifier = |service: &PortFactory<ipc::Service>| {
            let port = service.notifier_builder().create();
            port.expect("there are few notifiers")
        };
        Notifiers(self.open(notifier), 0)
    }
    fn receiver(&self) -> Listeners {
        let listener = |service: &PortFactory<ipc::Service>| {
            let port = service.listener_builder().create();
            port.expect("there are few listeners")
        };
        let ports = Vec::leak(self.open(listener));
        let waits = WaitSetBuilder::new().create::<ipc::Service>();
        let waits: &'static _ = Box::leak(Box::new(waits.expect("a wait set can be made")));
        let attach = |(listener, _): &'static Port<Listener<ipc::Service>>| {
            let guard = waits.attach_notification(listener);
            (guard.expect("the wait set has room"), listener)
        };
        Listeners {
            waits,
            attached: ports.iter().map(attach).collect(),
        }
    }
}

impl Sender for Notifiers {
    #[inline]
    fn send(&mut self, _: &[u8]) {
        // The other side may not have made its listener yet.
        while self.0[self.1].0.notify().expect("the service works") == 0 {
            std::thread::yield_now();
        }
        self.1 = (self.1 + 1) % self.0.len();
    }
}

impl Receiver for Listeners {
    #[inline]
    fn recv(&mut self, _: &mut [u8]) {
        let mut taken = 0;
        while taken == 0 {
            let process = |id: WaitSetAttachmentId<ipc::Service>| {
                let notified = |(guard, _): &&(WaitSetGuard<_>, _)| id.has_event_from(guard);
                if let Some((_, listener)) = self.attached.iter().find(notified) {
                    taken += listener.try_wait(|_| ()).expect("the service works");
                }
                CallbackProgression::Continue
            };
            let waited = self.waits.wait_and_process_once(process);
            waited.expect("no signal comes");
        }
    }
}
