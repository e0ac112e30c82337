//! The example programs in all their forms, built and linked.

use super::{GXX, Result, needs};
use std::{
    collections::{BTreeSet, HashMap},
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tempfile::TempDir;

/// A form in which a program exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Plain System V C, with libc's functions.
    Libc,
    /// The same binary, with the drop-in preloaded.
    Preload,
    /// The same source, linked with the drop-in's shared library before libc.
    DropinSo,
    /// The same source, linked with the drop-in's static library before libc.
    DropinA,
    /// C on shmkey.h, with the shared library.
    CSo,
    /// C on shmkey.h, with the static library.
    CA,
    /// C++ on shmkey.hpp, with the shared library.
    Cpp,
    /// The Rust twin.
    Rust,
    /// Python, with the package `shmkey` of the interpreter that [`PYTHON`](needs::PYTHON) names.
    Python,
}

impl Form {
    /// Those of the example programs.
    pub const ALL: [Form; 7] = [
        Form::Libc,
        Form::Preload,
        Form::DropinSo,
        Form::DropinA,
        Form::CSo,
        Form::CA,
        Form::Rust,
    ];

    /// Those with our own API.
    pub const OURS: [Form; 3] = [Form::CSo, Form::CA, Form::Rust];

    /// Those of the peers.
    pub const PEERS: [Form; 4] = [Form::CSo, Form::CA, Form::Cpp, Form::Rust];

    pub fn name(self) -> &'static str {
        match self {
            Form::Libc => "sysv",
            Form::Preload => "sysv+preload",
            Form::DropinSo => "sysv+dropin.so",
            Form::DropinA => "sysv+dropin.a",
            Form::CSo => "c+shmkey.so",
            Form::CA => "c+shmkey.a",
            Form::Cpp => "c++",
            Form::Rust => "rust",
            Form::Python => "python",
        }
    }

    /// Adds Python to these forms, if an interpreter with the package is named.
    pub fn with_python(forms: &[Form]) -> Vec<Form> {
        let python = Form::Python.can_be_built().then_some(Form::Python);
        forms.iter().copied().chain(python).collect()
    }

    /// Whether programs in these two forms meet in the tests: Python meets each language once, because the other forms of C
    /// have the same code in another library.
    pub fn meets(self, other: Form) -> bool {
        let again = [Form::Preload, Form::DropinSo, Form::DropinA, Form::CA];
        let is_again = |one, other| one == Form::Python && again.contains(&other);
        !is_again(self, other) && !is_again(other, self)
    }

    /// Plain System V C, in whatever way it is linked.
    pub fn is_plain(self) -> bool {
        matches!(
            self,
            Form::Libc | Form::Preload | Form::DropinSo | Form::DropinA
        )
    }

    /// Whether a program exists in this form: plain ones have no objects.
    fn has(self, program: &str) -> bool {
        !self.is_plain() || ALONE.contains(&program) || program.starts_with("raw/")
    }

    /// Whether this machine has the compiler for it.
    pub fn can_be_built(self) -> bool {
        let needs: &[needs::Need] = match self {
            Form::Rust => &[],
            Form::Python => &[needs::PYTHON],
            Form::Cpp => &[needs::C_COMPILER, needs::GXX],
            _ => &[needs::C_COMPILER],
        };
        needs::missing(needs).is_none()
    }

    /// Whether its programs meet those in other forms: libc calls the kernel.
    pub fn is_usable(self) -> bool {
        self != Form::Libc || super::backend::is_kernel()
    }

    /// What a program is linked from: the source, and the library.
    fn recipe(self, program: &str) -> Option<(String, Option<&'static str>)> {
        let plain = || format!("c_examples/sysv/{}.c", program.trim_start_matches("raw/"));
        let ours = || match program {
            PEER => "tests/c/peer.c".to_owned(),
            _ => format!("c_examples/{program}.c"),
        };
        Some(match self {
            Form::Libc | Form::Preload => (plain(), None),
            Form::DropinSo => (plain(), Some("libshmkey_dropin.so")),
            Form::DropinA => (plain(), Some("libshmkey_dropin.a")),
            Form::CSo => (ours(), Some("libshmkey.so")),
            Form::CA => (ours(), Some("libshmkey.a")),
            Form::Cpp => (format!("tests/cpp/{program}.cpp"), Some("libshmkey.so")),
            Form::Rust | Form::Python => return None,
        })
    }
}

