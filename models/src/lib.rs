//! Models of the lock-free parts of shmkey. loom runs them in every interleaving of their threads,
//! with every value that the memory model lets a load see:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p shmkey-models
//! ```
//!
//! The source is the library's own, built on loom's atomics. A model has no processes and no kernel:
//! what a kernel does, sleeping and waking, is in `sync/loom.rs`, and there a sleep has no end. So a
//! wake-up that is missed shows as a deadlock. Deaths are in the test `torture` of the library.

#![cfg(loom)]

// The models need a part of it.
#[allow(dead_code, unused_imports)]
#[path = "../../src/sync/mod.rs"]
mod sync;

#[cfg(test)]
mod tests {
    mod claim;
    mod counter;
    mod lock;
    mod newest;
    mod ready;
    mod ring;
}
