//! Tests that no error advises to use another segment without saying who uses this one. (They are here
//! because explanations are also compiled into the drop-in, which has no objects.)

use crate::explain::{Ownership, names};
use crate::{Broadcast, Condvar, Key, Latest, Mutex, Ring, RwLock, Segment, Semaphore};
use core::ffi::c_int;

fn of(id: c_int) -> String {
    let ownership = Ownership::of(id).unwrap();
    ownership.text(&names::SYSTEM_V).to_string()
}

#[test]
fn each_kind_of_object_is_named_without_attaching() {
    let name = |kind| format!("explained {kind} {}", std::process::id());
    let semaphore = Semaphore::open(name("semaphore"), 4).unwrap();
    let mutex = Mutex::open(name("mutex"), 7_u32).unwrap();
    let lock = RwLock::open(name("rwlock"), 7_u32).unwrap();
    let condvar = Condvar::open(name("condvar")).unwrap();
    let ring = Ring::open(name("ring"), 100).unwrap();
    let latest = Latest::<u64>::open(name("latest")).unwrap();
    let broadcast = Broadcast::open(name("broadcast"), 100).unwrap();
    for (id, object) in [
        (semaphore.segment().id(), "a semaphore"),
        (mutex.segment().id(), "a mutex"),
        (lock.segment().id(), "a reader-writer lock"),
        (condvar.segment().id(), "a condition variable"),
        (ring.segment().id(), "a ring"),
        (latest.segment().id(), "a latest value"),
        (broadcast.segment().id(), "a broadcast"),
    ] {
        let before = Segment::from_id(id).status().unwrap();
        let text = of(id);
        let part = format!(", holds {object}, and is attached once; ");
        assert!(text.contains(&part), "{text}");
        assert_eq!(Segment::from_id(id).status().unwrap(), before);
        Segment::from_id(id).remove().unwrap();
    }
}

#[test]
fn an_error_that_asks_for_another_segment_says_who_uses_this_one() {
    let name = format!("explained foreign {}", std::process::id());
    let key = Key::from_name(&name).unwrap();
    let segment = Segment::options()
        .create(true)
        .size(4097)
        .remove_on_drop(true)
        .open(key)
        .unwrap();
    segment
        .attach()
        .unwrap()
        .write_at(0, b"something else")
        .unwrap();
    let error = Mutex::open(name.as_str(), 7_u32).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Foreign);
    let text = error.to_string();
    let part = "; the segment ";
    assert!(
        text.contains(part) && text.contains(", was created and last used by this process"),
        "{text}"
    );
}
