//! The descriptors of objects: readable when there may be something, in every kind of poll, and woken by any process.

mod support;

use shmkey::{
    Broadcast, Canceller, Error, ErrorKind, Key, Latest, Place, Publisher, Ring, Segment,
    Semaphore, Sender, Subscriber,
};
use std::{
    cell::RefCell,
    fs,
    os::fd::{AsRawFd, RawFd},
    process::Command,
    ptr,
    sync::OnceLock,
    time::{Duration, Instant},
};
use support::{
    AGES, Environment, Helper, NOW, do_task, fails, in_child, say, status_of_child, wait_for_line,
};

#[test]
fn helper_process() {
    do_task(&[
        ("post", post),
        ("post as another user", post_as_another_user),
        ("post in a chroot", post_in_a_chroot),
        ("post many", post_many),
        ("post often", post_often),
        ("send and wait", send_and_wait),
        ("publish and wait", publish_and_wait),
        ("wake each kind", wake_each_kind),
    ]);
}

fn post_when_told(semaphore: &Semaphore) {
    say("ready");
    wait_for_line();
    semaphore.post().unwrap();
    say("posted");
    wait_for_line();
}

fn post(name: &str) {
    post_when_told(&Semaphore::open(name, 0).unwrap());
}

fn post_as_another_user(name: &str) {
    let semaphore = Semaphore::open(name, 0).unwrap();
    // SAFETY: changes the user of this process, which is a helper.
    assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
    post_when_told(&semaphore);
}

fn post_in_a_chroot(name: &str) {
    let semaphore = Semaphore::open(name, 0).unwrap();
    let empty = tempfile::tempdir().unwrap();
    std::os::unix::fs::chroot(empty.path()).unwrap();
    post_when_told(&semaphore);
}

/// Posts once for each line that it gets.
fn post_many(name: &str) {
    let semaphore = Semaphore::open(name, 0).unwrap();
    say("ready");
    for _ in 0..20 {
        wait_for_line();
        semaphore.post().unwrap();
        say("posted");
    }
}

fn post_often(name: &str) {
    let semaphore = Semaphore::open(name, 0).unwrap();
    (0..1000).for_each(|_| semaphore.post().unwrap());
}

fn send_and_wait(name: &str) {
    let mut sender = Ring::open(name, 64).unwrap().sender().unwrap();
    sender.send(b"one").unwrap();
    say("ready");
    wait_for_line();
}

fn publish_and_wait(name: &str) {
    let mut publisher = Broadcast::open(name, 4096).unwrap().publisher().unwrap();
    publisher.publish(b"one").unwrap();
    say("ready");
    wait_for_line();
}

/// Sends, posts and publishes, a thousand times each, while no descriptor waits.
fn wake_each_kind(name: &str) {
    let ring = Ring::options()
        .drop_oldest(true)
        .open(&*format!("{name} ring"), 4096);
    let mut sender = ring.unwrap().sender().unwrap();
    let semaphore = Semaphore::open(&*format!("{name} semaphore"), 0).unwrap();
    let latest = Latest::<u64>::open(&*format!("{name} latest")).unwrap();
    let mut latest = latest.publisher().unwrap();
    let news = Broadcast::options()
        .lossy(true)
        .open(&*format!("{name} broadcast"), 4096);
    let mut news = news.unwrap().publisher().unwrap();
    for number in 0..1000 {
        sender.send(b"x").unwrap();
        semaphore.post().unwrap();
        latest.publish(number).unwrap();
        news.publish(b"x").unwrap();
    }
}

/// Polls a descriptor, at most this time, and returns whether it is readable.
fn poll(fd: RawFd, time: Duration) -> bool {
    let events = libc::POLLIN;
    let mut poll = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: the kernel writes the one element.
    let count = unsafe { libc::poll(&mut poll, 1, time.as_millis() as i32) };
    assert!(count >= 0 && poll.revents & !events == 0);
    count == 1
}

fn is_readable(fd: RawFd) -> bool {
    poll(fd, Duration::ZERO)
}

