//! The libraries export what they should and nothing else.

mod api;
mod support;

use object::{File, Object, ObjectSection, ObjectSymbol, SectionKind, read::archive::ArchiveFile};
use std::{collections::BTreeSet, fs};
use support::{Artifacts, exported};

const DROPIN: [&str; 5] = ["ftok", "shmat", "shmctl", "shmdt", "shmget"];

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_shared_libraries_export_what_they_declare() {
    assert_eq!(exported("libshmkey.so"), api::functions());
    assert_eq!(exported("libshmkey_dropin.so"), names(&DROPIN));
}

#[test]
fn no_function_of_the_library_has_a_name_of_libc() {
    let of_libc = names(&[&DROPIN[..], &["shm_open", "shm_unlink"]].concat());
    assert!(api::functions().is_disjoint(&of_libc));
}

/// The members of a static library that were compiled from this repository; the others are Rust's runtime.
fn own_members<'data>(archive: &'data [u8]) -> impl Iterator<Item = File<'data>> {
    let members = ArchiveFile::parse(archive).unwrap().members();
    let own = members
        .map(Result::unwrap)
        .filter(|member| member.name().starts_with(b"shmkey"));
    own.map(move |member| File::parse(member.data(archive).unwrap()).unwrap())
}

/// In a static library, every global function of ours would clash with one of that name in the program. Rust's
/// own names are mangled.
#[test]
fn the_static_libraries_define_no_other_plain_names() {
    let artifacts = Artifacts::shared();
    let is_mangled =
        |name: &str| name.starts_with("_R") || name.starts_with("_ZN") || name.contains("anon.");
    for (library, expected) in [
        ("libshmkey.a", api::functions()),
        ("libshmkey_dropin.a", names(&DROPIN)),
    ] {
        let bytes = fs::read(artifacts.built(library)).unwrap();
        let mut plain = BTreeSet::new();
        for file in own_members(&bytes) {
            let defined = file
                .symbols()
                .filter(|symbol| symbol.is_definition() && symbol.is_global() && !symbol.is_weak());
            let names = defined.filter_map(|symbol| symbol.name().ok());
            plain.extend(names.filter(|name| !is_mangled(name)).map(str::to_owned));
        }
        assert_eq!(plain, expected, "{library}");
    }
}

/// What the drop-in has to find in any program: no allocator.
const NEEDED: &str = "__errno_location __register_atfork abort bcmp clock_gettime getauxval getenv \
    getrlimit memcpy memmove memset pthread_atfork pthread_self strlen \
    syscall sysconf";

/// It has no thread-local variables, either, which a library that `dlopen` has loaded allocates for each thread at
/// first use.
#[test]
fn the_drop_in_needs_little_of_a_program() {
    let artifacts = Artifacts::shared();
    let shared = fs::read(artifacts.built("libshmkey_dropin.so")).unwrap();
    let archive = fs::read(artifacts.built("libshmkey_dropin.a")).unwrap();
    let mut files: Vec<File> = own_members(&archive).collect();
    assert_eq!(files.len(), 1);
    files.push(File::parse(&*shared).unwrap());
    let needed: BTreeSet<&str> = NEEDED.split(' ').collect();
    for file in &files {
        let is_local = |kind| matches!(kind, SectionKind::Tls | SectionKind::UninitializedTls);
        let thread_local = file.sections().find(|section| is_local(section.kind()));
        assert!(thread_local.is_none(), "{thread_local:?}");
        let symbols = file.symbols().chain(file.dynamic_symbols());
        let needs: BTreeSet<&str> = symbols
            .filter(|symbol| symbol.is_undefined() && !symbol.is_weak())
            .map(|symbol| symbol.name().unwrap().split('@').next().unwrap())
            .filter(|name| !name.is_empty() && !needed.contains(name))
            .collect();
        assert_eq!(needs, BTreeSet::new());
    }
}
