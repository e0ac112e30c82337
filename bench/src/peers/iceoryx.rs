//! iceoryx2: publish and subscribe.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use iceoryx2::{
    port::{backpressure_strategy::BackpressureStrategy, publisher, subscriber},
    prelude::*,
    service::port_factory::publish_subscribe::PortFactory,
};
use std::{
    hint, process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// A service. Copies messages in and out, or only passes samples on, whatever they contain.
pub struct Iceoryx<const COPIES: bool, const SUBSCRIBERS: usize = 1> {
    service: String,
    size: usize,
    room: usize,
}

/// An end keeps its service alive, and the service its node.
pub struct PublisherEnd<const COPIES: bool> {
    port: publisher::Publisher<ipc::Service, [u8], ()>,
    _service: PortFactory<ipc::Service, [u8], ()>,
}
pub struct SubscriberEnd<const COPIES: bool> {
    port: subscriber::Subscriber<ipc::Service, [u8], ()>,
    _service: PortFactory<ipc::Service, [u8], ()>,
}

impl<const COPIES: bool, const SUBSCRIBERS: usize> Iceoryx<COPIES, SUBSCRIBERS> {
    fn open(&self) -> Result<PortFactory<ipc::Service, [u8], ()>, Failure> {
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let service = node
            .service_builder(&self.service.as_str().try_into()?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(self.room)
            .max_publishers(1)
            .max_subscribers(SUBSCRIBERS)
            .open_or_create()?;
        Ok(service)
    }
}

impl<const COPIES: bool, const SUBSCRIBERS: usize> Channel for Iceoryx<COPIES, SUBSCRIBERS> {
    type Sender<'a> = PublisherEnd<COPIES>;
    type Receiver<'a> = SubscriberEnd<COPIES>;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        set_log_level(LogLevel::Fatal);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Ok(Iceoryx {
            service: format!("shmkey-bench/{}/{number}", process::id()),
            size,
            room: capacity / size.max(64),
        })
    }
    fn sender(&self) -> PublisherEnd<COPIES> {
        let service = self.open().expect("the service opens");
        let port = service
            .publisher_builder()
            .initial_max_slice_len(self.size)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .expect("there is one publisher");
        PublisherEnd {
            port,
            _service: service,
        }
    }
    fn receiver(&self) -> SubscriberEnd<COPIES> {
        let service = self.open().expect("the service opens");
        let port = service
            .subscriber_builder()
            .create()
            .expect("there are few subscribers");
        SubscriberEnd {
            port,
            _service: service,
        }
    }
}

impl<const COPIES: bool> Sender for PublisherEnd<COPIES> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        let sample = self
            .port
            .loan_slice_uninit(message.len())
            .expect("a sample is free");
        let sample = if COPIES {
            sample.write_from_slice(message)
        } else {
            // SAFETY: shared memory is zero at first, and any byte is a `u8`.
            unsafe { sample.assume_init() }
        };
        sample.send().expect("the subscriber lives");
    }
}

impl<const COPIES: bool> Receiver for SubscriberEnd<COPIES> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        for look in 1_u32.. {
            if let Some(sample) = self.port.receive().expect("the publisher lives") {
                if COPIES {
                    message.copy_from_slice(sample.payload());
                }
                return;
            }
            // There may be more ends than processors.
            if look % 1000 == 0 {
                thread::yield_now();
            }
            hint::spin_loop();
        }
    }
}
