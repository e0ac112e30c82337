//! The C++ header: what it promises, by each compiler and standard, with and without exceptions, and what compilers
//! say of its misuse.

mod api;
mod support;

use std::{fs, path::Path, path::PathBuf, process::ExitStatus};
use support::{
    Artifacts, CLANGXX, Cpp, Environment, GXX,
    needs::{self, missing, skip},
};

const PLAIN: &[&str] = &["-fno-exceptions", "-fno-rtti"];

/// Does this by each compiler. The artifacts stay for all of these.
fn by_each_compiler(test: &str, check: fn(Cpp)) {
    let _artifacts = Artifacts::shared();
    check(GXX);
    match missing(&[needs::CLANGXX]) {
        Some(missing) => skip(&format!("{test} by clang"), missing),
        None => check(CLANGXX),
    }
}

/// Runs a program, which is to succeed, and returns what it printed.
fn run(test: &Environment, program: &Path) -> String {
    let mut command = Artifacts::shared().command(program);
    command.arg(test.name());
    let ending = test.run(command);
    ending.expect_end(ExitStatus::success).unwrap();
    String::from_utf8_lossy(&ending.stdout).into_owned()
}

/// A place for a file of a test by a compiler.
fn file(cpp: Cpp, name: &str) -> PathBuf {
    let directory = Artifacts::shared().directory().join(cpp.compiler);
    fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

/// The classes, used well and badly, in a program of two files.
fn objects(cpp: Cpp) {
    let files = ["tests/cpp/objects.cpp", "tests/cpp/another.cpp"].map(Path::new);
    let ways = [
        ("libshmkey.so", &[][..]),
        ("libshmkey.a", PLAIN),
        ("libshmkey.so", PLAIN),
    ];
    for (standard, (library, options)) in cpp.standards.into_iter().zip(ways) {
        let program = file(cpp, &format!("objects-{standard}"));
        cpp.link(standard, options, &files, library, &program)
            .unwrap();
        let test = Environment::with_names(&[
            "plain",
            "mutex",
            "semaphore",
            "latest",
            "ring",
            "broadcast",
        ]);
        assert_eq!(run(&test, &program), "", "{cpp:?} {standard}");
    }
}

#[test]
fn objects_do_what_the_header_says() {
    by_each_compiler("objects_do_what_the_header_says", objects);
}

fn failures(cpp: Cpp) {
    for (standard, library) in cpp
        .standards
        .into_iter()
        .zip(["libshmkey.so", "libshmkey.a"])
    {
        let program = file(cpp, &format!("failures-{standard}"));
        let files = [Path::new("tests/cpp/failures.cpp")];
        cpp.link(standard, &["-pthread"], &files, library, &program)
            .unwrap();
        assert_eq!(run(&Environment::new(), &program), "", "{cpp:?} {standard}");
    }
}

#[test]
fn failures_cost_nothing_until_they_are_read() {
    by_each_compiler("failures_cost_nothing_until_they_are_read", failures);
}

fn example(cpp: Cpp) {
    let header = include_str!("../include/shmkey.hpp");
    let comment = header.split("#ifndef").next().unwrap();
    let (outside, inside): (Vec<&str>, Vec<&str>) = comment
        .lines()
        .filter_map(|line| line.strip_prefix("///     "))
        .partition(|line| {
            ["#include", "using", "struct"].contains(&line.split(' ').next().unwrap())
        });
    assert!(outside.len() == 4 && inside.len() > 5, "{outside:?}");
    let test = Environment::new();
    let name = format!("\"{}\"", test.name());
    let (outside, body) = (
        outside.join("\n"),
        inside.join("\n").replace("\"position\"", &name),
    );
    let source = file(cpp, "example.cpp");
    let program = source.with_extension("");
    fs::write(&source, format!("{outside}\nint main() {{\n{body}\n}}\n")).unwrap();
    for standard in cpp.standards {
        cpp.link(standard, PLAIN, &[&source], "libshmkey.so", &program)
            .unwrap();
        assert_eq!(run(&Environment::new(), &program), "52.5 13.4\n");
    }
}

#[test]
fn the_example_at_the_top_prints_what_it_should() {
    by_each_compiler("the_example_at_the_top_prints_what_it_should", example);
}

const NODISCARD: &str = "nodiscard|unused";
const NO_MATCH: &str = "convert|viable|matching";

/// What must not compile, and words of which the compiler says one.
const REFUSED: [(&str, &str); 20] = [
    ("done();", NODISCARD),
    ("open().send(\"a\");", NODISCARD),
    ("open().reserve(8);", NODISCARD),
    ("open().peek();", NODISCARD),
    ("(*open().reserve(8)).commit();", NODISCARD),
    ("shmkey::ring::open(\"a\", 64);", NODISCARD),
    (
        "auto mutex = shmkey::mutex<int>::open(\"a\"); mutex->lock();",
        NODISCARD,
    ),
    ("shmkey::segment::from_id(1).attach();", NODISCARD),
    ("shmkey::place::in(1, 64);", NODISCARD),
    ("auto a = open(); auto b = a;", "delete|copy"),
    // Only a latest value can be read without being written.
    (
        "(void) shmkey::mutex<int>::open(\"a\", shmkey::read_only);",
        NO_MATCH,
    ),
    (
        "(void) shmkey::ring::open(\"a\", 64, shmkey::read_only);",
        NO_MATCH,
    ),
    // What to do if it is missing, permissions and options are not numbers, and not each other.
    ("(void) shmkey::ring::open(\"a\", 64, 0600);", NO_MATCH),
    (
        "(void) shmkey::semaphore::open(\"a\", 1, shmkey::many_senders);",
        NO_MATCH,
    ),
    // A number is no time, and no size either.
    ("(void) open().send_bytes(\"a\", 1, 5);", NO_MATCH),
    ("(void) open().send(\"a\", 5);", NO_MATCH),
    (
        "(void) shmkey::mutex<std::string>::open(\"a\");",
        "T must be trivially copyable: other processes see only its bytes",
    ),
    (
        "(void) shmkey::latest<int *>::open(\"a\");",
        "T must not be a pointer",
    ),
    (
        "(void) shmkey::mutex<big>::open(\"a\");",
        "an alignment of more than 64 bytes",
    ),
    (
        "bool works = open().send(\"a\"); (void) works;",
        "cannot convert|no viable conversion",
    ),
];

/// Compiles a program with this line, and returns what the compiler says if it refuses it.
fn check(cpp: Cpp, line: &str) -> support::Result<()> {
    let source = file(cpp, "line.cpp");
    let program = format!(
        "#include <shmkey.hpp>\n#include <string>\n\
         shmkey::ring open(); shmkey::result<void> done();\n\
         struct big {{ alignas(128) int i; }};\n\
         int main() {{ {line} return 0; }}\n"
    );
    fs::write(&source, program).unwrap();
    cpp.compile("c++17", &["-fsyntax-only"], &[&source])
}

fn refused(cpp: Cpp) {
    let allowed = "shmkey::ring ring = open(); if (!ring.send(\"a\", shmkey::now)) { return 1; }";
    check(cpp, allowed).unwrap();
    for (line, reasons) in REFUSED {
        let said = check(cpp, line).expect_err(line);
        let is_reason = reasons.split('|').any(|words| said.contains(words));
        assert!(is_reason, "{line}: {said}");
    }
}

#[test]
fn misuse_does_not_compile() {
    by_each_compiler("misuse_does_not_compile", refused);
}

/// Such as acct of <unistd.h>.
fn foreign_names(cpp: Cpp) {
    let source = file(cpp, "names.cpp");
    let program = "struct acct { int i; };\n\
        #include <shmkey.hpp>\n\
        int main() { acct of_mine{0}; return of_mine.i + (shmkey::version().empty() ? 1 : 0); }\n";
    fs::write(&source, program).unwrap();
    for standard in cpp.standards {
        cpp.compile(standard, &["-fsyntax-only"], &[&source])
            .unwrap();
    }
}

#[test]
fn names_of_the_c_library_stay_the_programs() {
    by_each_compiler("names_of_the_c_library_stay_the_programs", foreign_names);
}

#[test]
fn an_older_standard_is_one_error_that_names_the_option() {
    let _artifacts = Artifacts::shared();
    let source = file(GXX, "old.cpp");
    fs::write(&source, "#include <shmkey.hpp>\n").unwrap();
    let said = GXX.compile("c++14", &["-fsyntax-only"], &[&source]);
    let said = said.expect_err("C++14 is too old");
    assert_eq!(said.matches(" error: ").count(), 1, "{said}");
    assert!(said.contains("-std=c++17"), "{said}");
}

/// Some are called, and the closing ones given to the pointers that own.
#[test]
fn the_header_uses_every_function_of_c() {
    let cpp = include_str!("../include/shmkey.hpp").lines();
    let is_comment = |line: &&str| line.trim_start().starts_with(['/', '*']);
    let code: String = cpp.filter(|line| !is_comment(line)).collect();
    let words: Vec<&str> = code
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    for name in api::functions() {
        // The size of an attachment is known without a call, and a name is a place.
        let opens = name.ends_with("_open") && words.contains(&&*format!("{name}_at"));
        let is_used = words.contains(&&*name) || opens || name == "shm_attached_size";
        assert!(is_used, "{name}");
    }
}
