//! The operating system. Only this module makes system calls and reads files below `/proc`.
//!
//! These functions add no policy: they take the kernel's arguments, and return its result or its [`Errno`].

pub mod barrier;
mod clock;
mod credentials;
mod environment;
mod errno;
mod file;
pub mod futex;
mod identity;
pub mod inbox;
mod ipc;
mod lines;
mod machine;
mod mapping;
mod maps;
mod memory;
mod namespace;
mod others;
mod per_thread;
mod pidfd;
mod probe;
mod process;
mod shm;
mod signals;
mod stat;
mod state;
mod storage;
pub mod waitv;

pub use clock::{Instant, about_now, seconds, ticks};
pub use credentials::{effective_group, is_capable, is_member};
pub use environment::variable;
pub use errno::Errno;
pub use file::{Descriptor, FileId, Path, file_id, file_id_at, read_link};
pub use identity::{
    Capability, effective_user, is_in_group, is_privileged, knows_group, knows_user, may_override,
};
pub use inbox::{Inbox, poll};
pub use ipc::{msgctl, msgget, semctl, semget};
pub use lines::for_each_line;
pub use machine::{
    address_space, has_seccomp_filter, has_system_v_ipc, huge_page_group, huge_page_kib,
    huge_pages, locked_limit, lowest_address, mappings_limit, memory, pending_for_thread,
    user_name,
};
pub use mapping::{
    Place, is_free, is_one_mapping, map_file, map_untouchable, map_zeroes, move_mapping,
};
pub use maps::{
    Mapping, attached_at, attached_in, find_attachment, for_each_attachment, for_each_part,
    mappings_in, name_segment_files,
};
pub use memory::{
    HUGE_PAGE, Mapped, Scratch, advise_huge, find_room, is_mapped, keep_from_children, map_memory,
    page_size, page_wiped_on_fork, populate, read_foreign, read_memory_of, release, write_foreign,
};
pub use namespace::{NO_NAMESPACE, namespaces, sees_all_processes, shares_pid_namespace};
pub use others::{for_each_process, has_ended, ipc_namespace, ipc_namespace_of, parent_id};
pub use per_thread::{Own, PerThread};
pub use pidfd::{PidFd, Scope, has_thread, thread_exists};
pub use probe::{Probe, probe_here, probe_in_child};
pub use process::{cpu, process_id, random, sleep, thread_id, yield_now};
pub use shm::{key_of, set_key_of, shmat, shmctl, shmdt, shmget};
pub use signals::{SignalMask, block_signals, restore_signals};
pub use stat::Stat;
pub use state::thread_state;
pub use storage::{
    Facts, file_size_limit, locked_memory, make_directory, may_access, rename_new, unlink,
};
