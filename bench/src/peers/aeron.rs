//! Aeron: an exclusive publication over its `ipc` channel, with a media driver of its own.

use super::{Channel, Receiver, Sender};
use crate::processes::{Failure, Undisturbed, fork};
use rusteron_client::{
    Aeron as Client, AeronContext, AeronExclusivePublication, AeronFragmentClosureAssembler,
    AeronHeader, AeronSubscription, Handlers,
};
use rusteron_media_driver::{
    AeronCError, AeronDriver, AeronDriverContext, bindings::aeron_threading_mode_enum,
};
use std::{
    ffi::{CStr, CString, OsStr},
    fs, hint,
    os::unix::{ffi::OsStrExt, process::parent_id},
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The sender may be half a term ahead of the receiver.
const CHANNEL: &CStr = c"aeron:ipc?term-length=16m";
/// How long the driver sleeps: less than the sender needs for half a term, whose limit the driver must raise.
const DRIVER_SLEEPS: Duration = Duration::from_micros(200);
/// The largest possible one. Longer messages are sent in parts.
const MTU: usize = 65504;
const HEADER: usize = 32;
/// How many fragments `recv_many` receives at a time.
const AT_ONCE: usize = 32;

const PATIENCE: Duration = Duration::from_secs(5);
static MADE: AtomicU32 = AtomicU32::new(0);

/// The driver is a process that sleeps most of the time: it does not carry messages.
pub struct Aeron {
    directory: CString,
    stream: i32,
    driver: libc::pid_t,
}

impl Channel for Aeron {
    type Sender<'a> = Publication;
    type Receiver<'a> = Subscription;

    fn new(_: usize, _: usize) -> Result<Aeron, Failure> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let directory = format!("/dev/shm/shmkey-bench-aeron-{}-{number}", process::id());
        let directory = CString::new(directory)?;
        let parent = process::id();
        let driver = fork(|| drive(&directory, parent).expect("the driver runs"))?;
        let aeron = Aeron {
            directory,
            stream: 1000 + number as i32,
            driver,
        };
        let started = Instant::now();
        while !path(&aeron.directory).join("cnc.dat").exists() {
            if started.elapsed() > PATIENCE {
                return Err("Aeron's driver does not start".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(aeron)
    }

    fn sender(&self) -> Publication {
        let client = self.client().expect("the driver runs");
        let publication = client
            .async_add_exclusive_publication(CHANNEL, self.stream)
            .and_then(|adding| adding.poll_blocking(PATIENCE))
            .expect("the driver answers");
        Publication {
            publication,
            _client: client,
        }
    }

    fn receiver(&self) -> Subscription {
        let client = self.client().expect("the driver runs");
        let subscription = client
            .async_add_subscription(CHANNEL, self.stream, Handlers::NONE, Handlers::NONE)
            .and_then(|adding| adding.poll_blocking(PATIENCE))
            .expect("the driver answers");
        Subscription {
            subscription,
            assembler: AeronFragmentClosureAssembler::new().expect("there is memory"),
            _client: client,
        }
    }
}

impl Aeron {
    fn client(&self) -> Result<Client, rusteron_client::AeronCError> {
        let context = AeronContext::new()?;
        context.set_dir(&self.directory)?;
        context.set_pre_touch_mapped_memory(true)?;
        let client = Client::new(&context)?;
        client.start()?;
        Ok(client)
    }
}

/// Runs the driver, until its process is killed or the parent has ended.
fn drive(directory: &CStr, parent: u32) -> Result<(), AeronCError> {
    // SAFETY: these only keep signals from ending the driver, which ends by itself after its parent.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, 0);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
    let context = AeronDriverContext::new()?;
    context.set_dir(directory)?;
    context.set_dir_delete_on_start(true)?;
    context.set_threading_mode(aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED)?;
    context.set_ipc_mtu_length(MTU)?;
    context.set_term_buffer_sparse_file(false)?;
    let driver = AeronDriver::new(&context)?;
    driver.start(true)?;
    while parent_id() == parent && driver.main_do_work().is_ok() {
        thread::sleep(DRIVER_SLEEPS);
    }
    drop(driver);
    remove(directory);
    Ok(())
}

fn path(directory: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(directory.to_bytes()))
}

fn remove(directory: &CStr) {
    // It may not exist yet, and may stay.
    let _ = fs::remove_dir_all(path(directory));
}

impl Drop for Aeron {
    fn drop(&mut self) {
        let _undisturbed = Undisturbed::new();
        // SAFETY: a child, which only this code waits for.
        unsafe {
            libc::kill(self.driver, libc::SIGKILL);
            libc::waitpid(self.driver, std::ptr::null_mut(), 0);
        }
        remove(&self.directory);
    }
}

pub struct Publication {
    publication: AeronExclusivePublication,
    _client: Client,
}

impl Sender for Publication {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        while let Err(error) = self.publication.offer(message) {
            assert!(error.is_retryable(), "{error}");
            hint::spin_loop();
        }
    }
}

pub struct Subscription {
    subscription: AeronSubscription,
    assembler: AeronFragmentClosureAssembler,
    _client: Client,
}

impl Subscription {
    /// Receives up to this many fragments. Returns how many messages they have completed.
    #[inline]
    fn poll(&mut self, message: &mut [u8], fragments: usize) -> u64 {
        let mut received = (message, 0);
        let copy = |(message, count): &mut (&mut [u8], u64), text: &[u8], _: AeronHeader| {
            message.copy_from_slice(text);
            *count += 1;
        };
        if received.0.len() + HEADER <= MTU {
            self.subscription
                .poll_fn(|text, header| copy(&mut received, text, header), fragments)
        } else {
            self.assembler
                .poll(&self.subscription, &mut received, copy, fragments)
        }
        .expect("the driver runs");
        received.1
    }
}

impl Receiver for Subscription {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        while self.poll(message, 1) == 0 {
            hint::spin_loop();
        }
    }

    fn recv_many(&mut self, message: &mut [u8], mut count: u64) {
        while count > 0 {
            let received = self.poll(message, AT_ONCE.min(count as usize));
            count -= received;
            if received == 0 {
                hint::spin_loop();
            }
        }
    }
}
