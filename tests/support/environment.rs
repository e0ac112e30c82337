//! Where a test works: a directory, names and keys that no other test and no other process has.
//!
//! The segments under these names and keys are removed when the environment is dropped, when the process
//! ends, and when SIGINT, SIGTERM or SIGHUP ends it early.

use super::{Ending, Helper, Process, Result, processes};
use shmkey::{Key, Segment};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs, mem,
    path::{Path, PathBuf},
    process::{Command, exit},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// A directory with a file `shmfile` in it, and a name. Programs run in the directory.
pub struct Environment {
    directory: TempDir,
    name: String,
    /// The keys of the programs in `c_examples/`.
    pub keys: Keys,
    /// These, and those of the names.
    own: Mutex<Vec<Key>>,
}

/// The keys that the programs in `c_examples/` make in the directory.
#[derive(Clone, Copy)]
pub struct Keys {
    pub writer_reader: Key,
    pub parent_child: Key,
    pub server_client: Key,
    pub record: Key,
    pub sender_receiver: Key,
    pub ring: Key,
    pub news: Key,
    pub jobs: Key,
}

impl Keys {
    fn in_directory(directory: &Path) -> Keys {
        let file = directory.join("shmfile");
        fs::write(&file, "").expect("a file can be made");
        let key = |path: &Path, letter| Key::from_path(path, i32::from(letter)).expect("a key");
        Keys {
            writer_reader: key(&file, b's'),
            parent_child: key(&file, b'A'),
            server_client: key(directory, b'C'),
            record: key(&file, b'R'),
            sender_receiver: key(directory, b'S'),
            ring: key(directory, b'Q'),
            news: key(directory, b'N'),
            jobs: key(directory, b'J'),
        }
    }

    pub fn all(&self) -> [Key; 8] {
        let Keys {
            writer_reader,
            parent_child,
            server_client,
            record,
            sender_receiver,
            ring,
            news,
            jobs,
        } = *self;
        [
            writer_reader,
            parent_child,
            server_client,
            record,
            sender_receiver,
            ring,
            news,
            jobs,
        ]
    }
}

impl Environment {
    pub fn new() -> Environment {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // A key holds 16 bits of an inode number, so two directories can have one key. A directory
        // whose keys are in use is kept until one is found whose keys are free, so that its inode
        // number is not given again.
        let mut in_the_way = Vec::new();
        loop {
            let directory = tempfile::Builder::new().tempdir_in(self::directory());
            let directory = directory.expect("a temporary directory can be made");
            let keys = Keys::in_directory(directory.path());
            let mut in_use = self::in_use();
            let is_taken = |key: &Key| in_use.contains(key) || Segment::open(*key).is_ok();
            if keys.all().iter().any(is_taken) {
                in_the_way.push(directory);
                assert!(in_the_way.len() < 100, "no directory has free keys");
                continue;
            }
            in_use.extend(keys.all());
            drop(in_use);
            let environment = Environment {
                directory,
                name: format!("test {} {next}", std::process::id()),
                keys,
                own: Mutex::new(keys.all().to_vec()),
            };
            environment.owns(environment.key());
            return environment;
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A name for an object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of [`Environment::name`].
    pub fn key(&self) -> Key {
        Key::from_name(&self.name).expect("a key")
    }

    /// The name of another object: the first name, and a word behind it.
    pub fn named(&self, word: &str) -> String {
        let name = format!("{} {word}", self.name);
        self.owns(Key::from_name(&name).expect("a key"));
        name
    }

    /// The same for several objects, whose names the test or a program of it makes by itself.
    pub fn with_names(words: &[&str]) -> Environment {
        let environment = Environment::new();
        words.iter().for_each(|word| drop(environment.named(word)));
        environment
    }

    fn owns(&self, key: Key) {
        lock(&self.own).push(key);
        in_use().push(key);
    }

    /// Starts a copy of this test's program, which does a task with the object of this name.
    pub fn helper(&self, task: &str) -> Helper {
        Helper::start(&[], task, &self.name)
    }

    /// The same by another program, such as `unshare`, with its arguments.
    pub fn helper_within(&self, within: &[&str], task: &str) -> Helper {
        Helper::start(within, task, &self.name)
    }

    /// Runs a program in the directory, to its end or until it has taken too long.
    pub fn run(&self, mut command: Command) -> Ending {
        let program = Path::new(command.get_program()).file_name();
        let program = program.unwrap_or_default().display().to_string();
        command.current_dir(self.path());
        Process::run(&program, command, b"").unwrap()
    }

    /// Expects that no segment is left under this key.
    pub fn expect_gone(&self, key: Key) -> Result<()> {
        Segment::open(key).map_or(Ok(()), |segment| {
            Err(format!("the segment {} was left behind", segment.id()))
        })
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        let own = lock(&self.own);
        own.iter().for_each(|key| remove(*key));
        in_use().retain(|key| !own.contains(key));
    }
}

fn remove(key: Key) {
    if let Ok(segment) = Segment::open(key) {
        let _ = segment.remove();
    }
}

/// The keys that are in use in this process.
static IN_USE: Mutex<Vec<Key>> = Mutex::new(Vec::new());

pub(super) fn in_use() -> MutexGuard<'static, Vec<Key>> {
    lock(&IN_USE)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the segment under this key removed if a signal ends this process early.
pub fn watch(key: Key) {
    directory();
    let mut in_use = self::in_use();
    if !in_use.contains(&key) {
        in_use.push(key);
    }
}

/// The directory in which all others are made. The first call makes it, and has this process remove it and
/// the segments at the end.
pub fn directory() -> &'static Path {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).expect("signals can be caught");
        let directory = tempfile::Builder::new().prefix("shmkey-").tempdir();
        let directory = directory.expect("a temporary directory can be made").keep();
        let to_remove = directory.clone();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                clean_up(&to_remove);
                exit(128 + signal);
            }
        });
        // SAFETY: the function has C's calling convention, and may run at the process's end.
        unsafe { libc::atexit(remove_directory) };
        directory
    });
    &DIRECTORY
}

extern "C" fn remove_directory() {
    // Registered after the directory was made, so this makes none.
    let _ = fs::remove_dir_all(directory());
}

/// Ends all programs and removes what this process has made. It makes no environment from here on.
fn clean_up(directory: &Path) {
    processes::kill_all();
    let in_use = self::in_use();
    // Other threads of this process, and compilers that were started, continue for a short time.
    for _ in 0..50 {
        let _ = fs::remove_dir_all(directory);
        thread::sleep(Duration::from_millis(2));
        let me = std::process::id() as i32;
        let all = Segment::list().unwrap_or_default();
        for status in all.iter().filter(|status| status.cpid == me) {
            let _ = Segment::from_id(status.id).remove();
        }
        in_use.iter().for_each(|key| remove(*key));
    }
    mem::forget(in_use);
}
