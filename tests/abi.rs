//! The C ABI is what `tests/abi/x86_64-linux.txt` says: each function with its types, each structure
//! with its sizes and offsets, each constant with its value, and `errno` for each kind of error. What a
//! compiler makes of the header and what the libraries export must both agree with it, so that neither
//! changes by accident.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod api;
mod support;

use api::{Item, Kind};
use std::{collections::BTreeSet, env, fs, panic, path::Path, process::Command};
use support::exported;

const KEPT: &str = "tests/abi/x86_64-linux.txt";

/// What the drop-in exports. The compiler compares these with those of `<sys/shm.h>`.
const DROPIN: [&str; 5] = [
    "key_t ftok(const char *, int)",
    "void *shmat(int, const void *, int)",
    "int shmctl(int, int, struct shmid_ds *)",
    "int shmdt(const void *)",
    "int shmget(key_t, size_t, int)",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of a text that another one does not have.
fn only(these: &str, those: &str) -> String {
    let those: BTreeSet<&str> = those.lines().collect();
    let only = these.lines().filter(|line| !those.contains(line));
    only.map(|line| format!("    {line}\n")).collect()
}

const ADVICE: &str = "If that is meant: BLESS=1 cargo test --test abi. For what is new since the last release, raise \
    the version's second number. For what is gone or changed, raise the first one (before 1.0 the second) and the \
    soname: SONAME in the Makefile, IMPORTED_SONAME in packaging/cmake, the version in \
    [package.metadata.capi.library] of Cargo.toml, and the package libshmkey0 in debian/.";

#[test]
fn the_abi_is_the_one_that_programs_were_linked_with() {
    let made = abi();
    let path = root().join(KEPT);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &made).expect("the list is writable");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let (gone, new) = (only(&kept, &made), only(&made, &kept));
    assert!(
        kept == made,
        "The C ABI is not what {KEPT} says.\n\
         Gone or changed, which breaks programs that were linked with it:\n{gone}\
         New, which breaks none:\n{new}{ADVICE}"
    );
}

/// Each with the version that it came with, which the library does not say.
#[test]
fn the_symbols_of_the_debian_package_are_what_the_library_exports() {
    let listed = include_str!("../debian/libshmkey0.symbols").lines();
    let listed = listed.filter_map(|line| line.strip_prefix(' ')?.split_once("@Base "));
    let listed: Vec<String> = listed.map(|(name, _)| name.to_owned()).collect();
    let exported: Vec<String> = exported("libshmkey.so").into_iter().collect();
    assert_eq!(listed, exported);
}

/// The list as the header, the compiler and the libraries have it now.
fn abi() -> String {
    let items = api::items();
    let mut functions: Vec<String> = items.iter().filter_map(Item::prototype).collect();
    functions.sort_by_key(|prototype| name(prototype).to_owned());
    let names = |prototypes: &[String]| prototypes.iter().map(|one| name(one).to_owned()).collect();
    let dropin = DROPIN.map(str::to_owned);
    for (library, functions) in [("libshmkey", &functions[..]), ("libshmkey_dropin", &dropin)] {
        let expected: BTreeSet<String> = names(functions);
        assert_eq!(exported(&format!("{library}.so")), expected, "{library}");
    }
    let section = |title: &str, lines: &[String]| format!("# {title}\n{}\n", lines.join("\n"));
    [
        section("libshmkey.so.0", &functions),
        section("libshmkey_dropin.so", &DROPIN.map(str::to_owned)),
        section(
            "constants, structures: value; size, alignment; offset, size",
            &layout(&items),
        ),
        section("kinds of errors: errno", &errors()),
    ]
    .join("\n")
}

/// The name in a prototype.
fn name(prototype: &str) -> &str {
    let (before, _) = prototype.split_once('(').expect("a function");
    before.rsplit([' ', '*']).next().expect("a name")
}

/// C that prints the value of a constant, or sizes and offsets of a structure.
fn print_of(Item { name, kind, .. }: &Item) -> String {
    match kind {
        // Numbers that are meant to change.
        Kind::Constant if name.starts_with("SHMKEY_VERSION_") => String::new(),
        Kind::Constant => format!("printf(\"{name}: %lld\\n\", (long long) {name});\n"),
        Kind::Opaque => format!("puts(\"struct {name}: opaque\");\n"),
        Kind::Struct { fields, .. } => {
            let size = format!("sizeof(struct {name}), _Alignof(struct {name})");
            let mut text = format!("printf(\"struct {name}: %zu, %zu\\n\", {size});\n");
            for (declaration, field) in fields {
                let place = format!("offsetof(struct {name}, {field})");
                let size = format!("sizeof(((struct {name} *) 0)->{field})");
                text += &format!("printf(\"    {declaration}: %zu, %zu\\n\", {place}, {size});\n");
            }
            text
        }
        Kind::Macro { .. } | Kind::Function(_) => String::new(),
    }
}