/// One side of an object, in each form of [`Form::PEERS`]; in Rust it is the test itself.
pub const PEER: &str = "peer";

/// The programs that fork, and run alone.
const ALONE: [&str; 2] = ["shared_memory", "parent_child"];

/// All programs. Those on raw segments exist in plain System V C, too, as the programs in
/// `sysv/`.
const PROGRAMS: [&str; 27] = [
    ALONE[0],
    ALONE[1],
    "raw/writer",
    "raw/reader",
    "raw/server",
    "raw/client",
    "raw/write_struct",
    "raw/read_struct",
    "raw/sender",
    "raw/receiver",
    "writer",
    "reader",
    "server",
    "client",
    "write_struct",
    "read_struct",
    "sender",
    "receiver",
    "ring_sender",
    "ring_receiver",
    "news",
    "news_reader",
    "jobs",
    "worker",
    "collector",
    "event_loop",
    "race",
];

/// The name by which Cargo knows the Rust twin.
fn twin(program: &str) -> String {
    program.replace('/', "_")
}

/// What Cargo has built for this package, and the C objects.
pub struct Artifacts {
    /// A directory with copies of the libraries, so that no other command replaces them while programs use them.
    directory: TempDir,
    /// The Rust twins by name.
    twins: HashMap<String, PathBuf>,
    /// The C objects by source file.
    objects: HashMap<String, PathBuf>,
    compiler: Option<PathBuf>,
}

impl Artifacts {
    /// The artifacts, built once for all tests that need them at the same time, and gone with the
    /// last of these.
    pub fn shared() -> Arc<Artifacts> {
        static SHARED: Mutex<Weak<Artifacts>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        shared.upgrade().unwrap_or_else(|| {
            let built = Arc::new(Artifacts::build().expect("the libraries can be built"));
            *shared = Arc::downgrade(&built);
            built
        })
    }

