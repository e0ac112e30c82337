//! The libraries export what they should and nothing else.

mod support;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use std::{collections::BTreeSet, fs, path::Path};
use support::Artifacts;

/// The functions that the header declares: names before a parenthesis at the start of a
/// declaration.
fn declared() -> BTreeSet<String> {
    let header = include_str!("../include/shmkey.h");
    header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#', '*']) && line.contains('('))
        .filter_map(|line| {
            let (before, _) = line.split_once('(')?;
            Some(before.rsplit([' ', '*']).next()?.to_owned())
        })
        .collect()
}

/// What a shared library exports, with its symbol version if it has one.
fn exported(library: &Path) -> BTreeSet<String> {
    let bytes = fs::read(library).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    file.dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect()
}

#[test]
fn the_header_declares_the_four_calls_and_more() {
    let declared = declared();
    for name in ["shm_open_key", "shm_attach", "shm_detach", "shm_remove"] {
        assert!(declared.contains(name), "{name}: {declared:?}");
    }
    for object in ["mutex", "semaphore", "latest", "ring"] {
        for what in ["open", "open_at", "id", "close"] {
            let name = format!("shm_{object}_{what}");
            assert!(declared.contains(&name), "{name}: {declared:?}");
        }
    }
    assert!(declared.len() > 50, "{declared:?}");
}

#[test]
fn the_library_exports_the_functions_of_the_header() {
    assert_eq!(
        exported(&Artifacts::shared().built("libshmkey.so")),
        declared()
    );
}

#[test]
fn no_function_of_libc_is_among_them() {
    for name in declared() {
        assert!(
            ![
                "ftok",
                "shmget",
                "shmat",
                "shmdt",
                "shmctl",
                "shm_open",
                "shm_unlink"
            ]
            .contains(&name.as_str()),
            "{name}"
        );
    }
}

#[test]
fn the_drop_in_exports_five_functions() {
    let five = ["ftok", "shmat", "shmctl", "shmdt", "shmget"].map(str::to_owned);
    assert_eq!(
        exported(&Artifacts::shared().built("libshmkey_dropin.so")),
        BTreeSet::from(five)
    );
}

/// In a static library, every global function of ours would clash with one of that name in the
/// program. Rust's own names are mangled.
#[test]
fn the_static_libraries_define_no_other_plain_names() {
    let artifacts = Artifacts::shared();
    for (library, expected) in [
        ("libshmkey.a", declared()),
        (
            "libshmkey_dropin.a",
            BTreeSet::from(["ftok", "shmat", "shmctl", "shmdt", "shmget"].map(str::to_owned)),
        ),
    ] {
        let bytes = fs::read(artifacts.built(library)).unwrap();
        let archive = object::read::archive::ArchiveFile::parse(&*bytes).unwrap();
        let mut plain = BTreeSet::new();
        for member in archive.members() {
            let member = member.unwrap();
            let name = String::from_utf8_lossy(member.name()).into_owned();
            // The members that were compiled from this repository; the others are the Rust runtime.
            if !name.starts_with("shmkey") {
                continue;
            }
            let file = object::File::parse(member.data(&*bytes).unwrap()).unwrap();
            plain.extend(
                file.symbols()
                    .filter(|symbol| {
                        symbol.is_definition() && symbol.is_global() && !symbol.is_weak()
                    })
                    .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
                    .filter(|name| {
                        !name.starts_with("_R")
                            && !name.starts_with("_ZN")
                            && !name.contains("anon.")
                    }),
            );
        }
        assert_eq!(plain, expected, "{library}");
    }
}

/// What it has to find in any host: no allocator, and no thread-local variables, which a library that
/// `dlopen` has loaded allocates for each thread at first use.
#[test]
fn the_drop_in_needs_little_of_its_host() {
    const NEEDED: [&str; 12] = [
        "__errno_location",
        "abort",
        "bcmp",
        "getauxval",
        "getenv",
        "getrlimit",
        "memcpy",
        "memmove",
        "memset",
        "strlen",
        "syscall",
        "sysconf",
    ];
    let artifacts = Artifacts::shared();
    let shared = fs::read(artifacts.built("libshmkey_dropin.so")).unwrap();
    let archive = fs::read(artifacts.built("libshmkey_dropin.a")).unwrap();
    let members = object::read::archive::ArchiveFile::parse(&*archive).unwrap();
    // The others, of Rust's runtime, are for what no other member has: for nothing.
    let own = members.members().map(Result::unwrap);
    let own = own.filter(|member| member.name().starts_with(b"shmkey"));
    let own: Vec<&[u8]> = own.map(|member| member.data(&*archive).unwrap()).collect();
    assert_eq!(own.len(), 1);
    for (name, bytes) in [("shared", &*shared), ("static", own[0])] {
        let file = object::File::parse(bytes).unwrap();
        let thread_local = file.sections().find(|section| {
            matches!(
                section.kind(),
                SectionKind::Tls | SectionKind::UninitializedTls
            )
        });
        assert!(thread_local.is_none(), "{name}: {thread_local:?}");
        let needs: BTreeSet<String> = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|symbol| symbol.is_undefined() && !symbol.is_weak())
            .map(|symbol| symbol.name().unwrap().to_owned())
            .map(|name| name.split('@').next().unwrap().to_owned())
            .filter(|name| !name.is_empty() && !NEEDED.contains(&name.as_str()))
            .collect();
        assert_eq!(needs, BTreeSet::new(), "{name}");
    }
}