/// Tries, each time that the descriptor is readable, until the result is another than that it would block. Returns that,
/// and how many times the descriptor was readable.
#[track_caller]
fn wait_by<T>(fd: RawFd, mut work: impl FnMut() -> Result<T, Error>) -> (Result<T, Error>, u32) {
    for wakeups in 1.. {
        assert!(poll(fd, AGES), "it is not readable");
        match work() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return (result, wakeups),
        }
    }
    unreachable!()
}

/// An object of any kind with its two sides.
trait Pair {
    fn fd(&self) -> RawFd;
    /// Adds one.
    fn add(&self);
    /// Takes one, if there is one.
    fn try_take(&self) -> Result<(), Error>;
    fn canceller(&self) -> Canceller;
    /// How many of two are left for the taker.
    const LEFT: u32 = 2;

    /// Takes one. Returns whether there was one.
    fn take(&self) -> bool {
        is_there(self.try_take())
    }

    fn take_all(&self) -> u32 {
        (0..).find(|_| !self.take()).unwrap()
    }
}

fn is_there<T>(result: Result<T, Error>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            false
        }
    }
}

struct RingPair(RefCell<Sender>, RefCell<shmkey::Receiver>);

impl Pair for RingPair {
    fn fd(&self) -> RawFd {
        self.1.borrow().fd().unwrap().as_raw_fd()
    }

    fn add(&self) {
        self.0.borrow_mut().send(b"one").unwrap();
    }

    fn try_take(&self) -> Result<(), Error> {
        self.1.borrow_mut().try_recv(&mut [0; 8]).map(drop)
    }

    fn canceller(&self) -> Canceller {
        self.1.borrow().canceller()
    }
}

/// The same, received in place.
struct Peeking(RingPair);

impl Pair for Peeking {
    fn fd(&self) -> RawFd {
        self.0.fd()
    }

    fn add(&self) {
        self.0.add();
    }

    fn try_take(&self) -> Result<(), Error> {
        self.0.1.borrow_mut().try_peek()?.release()
    }

    fn canceller(&self) -> Canceller {
        self.0.canceller()
    }
}

impl Pair for Semaphore {
    fn fd(&self) -> RawFd {
        self.fd().unwrap().as_raw_fd()
    }

    fn add(&self) {
        self.post().unwrap();
    }

    fn try_take(&self) -> Result<(), Error> {
        self.try_wait()
    }

    fn canceller(&self) -> Canceller {
        self.canceller()
    }
}

struct LatestPair(RefCell<Publisher<u64>>, Latest<u64>, RefCell<u64>);

impl Pair for LatestPair {
    fn fd(&self) -> RawFd {
        self.1.fd().unwrap().as_raw_fd()
    }

    fn add(&self) {
        self.0.borrow_mut().publish(7).unwrap();
    }

    fn try_take(&self) -> Result<(), Error> {
        let mut seen = self.2.borrow_mut();
        match self.1.read_newer(&mut seen)? {
            Some(_) => Ok(()),
            None => self.1.wait_newer_timeout(&mut seen, NOW).map(drop),
        }
    }

    fn canceller(&self) -> Canceller {
        self.1.canceller()
    }

    const LEFT: u32 = 1;
}

struct News(RefCell<shmkey::BroadcastPublisher>, RefCell<Subscriber>);

impl Pair for News {
    fn fd(&self) -> RawFd {
        self.1.borrow().fd().unwrap().as_raw_fd()
    }

    fn add(&self) {
        self.0.borrow_mut().publish(b"one").unwrap();
    }

    fn try_take(&self) -> Result<(), Error> {
        self.1.borrow_mut().try_recv(&mut [0; 8]).map(drop)
    }

    fn canceller(&self) -> Canceller {
        self.1.borrow().canceller()
    }
}

fn ring(name: &str) -> RingPair {
    let ring = Ring::open(name, 4096).unwrap();
    RingPair(
        ring.sender().unwrap().into(),
        ring.receiver().unwrap().into(),
    )
}

fn latest(name: &str) -> LatestPair {
    let latest = Latest::open(name).unwrap();
    LatestPair(latest.publisher().unwrap().into(), latest, 0.into())
}

