//! The time to list thousands of segments: `shmkey list` beside `lsipc` and `ipcs`.

use crate::{pairs::alternate, processes::Failure};
use shmkey::{Key, Segment};
use std::{
    env,
    io::{self, Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

const SEGMENTS: usize = 4_000;
const ROUNDS: usize = 31;

/// Numbers of processes, and of the segments that each has attached.
const USERS: [(usize, usize); 2] = [(1, 2_000), (300, 20)];

/// Measures the command and the other commands in turn, and prints a table.
pub fn print() -> Result<(), Failure> {
    let shmkey = env::current_exe()?.with_file_name("shmkey");
    if !shmkey.exists() {
        let file = shmkey.display();
        return Err(format!("{file} does not exist: cargo build --release").into());
    }
    // In a namespace of its own it lists no other program's segments, and no limit is reached.
    // SAFETY: this concerns this thread, which is the only one so far, and the programs that it starts.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        let error = io::Error::last_os_error();
        return Err(format!("cannot make an IPC namespace (run it as root): {error}").into());
    }
    let options = Segment::options()
        .create(true)
        .size(4096)
        .remove_on_drop(true);
    let made: Result<Vec<Segment>, _> = (0..SEGMENTS).map(|_| options.open(Key::PRIVATE)).collect();
    let made = made?;

    println!("| {SEGMENTS} segments | attached by | other | shmkey | ratio (quartiles) |");
    println!("|---|---|--:|--:|--:|");
    for (processes, each) in USERS {
        let _users: Vec<User> = (0..processes)
            .map(|number| User::new(&made, number, each))
            .collect::<Result<_, _>>()?;
        for ours in [&["list"][..], &["list", "--json"]] {
            for peer in [["lsipc", "-m"], ["ipcs", "-m"]] {
                let [theirs, us, [low, middle, high]] = alternate(
                    ROUNDS,
                    || time(Path::new(peer[0]), &peer[1..]),
                    || time(&shmkey, ours),
                )?;
                println!(
                    "| `shmkey {}` / `{}` | {processes} × {each} | {:.0} ms | {:.0} ms | **{middle:.2}** ({low:.2} to {high:.2}) |",
                    ours.join(" "),
                    peer.join(" "),
                    theirs[1],
                    us[1],
                );
            }
        }
    }
    Ok(())
}

/// A process that has segments attached; dropping this ends it.
struct User(libc::pid_t);

impl User {
    /// Starts a process that attaches `each` of all segments, and other ones than the process before it.
    fn new(all: &[Segment], number: usize, each: usize) -> Result<User, Failure> {
        let (mut reader, writer) = io::pipe()?;
        // SAFETY: this program has one thread so far.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error().into());
        }
        if pid == 0 {
            // SAFETY: this only makes the kernel end the child with its parent.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let segments = all.iter().cycle().skip(number * each).take(each);
            let attached = segments.map(Segment::attach);
            let all: Result<Vec<_>, _> = attached.collect();
            let _ = (&writer).write_all(&[u8::from(all.is_ok())]);
            loop {
                // SAFETY: waits for the signal that ends it.
                unsafe { libc::pause() };
            }
        }
        let user = User(pid);
        drop(writer);
        let mut done = [0];
        reader.read_exact(&mut done)?;
        match done {
            [1] => Ok(user),
            _ => Err("a process could not attach its segments".into()),
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: a child that was not waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Returns how long a program runs, in milliseconds. Discards its output.
fn time(program: &Path, arguments: &[&str]) -> Result<f64, Failure> {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdout(Stdio::null());
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let time = start.elapsed();
    if status.success() {
        Ok(time.as_secs_f64() * 1e3)
    } else {
        Err(format!("{}: {status}", program.display()).into())
    }
}
