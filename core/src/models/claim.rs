//! Roles: one process has a role at a time, and takes it over from a dead one.

use crate::sync::Claim;
use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
};

/// The number of a dead process.
const DEAD: u64 = 400;

struct Shared {
    role: Claim,
    /// Changed by the holder only, by a load and a store.
    turns: AtomicU64,
}

/// Three processes try to take a role that is free, or whose holder is dead. One process has it at a time, and sees
/// what the one before it wrote.
fn race(holder: Option<u64>) {
    let shared = Arc::new(Shared {
        role: Claim::new(),
        turns: AtomicU64::new(0),
    });
    if let Some(holder) = holder {
        assert!(shared.role.take(holder, |_| false));
    }
    let take_turn = |shared: &Shared, me: u64| {
        let taken = shared.role.take(me, |holder| holder == DEAD);
        if taken {
            let turns = shared.turns.load(Relaxed);
            shared.turns.store(turns + 1, Relaxed);
            shared.role.release(me);
        }
        u64::from(taken)
    };
    let others: Vec<_> = [8, 12]
        .map(|me| {
            let shared = shared.clone();
            thread::spawn(move || take_turn(&shared, me))
        })
        .into();
    let mut taken = take_turn(&shared, 4);
    for other in others {
        taken += other.join().unwrap();
    }
    assert!(taken >= 1);
    assert_eq!(shared.turns.load(Relaxed), taken);
    assert_eq!(shared.role.holder(), None);
}

#[test]
fn one_has_a_free_role_at_a_time() {
    loom::model(|| race(None));
}

#[test]
fn one_follows_a_dead_holder() {
    loom::model(|| race(Some(DEAD)));
}

#[test]
fn a_live_holder_keeps_its_role() {
    loom::model(|| {
        let role = Claim::new();
        assert!(role.take(4, |_| false));
        assert!(!role.take(4, |holder| holder == DEAD));
        role.release(8);
        assert_eq!(role.holder(), Some(4));
    });
}

/// A holder releases its role and ends while another process makes a liveness check. The check finds no death in the
/// role, and the other process takes the role.
#[test]
fn a_holder_that_ends_after_its_release_has_not_died_in_the_role() {
    loom::model(|| {
        let shared = Arc::new((Claim::new(), AtomicU64::new(0)));
        let (role, ended) = &*shared;
        assert!(role.take(8, |_| false));
        let holder = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (role, ended) = &*shared;
                role.release(8);
                // Release: models the kernel. A process that sees the end of another one sees all that the other wrote.
                ended.store(1, Release);
            })
        };
        let is_dead = |_| ended.load(Acquire) == 1;
        if let Some(seen) = role.holder() {
            assert!(!role.died_in_role(seen, is_dead));
        }
        let has_ended = ended.load(Acquire) == 1;
        assert!(role.take(4, is_dead) || !has_ended);
        holder.join().unwrap();
    });
}

/// When a holder dies, its number stays in the role.
#[test]
fn a_holder_whose_number_stays_has_died_in_its_role() {
    loom::model(|| {
        let role = Claim::new();
        assert!(role.take(DEAD, |_| false));
        assert!(role.died_in_role(DEAD, |holder| holder == DEAD));
        assert!(!role.died_in_role(DEAD, |_| false));
    });
}
