//! Reads the notes that the drop-in and the library send to this command beside the trace: see
//! dropin/src/trace/notes.rs and src/presence.rs, which send them. A traced program can send notes, too, which
//! falsifies only its own report.

use crate::{
    child,
    process::{our_ipc_namespace, our_pid_namespace},
};
use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    thread::{self, JoinHandle},
};

/// The socket for the notes, and the thread that reads it. The name of the socket cannot be guessed, and no program
/// inherits the descriptor.
pub(super) struct Notes {
    name: u64,
    address: SocketAddr,
    reader: JoinHandle<String>,
}

/// The last note, which this command sends itself: all earlier notes arrive before it.
const END: &str = "end\n";

/// The contents of the notes.
#[derive(Default)]
pub(super) struct Told {
    /// A process has made a call.
    pub called: bool,
    /// The process that created each segment, as that process reported it.
    pub created: HashMap<i32, i32>,
    /// The same of processes that did not know their IPC namespace: the kernel's record has to confirm it.
    pub perhaps_created: HashMap<i32, i32>,
    /// How many segments were created in another IPC namespace.
    pub elsewhere: usize,
    /// How many lines of the trace were lost.
    pub lost: u64,
    /// The processes that have reported in the trace what they leave behind in this IPC namespace.
    pub told: HashSet<i32>,
    /// A process uses the library shmkey, whose calls are not traced.
    pub library: bool,
    /// These processes, if they are in the PID and IPC namespaces of this command.
    pub with_library: HashSet<i32>,
}

impl Notes {
    pub fn new() -> io::Result<Notes> {
        let name = RandomState::new().hash_one(std::process::id());
        let address = SocketAddr::from_abstract_name(format!("shmkey-trace-{name:016x}"))?;
        let socket = UnixDatagram::bind_addr(&address)?;
        let read = move || {
            let (mut text, mut note) = (String::new(), [0; 512]);
            while let Ok(len) = socket.recv(&mut note)
                && note[..len] != *END.as_bytes()
            {
                text += &String::from_utf8_lossy(&note[..len]);
            }
            text
        };
        // The main thread handles signals.
        let reader = child::while_blocked(|_| thread::Builder::new().spawn(read))?;
        Ok(Notes {
            name,
            address,
            reader,
        })
    }

    /// Returns the value of SHMKEY_TRACE_REPORTER, by which the drop-in finds the socket.
    pub fn address(&self) -> String {
        format!("{} {} {}", std::process::id(), self.name, namespace())
    }

    /// Returns the contents of all notes that were sent until now.
    pub fn read(self) -> Told {
        let end = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to_addr(END.as_bytes(), &self.address));
        let text = match end {
            Ok(_) => self.reader.join().unwrap_or_default(),
            Err(_) => String::new(),
        };
        let (mut told, mut elsewhere) = (Told::default(), HashSet::new());
        let here = namespace();
        // 0 stands for an unknown namespace.
        let is_known = |words: &[&str], at: usize| *here != *"0" && words.get(at) != Some(&"0");
        let ours = (our_pid_namespace().map(|n| n.to_string()), &*here);
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words.get(at)?.parse::<u32>().ok();
            let signed = |at: usize| number(at).map(|number| number as i32);
            match (words[0], signed(1), signed(2)) {
                ("called", ..) => told.called = true,
                ("lost", ..) => told.lost += u64::from(number(2).unwrap_or(0)),
                ("told", Some(pid), _) if words.get(2) == Some(&&*here) || !is_known(&words, 2) => {
                    told.told.insert(pid);
                }
                ("library", Some(pid), _) => {
                    told.library = true;
                    if is_known(&words, 3)
                        && (words.get(2), words.get(3))
                            == (ours.0.as_deref().as_ref(), Some(&ours.1))
                    {
                        told.with_library.insert(pid);
                    }
                }
                ("created", Some(pid), Some(id)) if !is_known(&words, 3) => {
                    told.perhaps_created.insert(id, pid);
                }
                ("created", Some(pid), Some(id)) if words.get(3) == Some(&&*here) => {
                    told.created.insert(id, pid);
                }
                ("created", _, Some(id)) => drop(elsewhere.insert((id, number(3)))),
                _ => {}
            }
        }
        told.elsewhere = elsewhere.len();
        told
    }
}

/// Returns the number of this process' IPC namespace; 0 if it is unknown.
fn namespace() -> String {
    our_ipc_namespace().unwrap_or(0).to_string()
}
