use super::*;
use std::{
    io::{PipeWriter, Read, Write, pipe},
    process::{Command, Stdio},
    thread,
};

fn here() -> bool {
    true
}

fn elsewhere() -> bool {
    false
}

/// Runs `check` in a child made by `fork`, and fails if it returns false.
fn in_child(check: impl FnOnce() -> bool) {
    // SAFETY: the child makes system calls and compares numbers, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = i32::from(!check());
        // SAFETY: ends this process, without the destructors that are the parent's.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: the status is ours to write.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
}

/// A child that waits, with a child of its own, until this is dropped: one that lived on after a failed
/// test would keep the test's output open, and what reads that would wait for ever.
struct Child {
    id: c_int,
    _open: PipeWriter,
}

impl Child {
    /// Makes one with `fork`. Also returns the names that the child has for itself.
    fn named<const N: usize>(names: impl FnOnce() -> [Holder; N]) -> (Child, [Holder; N]) {
        let (mut names_out, mut names_in) = pipe().unwrap();
        let (mut end, open) = pipe().unwrap();
        // SAFETY: the child and its child make system calls, and end.
        let id = unsafe { libc::fork() };
        if id == 0 {
            drop(open);
            let names = names();
            // SAFETY: as above.
            if unsafe { libc::fork() } != 0 {
                for name in names {
                    let _ = names_in.write_all(&name.bits().to_ne_bytes());
                }
            }
            let _ = end.read(&mut [0]);
            // SAFETY: ends this process, without the destructors that are the parent's.
            unsafe { libc::_exit(0) };
        }
        drop(names_in);
        let child = Child { id, _open: open };
        let names = [(); N].map(|()| {
            let mut name = [0; 8];
            names_out.read_exact(&mut name).unwrap();
            Holder::from_bits(u64::from_ne_bytes(name))
        });
        (child, names)
    }

    /// Kills the child, but not its child, and waits for it.
    fn kill(&self) {
        // SAFETY: it is a child of this process, not yet waited for.
        unsafe {
            libc::kill(self.id, libc::SIGKILL);
            libc::waitpid(self.id, &mut 0, 0);
        }
    }
}

#[test]
fn a_thread_is_itself_while_it_lives() {
    let me = Holder::thread(false);
    assert!(me.is_mine() && !me.is_process());
    assert_eq!(me, Holder::thread(false));
    assert_eq!(me.life(elsewhere), Life::Live);
    let other = thread::spawn(|| {
        let other = Holder::thread(false);
        assert!(other.is_mine());
        other
    });
    let other = other.join().unwrap();
    assert!(me != other && !other.is_mine());
    // The kernel may take a moment to clear away a thread that was joined.
    while other.life(here) == Life::Live {
        thread::yield_now();
    }
    assert_eq!(other.life(here), Life::Dead);
}

#[test]
fn a_process_is_another_holder_than_its_first_thread() {
    let process = Holder::process(false);
    assert!(process.is_mine() && process.is_process());
    assert_eq!(process.id(), std::process::id());
    assert_eq!(process.life(elsewhere), Life::Live);
    thread::spawn(move || assert!(process.is_mine()))
        .join()
        .unwrap();
}

/// An id that was given again, in the same tick or not, is another holder's.
#[test]
fn an_id_alone_is_nothing() {
    let me = Holder::thread(false);
    let earlier = Holder(me.0 ^ 1 << VALUE_SHIFT);
    assert!(!earlier.is_mine());
    assert_eq!(earlier.life(here), Life::Dead);
    for nothing in [0, u64::MAX, 1 << 62, 2 << 62, 3 << 62, PROCESS] {
        let nothing = Holder::from_bits(nothing);
        assert!(!nothing.is_mine());
        assert_ne!(nothing.life(here), Life::Live, "{nothing:x?}");
    }
}

#[test]
fn ticks_tell_where_there_are_no_inode_numbers() {
    let stat = Stat::of_this_thread().unwrap();
    let ticks = |start| {
        Holder::new(
            NumberKind::Ticks,
            sys::thread_id(),
            ticks(start, sys::namespaces()),
            Scope::Thread,
        )
    };
    assert_eq!(ticks(stat.start).life(elsewhere), Life::Live);
    assert_eq!(ticks(stat.start - 1).life(here), Life::Dead);
    assert_eq!(ticks(stat.start - 1).life(elsewhere), Life::Unknown);
}