fn news(name: &str) -> News {
    let news = Broadcast::open(name, 4096).unwrap();
    News(
        news.publisher().unwrap().into(),
        news.subscribe().unwrap().into(),
    )
}

type Way = fn(RawFd) -> bool;

fn by_select(fd: RawFd) -> bool {
    // SAFETY: a set of zeroes is valid, the descriptor is small, and the kernel writes the set.
    unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(fd, &mut set);
        let mut time = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        libc::select(
            fd + 1,
            &mut set,
            ptr::null_mut(),
            ptr::null_mut(),
            &mut time,
        ) == 1
    }
}

fn by_epoll(fd: RawFd) -> bool {
    Epoll::new(fd, libc::EPOLLIN).is_ready()
}

/// An epoll descriptor that watches another.
struct Epoll(RawFd);

impl Epoll {
    fn new(fd: RawFd, events: i32) -> Epoll {
        // SAFETY: takes no memory.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: 0,
        };
        // SAFETY: the kernel reads the event.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
        assert_eq!(added, 0);
        Epoll(epoll)
    }

    fn is_ready(&self) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: the kernel writes at most one event.
        unsafe { libc::epoll_wait(self.0, &mut event, 1, 0) == 1 }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // SAFETY: it is this value's own.
        unsafe { libc::close(self.0) };
    }
}

/// Returns whether a try that would block makes the descriptor unreadable: a timer may make it readable again.
fn becomes_unreadable(fd: RawFd, is_readable: Way, take: impl Fn() -> bool) -> bool {
    (0..20).any(|_| {
        assert!(!take(), "there is nothing");
        !is_readable(fd)
    })
}

fn follows_the_rule<P: Pair>(kind: &str, pair: &P) {
    for (way, is_readable) in [
        ("poll", is_readable as Way),
        ("select", by_select),
        ("epoll", by_epoll),
    ] {
        let what = format!("{kind} by {way}");
        let fd = pair.fd();
        pair.take_all();
        assert!(
            becomes_unreadable(fd, is_readable, || pair.take()),
            "{what}: nothing"
        );
        pair.add();
        assert!(is_readable(fd), "{what}: one");
        pair.add();
        assert!(is_readable(fd), "{what}: two");
        assert!(pair.take() && is_readable(fd), "{what}: until it blocks");
        assert_eq!(pair.take_all() + 1, P::LEFT, "{what}");
        assert!(
            becomes_unreadable(fd, is_readable, || pair.take()),
            "{what}: none left"
        );
        assert_eq!(pair.fd(), fd, "{what}: one descriptor for each handle");
    }
}

fn is_reported_once_at_the_edge<P: Pair>(kind: &str, pair: &P) {
    let fd = pair.fd();
    let epoll = Epoll::new(fd, libc::EPOLLIN | libc::EPOLLET);
    assert!(epoll.is_ready(), "{kind}: at first");
    let mut once = 0;
    for round in 0..20 {
        pair.take_all();
        epoll.is_ready();
        pair.add();
        assert!(epoll.is_ready(), "{kind}: one, in round {round}");
        once += u32::from(!epoll.is_ready()); // unless the timer is an edge
        assert_eq!(pair.take_all(), 1, "{kind}");
    }
    assert!(once > 0, "{kind}: once");
}

/// Calls a check with a pair of each kind.
macro_rules! for_each_kind {
    ($check:ident) => {
        let test = Environment::with_names(&["ring", "peek", "semaphore", "latest", "broadcast"]);
        $check("ring", &ring(&test.named("ring")));
        $check("peek", &Peeking(ring(&test.named("peek"))));
        $check(
            "semaphore",
            &Semaphore::open(&test.named("semaphore"), 0).unwrap(),
        );
        $check("latest", &latest(&test.named("latest")));
        $check("broadcast", &news(&test.named("broadcast")));
    };
}

#[test]
fn a_descriptor_is_readable_until_a_try_would_block() {
    for_each_kind!(follows_the_rule);
}

#[test]
fn an_edge_is_reported_once() {
    for_each_kind!(is_reported_once_at_the_edge);
}