    /// Has Cargo build the libraries, the command and the Rust twins.
    pub fn build() -> Result<Artifacts> {
        let objects_list = fs::read_to_string(env!("SHMKEY_C_OBJECTS")).unwrap_or_default();
        let objects = objects_list
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(source, object)| (source.to_owned(), PathBuf::from(object)))
            .collect();
        let mut artifacts = Artifacts {
            directory: tempfile::Builder::new()
                .prefix("programs-")
                .tempdir_in(super::directory())
                .map_err(|error| format!("no temporary directory: {error}"))?,
            twins: HashMap::new(),
            objects,
            compiler: working_compiler(),
        };
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        let examples = format!("-p shmkey --examples --profile {profile}");
        // Where there is a C compiler, there is a linker, and the libraries can be linked.
        if artifacts.compiler.is_some() {
            artifacts.cargo_build(&format!("{examples} -p shmkey-cli --lib --bins"))?;
            // As users get it: only a release is without Rust's standard library.
            artifacts.cargo_build("-p shmkey-dropin --profile release")?;
        } else {
            artifacts.cargo_build(&examples)?;
        }
        Ok(artifacts)
    }

    /// Has Cargo build something, and takes it.
    fn cargo_build(&mut self, what: &str) -> Result<()> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args([
            "build",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ]);
        cargo.args(what.split(' ')).stderr(Stdio::inherit());
        let output = cargo
            .output()
            .map_err(|error| format!("cargo does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("{cargo:?} ended with {}", output.status));
        }
        for line in output.stdout.split(|&byte| byte == b'\n') {
            if let Ok(message) = serde_json::from_slice(line) {
                self.take(&message)?;
            }
        }
        Ok(())
    }

    /// Takes note of what a message of Cargo's says was built.
    fn take(&mut self, message: &serde_json::Value) -> Result<()> {
        if message["reason"] != "compiler-artifact" {
            return Ok(());
        }
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let copy = |from: &Path, to: &str| {
            let copied = fs::copy(from, self.built(to));
            copied.map_err(|error| format!("{}: {error}", from.display()))
        };
        match message["executable"].as_str() {
            // The command finds the drop-in beside itself.
            Some(program) if name == "shmkey" => drop(copy(program.as_ref(), name)?),
            Some(program) => drop(self.twins.insert(name.to_owned(), program.into())),
            None if ["shmkey", "shmkey_dropin"].contains(&name) => {
                let files = message["filenames"].as_array().into_iter().flatten();
                for file in files.filter_map(|file| file.as_str().map(Path::new)) {
                    let kind = file.extension().and_then(OsStr::to_str).unwrap_or_default();
                    if ["so", "a", "rlib"].contains(&kind) {
                        copy(file, &format!("lib{name}.{kind}"))?;
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    /// The directory with the libraries.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where a library is, such as `libshmkey.so`, or the command `shmkey`.
    pub fn built(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// The C compiler, if there is one.
    pub fn compiler(&self) -> Option<&Path> {
        self.compiler.as_deref()
    }

    /// Links a program from the object of a source file, such as `c_examples/writer.c`, with a
    /// library before libc.
    pub fn link(
        &self,
        source: &str,
        library: Option<&str>,
        options: &[&str],
        program: &Path,
    ) -> Result<()> {
        let object = self
            .objects
            .get(source)
            .ok_or_else(|| format!("{source} was not compiled"))?;
        self.link_files(&[object.as_path()], library, options, program)
    }

    /// Links a program from files that the compiler understands.
    pub fn link_files(
        &self,
        files: &[&Path],
        library: Option<&str>,
        options: &[&str],
        program: &Path,
    ) -> Result<()> {
        let compiler = self.compiler().ok_or("there is no C compiler")?;
        let mut link = Command::new(compiler);
        link.args(options).args(files).arg("-o").arg(program);
        if let Some(library) = library {
            self.link_with(&mut link, library);
        }
        compile(link)
    }

    /// Has a compiler link with a library, whose shared form the program finds again.
    pub fn link_with(&self, link: &mut Command, library: &str) {
        let Some(name) = library.strip_suffix(".so") else {
            link.arg(self.built(library));
            return;
        };
        let name = name.trim_start_matches("lib");
        link.arg("-L")
            .arg(self.directory())
            .arg(format!("-l{name}"));
        link.arg(format!("-Wl,-rpath,{}", self.directory().display()));
    }

    /// A command whose dynamic linker finds our own libraries and no others. (Cargo points
    /// LD_LIBRARY_PATH at its own.)
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.directory());
        command
    }

    /// The Rust compiler, which checks a program that uses the library.
    pub fn rustc(&self, source: &Path) -> Command {
        let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let options = ["--edition=2024", "--crate-type=lib", "--emit=metadata"];
        command.args(options).arg(source).arg("-o");
        command.arg(source.with_extension("rmeta"));
        let library = self.built("libshmkey.rlib");
        command.arg(format!("--extern=shmkey={}", library.display()));
        // The library's dependencies are where this test is.
        let test = env::current_exe().expect("this program has a path");
        command.arg("-L").arg(test.parent().expect("a folder"));
        command
    }

    /// Makes a program run with the drop-in preloaded.
    pub fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.built("libshmkey_dropin.so"));
    }
}

/// Runs a compiler, which is to print nothing.
pub fn compile(mut command: Command) -> Result<()> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() && output.stderr.is_empty() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}", output.status))
}

/// The names that a shared library exports.
pub fn exported(library: &str) -> BTreeSet<String> {
    use object::{File, Object, ObjectSymbol};
    let bytes = fs::read(Artifacts::shared().built(library)).unwrap();
    let file = File::parse(&*bytes).unwrap();
    file.dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect()
}

