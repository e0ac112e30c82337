//! A C program in every way in which it can get a library's functions, its source unchanged.

use super::{Artifacts, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A way in which a program gets the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The shared library in `LD_PRELOAD`.
    Preload,
    /// Linked with the shared library before libc.
    LinkOrder,
    /// Linked with the static library before libc.
    Archive,
    /// `dlopen` of the shared library, and `dlsym`.
    Dlopen,
    /// The program is a plugin, which needs the shared library.
    PluginNeeds,
    /// The program is a plugin that was linked with the static library.
    PluginHolds,
    Static,
    StaticPie,
}

impl Way {
    pub const ALL: [Way; 8] = [
        Way::Preload,
        Way::LinkOrder,
        Way::Archive,
        Way::Dlopen,
        Way::PluginNeeds,
        Way::PluginHolds,
        Way::Static,
        Way::StaticPie,
    ];

    /// Those of a program that names the functions of a library: libc has none of them.
    pub const LINKED: &[Way] = Way::ALL.split_at(1).1;

    /// Those in which libc is not in the executable, too.
    pub const DYNAMIC: &[Way] = Way::LINKED.split_at(5).0;
}

/// A library whose functions a program calls.
pub struct Library {
    /// Without `.so` and `.a`.
    pub name: &'static str,
    /// What declares the functions.
    pub headers: &'static str,
    /// The functions that programs in `tests/hosts` call.
    pub functions: &'static [&'static str],
    /// The file of `tests/hosts` with calls of them all, which programs include as `CALLS`.
    pub calls: &'static str,
    /// What a static program has to be linked with beside it.
    pub static_options: &'static [&'static str],
}

pub const DROPIN: Library = Library {
    name: "libshmkey_dropin",
    headers: "#include <sys/ipc.h>\n#include <sys/shm.h>\n",
    functions: &["ftok", "shmget", "shmat", "shmdt", "shmctl"],
    calls: "five_calls.h",
    static_options: &[],
};

pub const SHMKEY: Library = Library {
    name: "libshmkey",
    headers: "#include <shmkey.h>\n",
    functions: &[
        "shm_open_key",
        "shm_open_private",
        "shm_attach",
        "shm_detach",
        "shm_remove",
        "shm_last_error",
        "shm_mutex_open",
        "shm_mutex_lock",
        "shm_mutex_unlock",
        "shm_mutex_id",
        "shm_ring_open",
        "shm_ring_begin_receiving",
        "shm_ring_recv",
        "shm_ring_id",
    ],
    calls: "own_calls.h",
    // glibc warns of functions that Rust's standard library has and nothing here calls.
    static_options: &["-Wl,--no-warnings"],
};

/// A program of `tests/hosts`, linked in one way.
pub struct Host {
    pub way: Way,
    program: PathBuf,
}

/// Options for every file of a program.
const OPTIONS: [&str; 7] = [
    "-std=gnu11",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pthread",
    "-rdynamic",
];

impl Host {
    /// Links `tests/hosts/NAME.c` for a way. `beside`: more files of that folder, which belong to the
    /// executable itself, also where the program is a plugin.
    pub fn link(
        artifacts: &Artifacts,
        library: &Library,
        name: &str,
        beside: &[&str],
        way: Way,
    ) -> Result<Host> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
        let file = |end: &str| {
            let name = format!("{name}-{}-{way:?}{end}", library.name);
            artifacts.directory().join(name)
        };
        let mut files = vec![folder.join(name).with_extension("c")];
        files.extend(beside.iter().map(|name| folder.join(name)));
        let [shared, archive] = ["so", "a"].map(|end| format!("{}.{end}", library.name));
        let include = format!("-I{}/include", env!("CARGO_MANIFEST_DIR"));
        let calls = format!("-DCALLS=\"{}\"", library.calls);
        let link = |files: &[PathBuf], library: Option<&str>, more: &[&str], to: &Path| {
            let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
            let options = [&OPTIONS[..], &[&calls, &include], more].concat();
            artifacts.link_files(&files, library, &options, to)
        };
        let program = file("");
        match way {
            Way::Preload => link(&files, None, &[], &program)?,
            Way::LinkOrder => link(&files, Some(&shared), &[], &program)?,
            Way::Archive => link(&files, Some(&archive), &[], &program)?,
            Way::Static | Way::StaticPie => {
                let how = if way == Way::Static {
                    "-static"
                } else {
                    "-static-pie"
                };
                let options = [&[how][..], library.static_options].concat();
                link(&files, Some(&archive), &options, &program)?;
            }
            Way::Dlopen => {
                let (names, pointers) = (file(".h"), file(".c"));
                write(&names, &names_of(library))?;
                write(&pointers, &pointers_of(library, &artifacts.built(&shared)))?;
                files.push(pointers);
                // A declaration without `extern` defines the pointer in each file: it is one.
                let options = ["-fcommon", "-include", &names.to_string_lossy()];
                link(&files, None, &options, &program)?;
            }
            Way::PluginNeeds | Way::PluginHolds => {
                let plugin = file(".so");
                let needed = if way == Way::PluginNeeds {
                    shared
                } else {
                    archive
                };
                let options = ["-shared", "-fPIC", "-Dmain=plugin_main"];
                link(&files[..1], Some(&needed), &options, &plugin)?;
                files[0] = folder.join("loader.c");
                let path = format!("-DPLUGIN=\"{}\"", plugin.display());
                link(&files, None, &[&path], &program)?;
            }
        }
        Ok(Host { way, program })
    }

    /// The command that runs it, without a trace.
    pub fn command(&self, artifacts: &Artifacts) -> Command {
        let mut command = artifacts.command(&self.program);
        if self.way == Way::Preload {
            artifacts.preload(&mut command);
        }
        without_trace(&mut command);
        command
    }
}

/// Has a command start without a trace.
pub fn without_trace(command: &mut Command) {
    for end in ["", "_FORMAT", "_REPORTER"] {
        command.env_remove(format!("SHMKEY_TRACE{end}"));
    }
}

/// A header that makes each function a pointer of that name: its declaration in the library's header then
/// declares that pointer.
fn names_of(library: &Library) -> String {
    let names = library.functions.iter();
    names
        .map(|name| format!("#define {name} (*loaded_{name})\n"))
        .collect()
}

/// Defines these pointers, and has `dlsym` find the functions before `main`.
fn pointers_of(library: &Library, file: &Path) -> String {
    let define = |name: &&str| format!("__typeof__({name}) {name};\n");
    let find = |name: &&str| {
        format!("if ((*(void **) &loaded_{name} = dlsym(library, \"{name}\")) == 0) abort();\n")
    };
    format!(
        "#define _GNU_SOURCE\n{}#include <dlfcn.h>\n#include <stdlib.h>\n{}\
         __attribute__((constructor)) static void load(void)\n{{\n\
         void *library = dlopen(\"{}\", RTLD_NOW | RTLD_LOCAL);\nif (library == 0) abort();\n{}}}\n",
        library.headers,
        library.functions.iter().map(define).collect::<String>(),
        file.display(),
        library.functions.iter().map(find).collect::<String>(),
    )
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