#[test]
fn a_random_number_is_dead_when_its_id_is_and_else_unknown() {
    let random = |id| Holder::new(NumberKind::Random, id, 7, Scope::Thread);
    assert_eq!(random(sys::thread_id()).life(here), Life::Unknown);
    assert!(!random(sys::thread_id()).is_mine());
    assert_eq!(random(0).life(here), Life::Dead);
    assert_eq!(random(0).life(elsewhere), Life::Unknown);
}

#[test]
fn a_child_that_was_not_waited_for_is_dead() {
    let mut child = Command::new("sleep")
        .arg("100")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = child.id() as i32;
    let inode = PidFd::open(id, Scope::Process).unwrap().inode();
    // Before Linux 6.9 there is no inode number.
    let holder = match inode {
        Some(inode) => Holder::new(NumberKind::Inode, id, inode, Scope::Process),
        None => {
            let start = Stat::of(id).unwrap().start;
            Holder::new(
                NumberKind::Ticks,
                id,
                ticks(start, sys::namespaces()),
                Scope::Process,
            )
        }
    };
    assert_eq!(holder.life(here), Life::Live);
    child.kill().unwrap();
    while holder.life(here) == Life::Live {
        thread::yield_now();
    }
    assert_eq!(holder.life(here), Life::Dead);
    child.wait().unwrap();
    assert_eq!(holder.life(here), Life::Dead);
}

#[test]
fn a_forked_child_is_another_holder() {
    let (thread, process) = (Holder::thread(false), Holder::process(false));
    in_child(|| {
        !thread.is_mine()
            && !process.is_mine()
            && thread.life(here) == Life::Live
            && process.life(here) == Life::Live
            && Holder::thread(false).is_mine()
            && Holder::thread(false) != thread
            && Holder::process(false).id() == std::process::id()
    });
    assert!(thread.is_mine() && process.is_mine());
}

/// A token answers for its process, by its id alone, and is no child's.
#[test]
fn a_token_lives_as_long_as_its_process() {
    let (child, [process, thread]) = Child::named(|| [Holder::process(true), Holder::thread(true)]);
    assert!(
        [process, thread]
            .iter()
            .all(|holder| holder.kind() == NumberKind::Token)
    );
    assert_eq!(process.life(elsewhere), Life::Live);
    assert_eq!(thread.life(elsewhere), Life::Live);
    assert!(!process.is_mine() && !process.may_be_of_this_process());
    child.kill();
    assert_eq!(process.life(elsewhere), Life::Dead);
    assert_eq!(thread.life(elsewhere), Life::Dead);
}

/// What was written before the process had a token is still its own.
#[test]
fn a_thread_has_both_names() {
    thread::spawn(|| {
        in_child(|| {
            let (thread, process) = (Holder::thread(false), Holder::process(false));
            let abroad = (Holder::thread(true), Holder::process(true));
            let all = [thread, process, abroad.0, abroad.1];
            all.iter().all(|holder| holder.is_mine())
                && all.iter().all(|holder| holder.life(here) == Life::Live)
                && abroad.0.kind() == NumberKind::Token
                && Holder::thread(false) == abroad.0
        });
    })
    .join()
    .unwrap();
}

/// Leaves this process without a descriptor to open.
fn use_no_descriptors() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel reads one rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
}

/// What a thread has written stays its own, also if it cannot ask again who it is.
#[test]
fn a_thread_keeps_its_name() {
    let keeps = || {
        in_child(|| {
            let before = Holder::thread(false);
            use_no_descriptors();
            let after = Holder::thread(true);
            before.is_mine() && after.is_mine() && Holder::thread(true) == after
        });
    };
    thread::spawn(keeps).join().unwrap();
}

/// A thread that could not ask for its inode number is not taken for another one of its process.
#[test]
fn a_token_without_an_inode_number_is_live() {
    let (child, [holder]) = Child::named(|| {
        use_no_descriptors();
        [Holder::thread(true)]
    });
    assert_eq!((holder.kind(), holder.tag()), (NumberKind::Token, 0));
    assert_eq!(holder.life(here), Life::Live);
    child.kill();
    assert_eq!(holder.life(here), Life::Dead);
}
