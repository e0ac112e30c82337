//! Programs in C++, compiled when a test needs them: Cargo's build script knows C only.

use super::{Artifacts, Result};
use std::{path::Path, process::Command};

/// A C++ compiler.
#[derive(Clone, Copy, Debug)]
pub struct Cpp {
    pub compiler: &'static str,
    /// Standards that it knows.
    pub standards: [&'static str; 3],
}

pub const GXX: Cpp = Cpp {
    compiler: "g++",
    standards: ["c++17", "c++20", "c++23"],
};

pub const CLANGXX: Cpp = Cpp {
    compiler: "clang++",
    // The name of C++23 in older versions.
    standards: ["c++17", "c++20", "c++2b"],
};

/// The header has to do without any of these, and without exceptions and run-time types.
pub const WARNINGS: [&str; 16] = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wold-style-cast",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wcast-qual",
    "-Wcast-align",
    "-Wdouble-promotion",
    "-Wnull-dereference",
    "-Wundef",
    "-Weffc++",
    "-Werror",
];

impl Cpp {
    pub fn is_there(self) -> bool {
        let answer = Command::new(self.compiler).arg("--version").output();
        answer.is_ok_and(|output| output.status.success())
    }

    /// Compiles files with all warnings, and has the compiler do more or less by options.
    pub fn compile(self, standard: &str, options: &[&str], files: &[&Path]) -> Result<()> {
        let mut command = self.command(standard);
        command.args(WARNINGS).args(options).args(files);
        run(command)
    }

    /// Compiles files as above, and links them with a library.
    pub fn link(
        self,
        standard: &str,
        options: &[&str],
        files: &[&Path],
        library: &str,
        program: &Path,
    ) -> Result<()> {
        let artifacts = Artifacts::shared();
        let mut command = self.command(standard);
        command.args(WARNINGS).args(options).args(files);
        command.arg("-o").arg(program);
        if library.ends_with(".so") {
            command.arg("-L").arg(artifacts.directory()).arg("-lshmkey");
            command.arg(format!("-Wl,-rpath,{}", artifacts.directory().display()));
        } else {
            command.arg(artifacts.built(library));
        }
        run(command)
    }

    fn command(self, standard: &str) -> Command {
        let mut command = Command::new(self.compiler);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        command.current_dir(root).args(["-I", "include", "-O2"]);
        command.arg(format!("-std={standard}"));
        command
    }
}

/// Runs a compiler, which is to have nothing to say.
fn run(mut command: Command) -> Result<()> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() && output.stderr.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}