fn is_ended_by_a_cancellation<P: Pair>(kind: &str, pair: &P) {
    let (fd, canceller) = (pair.fd(), pair.canceller());
    let becomes_unreadable = || becomes_unreadable(fd, is_readable, || pair.take());
    assert!(becomes_unreadable(), "{kind}");
    canceller.cancel();
    assert!(is_readable(fd), "{kind}: cancelled");
    fails(pair.try_take(), ErrorKind::Cancelled);
    assert!(becomes_unreadable(), "{kind}: once");
    // What is there comes first.
    canceller.cancel();
    pair.add();
    assert!(pair.take(), "{kind}: one");
    assert!(is_readable(fd), "{kind}: until it blocks");
    fails(pair.try_take(), ErrorKind::Cancelled);
    assert!(becomes_unreadable(), "{kind}: twice");
}

#[test]
fn a_cancellation_makes_a_descriptor_readable_and_ends_a_try() {
    for_each_kind!(is_ended_by_a_cancellation);
}

#[test]
fn a_cancellation_before_there_is_a_descriptor_is_kept() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    semaphore.canceller().cancel();
    fails(semaphore.try_wait(), ErrorKind::WouldBlock);
    semaphore.fd().unwrap();
    fails(semaphore.try_wait(), ErrorKind::Cancelled);
    fails(semaphore.try_wait(), ErrorKind::WouldBlock);
}

#[test]
fn a_cancellation_comes_before_the_end_of_the_peers() {
    let test = Environment::with_names(&["ring", "broadcast"]);
    let ring = ring(&test.named("ring"));
    let (fd, canceller) = (ring.fd(), ring.canceller());
    drop(ring.0);
    let mut receiver = ring.1.borrow_mut();
    canceller.cancel();
    assert!(is_readable(fd));
    fails(receiver.try_recv(&mut [0; 8]), ErrorKind::Cancelled);
    assert!(is_readable(fd), "the end");
    fails(receiver.try_recv(&mut [0; 8]), ErrorKind::Closed);

    let news = news(&test.named("broadcast"));
    let (fd, canceller) = (news.fd(), news.canceller());
    drop(news.0);
    let mut subscriber = news.1.borrow_mut();
    canceller.cancel();
    fails(subscriber.try_recv(&mut [0; 8]), ErrorKind::Cancelled);
    assert!(is_readable(fd), "the end");
    fails(subscriber.try_recv(&mut [0; 8]), ErrorKind::Closed);
}

/// A batch that has received something returns that.
#[test]
fn a_batch_keeps_a_cancellation() {
    let test = Environment::with_names(&["ring", "broadcast"]);
    let ring = ring(&test.named("ring"));
    let mut receiver = ring.1.borrow_mut();
    receiver.fd().unwrap();
    receiver.canceller().cancel();
    let mut batch = || receiver.try_recv_batch(&mut [0; 64], &mut [0; 8]);
    ring.0.borrow_mut().send(b"one").unwrap();
    assert_eq!(batch().unwrap(), 1);
    fails(batch(), ErrorKind::Cancelled);
    fails(batch(), ErrorKind::WouldBlock);

    let news = news(&test.named("broadcast"));
    let mut subscriber = news.1.borrow_mut();
    subscriber.fd().unwrap();
    subscriber.canceller().cancel();
    let mut batch = || subscriber.try_recv_batch(&mut [0; 64], &mut [0; 8]);
    news.add();
    assert_eq!(batch().unwrap(), 1);
    fails(batch(), ErrorKind::Cancelled);
    fails(batch(), ErrorKind::WouldBlock);
}

