//! `shmkey lock`.

use crate::{
    child,
    open::{self, Kind},
    output::{Failure, complain},
    sized::{Mutex, Opening, Refused, Site},
    target::Target,
    waiting::Waiting,
};
use clap::Args;
use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode, ExitStatus},
};

#[derive(Args)]
pub struct Options {
    /// The mutex: the id, the key or the name of its segment
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    #[command(flatten)]
    waiting: Waiting,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_names = ["COMMAND", "ARGS"],
        add = crate::complete::programs()
    )]
    command: Vec<OsString>,
}

/// Set for the command if the last owner of the mutex died while it had the lock.
const OWNER_DIED: &str = "SHMKEY_OWNER_DIED";

pub fn run(options: &Options) -> ExitCode {
    match locked(options) {
        Ok(status) => child::exit_code(status),
        // Not 1, which may be the exit status of the command.
        Err(Failure::Because(why)) => Failure::Status(child::NOT_POSSIBLE, why).report(),
        Err(failure) => failure.report(),
    }
}

fn locked(options: &Options) -> Result<ExitStatus, Failure> {
    let target = &options.segment;
    let (segment, contents) = open::expect(target, Kind::Mutex)?;
    let mutex = Mutex::open(&Opening {
        site: Site::of(target, segment.id()),
        size: contents.size as usize,
        layout: &contents.layout,
        create: None,
    })?;
    let refused = |refused: Refused| {
        let (late, lost) = (refused.is_late(), refused.errno == libc::ENOTRECOVERABLE);
        let why = refused.why();
        if late {
            options.waiting.late(why)
        } else if lost {
            let id = segment.id();
            Failure::Because(format!(
                "{why}; shmkey remove {id} removes the mutex, and shmkey create --mutex creates it again"
            ))
        } else {
            Failure::Because(why)
        }
    };
    let owner_died = mutex.lock(options.waiting.timeout()).map_err(refused)?;
    if mutex.is_removed()? {
        return Err(Failure::Because(format!(
            "the segment {target} was removed, so its mutex excludes no process that opens the name now; run the command \
             again"
        )));
    }
    if owner_died {
        complain(format!(
            "the last owner of the mutex in the segment {target} died while it had the lock, so what the mutex protects may \
             be half changed; the mutex is marked as consistent, and the command runs with {OWNER_DIED}=1"
        ));
        mutex.mark_consistent()?;
    }
    let status = run_command(&options.command, owner_died);
    mutex.unlock()?;
    status
}

fn run_command(words: &[OsString], owner_died: bool) -> Result<ExitStatus, Failure> {
    let (name, arguments) = words
        .split_first()
        .ok_or_else(|| Failure::Usage("there is no command to run".to_owned()))?;
    let failed = |error: io::Error| {
        let why = format!("cannot run {}: {error}", name.display());
        Failure::Status(child::code_of(&error), why)
    };
    let mut command = Command::new(name);
    command.args(arguments).env_remove(OWNER_DIED);
    if owner_died {
        command.env(OWNER_DIED, "1");
    }
    end_with_this_process(&mut command);
    let mut program = child::start(&mut command).map_err(failed)?;
    let status = program.wait().map_err(failed);
    child::ended();
    status
}

/// Lets the kernel kill the command when this process ends, because the lock is free then.
fn end_with_this_process(command: &mut Command) {
    let this = std::process::id();
    // SAFETY: only two system calls run between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // This process may have ended before that call.
            if libc::getppid() as u32 == this {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        });
    }
}
