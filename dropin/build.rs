//! Gives the shared library the name that it is found by, and the library that it needs: Rust's standard
//! library, which is not in it, would ask for libc.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in [
        "-Wl,-soname,libshmkey_dropin.so",
        // Into a namespace of its own (dlmopen), it brings libc along.
        "-Wl,--no-as-needed",
        "-lc",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}