/// A process has not sent anything to a descriptor before.
#[test]
fn a_signal_handler_makes_a_descriptor_readable_by_a_cancellation() {
    static STOP: OnceLock<Canceller> = OnceLock::new();
    extern "C" fn on_signal(_: i32) {
        STOP.get().unwrap().cancel();
    }
    in_child(|| {
        let test = Environment::new();
        let semaphore = Semaphore::open(test.name(), 0).unwrap();
        STOP.set(semaphore.canceller()).unwrap();
        let fd = semaphore.fd().unwrap().as_raw_fd();
        assert!(becomes_unreadable(fd, is_readable, || semaphore.take()));
        // SAFETY: the handler may run at any time; the signal is for this thread alone.
        unsafe {
            libc::signal(libc::SIGUSR1, on_signal as *const () as usize);
            libc::raise(libc::SIGUSR1);
        }
        assert!(is_readable(fd));
        fails(semaphore.try_wait(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_childs_cancellation_is_not_its_parents() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let stop = semaphore.canceller();
    semaphore.fd().unwrap();
    fails(semaphore.try_wait(), ErrorKind::WouldBlock);
    in_child(|| {
        let fd = semaphore.fd().unwrap().as_raw_fd();
        assert!(becomes_unreadable(fd, is_readable, || semaphore.take()));
        stop.cancel();
        assert!(is_readable(fd));
        fails(semaphore.try_wait(), ErrorKind::Cancelled);
        stop.cancel();
    });
    fails(semaphore.try_wait(), ErrorKind::WouldBlock);
}

fn is_readable_at_first<P: Pair>(kind: &str, pair: &P) {
    assert!(poll(pair.fd(), AGES), "{kind}");
}

#[test]
fn a_new_descriptor_is_readable() {
    for_each_kind!(is_readable_at_first);
}

/// It finds that in the try after the announcement, and then may not be left unreadable.
#[test]
fn a_try_that_finds_something_late_leaves_the_descriptor_readable() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let fd = semaphore.fd().unwrap().as_raw_fd();
    std::thread::scope(|scope| {
        let poster = scope.spawn(|| (0..20_000).for_each(|_| semaphore.post().unwrap()));
        let mut taken = 0;
        while taken < 20_000 {
            // One try for each time, as level-triggered loops may do.
            let (result, _) = wait_by(fd, || semaphore.try_wait());
            result.unwrap();
            taken += 1;
        }
        poster.join().unwrap();
    });
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn processes_of_every_kind_wake_a_descriptor() {
    needs!(NAMESPACES);
    let pid: &[&str] = &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let net: &[&str] = &["unshare", "--net"];
    for (within, task, is_reached) in [
        (&[] as &[&str], "post", true),
        (&[], "post as another user", true),
        (&[], "post in a chroot", true),
        (pid, "post", true),
        (net, "post", false),
    ] {
        let test = Environment::new();
        let semaphore = Semaphore::open(test.name(), 0).unwrap();
        let fd = semaphore.fd().unwrap().as_raw_fd();
        let mut helper = test.helper_within(within, task).expecting("ready");
        semaphore.try_wait().unwrap_err();
        helper.send_line();
        helper.expect("posted");
        // The call that posts has made it readable before it returned.
        assert!(!is_reached || is_readable(fd), "{within:?} {task}");
        wait_by(fd, || semaphore.try_wait()).0.unwrap();
        helper.send_line();
    }
}

fn dies(helper: &mut Helper, fd: RawFd, mut work: impl FnMut() -> Result<usize, Error>) {
    assert_eq!(wait_by(fd, &mut work).0.unwrap(), 3);
    while work().map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock) {}
    helper.kill();
    let (result, wakeups) = wait_by(fd, &mut work);
    fails(result, ErrorKind::PeerDied);
    assert!(wakeups <= 2, "{wakeups}");
    assert!(is_readable(fd), "until the role is taken again");
}

#[test]
fn the_death_of_a_sender_makes_a_descriptor_readable() {
    let test = Environment::new();
    let mut receiver = Ring::open(test.name(), 64).unwrap().receiver().unwrap();
    let mut helper = test.helper("send and wait").expecting("ready");
    let fd = receiver.fd().unwrap().as_raw_fd();
    dies(&mut helper, fd, || receiver.try_recv(&mut [0; 8]));
}

#[test]
fn the_death_of_a_publisher_makes_a_descriptor_readable() {
    let test = Environment::new();
    let news = Broadcast::open(test.name(), 4096).unwrap();
    let mut subscriber = news.subscribe().unwrap();
    let mut helper = test.helper("publish and wait").expecting("ready");
    let fd = subscriber.fd().unwrap().as_raw_fd();
    dies(&mut helper, fd, || subscriber.try_recv(&mut [0; 8]));
}

#[test]
fn the_end_of_the_senders_makes_a_descriptor_readable_at_once() {
    let test = Environment::with_names(&["ring", "broadcast"]);
    let RingPair(sender, receiver) = ring(&test.named("ring"));
    let mut receiver = receiver.into_inner();
    receiver.fd().unwrap();
    fails(receiver.try_recv(&mut [0; 8]), ErrorKind::WouldBlock);
    drop(sender);
    assert!(is_readable(receiver.fd().unwrap().as_raw_fd()));
    fails(receiver.try_recv(&mut [0; 8]), ErrorKind::Closed);

    let News(publisher, subscriber) = news(&test.named("broadcast"));
    let mut subscriber = subscriber.into_inner();
    subscriber.fd().unwrap();
    fails(subscriber.try_recv(&mut [0; 8]), ErrorKind::WouldBlock);
    drop(publisher);
    assert!(is_readable(subscriber.fd().unwrap().as_raw_fd()));
    fails(subscriber.try_recv(&mut [0; 8]), ErrorKind::Closed);
}

#[test]
fn a_forked_child_has_a_descriptor_of_its_own() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let fd = semaphore.fd().unwrap().as_raw_fd();
    fails(semaphore.try_wait(), ErrorKind::WouldBlock);
    semaphore.post().unwrap();
    in_child(|| {
        semaphore.try_wait().unwrap();
        fails(semaphore.try_wait(), ErrorKind::WouldBlock);
        assert!(is_readable(fd), "what the parent waits for");
        let own = semaphore.fd().unwrap().as_raw_fd();
        assert_ne!(own, fd);
        let take = || semaphore.try_wait().is_ok();
        assert!(becomes_unreadable(own, is_readable, take));
        semaphore.post().unwrap();
        assert!(is_readable(own));
    });
    assert_eq!(semaphore.fd().unwrap().as_raw_fd(), fd);
    wait_by(fd, || semaphore.try_wait()).0.unwrap();
}

#[test]
fn a_forked_child_has_no_descriptor_of_its_parents_role() {
    let test = Environment::with_names(&["ring", "broadcast"]);
    let RingPair(_sender, receiver) = ring(&test.named("ring"));
    let News(_publisher, subscriber) = news(&test.named("broadcast"));
    receiver.borrow().fd().unwrap();
    in_child(|| {
        fails(receiver.borrow().fd(), ErrorKind::Busy);
        fails(subscriber.borrow().fd(), ErrorKind::NotOwner);
    });
}

#[test]
fn exec_closes_a_descriptor() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    semaphore.fd().unwrap();
    fails(semaphore.try_wait(), ErrorKind::WouldBlock);
    // The socket from which this process sends is open now.
    semaphore.post().unwrap();
    let open = |directory: &str| {
        let listed = Command::new("ls").args(["-l", directory]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let of_polls = |line: &&str| line.contains("anon_inode") || line.contains("socket:");
        listed.lines().filter(of_polls).count()
    };
    assert!(open(&format!("/proc/{}/fd", std::process::id())) >= 4);
    assert_eq!(open("/proc/self/fd"), 0);
}

/// The bytes where a semaphore has the numbers of descriptors.
fn table(semaphore: &Semaphore) -> Vec<u8> {
    let memory = semaphore.segment().attach().unwrap();
    memory.get::<[u8; 192]>(520).unwrap().to_vec()
}

/// Runs a helper under strace, and returns how many of these system calls it makes.
fn count_calls(test: &Environment, task: &str, calls: &str) -> usize {
    let trace = test.path().join("trace");
    let within = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap(), "-e"];
    let filter = format!("trace={calls}");
    let within: Vec<&str> = within.into_iter().chain([&*filter]).collect();
    let mut helper = test.helper_within(&within, task);
    assert!(helper.child.wait().unwrap().success());
    drop(helper);
    fs::read_to_string(trace).unwrap().lines().count()
}

#[test]
fn a_thousand_waiters_that_die_leave_nothing() {
    needs!(STRACE);
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    for _ in 0..1000 {
        let status = status_of_child(|| {
            semaphore.fd().unwrap();
            fails(semaphore.try_wait(), ErrorKind::WouldBlock);
            7
        });
        assert_eq!(status, 7);
    }
    assert!(table(&semaphore).iter().any(|&byte| byte != 0));
    semaphore.post().unwrap();
    assert!(table(&semaphore).iter().all(|&byte| byte == 0));
    assert_eq!(count_calls(&test, "post often", "sendto"), 0);
}

#[test]
fn a_dropped_handle_takes_its_number_out() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let other = Semaphore::open(test.name(), 0).unwrap();
    other.fd().unwrap();
    fails(other.try_wait(), ErrorKind::WouldBlock);
    assert!(table(&semaphore).iter().any(|&byte| byte != 0));
    drop(other);
    assert!(table(&semaphore).iter().all(|&byte| byte == 0));
}

