//! Compiles the C++ part of the peer Boost if its feature is enabled.

fn main() {
    println!("cargo::rerun-if-changed=src/peers/boost.cpp");
    #[cfg(feature = "boost")]
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false) // of Boost's headers
        .file("src/peers/boost.cpp")
        .compile("shmkey_bench_boost");
}
