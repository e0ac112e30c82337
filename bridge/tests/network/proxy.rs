//! A bad link: a TCP proxy that delays bytes, limits their rate, holds them up at times, and cuts connections.
//!
//! A program that uses TCP sees a lost segment as a pause, in which nothing arrives, and a lost connection as the loss of
//! what is under way. The proxy does both, on each machine, also where the kernel cannot (`tc-netem(8)`).

use super::machines::Machine;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How bad the link is, in each direction.
#[derive(Clone, Copy)]
pub struct Quality {
    pub delay: Duration,
    pub bytes_per_second: u32,
    /// After how many pieces of at most 1448 bytes one is lost, so that the next ones wait until it is sent again.
    pub loss_every: u32,
}

/// A segment of TCP on an Ethernet.
const PIECE: usize = 1448;
/// How long a lost piece takes to be sent again.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// How many pieces are under way at most: then the link accepts no more.
const UNDER_WAY: usize = 256;

/// A proxy that runs until it is dropped.
pub struct Proxy {
    listener: TcpListener,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Starts a proxy on a machine: from one of its addresses to another one.
    pub fn start(machine: &Machine, from: &str, to: &'static str, quality: Quality) -> Proxy {
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let listener = machine.run(|| {
            let listener = TcpListener::bind(from).unwrap();
            let (ours, connections) = (listener.try_clone().unwrap(), Arc::clone(&connections));
            // Threads have the network of the thread that starts them.
            thread::spawn(move || {
                for client in listener.incoming() {
                    let Ok(client) = client else { return };
                    // While nothing listens there, the client finds its connection closed.
                    let _ = connect(&client, to, quality, &connections);
                }
            });
            ours
        });
        Proxy {
            listener,
            connections,
        }
    }

    /// Cuts all connections: what is under way is lost. Returns how many there were.
    pub fn cut(&self) -> usize {
        let mut connections = self.connections.lock().unwrap();
        for connection in connections.iter() {
            let _ = connection.shutdown(Shutdown::Both); // the other side may have closed it
        }
        connections.drain(..).count() / 2
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SAFETY: it ends the wait of the thread that accepts, and no memory is passed.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        self.cut();
    }
}

fn connect(
    client: &TcpStream,
    to: &str,
    quality: Quality,
    connections: &Mutex<Vec<TcpStream>>,
) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    for (from, to) in [(client, &server), (&server, client)] {
        from.set_nodelay(true)?;
        connections.lock().unwrap().push(from.try_clone()?);
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (enters, leaves) = sync_channel(UNDER_WAY);
        thread::spawn(move || enter(from, quality, &enters));
        thread::spawn(move || leave(to, &leaves));
    }
    Ok(())
}

/// A piece, and when it arrives.
type Piece = (Instant, Vec<u8>);

/// Reads pieces, and sends them on their way at the link's rate.
fn enter(mut from: TcpStream, quality: Quality, link: &SyncSender<Piece>) {
    let (mut free, mut lost_until) = (Instant::now(), Instant::now());
    for number in 1_u32.. {
        let mut piece = vec![0; PIECE];
        let Ok(len @ 1..) = from.read(&mut piece) else {
            return;
        };
        piece.truncate(len);
        let now = Instant::now();
        free = free.max(now) + Duration::from_secs(len as u64) / quality.bytes_per_second;
        thread::sleep(free - now);
        if number.is_multiple_of(quality.loss_every) {
            lost_until = free + RETRANSMISSION;
        }
        if link
            .send((lost_until.max(free) + quality.delay, piece))
            .is_err()
        {
            return;
        }
    }
}

/// Writes each piece when it arrives.
fn leave(mut to: TcpStream, link: &Receiver<Piece>) {
    for (arrives, piece) in link {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Both); // the other side may have closed it
}