#[test]
fn no_system_call_is_made_while_no_descriptor_waits() {
    needs!(STRACE);
    let test = Environment::with_names(&["ring", "semaphore", "latest", "broadcast"]);
    assert_eq!(count_calls(&test, "wake each kind", "sendto"), 0);
}

#[test]
fn a_descriptor_that_waits_costs_its_waker_one_system_call() {
    needs!(STRACE);
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    let fd = semaphore.fd().unwrap().as_raw_fd();
    let trace = test.path().join("trace");
    let within = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let within: Vec<&str> = within
        .into_iter()
        .chain(["-e", "trace=sendto,futex,socket"])
        .collect();
    let mut helper = test.helper_within(&within, "post many").expecting("ready");
    for _ in 0..20 {
        while semaphore.try_wait().is_ok() {}
        helper.send_line();
        helper.expect("posted");
        assert!(is_readable(fd));
    }
    assert!(helper.child.wait().unwrap().success());
    let trace = fs::read_to_string(trace).unwrap();
    let count = |call: &str| trace.lines().filter(|line| line.contains(call)).count();
    assert_eq!(count("sendto("), 20, "{trace}");
    assert_eq!(count("socket("), 1, "{trace}");
    assert!(count("futex(") < 20, "{trace}");
}

/// Returns how often a descriptor becomes readable in two seconds while nothing happens.
fn idle_wakeups<P: Pair>(pair: &P) -> u32 {
    let fd = pair.fd();
    assert!(becomes_unreadable(fd, is_readable, || pair.take()));
    let end = Instant::now() + Duration::from_secs(2);
    let mut wakeups = 0;
    while poll(fd, end.saturating_duration_since(Instant::now())) {
        wakeups += 1;
        assert!(!pair.take());
    }
    wakeups
}

