//! Runs the fuzzer's corpus once more: inputs that together reach all code that fuzzing has reached.
//! `cargo +nightly fuzz run operations` fuzzes, and `cargo +nightly fuzz cmin operations` removes the
//! inputs that reach nothing new.

#[path = "../fuzz/operations.rs"]
mod operations;

use std::{fs, path::Path};

#[test]
fn no_input_of_the_corpus_does_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/operations");
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus is part of the repository") {
        let path = entry.expect("a directory can be listed").path();
        operations::run(&fs::read(&path).expect("an input can be read"));
        count += 1;
    }
    assert!(count > 20, "{count} inputs in {}", corpus.display());
}
