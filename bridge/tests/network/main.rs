//! Bridges between machines: network and IPC namespaces with a cable between them. Needs root, or
//! `unshare --user --map-root-user --net --ipc`.

mod bridge;
mod kinds;
mod links;
mod machines;
mod proxy;
mod refusals;
mod restarts;
mod secure;