#[test]
fn an_idle_descriptor_wakes_its_waiter_at_most_four_times_a_second() {
    let test = Environment::with_names(&["ring", "semaphore", "latest", "broadcast"]);
    std::thread::scope(|scope| {
        let counts = [
            scope.spawn(|| idle_wakeups(&ring(&test.named("ring")))),
            scope.spawn(|| idle_wakeups(&Semaphore::open(test.named("semaphore"), 0).unwrap())),
            scope.spawn(|| idle_wakeups(&latest(&test.named("latest")))),
            scope.spawn(|| idle_wakeups(&news(&test.named("broadcast")))),
        ];
        let counts = counts.map(|count| count.join().unwrap());
        let is_idle = |count| (1..=8).contains(count);
        assert!(counts.iter().all(is_idle), "{counts:?}");
    });
}

/// The other kinds have the table elsewhere: where the number of this descriptor appears, which is in the address of its
/// socket.
fn arbitrary_numbers_are_cleared<P: Pair>(name: &str, pair: &P) {
    const SIZE: usize = 192;
    let segment = Segment::open(Key::from_name(name).unwrap()).unwrap();
    let memory = segment.attach().unwrap();
    let words = || memory.get::<[u32; 256]>(0).unwrap();
    let fd = pair.fd();
    pair.take_all();
    pair.add();
    pair.take();
    let before = words();
    pair.take_all();
    let after = words();
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let is_number = |&at: &usize| {
        let address = format!("@shmkey-wake-{:08x}", after[at]);
        before[at] != after[at] && sockets.contains(&address)
    };
    let at = (0..after.len()).find(is_number).expect("a number");
    let table = 4 * (at - after[at] as usize % 48);
    for byte in [1, 0x7f, 0xff] {
        assert!(
            becomes_unreadable(fd, is_readable, || pair.take()),
            "{name}"
        );
        memory.write_at(table, &[byte; SIZE]).unwrap();
        pair.add();
        let numbers = memory.get::<[u8; SIZE]>(table).unwrap();
        assert!(numbers.iter().all(|&byte| byte == 0), "{name}: {numbers:?}");
        assert!(pair.take(), "{name}");
    }
}

