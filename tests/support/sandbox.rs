//! A directory for one test, with the keys that its files give. Its segments are removed at the end.

use super::Result;
use shmkey::{Key, Segment};
use std::{
    fs, mem,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tempfile::TempDir;

/// A directory with a `shmfile` in it, whose keys meet nobody else's. Dropped, it takes along the
/// segments under these keys.
pub struct Sandbox {
    directory: TempDir,
    pub keys: Keys,
}

/// The keys that the programs make in this directory.
#[derive(Clone, Copy)]
pub struct Keys {
    pub writer_reader: Key,
    pub parent_child: Key,
    pub server_client: Key,
    pub record: Key,
    pub sender_receiver: Key,
    pub ring: Key,
}

impl Keys {
    fn in_directory(directory: &Path) -> std::result::Result<Keys, shmkey::Error> {
        let file = directory.join("shmfile");
        Ok(Keys {
            writer_reader: Key::from_path(&file, 115)?,
            parent_child: Key::from_path(&file, 65)?,
            server_client: Key::from_path(directory, i32::from(b'C'))?,
            record: Key::from_path(&file, i32::from(b'R'))?,
            sender_receiver: Key::from_path(directory, i32::from(b'S'))?,
            ring: Key::from_path(directory, i32::from(b'Q'))?,
        })
    }

    fn all(&self) -> [Key; 6] {
        [
            self.writer_reader,
            self.parent_child,
            self.server_client,
            self.record,
            self.sender_receiver,
            self.ring,
        ]
    }

    fn remove_segments(&self) {
        for key in self.all() {
            if let Ok(segment) = Segment::open(key) {
                let _ = segment.remove();
            }
        }
    }
}

/// The sandboxes in use, so that no two have a key in common.
static IN_USE: Mutex<Vec<(PathBuf, Keys)>> = Mutex::new(Vec::new());

/// Removes the segments under all keys in use, and keeps the sandboxes from being used any more.
pub(super) fn close_all() {
    let in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, keys) in in_use.iter() {
        keys.remove_segments();
    }
    // No sandbox is made from now on.
    mem::forget(in_use);
}

impl Sandbox {
    /// A fresh one.
    pub fn new() -> Result<Sandbox> {
        // A key holds 16 bits of an inode number, so two directories can have one key, and so can a
        // stranger's segment. A directory that is in the way is kept until one is found that is
        // not, so that its inode number is not given again.
        let mut in_the_way = Vec::new();
        for _ in 0..100 {
            let directory = tempfile::Builder::new()
                .prefix("sandbox-")
                .tempdir_in(super::cleanup::directory())
                .map_err(|error| format!("no temporary directory: {error}"))?;
            fs::write(directory.path().join("shmfile"), "")
                .map_err(|error| format!("no file in it: {error}"))?;
            let keys = Keys::in_directory(directory.path()).map_err(|error| error.to_string())?;
            let mut in_use = IN_USE.lock().unwrap();
            let taken = in_use
                .iter()
                .any(|(_, other)| other.all().iter().any(|key| keys.all().contains(key)));
            if taken || keys.all().into_iter().any(|key| Segment::open(key).is_ok()) {
                in_the_way.push(directory);
                continue;
            }
            in_use.push((directory.path().to_owned(), keys));
            return Ok(Sandbox { directory, keys });
        }
        Err("no directory whose keys are free".into())
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Nobody has left a segment under this key.
    pub fn expect_gone(&self, key: Key) -> Result<()> {
        match Segment::open(key) {
            Ok(segment) => Err(format!("the segment {} was left behind", segment.id())),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.keys.remove_segments();
        IN_USE
            .lock()
            .unwrap()
            .retain(|(path, _)| path != self.directory.path());
    }
}