/// What a C compiler says of constants and structures: it compiles a program that prints them.
fn layout(items: &[Item]) -> Vec<String> {
    let prints: String = items.iter().map(print_of).collect();
    // Declared again: the compiler refuses what differs from <sys/shm.h>, or from the header.
    let again = items.iter().filter_map(Item::prototype);
    let again: Vec<String> = again.chain(DROPIN.map(str::to_owned)).collect();
    let program = format!(
        "#define _XOPEN_SOURCE 700\n#include <shmkey.h>\n#include <stdio.h>\n#include <sys/shm.h>\n\
         {};\nint main(void) {{\n{prints}return 0;\n}}\n",
        again.join(";\n")
    );
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("layout.c");
    let binary = directory.path().join("layout");
    fs::write(&source, program).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"]);
    gcc.arg(root().join("include"));
    gcc.arg(&source).arg("-o").arg(&binary);
    support::compile(gcc).unwrap();
    let output = Command::new(&binary).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let macros = items.iter().filter_map(|item| match &item.kind {
        Kind::Macro { head, text } => Some(format!("{head}: {text}")),
        _ => None,
    });
    text.lines().map(str::to_owned).chain(macros).collect()
}

/// What the library itself makes of each kind of error. The other way round, for what the kernel says,
/// `errno` is the kernel's.
fn errors() -> Vec<String> {
    let (_, table) = include_str!("../src/error/kind.rs")
        .split_once("of_objects! {\n    ")
        .expect("a table of kinds");
    let (table, _) = table.split_once("\n}\n").expect("its end");
    let rows = table.lines().chain(["any other => EINVAL"]);
    let mut errors: Vec<String> = rows
        .map(|row| {
            let row = row.trim().trim_end_matches(',');
            row.replacen(" => ", ": ", 1)
        })
        .collect();
    errors.sort();
    errors
}

/// The declarations with one part changed.
#[track_caller]
fn changed(before: &str, after: &str) -> String {
    let header = api::HEADER.replacen(before, after, 1);
    assert_ne!(header, api::HEADER, "it has no {before:?}");
    header
}

#[test]
fn a_changed_prototype_is_another_one() {
    let prototypes = |header: &str| -> Vec<String> {
        let items = api::items_of(header);
        items.iter().filter_map(Item::prototype).collect()
    };
    let attach = "void *shm_attach(int id, int flags)";
    for (before, after) in [
        ("int proj_id, size_t size", "size_t size, int proj_id"),
        (attach, "void *shm_attach(int flags, int id)"),
        ("const char *shm_version(void)", "char *shm_version(void)"),
    ] {
        let changed = prototypes(&changed(before, after));
        assert_ne!(changed, prototypes(api::HEADER), "{after}");
    }
}

/// A declaration that these tests would not check does not pass unnoticed.
#[test]
fn an_unknown_kind_of_declaration_is_refused() {
    let last = "#ifdef __cplusplus\n}  // extern \"C\"";
    for strange in [
        "enum shm_kind { RING, MUTEX };",
        "typedef enum shm_kind {",
        "typedef int32_t shm_id;",
        "typedef void (*shm_callback)(int id);",
        "void shm_on_removal(void (*callback)(int id), int id);",
        "typedef union shm_value {",
        "#define SHM_SOME_FLAG (1 << 16)",
        "#define SHM_SOME_NAME \"name\"",
        "#define SHMKEY_SOME_NAME \"name\"",
        "#define shm_call(id) shm_remove(id)",
        "extern int shm_count;",
        "int shm_new(int id,",
        "typedef struct shm_new {\n  union {\n    int one;\n  };\n} shm_new;",
        "typedef struct shm_new {\n  unsigned bits: 3;\n} shm_new;",
    ] {
        let header = changed(last, &format!("{strange}\n\n{last}"));
        let read = panic::catch_unwind(|| api::items_of(&header).len());
        assert!(read.is_err(), "{strange} is read as a declaration");
    }
}

/// The version and the soname stand in several files.
#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let cmake = "packaging/cmake/shmkeyConfig";
    for (file, line) in [
        (
            &*format!("{cmake}Version.cmake"),
            format!("set(PACKAGE_VERSION {version})"),
        ),
        ("debian/changelog", format!("shmkey ({version})")),
        ("man/shmkey.7", format!("\"shmkey {version}\"")),
        ("dropin/Cargo.toml", format!("version = \"{version}\"")),
        ("cli/Cargo.toml", format!("version = \"{version}\"")),
        ("Makefile", "SONAME  := libshmkey.so.0\n".into()),
        (
            &format!("{cmake}.cmake"),
            "IMPORTED_SONAME libshmkey.so.0 ".into(),
        ),
        ("debian/control", "Package: libshmkey0\n".into()),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(text.contains(&line), "{file} has no {line:?}");
    }
}