#[test]
fn arbitrary_numbers_are_cleared_by_a_change_of_every_kind() {
    let test = Environment::with_names(&["ring", "semaphore", "latest", "broadcast"]);
    let name = test.named("ring");
    arbitrary_numbers_are_cleared(&name, &ring(&name));
    let name = test.named("semaphore");
    arbitrary_numbers_are_cleared(&name, &Semaphore::open(&name, 0).unwrap());
    let name = test.named("latest");
    arbitrary_numbers_are_cleared(&name, &latest(&name));
    let name = test.named("broadcast");
    arbitrary_numbers_are_cleared(&name, &news(&name));
}

/// Those for which the table has no room become readable by their timers.
#[test]
fn more_descriptors_wait_than_the_table_has_room_for() {
    let test = Environment::new();
    let open = || Semaphore::open(test.name(), 0).unwrap();
    let semaphores: Vec<_> = (0..60).map(|_| open()).collect();
    for semaphore in &semaphores {
        semaphore.fd().unwrap();
        fails(semaphore.try_wait(), ErrorKind::WouldBlock);
    }
    (0..60).for_each(|_| semaphores[0].post().unwrap());
    for semaphore in &semaphores {
        let fd = semaphore.fd().unwrap().as_raw_fd();
        wait_by(fd, || semaphore.try_wait()).0.unwrap();
    }
}

#[test]
fn a_handle_that_may_only_read_has_a_descriptor_with_a_timer() {
    let test = Environment::with_names(&["latest", "broadcast"]);
    let name = test.named("latest");
    let writer = Latest::<u64>::open(&name).unwrap();
    let reader = Latest::<u64>::open(Place::named(&name).read_only(true)).unwrap();
    let fd = reader.fd().unwrap().as_raw_fd();
    let mut seen = 0;
    assert_eq!(reader.read_newer(&mut seen).unwrap(), None);
    writer.publisher().unwrap().publish(5).unwrap();
    while reader.read_newer(&mut seen).unwrap() != Some(5) {
        assert!(poll(fd, AGES));
    }

    let name = test.named("broadcast");
    let news = Broadcast::options().lossy(true).open(&name, 4096).unwrap();
    let place = Place::named(&name).read_only(true);
    let reader = Broadcast::options().lossy(true).open(place, 4096).unwrap();
    let mut subscriber = reader.subscribe().unwrap();
    let fd = subscriber.fd().unwrap().as_raw_fd();
    fails(subscriber.try_recv(&mut [0; 8]), ErrorKind::WouldBlock);
    news.publisher().unwrap().publish(b"one").unwrap();
    let (received, _) = wait_by(fd, || subscriber.try_recv(&mut [0; 8]));
    assert!(received.is_ok_and(|len| len == 3));
}

#[test]
fn too_many_open_files_are_an_error() {
    let test = Environment::new();
    let semaphore = Semaphore::open(test.name(), 0).unwrap();
    in_child(|| {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: limits this child, which ends here.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) };
        let error = semaphore.fd().unwrap_err();
        assert_eq!(error.errno(), libc::EMFILE, "{error}");
        semaphore.post().unwrap();
        semaphore.try_wait().unwrap();
    });
}
