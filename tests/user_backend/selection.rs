//! The choice of the backend, also under seccomp filters that forbid System V shared memory.

use crate::{namespace::*, support::install_filter};
use shmkey_core::{
    backend::{self, Backend},
    sys::{Probe, probe_in_child},
};

tasks! {
    a_filter_that_answers_enosys_selects_the_user_backend
    a_filter_that_answers_eperm_selects_the_user_backend
    a_filter_that_kills_selects_the_user_backend
    a_filter_that_forbids_nothing_selects_the_kernel
    a_signal_for_all_processes_does_not_reach_the_child_that_probes
    a_thread_that_waits_for_any_child_does_not_change_the_answer
    another_choice_comes_too_late
    ;
    say_the_choice
}

/// Installs a seccomp filter that answers the four calls with this action.
fn forbid(action: u32) {
    let calls = [
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmdt,
        libc::SYS_shmctl,
    ];
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (index, call) in calls.into_iter().enumerate() {
        let mut jump = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32);
        jump.jt = (calls.len() - index) as u8;
        program.push(jump);
    }
    program.push(statement(
        libc::BPF_RET | libc::BPF_K,
        libc::SECCOMP_RET_ALLOW,
    ));
    program.push(statement(libc::BPF_RET | libc::BPF_K, action));
    install_filter(&mut program);
}

static CHILDREN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

extern "C" fn count_child(_: i32) {
    CHILDREN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// Forbids the calls, has the library choose, and checks that the program notices no child.
fn choose_under(action: u32, expected: Backend) {
    // SAFETY: no other thread of this process accesses the environment.
    unsafe { std::env::set_var("SHMKEY_BACKEND", "auto") };
    let handler: extern "C" fn(i32) = count_child;
    // SAFETY: the handler only changes an atomic number.
    unsafe { libc::signal(libc::SIGCHLD, handler as usize) };
    forbid(action);
    assert_eq!(backend::chosen(), expected);
    let children = CHILDREN.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(children, 0, "SIGCHLD");
    // SAFETY: waits for any child, and writes no status.
    assert_eq!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) }, -1);
    let id = private(100);
    detach(attach(id));
    backend::remove(id).unwrap();
}

fn a_filter_that_answers_enosys_selects_the_user_backend() {
    choose_under(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, Backend::User);
}

fn a_filter_that_answers_eperm_selects_the_user_backend() {
    choose_under(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, Backend::User);
}

fn a_filter_that_kills_selects_the_user_backend() {
    choose_under(libc::SECCOMP_RET_KILL_PROCESS, Backend::User);
}

fn a_filter_that_forbids_nothing_selects_the_kernel() {
    choose_under(libc::SECCOMP_RET_ALLOW, Backend::Kernel);
}

static PROGRAM: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

extern "C" fn end_any_child(_: i32) {
    // SAFETY: a system call, and the end of a process; both are safe in a signal handler.
    unsafe {
        if libc::getpid() != PROGRAM.load(std::sync::atomic::Ordering::Relaxed) {
            libc::_exit(0);
        }
    }
}

fn a_signal_for_all_processes_does_not_reach_the_child_that_probes() {
    PROGRAM.store(process_id(), std::sync::atomic::Ordering::Relaxed);
    let handler: extern "C" fn(i32) = end_any_child;
    // SAFETY: the handler makes only calls that are safe in a signal handler. The group has no other process.
    unsafe {
        libc::setpgid(0, 0);
        libc::signal(libc::SIGUSR1, handler as usize);
    }
    forbid(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    let signalling = std::thread::spawn(|| {
        // SAFETY: the handler of each process in this group was installed above.
        (0..20_000).for_each(|_| assert_eq!(unsafe { libc::kill(0, libc::SIGUSR1) }, 0));
    });
    while !signalling.is_finished() {
        assert_eq!(probe_in_child(), Probe::Refuses);
    }
    signalling.join().unwrap();
}

fn a_thread_that_waits_for_any_child_does_not_change_the_answer() {
    std::thread::spawn(|| {
        loop {
            // SAFETY: waits for any child, and writes no status.
            unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL) };
        }
    });
    for _ in 0..300 {
        assert_eq!(probe_in_child(), Probe::Answers);
    }
}

fn another_choice_comes_too_late() {
    assert_eq!(backend::choose(Backend::User), Ok(()));
    assert_eq!(backend::choose(Backend::User), Ok(()));
    assert_eq!(fails(backend::choose(Backend::Kernel)), libc::EBUSY);
}

fn say_the_choice() {
    let result = backend::limits().map_or_else(|errno| errno.0, |_| 0);
    println!("\nchoice {:?} {result}", backend::chosen());
}

#[test]
fn an_unknown_name_of_a_backend_is_an_error() {
    let choice = |name: &str| {
        let variable = format!("SHMKEY_BACKEND={name}");
        let directory = "SHMKEY_DIR=/nowhere/at/all";
        let program = ["env", &variable, directory];
        let mut helper = crate::support::Helper::start(&program, "say_the_choice", "");
        helper.line_after("choice ")
    };
    assert_eq!(choice("kernel"), "Kernel 0");
    assert_eq!(choice(""), "Kernel 0");
    assert_eq!(choice("auto"), "Kernel 0");
    assert_eq!(choice("user"), format!("User {}", libc::ENOENT));
    assert_eq!(choice("neither"), format!("Kernel {}", libc::EINVAL));
}
