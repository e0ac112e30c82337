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
mod process;
mod shm;
mod state;
mod task;

#[allow(unused_imports)] // the drop-in uses these
pub(crate) use {
    file::{Descriptor, Path, read_link},
    lines::for_each_line,
    maps::{for_each_attachment, is_of_segment},
    memory::Scratch,
    process::thread_id,
};

pub(crate) use errno::Errno;
pub(crate) use file::{file_id, file_id_at};
pub(crate) use identity::{
    Capability, effective_user, is_in_group, is_privileged, knows_group, knows_user, may_override,
};
pub(crate) use machine::{
    address_space, has_seccomp_filter, has_system_v_ipc, huge_page_kib, huge_pages, locked_limit,
    lowest_address, mappings_limit, memory, user_name,
};
pub(crate) use maps::{Mapping, attached_at, find_attachment, mappings_in};
pub(crate) use memory::{
    HUGE_PAGE, advise_huge, find_room, is_mapped, page_size, populate, read_foreign, write_foreign,
};
pub(crate) use process::{NO_NAMESPACE, about_now, cpu, namespaces, process_id, yield_now};
pub(crate) use shm::{shmat, shmctl, shmdt, shmget};
#[allow(unused_imports)] // the drop-in does not ask
pub(crate) use state::thread_state;
pub(crate) use task::{Life, ProcessMark, Task};
