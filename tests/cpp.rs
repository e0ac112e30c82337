//! The C++ header: what it promises, by each standard, with and without exceptions, and what its
//! compilers say of it.

mod support;

use std::{fs, path::Path, path::PathBuf};
use support::{Artifacts, CLANGXX, Cpp, Environment, GXX};

const PLAIN: &[&str] = &["-fno-exceptions", "-fno-rtti"];

/// Runs a program to its end, and returns what it printed.
fn run(test: &Environment, program: &Path) -> Vec<u8> {
    let mut command = Artifacts::shared().command(program);
    command.arg(test.name());
    let ending = test.run(command);
    let said = ending.stdout.escape_ascii().to_string();
    ending
        .expect_end(&said, |status| status.success())
        .unwrap_or_else(|error| panic!("{error}, and printed \"{said}\""));
    ending.stdout
}

/// A place for the files of one test.
fn file(name: &str) -> PathBuf {
    Artifacts::shared().directory().join(name)
}

/// All of it, used well and badly, in a program of two files.
fn objects(cpp: Cpp) {
    let artifacts = Artifacts::shared(); // for all of these
    let files = ["tests/cpp/objects.cpp", "tests/cpp/another.cpp"].map(Path::new);
    let ways = [
        ("libshmkey.so", &[][..]),
        ("libshmkey.a", PLAIN),
        ("libshmkey.so", PLAIN),
    ];
    for (standard, (library, options)) in cpp.standards.into_iter().zip(ways) {
        let name = format!("objects-{}-{standard}", cpp.compiler);
        let program = artifacts.directory().join(name);
        cpp.link(standard, options, &files, library, &program)
            .unwrap();
        let test = Environment::with_names(&["plain", "mutex", "semaphore", "latest", "ring"]);
        let said = run(&test, &program);
        assert!(said.is_empty(), "{standard}: {}", said.escape_ascii());
    }
}

/// A failed try allocates nothing, and its text is right whenever it is made.
fn failures(cpp: Cpp) {
    let artifacts = Artifacts::shared();
    for (standard, library) in cpp
        .standards
        .into_iter()
        .zip(["libshmkey.so", "libshmkey.a"])
    {
        let name = format!("failures-{}-{standard}", cpp.compiler);
        let program = artifacts.directory().join(name);
        let file = Path::new("tests/cpp/failures.cpp");
        cpp.link(standard, &["-pthread"], &[file], library, &program)
            .unwrap();
        let said = run(&Environment::new(), &program);
        assert!(said.is_empty(), "{standard}: {}", said.escape_ascii());
    }
}

/// The example at the top of the header is a program, and prints what it should.
fn example(cpp: Cpp) {
    let _artifacts = Artifacts::shared();
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
    let body = inside
        .join("\n")
        .replace("\"position\"", &format!("\"{}\"", test.name()));
    let source = file(&format!("example-{}.cpp", cpp.compiler));
    let program = source.with_extension("");
    let text = format!("{}\nint main() {{\n{body}\n}}\n", outside.join("\n"));
    fs::write(&source, text).unwrap();
    for standard in cpp.standards {
        cpp.link(standard, PLAIN, &[&source], "libshmkey.so", &program)
            .unwrap();
        assert_eq!(run(&Environment::new(), &program), b"52.5 13.4\n");
    }
}

