//! Compiles the C programs of `c_examples/` and `tests/c/` into objects, for this package's own
//! tests and examples.
//!
//! Only with the feature `c-examples`. Without it, as in a build of a program that depends on this crate,
//! nothing is done and no C compiler is needed. The objects are linked later, by the tests and the
//! demonstration, because the library that they need does not exist yet.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "c-examples")]
    c_examples::compile();
}

#[cfg(feature = "c-examples")]
mod c_examples {
    use std::{env, fs, path::Path, path::PathBuf};

    /// Folders of C programs; each file is a program.
    const FOLDERS: [&str; 4] = ["c_examples", "c_examples/raw", "c_examples/sysv", "tests/c"];

    /// Writes a list of `folder/NAME.c<TAB>object` and tells the tests where it is, and which
    /// compiler to link with. Without a C compiler the list is empty.
    pub fn compile() {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
        let mut list = String::new();
        // The libraries that these programs link are not instrumented, and Cargo's own flags say
        // all that matters.
        let compiler = compiler();
        println!("cargo:rerun-if-changed=include");
        for folder in FOLDERS {
            println!("cargo:rerun-if-changed={folder}");
            if compiler.is_some() {
                compile_folder(folder, &mut list);
            }
        }
        let list_file = out.join("objects.txt");
        fs::write(&list_file, list).expect("OUT_DIR is writable");
        println!("cargo:rustc-env=SHMKEY_C_OBJECTS={}", list_file.display());
        println!(
            "cargo:rustc-env=SHMKEY_CC={}",
            compiler.unwrap_or_default().display()
        );
    }

    /// The C compiler, if there is one that runs.
    fn compiler() -> Option<PathBuf> {
        let tool = cc::Build::new().try_get_compiler().ok()?;
        let works = tool.to_command().arg("--version").output();
        if works.is_ok_and(|output| output.status.success()) {
            Some(tool.path().to_owned())
        } else {
            println!(
                "cargo:warning=no C compiler ({}): the C programs are left out",
                tool.path().display()
            );
            None
        }
    }

    fn compile_folder(folder: &str, list: &mut String) {
        for entry in fs::read_dir(folder).expect("the folder is part of the package") {
            let source = entry.expect("a folder can be listed").path();
            if source.extension().is_none_or(|extension| extension != "c") {
                continue;
            }
            let objects = cc::Build::new()
                .file(&source)
                .include("include")
                .std("c99")
                .opt_level(2)
                .debug(true)
                .warnings(true)
                .extra_warnings(true)
                .warnings_into_errors(true)
                .flags([
                    "-Wpedantic",
                    "-Wconversion",
                    "-Wshadow",
                    "-Wstrict-prototypes",
                ])
                .compile_intermediates();
            let source = Path::new(folder).join(source.file_name().expect("a file has a name"));
            for object in objects {
                list.push_str(&format!("{}\t{}\n", source.display(), object.display()));
            }
        }
    }
}
