//! `shmkey lock`.

use crate::{
    backend, child,
    open::{self, Kind},
    output::{self, Failure, complain},
    remove,
    sized::{Lock, Opening, Refused, Site},
    target::Target,
    waiting::Waiting,
};
use clap::Args;
use shmkey::Holding;
use shmkey_core::sync;
use std::{
    convert,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
};

#[derive(Args)]
pub struct Options {
    /// The mutex or reader-writer lock: the id, the key or the name of its segment
    #[arg(allow_negative_numbers = true, add = crate::complete::segments())]
    segment: Target,
    /// Lock a reader-writer lock for reading: commands that do so run at the same time
    #[arg(long, short)]
    shared: bool,
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

/// Set for the command if the last owner died while it had the lock, and what it protects may be half changed.
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
    let (name, arguments) = options
        .command
        .split_first()
        .ok_or_else(|| Failure::Usage("there is no command to run".to_owned()))?;
    let path = child::find(name).map_err(|(code, why)| Failure::Status(code, why))?;
    let mut command = Command::new(name);
    command.args(arguments);
    let (segment, contents) = open::expect(target, Kind::Lock)?;
    let mut opening = Opening {
        site: Site::of(target, segment.id()),
        size: contents.size as usize,
        layout: &contents.layout,
        create: None,
    };
    let lock = if matches!(contents.holding, Holding::RwLock { .. }) {
        // The payload begins with the state of the lock.
        opening.size = opening.size.saturating_sub(size_of::<sync::RwLock>());
        Lock::open_rwlock(&opening)?
    } else {
        Lock::open_mutex(&opening)?
    };
    let kind = lock.kind();
    let refused = |refused: Refused| {
        let (late, lost) = (refused.is_late(), refused.errno == libc::ENOTRECOVERABLE);
        let why = refused.why();
        if late {
            options.waiting.late(why)
        } else if lost {
            target.status().map_or_else(convert::identity, |status| {
                let (removal, shmkey) = (remove::removal(&status), backend::command());
                Failure::Because(format!(
                    "{why}; {removal}, and {shmkey} create creates it again"
                ))
            })
        } else {
            Failure::Because(why)
        }
    };
    let timeout = options.waiting.timeout();
    let locked = if options.shared {
        lock.lock_shared(timeout).ok_or_else(|| {
            Failure::Because(format!(
                "the segment {target} holds a {kind}, which has one owner at a time; --shared is \
                 for a reader-writer lock ({} create --rwlock)",
                backend::command()
            ))
        })?
    } else {
        lock.lock(timeout)
    };
    let owner_died = locked.map_err(refused)?;
    if lock.is_removed()? {
        return Err(Failure::Because(format!(
            "the segment {target} was removed, so its {kind} excludes no process that opens the name now; run the \
             command again"
        )));
    }
    if owner_died {
        let marked = if options.shared {
            "until a command without --shared has run,"
        } else {
            lock.mark_consistent()?;
            "the lock is marked as consistent, and"
        };
        complain(format!(
            "the last owner of the {kind} in the segment {target} died while it had the lock, so what the lock protects \
             may be half changed; {marked} the command runs with {OWNER_DIED}=1"
        ));
    }
    let status = run_command(command, &path, owner_died);
    lock.unlock()?;
    status
}

fn run_command(mut command: Command, path: &Path, owner_died: bool) -> Result<ExitStatus, Failure> {
    let failed =
        |error: io::Error| Failure::Status(child::code_of(&error), output::of_file(path, &error));
    command.env_remove(OWNER_DIED);
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
