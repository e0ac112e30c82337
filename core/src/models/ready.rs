//! The creation of an object by one of several threads.

use crate::sync::{AtomicU32, AtomicU64, Ready, State};
use loom::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    thread,
};

struct Header {
    magic: AtomicU64,
    state: AtomicU32,
    creator: AtomicU64,
    /// What a creator writes.
    body: AtomicU64,
    /// How many times `body` was written.
    created: AtomicU64,
}

/// The number of a dead thread.
const DEAD: u64 = 99;

impl Header {
    fn new(creator: u64) -> Arc<Header> {
        Arc::new(Header {
            magic: AtomicU64::new(0),
            state: AtomicU32::new(0),
            creator: AtomicU64::new(creator),
            body: AtomicU64::new(0),
            created: AtomicU64::new(0),
        })
    }

    fn ready(&self) -> Ready<'_> {
        Ready {
            magic: &self.magic,
            state: &self.state,
            creator: &self.creator,
        }
    }

    fn look(&self) -> State {
        self.ready().look(|| self.body.load(Relaxed) == 0)
    }

    /// Opens the object without waiting. Returns whether it is ready.
    fn open(&self, me: u64) -> bool {
        self.open_where(me, |creator| creator == DEAD)
    }

    fn open_where(&self, me: u64, is_dead: impl Fn(u64) -> bool) -> bool {
        match self.look() {
            State::Ready => return true,
            State::Unready(_) => {}
            other => panic!("it is {other:?}"),
        }
        let created = self.ready().create(me, is_dead, |_| {
            self.created.fetch_add(1, Relaxed);
            self.body.store(42, Relaxed);
        });
        if created {
            assert_eq!(self.look(), State::Ready);
        }
        created
    }

    fn expect_whole(&self) {
        if self.look() == State::Ready {
            assert_eq!(self.body.load(Relaxed), 42);
        }
    }
}

/// Two threads try to create an object, and a third one only looks at it. It is created once, and a thread that finds
/// it ready sees all of it.
fn race(creator: u64) {
    let header = Header::new(creator);
    let others: Vec<_> = [1, 2]
        .map(|me| {
            let header = header.clone();
            thread::spawn(move || {
                if header.open(me) {
                    header.expect_whole();
                }
            })
        })
        .into();
    header.expect_whole();
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(header.look(), State::Ready);
    assert_eq!(header.created.load(Relaxed), 1);
}

#[test]
fn one_thread_creates_the_object() {
    loom::model(|| race(0));
}

#[test]
fn one_thread_completes_the_object_of_a_dead_creator() {
    loom::model(|| race(DEAD));
}

/// One thread creates the object and dies. Another one, which has seen the object before it was ready, then finds its
/// creator dead.
#[test]
fn an_object_that_a_dead_creator_finished_is_not_created_again() {
    loom::model(|| {
        let header = Header::new(0);
        let is_dead = Arc::new(AtomicU64::new(0));
        let creator = thread::spawn({
            let (header, is_dead) = (header.clone(), is_dead.clone());
            move || {
                header.open_where(DEAD, |_| false);
                is_dead.store(1, SeqCst);
            }
        });
        header.open_where(1, |creator| creator == DEAD && is_dead.load(SeqCst) == 1);
        header.expect_whole();
        creator.join().unwrap();
        header.open(1);
        assert_eq!(header.created.load(Relaxed), 1);
    });
}
