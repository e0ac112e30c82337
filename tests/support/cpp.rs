//! Programs in C++, compiled when a test needs them: Cargo's build script knows C only.

use super::{Artifacts, Result, compile};
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

/// The header causes none of these.
const WARNINGS: &str = "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
    -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wcast-align -Wdouble-promotion -Wnull-dereference
    -Wundef -Weffc++ -Werror";

impl Cpp {
    /// Compiles files with all warnings, and with these options.
    pub fn compile(self, standard: &str, options: &[&str], files: &[&Path]) -> Result<()> {
        compile(self.command(standard, options, files))
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
        let mut command = self.command(standard, options, files);
        command.arg("-o").arg(program);
        Artifacts::shared().link_with(&mut command, library);
        compile(command)
    }

    fn command(self, standard: &str, options: &[&str], files: &[&Path]) -> Command {
        let mut command = Command::new(self.compiler);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.args(["-I", "include", "-O2", &format!("-std={standard}")]);
        command.args(WARNINGS.split_whitespace());
        command.args(options).args(files);
        command
    }
}
