//! The user backend answers as the kernel does: the same situations are played on both, and the results are compared.
//!
//! A *situation* is a sequence of calls by several processes, which may be of several users, in a namespace of its
//! own. [`table`] describes the language in which the files of `situations/` are written. A [`stage`] plays a
//! situation: it starts [`actor`]s, which are processes that call libc's functions and have the drop-in preloaded.
//! All results are compared: return values, errno, records and memory. [`names`] replaces ids, addresses, process ids
//! and times, which differ between runs.

mod actor;
mod calls;
mod compare;
mod defects;
mod documented;
mod memory;
mod names;
mod play;
mod processes;
mod random;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod table;

use libtest_mimic::Arguments;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::LazyLock,
};

fn main() -> ExitCode {
    let mut words = env::args();
    if words.nth(1).as_deref() == Some(actor::ARGUMENT) {
        let index = words.next().and_then(|index| index.parse().ok());
        actor::Actor::new(index.expect("an index")).act();
    }
    if env::var_os(play::BASE).is_some() {
        stage::main();
    }
    let arguments = Arguments::from_args();
    let mut trials = compare::trials();
    trials.extend(random::trials());
    trials.extend(defects::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    compare::summarize();
    play::clear();
    conclusion.exit_code()
}

/// The drop-in that the actors preload, in a place where every user can read it. It is a copy of the file that
/// `SHMKEY_CONFORMANCE_DROPIN` names, or is built from this workspace.
static DROPIN: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = "libshmkey_dropin.so";
    if let Some(asked) = env::var_os("SHMKEY_CONFORMANCE_DROPIN") {
        let copy = play::base().join(name);
        fs::copy(asked, &copy).expect("the drop-in can be copied");
        return copy;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    build_dropin(workspace, name).expect("the drop-in can be built")
});

/// Has Cargo build the drop-in of a workspace, and copies it under this name. The debug build also checks for
/// overflows.
fn build_dropin(workspace: &Path, name: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).stderr(Stdio::inherit());
    cargo.args(["build", "--quiet", "-p", "shmkey-dropin"]);
    cargo.arg("--message-format=json-render-diagnostics");
    if workspace != Path::new(env!("CARGO_MANIFEST_DIR")) {
        // In a copy, a planted defect can leave code unused.
        cargo
            .args(["--offline", "--target-dir"])
            .arg(workspace.join("target"));
        cargo.env("RUSTFLAGS", "--cap-lints=allow");
    }
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut files = messages
        .filter(|message: &serde_json::Value| message["target"]["name"] == "shmkey_dropin")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(str::to_owned));
    let library = files.find(|file| file.ends_with(".so"));
    let library = library.filter(|_| output.status.success());
    let library = library.ok_or_else(|| format!("{cargo:?} ended with {}", output.status))?;
    let copy = play::base().join(name);
    // Processes may have the old file mapped, so it is not overwritten.
    let _ = fs::remove_file(&copy);
    fs::copy(&library, &copy).map_err(|error| format!("{library}: {error}"))?;
    Ok(copy)
}