/// The compiler that build.rs has found, if it still runs.
pub fn working_compiler() -> Option<PathBuf> {
    let compiler = env!("SHMKEY_CC");
    let answer = Command::new(compiler).arg("--version").output();
    (!compiler.is_empty() && answer.is_ok_and(|output| output.status.success()))
        .then(|| compiler.into())
}

/// All programs in all forms. A program is linked when it is first asked for.
#[derive(Clone)]
pub struct Programs {
    artifacts: Arc<Artifacts>,
    linked: Arc<Mutex<HashMap<(&'static str, Form), Linked>>>,
    /// A command that runs the programs, such as valgrind, with its options.
    runner: Vec<String>,
}

/// The command that starts a program in Python.
fn python(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = match name {
        PEER => root.join("tests/python/peer.py"),
        _ => root.join(format!("python/examples/{}.py", twin(name))),
    };
    let mut command = Command::new(needs::python().unwrap_or_else(|| "python3".into()));
    command.arg(source);
    command
}

/// Where a program is, once it is linked.
type Linked = Arc<Mutex<Option<PathBuf>>>;

impl Programs {
    /// Builds the libraries and the Rust programs.
    pub fn new() -> Result<Programs> {
        Ok(Programs {
            artifacts: Artifacts::shared(),
            linked: Arc::default(),
            runner: Vec::new(),
        })
    }

    /// Builds and links everything. Calls `progress` with the name of each step.
    pub fn build(mut progress: impl FnMut(&str)) -> Result<Programs> {
        progress("building the libraries and the Rust programs");
        let programs = Programs::new()?;
        for form in programs.forms() {
            for name in PROGRAMS.into_iter().filter(|name| form.has(name)) {
                progress(&format!("linking {name} as {}", form.name()));
                programs.linked(name, form)?;
            }
        }
        Ok(programs)
    }

    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// The same programs, run by another command.
    pub fn under(&self, runner: &[&str]) -> Programs {
        Programs {
            runner: runner.iter().map(|&word| word.to_owned()).collect(),
            ..self.clone()
        }
    }

    /// The forms of the example programs that can be built: all, or on a machine without a C compiler only
    /// Rust.
    pub fn forms(&self) -> Vec<Form> {
        let forms = Form::ALL.into_iter();
        let is_there = |form: &Form| form.can_be_built() && form.is_usable();
        forms.filter(is_there).collect()
    }

    /// The command that starts a program in one of its forms.
    pub fn command(&self, name: &'static str, form: Form) -> Result<Command> {
        if form == Form::Python {
            return Ok(python(name));
        }
        let program = self.linked(name, form)?;
        let mut command = match &self.runner[..] {
            [] => self.artifacts.command(&program),
            [runner, options @ ..] => {
                let mut command = self.artifacts.command(Path::new(runner));
                command.args(options).arg(program);
                command
            }
        };
        if form == Form::Preload {
            self.artifacts.preload(&mut command);
        }
        Ok(command)
    }

    fn linked(&self, name: &'static str, form: Form) -> Result<PathBuf> {
        let slot = Arc::clone(lock(&self.linked).entry((name, form)).or_default());
        // Two tests that need the same program link it once; others do not wait.
        let mut slot = lock(&slot);
        let program = match slot.take() {
            Some(program) => program,
            None => self.link(name, form)?,
        };
        Ok(slot.insert(program).clone())
    }

    fn link(&self, name: &str, form: Form) -> Result<PathBuf> {
        let Some((source, library)) = form.recipe(name) else {
            let twin = self.artifacts.twins.get(&twin(name));
            return twin.cloned().ok_or(format!("Cargo has not built {name}"));
        };
        let file = format!("{}-{}", twin(name), form.name());
        let program = self.artifacts.directory().join(file);
        if form == Form::Cpp {
            let (source, library) = (Path::new(&source), library.unwrap_or_default());
            GXX.link("c++17", &[], &[source], library, &program)?;
        } else {
            self.artifacts.link(&source, library, &[], &program)?;
        }
        Ok(program)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
