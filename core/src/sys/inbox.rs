//! A descriptor that any process that knows its number can make readable, and that also becomes readable at intervals.
//!
//! It is the descriptor of an epoll instance that watches two others: a timer, and a datagram socket that is bound to
//! an abstract address made from the number. To make it readable, a process sends an empty datagram to that address.
//! This takes one system call, needs neither a file nor a permission, and fails if the process that had the address has
//! died. An address is valid in one network namespace; for changes by processes of other ones, there is the timer.

use super::{
    clock::about_now,
    errno::{Errno, check},
    file::{Descriptor, FileId},
    process::random,
};
use core::{
    ffi::c_int,
    mem::{ManuallyDrop, size_of},
    num::NonZeroU32,
    ptr,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// The epoll descriptor, with its socket and its timer. Dropping it closes them.
#[derive(Debug)]
pub struct Inbox {
    epoll: Descriptor,
    socket: Descriptor,
    timer: Descriptor,
    number: NonZeroU32,
    interval: Duration,
    /// The time at which the timer expires, or a little before that, in nanoseconds.
    due: AtomicU64,
    /// Identifies the socket, as long as it is open.
    id: Option<FileId>,
}

/// Closes the descriptors, unless the program has closed them, as closefrom(3) does: then other files may have their
/// numbers.
impl Drop for Inbox {
    fn drop(&mut self) {
        if self.id.is_none() || self.socket.id().ok() != self.id {
            for descriptor in [&mut self.epoll, &mut self.socket, &mut self.timer] {
                descriptor.0 = -1;
            }
        }
    }
}

/// The largest number of nanoseconds by which the clock of [`about_now`] is late.
const LATE: u64 = 16_000_000;

/// How many datagrams to take at a time: as many as the kernel queues by default (`net.unix.max_dgram_qlen`, plus 1).
const QUEUE: usize = 11;

/// How many numbers to try before giving up.
const TRIES: u32 = 100;

impl Inbox {
    /// Creates a descriptor that is readable now, and becomes readable at the latest one interval after each
    /// [`drain`](Inbox::drain). `exec` closes it.
    pub fn new(interval: Duration) -> Result<Inbox, Errno> {
        let (socket, number) = bound_socket()?;
        // SAFETY: takes no memory.
        let timer = descriptor(unsafe {
            libc::syscall(
                libc::SYS_timerfd_create,
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        })?;
        // SAFETY: takes no memory.
        let epoll =
            descriptor(unsafe { libc::syscall(libc::SYS_epoll_create1, libc::EPOLL_CLOEXEC) })?;
        let inbox = Inbox {
            id: socket.id().ok(),
            epoll,
            socket,
            timer,
            number,
            interval,
            due: AtomicU64::new(0),
        };
        inbox.add(&inbox.socket)?;
        inbox.add(&inbox.timer)?;
        inbox.set_timer(Duration::from_nanos(1));
        Ok(inbox)
    }

    fn add(&self, member: &Descriptor) -> Result<(), Errno> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 0,
        };
        // SAFETY: the kernel reads the event.
        check(unsafe {
            libc::syscall(
                libc::SYS_epoll_ctl,
                self.epoll.0,
                libc::EPOLL_CTL_ADD,
                member.0,
                ptr::from_mut(&mut event),
            )
        })?;
        Ok(())
    }

    /// Returns the descriptor.
    pub fn descriptor(&self) -> c_int {
        self.epoll.0 as c_int
    }

    /// Returns the number with which [`send`] makes it readable.
    pub fn number(&self) -> NonZeroU32 {
        self.number
    }

    /// Makes it unreadable until the next [`send`], but at most for an interval. Takes at most `QUEUE` datagrams: if
    /// there are more, it stays readable.
    pub fn drain(&self) {
        self.take_datagrams();
        // Relaxed: orders nothing. If two threads set the timer, that does no harm.
        if about_now() + LATE >= self.due.load(Relaxed) {
            self.set_timer(self.interval);
        }
    }

    fn take_datagrams(&self) {
        let mut byte = 0_u8;
        // Emulators receive nothing if there is no room for a byte.
        let mut room = libc::iovec {
            iov_base: ptr::from_mut(&mut byte).cast(),
            iov_len: 1,
        };
        // SAFETY: a header of zeroes is a valid one.
        let mut taken: [libc::mmsghdr; QUEUE] = unsafe { core::mem::zeroed() };
        for header in &mut taken {
            header.msg_hdr.msg_iov = &raw mut room;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the kernel writes the headers, and one byte at most for each message.
        let received = check(unsafe {
            libc::syscall(
                libc::SYS_recvmmsg,
                self.socket.0,
                taken.as_mut_ptr(),
                taken.len(),
                libc::MSG_DONTWAIT,
                ptr::null_mut::<libc::timespec>(),
            )
        });
        if let Err(Errno(libc::ENOSYS | libc::EPERM | libc::EACCES)) = received {
            // A seccomp filter forbids it.
            self.take_one_by_one();
        }
    }

    fn take_one_by_one(&self) {
        let mut byte = 0_u8;
        for _ in 0..QUEUE {
            // SAFETY: the kernel writes one byte at most.
            let taken = check(unsafe {
                libc::syscall(
                    libc::SYS_recvfrom,
                    self.socket.0,
                    ptr::from_mut(&mut byte),
                    1,
                    libc::MSG_DONTWAIT,
                    ptr::null_mut::<libc::sockaddr>(),
                    ptr::null_mut::<libc::socklen_t>(),
                )
            });
            if taken.is_err() {
                break;
            }
        }
    }

    /// Makes it readable. A signal handler may call this.
    pub fn make_readable(&self) {
        send(self.number);
    }

    /// Makes the timer expire once, after this time. If it has expired already, it is no longer readable.
    fn set_timer(&self, time: Duration) {
        // Computed before the timer is set, so the timer expires at that time or later.
        let due = about_now().saturating_add(time.as_nanos() as u64);
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = libc::itimerspec {
            it_interval: zero,
            it_value: libc::timespec {
                tv_sec: time.as_secs() as libc::time_t,
                tv_nsec: time.subsec_nanos().into(),
            },
        };
        // SAFETY: the kernel reads the setting.
        unsafe {
            libc::syscall(
                libc::SYS_timerfd_settime,
                self.timer.0,
                0,
                ptr::from_ref(&setting),
                ptr::null_mut::<libc::itimerspec>(),
            )
        };
        self.due.store(due, Relaxed);
    }
}

/// Waits until one of at most [`MAX`](super::waitv::MAX) descriptors is readable, at most for this time. May return
/// earlier. Returns whether a signal handler has ended the wait.
pub fn poll(descriptors: &[c_int], time: Duration) -> bool {
    let none = libc::pollfd {
        fd: -1,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut polled = [none; super::waitv::MAX];
    for (polled, &fd) in polled.iter_mut().zip(descriptors) {
        polled.fd = fd;
    }
    let mut time = libc::timespec {
        tv_sec: time.as_secs().min(3600) as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the kernel reads and writes as many elements as there are, and the time.
    let polled = check(unsafe {
        libc::syscall(
            libc::SYS_ppoll,
            polled.as_mut_ptr(),
            descriptors.len().min(polled.len()),
            ptr::from_mut(&mut time),
            ptr::null::<libc::sigset_t>(),
            size_of::<u64>(),
        )
    });
    polled == Err(Errno(libc::EINTR))
}

/// Creates a socket, and binds it to the address of a number that no other socket has.
fn bound_socket() -> Result<(Descriptor, NonZeroU32), Errno> {
    let socket = socket()?;
    for _ in 0..TRIES {
        let Some(number) = NonZeroU32::new(random() as u32) else {
            continue;
        };
        let (address, len) = address_of(number);
        // SAFETY: the kernel reads the address.
        let bound =
            check(unsafe { libc::syscall(libc::SYS_bind, socket.0, ptr::from_ref(&address), len) });
        match bound {
            Ok(_) => return Ok((socket, number)),
            Err(Errno(libc::EADDRINUSE)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno(libc::EADDRINUSE))
}

fn socket() -> Result<Descriptor, Errno> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes no memory.
    descriptor(unsafe { libc::syscall(libc::SYS_socket, libc::AF_UNIX, kind, 0) })
}

fn descriptor(result: libc::c_long) -> Result<Descriptor, Errno> {
    check(result).map(Descriptor)
}

/// Returns the abstract address of a number, and its length: `shmkey-wake-` and eight hexadecimal digits.
fn address_of(number: NonZeroU32) -> (libc::sockaddr_un, libc::c_long) {
    // SAFETY: an address of zeroes is a valid one.
    let mut address: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let digits =
        (0..8).map(|at| b"0123456789abcdef"[(number.get() >> (28 - 4 * at)) as usize & 15]);
    let name = b"\0shmkey-wake-".iter().copied().chain(digits);
    let mut len = size_of::<libc::sa_family_t>();
    for (to, byte) in address.sun_path.iter_mut().zip(name) {
        *to = byte as libc::c_char;
        len += 1;
    }
    (address, len as libc::c_long)
}

/// The socket from which this process sends, as `known` describes it; all bits are 1 before the first time. Children
/// made by `fork` send from it, too.
static SENDER: AtomicU64 = AtomicU64::new(u64::MAX);

/// The lowest number for the socket's descriptor, if the limit of the process allows it. Programs that close descriptors
/// and open others seldom reach it.
const HIGH: c_int = 1000;

/// Makes the inbox of a number readable, if there is one. Makes one system call, except the first time, and does
/// not change errno.
#[cold]
pub fn send(number: NonZeroU32) {
    let errno = Errno::last();
    // Acquire: pairs with the release in `new_sender`.
    let sender = SENDER.load(Acquire);
    if !is_sent(sender, number)
        && let Some(sender) = new_sender(sender)
    {
        let _ = send_from(number_of(sender), number);
    }
    errno.set();
}

/// Makes the inbox of a number readable from a socket. Returns false if the socket is no longer open: the program has
/// closed it, as closefrom(3) does, and may have opened something else with the number of its descriptor. If that got
/// the datagram, it was empty.
fn is_sent(sender: u64, number: NonZeroU32) -> bool {
    if sender == u64::MAX {
        return false; // the first time
    }
    match send_from(number_of(sender), number) {
        // The inbox is full and so readable already, or there is none with this number.
        Ok(_) | Err(Errno(libc::EAGAIN | libc::ECONNREFUSED)) => true,
        // For example, EPIPE: a hostile process has shut down its inbox.
        Err(_) => is_open(sender),
    }
}

/// Describes an open socket: its descriptor's number in the upper half, and the lower half of its inode number.
fn known(socket: &Descriptor) -> Option<u64> {
    let inode = socket.id().ok()?.inode;
    Some((socket.0 as u64) << 32 | inode & u64::from(u32::MAX))
}

/// Returns the descriptor's number.
fn number_of(sender: u64) -> c_int {
    (sender >> 32) as c_int
}

fn is_open(sender: u64) -> bool {
    let socket = ManuallyDrop::new(Descriptor(number_of(sender).into()));
    known(&socket) == Some(sender)
}

fn send_from(sender: c_int, number: NonZeroU32) -> Result<libc::c_long, Errno> {
    let (address, len) = address_of(number);
    // SAFETY: the kernel reads the address, and no byte of the message.
    check(unsafe {
        libc::syscall(
            libc::SYS_sendto,
            sender,
            ptr::null::<u8>(),
            0,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            ptr::from_ref(&address),
            len,
        )
    })
}

/// Creates the socket from which this process sends, in place of one that is no longer open, and describes it. If that
/// fails, inboxes become readable at the end of their intervals.
#[cold]
fn new_sender(before: u64) -> Option<u64> {
    let low = socket().ok()?;
    // SAFETY: takes numbers.
    let high = check(unsafe { libc::syscall(libc::SYS_fcntl, low.0, libc::F_DUPFD_CLOEXEC, HIGH) });
    let made = high.map_or(low, Descriptor);
    let sender = known(&made)?;
    // Release: another thread that sees the descriptor sees an open socket.
    match SENDER.compare_exchange(before, sender, Release, Acquire) {
        Ok(_) => {
            // It stays open until the process ends.
            core::mem::forget(made);
            Some(sender)
        }
        // Another thread was faster.
        Err(other) => Some(other),
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn is_readable(inbox: &Inbox) -> bool {
        let mut poll = libc::pollfd {
            fd: inbox.descriptor(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the kernel writes the one element.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    #[test]
    fn it_is_readable_at_first_after_a_datagram_and_after_an_interval() {
        let inbox = Inbox::new(Duration::from_secs(3600)).unwrap();
        while !is_readable(&inbox) {}
        inbox.drain();
        assert!(!is_readable(&inbox));
        send(inbox.number());
        assert!(is_readable(&inbox));
        inbox.drain();
        assert!(!is_readable(&inbox));
        inbox.set_timer(Duration::from_millis(1));
        while !is_readable(&inbox) {}
    }

    #[test]
    fn what_is_sent_to_no_inbox_has_no_effect() {
        let inbox = Inbox::new(Duration::from_secs(3600)).unwrap();
        let number = inbox.number();
        drop(inbox);
        Errno(libc::EDOM).set();
        send(number);
        assert_eq!(Errno::last(), Errno(libc::EDOM));
    }

    /// A hostile process can shut its own inbox down: then each datagram fails.
    #[test]
    fn an_inbox_that_is_shut_down_costs_the_sender_no_descriptor() {
        let inbox = Inbox::new(Duration::from_secs(3600)).unwrap();
        send(inbox.number());
        // SAFETY: takes numbers.
        let shut = unsafe { libc::shutdown(inbox.socket.0 as c_int, libc::SHUT_RD) };
        assert_eq!(shut, 0);
        let before = SENDER.load(Acquire);
        let sent = send_from(number_of(before), inbox.number());
        assert_eq!(sent, Err(Errno(libc::EPIPE)));
        (0..10).for_each(|_| send(inbox.number()));
        assert_eq!(SENDER.load(Acquire), before);
    }

    #[test]
    fn a_socket_that_was_closed_is_replaced_although_its_number_is_in_use() {
        let inbox = Inbox::new(Duration::from_secs(3600)).unwrap();
        let own = socket().unwrap();
        let sender = known(&own).unwrap();
        assert!(is_sent(sender, inbox.number()));
        // SAFETY: takes numbers, and closes a socket of this test.
        unsafe {
            let other = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
            assert_eq!(libc::dup2(other, number_of(sender)), number_of(sender));
            libc::close(other);
        }
        assert!(!is_sent(sender, inbox.number()));
        assert!(!is_sent(u64::MAX, inbox.number()));
    }

    #[test]
    fn one_call_drains_several_datagrams() {
        let inbox = Inbox::new(Duration::from_secs(3600)).unwrap();
        while !is_readable(&inbox) {}
        for take in [Inbox::take_datagrams, Inbox::take_one_by_one] {
            inbox.drain();
            (0..5).for_each(|_| send(inbox.number()));
            assert!(is_readable(&inbox));
            take(&inbox);
            assert!(!is_readable(&inbox));
        }
    }

    #[test]
    fn a_full_inbox_is_readable_until_all_is_drained() {
        let inbox = Inbox::new(Duration::from_secs(3600)).unwrap();
        (0..1000).for_each(|_| send(inbox.number()));
        let mut drained = 0;
        while is_readable(&inbox) {
            inbox.drain();
            drained += 1;
        }
        assert!((1..1000).contains(&drained), "{drained}");
    }
}
