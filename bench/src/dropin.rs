//! The cost of the drop-in over libc, without a trace and with one.

use crate::{pairs::Pair, processes::Failure};
use shmkey::{Key, Segment};
use std::{
    env,
    ffi::{CStr, CString, c_int},
    hint::black_box,
    os::unix::ffi::OsStrExt,
    path::Path,
};

type Shmget = unsafe extern "C" fn(libc::key_t, usize, c_int) -> c_int;

/// Returns pairs that open a segment by its key, the cheapest of the calls. None if the drop-in was not built beside
/// this program.
pub fn opening() -> Result<Vec<Pair>, Failure> {
    let file = env::current_exe()?.with_file_name("libshmkey_dropin.so");
    if !file.exists() {
        eprintln!("{} does not exist: cargo build --release", file.display());
        return Ok(Vec::new());
    }
    // The loader takes a copy of the file for another library, which reads the environment again.
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("traced.so");
    std::fs::copy(&file, &copy)?;

    let bare: Shmget = libc::shmget;
    let silent = load(&file, None)?;
    let traced = load(&copy, Some("/dev/null"))?;

    let key = Key::from_name(format!("benchmark {}", std::process::id()))?;
    let segment = Segment::options()
        .create(true)
        .size(4096)
        .remove_on_drop(true)
        .open(key)?;
    let open = move |shmget: Shmget| {
        // SAFETY: it takes three integers.
        move || assert!(black_box(unsafe { shmget(key.as_raw(), 0, 0) }) >= 0)
    };
    let keeping = {
        let open = open(silent);
        move || {
            let _ = &segment; // until the last measurement
            open();
        }
    };
    Ok(vec![
        Pair::new("open by key: libc twice".into(), open(bare), open(bare)),
        Pair::new("open by key: drop-in".into(), open(bare), keeping),
        Pair::new(
            "open by key: drop-in, traced".into(),
            open(bare),
            open(traced),
        ),
    ])
}

/// Loads a library, never unloads it, and finds its `shmget`.
fn load(file: &Path, trace: Option<&str>) -> Result<Shmget, Failure> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: this program has one thread so far, so no other thread reads the environment.
    unsafe {
        match trace {
            Some(trace) => env::set_var("SHMKEY_TRACE", trace),
            None => env::remove_var("SHMKEY_TRACE"),
        }
    }
    // SAFETY: the library is the drop-in, which only reads that variable when it is loaded.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return Err(dl_error().into());
    }
    // SAFETY: the handle is valid, and the name a C string.
    let shmget = unsafe { libc::dlsym(library, c"shmget".as_ptr()) };
    if shmget.is_null() {
        return Err(dl_error().into());
    }
    // SAFETY: the drop-in's function of this name has this type.
    Ok(unsafe { std::mem::transmute::<*mut libc::c_void, Shmget>(shmget) })
}

fn dl_error() -> String {
    // SAFETY: right after a failure, dlerror returns a C string.
    unsafe { CStr::from_ptr(libc::dlerror()) }
        .to_string_lossy()
        .into_owned()
}
