//! How long it takes to list thousands of segments, by the command and by what there was before.

use crate::{processes::Failure, stopwatch::quartiles};
use shmkey::{Key, Segment};
use std::{
    env, io,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

const SEGMENTS: usize = 4_000;
const ROUNDS: usize = 31;

/// Prints a table: our command and its peers, in turn, and the ratios of neighbours.
pub fn print() -> Result<(), Failure> {
    let shmkey = env::current_exe()?.with_file_name("shmkey");
    if !shmkey.exists() {
        let file = shmkey.display();
        return Err(format!("{file} is not there: cargo build --release").into());
    }
    // Nobody else's segments, and room for ours.
    // SAFETY: concerns this thread, which is the only one so far, and the programs that it starts.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        let error = io::Error::last_os_error();
        return Err(format!("an IPC namespace of its own (run it as root): {error}").into());
    }
    let mut options = Segment::options();
    options.create(true).size(4096).remove_on_drop(true);
    let made: Result<Vec<Segment>, _> = (0..SEGMENTS).map(|_| options.open(Key::PRIVATE)).collect();
    let made = made?;
    // A half of them in use, as segments are: by this process.
    let used: Result<Vec<_>, _> = made.iter().step_by(2).map(Segment::attach).collect();
    let _used = used?;

    println!("| {SEGMENTS} segments | peer | shmkey | ratio (quartiles) |");
    println!("|---|--:|--:|--:|");
    for ours in [&["list"][..], &["list", "--json"]] {
        for peer in [["lsipc", "-m"], ["ipcs", "-m"]] {
            let (mut theirs, mut us, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let peer = time(Path::new(peer[0]), &peer[1..])?;
                let own = time(&shmkey, ours)?;
                theirs.push(peer);
                us.push(own);
                ratio.push(own / peer);
            }
            let [low, middle, high] = quartiles(ratio);
            println!(
                "| `shmkey {}` / `{}` | {:.0} ms | {:.0} ms | **{middle:.2}** ({low:.2} to {high:.2}) |",
                ours.join(" "),
                peer.join(" "),
                quartiles(theirs)[1],
                quartiles(us)[1],
            );
        }
    }
    Ok(())
}

/// Milliseconds that a program takes whose output nobody wants.
fn time(program: &Path, arguments: &[&str]) -> Result<f64, Failure> {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdout(Stdio::null());
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let time = start.elapsed();
    match status.success() {
        true => Ok(time.as_secs_f64() * 1e3),
        false => Err(format!("{}: {status}", program.display()).into()),
    }
}
