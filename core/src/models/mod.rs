//! Loom models of the algorithms in `sync`, one file for each. They explore the interleavings of a few threads, some of
//! which die. They are tests of this crate under `cfg(loom)`.

mod broadcast;
mod claim;
mod condvar;
mod interrupt;
mod keep;
mod latest;
mod mutex;
mod pollers;
mod ready;
mod ring;
mod rwlock;
mod semaphore;
mod thread_of_a_lock;

/// Explores the interleavings of a model that have at most this many preemptions.
fn bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
