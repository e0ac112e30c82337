//! Tests of bridges between machines, which are network and IPC namespaces with a virtual cable between them. They
//! need root, or `unshare --user --map-root-user --net --ipc`.

mod bridge;
mod kinds;
mod links;
mod machines;
mod proxy;
mod refusals;
mod restarts;
mod secure;