/// What must not compile does not, each for its own reason.
fn refused(cpp: Cpp) {
    let _artifacts = Artifacts::shared();
    let whole = |line: &str| {
        format!(
            "#include <shmkey.hpp>\n#include <string>\n\
             shmkey::ring open(); shmkey::result<void> done();\n\
             struct big {{ alignas(128) int i; }};\n\
             int main() {{ {line} return 0; }}\n"
        )
    };
    let source = file(&format!("refused-{}.cpp", cpp.compiler));
    let check = |line: &str| {
        fs::write(&source, whole(line)).unwrap();
        cpp.compile("c++17", &["-fsyntax-only"], &[&source])
    };
    check("shmkey::ring ring = open(); if (!ring.send(\"a\", shmkey::now)) { return 1; }").unwrap();
    for (line, reason) in [
        ("done();", "nodiscard|unused"),
        ("open().send(\"a\");", "nodiscard|unused"),
        ("open().reserve(8);", "nodiscard|unused"),
        ("open().peek();", "nodiscard|unused"),
        ("(*open().reserve(8)).commit();", "nodiscard|unused"),
        ("shmkey::ring::open(\"a\", 64);", "nodiscard|unused"),
        (
            "auto mutex = shmkey::mutex<int>::open(\"a\"); mutex->lock();",
            "nodiscard|unused",
        ),
        ("shmkey::segment::from_id(1).attach();", "nodiscard|unused"),
        ("shmkey::place::in(1, 64);", "nodiscard|unused"),
        ("auto a = open(); auto b = a;", "delete|copy"),
        // Only a latest value can be read without being written.
        (
            "(void) shmkey::mutex<int>::open(\"a\", shmkey::read_only);",
            "convert|viable|matching",
        ),
        (
            "(void) shmkey::ring::open(\"a\", 64, shmkey::read_only);",
            "convert|viable|matching",
        ),
        // What to do if it is missing, permissions and options are not numbers, and not each other.
        (
            "(void) shmkey::ring::open(\"a\", 64, 0600);",
            "convert|viable|matching",
        ),
        (
            "(void) shmkey::semaphore::open(\"a\", 1, shmkey::many_senders);",
            "convert|viable|matching",
        ),
        (
            "(void) open().send_bytes(\"a\", 1, 5);",
            "convert|viable|matching",
        ),
        // A number is no time, and no size either.
        ("(void) open().send(\"a\", 5);", "convert|viable|matching"),
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
    ] {
        let said = check(line).expect_err(line);
        assert!(
            reason.split('|').any(|word| said.contains(word)),
            "{line}: {said}"
        );
    }
}

/// Names of the C library, such as acct of <unistd.h>, stay the program's.
fn foreign_names(cpp: Cpp) {
    let _artifacts = Artifacts::shared();
    let source = file(&format!("names-{}.cpp", cpp.compiler));
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
fn gcc_leaves_names_of_the_c_library_to_the_program() {
    foreign_names(GXX);
}

#[test]
fn clang_leaves_names_of_the_c_library_to_the_program() {
    needs!(CLANGXX);
    foreign_names(CLANGXX);
}

/// An older standard gives one error, which says what to do.
#[test]
fn an_old_standard_is_one_error() {
    let _artifacts = Artifacts::shared();
    let source = file("old.cpp");
    fs::write(&source, "#include <shmkey.hpp>\n").unwrap();
    let said = GXX
        .compile("c++14", &["-fsyntax-only"], &[&source])
        .expect_err("C++14 is too old");
    assert_eq!(said.matches(" error: ").count(), 1, "{said}");
    assert!(said.contains("-std=c++17"), "{said}");
}

/// The functions of the C header are all there in C++.
#[test]
fn the_header_uses_every_function_of_c() {
    let c = include_str!("../include/shmkey.h");
    let cpp = include_str!("../include/shmkey.hpp");
    let (comments, code): (Vec<&str>, Vec<&str>) = cpp
        .lines()
        .partition(|line| line.trim_start().starts_with(['/', '*']));
    assert!(comments.len() > 100);
    let code = code.join("\n");
    let functions = c
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#', '*']))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next());
    let missing: Vec<&str> = functions
        .filter(|name| name.starts_with("shm_"))
        .filter(|name| {
            // Some are called, and the closing ones given to the pointers that own.
            !code
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == *name)
        })
        .collect();
    // The size of an attachment is known without a call, and a name is a place.
    let known = |name: &&str| {
        let kind = name
            .strip_prefix("shm_")
            .and_then(|rest| rest.strip_suffix("_open"));
        *name == "shm_attached_size"
            || kind.is_some_and(|kind| code.contains(&format!("shm_{kind}_open_at")))
    };
    assert!(missing.iter().all(known), "{missing:?}");
}

#[test]
fn gcc_objects_do_what_the_header_says() {
    objects(GXX);
}

#[test]
fn gcc_the_headers_own_example_runs() {
    example(GXX);
}

#[test]
fn gcc_failures_cost_nothing_until_they_are_read() {
    failures(GXX);
}

#[test]
fn gcc_refuses_what_it_should() {
    refused(GXX);
}

#[test]
fn clang_objects_do_what_the_header_says() {
    needs!(CLANGXX);
    objects(CLANGXX);
}

#[test]
fn clang_the_headers_own_example_runs() {
    needs!(CLANGXX);
    example(CLANGXX);
}

#[test]
fn clang_failures_cost_nothing_until_they_are_read() {
    needs!(CLANGXX);
    failures(CLANGXX);
}

#[test]
fn clang_refuses_what_it_should() {
    needs!(CLANGXX);
    refused(CLANGXX);
}
