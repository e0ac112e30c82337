//! The operating system: every system call and every file below `/proc` is here, and nowhere else.
//!
//! These functions add no policy. They take what the kernel takes and answer with its result or its
//! [`Errno`].

pub(crate) mod barrier;
mod errno;
mod file;
pub(crate) mod futex;
mod identity;
mod lines;
mod machine;
mod maps;
mod memory;
mod others;
mod per_thread;
mod pidfd;
mod process;
mod shm;
mod stat;
mod state;

#[allow(unused_imports)] // the drop-in uses these
pub(crate) use {
    file::{Descriptor, Path, read_link},
    lines::for_each_line,
    machine::pending_for_thread,
    maps::for_each_attachment,
    memory::Scratch,
};

pub(crate) use errno::Errno;
#[allow(unused_imports)] // the library names the type
pub(crate) use file::FileId;
pub(crate) use file::{file_id, file_id_at};
pub(crate) use identity::{
    Capability, effective_user, is_in_group, is_privileged, knows_group, knows_user, may_override,
};
pub(crate) use machine::{
    address_space, has_seccomp_filter, has_system_v_ipc, huge_page_kib, huge_pages, locked_limit,
    lowest_address, mappings_limit, memory, user_name,
};
pub(crate) use maps::{Mapping, attached_at, attached_in, find_attachment, mappings_in};
#[allow(unused_imports)] // the library's
pub(crate) use memory::Mapped;
pub(crate) use memory::{
    HUGE_PAGE, advise_huge, find_room, is_mapped, keep_from_children, page_size,
    page_wiped_on_fork, populate, read_foreign, read_memory_of, release, write_foreign,
};
pub(crate) use others::{for_each_process, has_ended, ipc_namespace, ipc_namespace_of, parent_id};
#[allow(unused_imports)] // as above
pub(crate) use per_thread::{Own, PerThread};
pub(crate) use pidfd::{PidFd, Scope, has_thread, thread_exists};
pub(crate) use process::{
    NO_NAMESPACE, about_now, cpu, namespaces, process_id, random, sees_all_processes,
    shares_pid_namespace, thread_id, yield_now,
};
pub(crate) use shm::{key_of, shmat, shmctl, shmdt, shmget};
pub(crate) use stat::Stat;
#[allow(unused_imports)] // the drop-in does not ask
pub(crate) use state::thread_state;
