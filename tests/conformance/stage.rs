//! A stage: a process that plays one situation in a namespace of its own, and prints the transcript.
//!
//! It makes no System V calls itself. It forks the actors, sends each statement to its actor, and waits for the
//! answer or the actor's death. In the answers, [`Names`] replaces numbers with names.

use super::{
    actor::{ACTORS, Actor, FIRST_SOCKET, receive, send},
    names::Names,
    play::{self, BACKEND, BASE},
    processes::index_of,
    table::{self, Situation},
};
use std::{
    env,
    ffi::{c_int, c_short},
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long an actor may take to answer, in milliseconds, unless the environment sets it.
const PATIENCE: c_int = 20_000;

fn patience() -> c_int {
    let asked = env::var(play::PATIENCE).ok();
    asked
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(PATIENCE)
}

/// Reads situations from standard input and plays each on a stage. Ends this process.
pub fn main() -> ! {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text);
    read.expect("the situations are text");
    own_namespaces();
    for (count, situation) in table::read("", &text).iter().enumerate() {
        println!("== {}", situation.name);
        io::stdout().flush().expect("a pipe");
        // SAFETY: this process has one thread, so the child may run any code.
        match unsafe { libc::fork() } {
            0 => {
                let mut stage = Stage::new(count);
                stage.play(situation);
                stage.clear();
                process::exit(0);
            }
            stage => {
                let mut status = 0;
                // SAFETY: waits for a child of this process; there is room for its status.
                unsafe { libc::waitpid(stage, &mut status, 0) };
                if status != 0 {
                    println!("the stage has died: {status:#x}");
                }
            }
        }
    }
    process::exit(0)
}

/// If this process is not root, makes it root of a new user namespace, so that it can make IPC namespaces.
fn own_namespaces() {
    // SAFETY: these take no argument or a flag.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: as above.
    if uid != 0 && unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0 {
        let _ = fs::write("/proc/self/setgroups", "deny");
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("a map");
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("a map");
    }
}

struct Stage {
    names: Names,
    /// The stage's ends of the sockets.
    sockets: Vec<c_int>,
    /// A descriptor of the process of each actor, or −1.
    processes: [c_int; ACTORS],
    directory: PathBuf,
}

impl Stage {
    fn new(count: usize) -> Stage {
        // SAFETY: a flag.
        let own = unsafe { libc::unshare(libc::CLONE_NEWIPC) };
        assert_eq!(own, 0, "an IPC namespace: {}", io::Error::last_os_error());
        let base = PathBuf::from(env::var_os(BASE).expect("a directory"));
        let mut stage = Stage {
            names: Names::default(),
            sockets: Vec::new(),
            processes: [-1; ACTORS],
            directory: base.join(format!("{}-{count}", process::id())),
        };
        stage.names.phase(now().as_secs() as i64);
        for index in 0..ACTORS {
            stage.sockets.push(stage_end(FIRST_SOCKET + index as c_int));
        }
        stage
    }

    fn play(&mut self, situation: &Situation) {
        if situation.needs_root() {
            // Processes of several users share the directory.
            fs::create_dir(&self.directory).expect("a directory");
            let mode = fs::Permissions::from_mode(0o1777);
            fs::set_permissions(&self.directory, mode).expect("its owner");
        }
        // SAFETY: this process has one thread.
        unsafe { env::set_var("SHMKEY_DIR", &self.directory) };
        for statement in &situation.statements {
            let answer = self.perform(statement);
            println!("{statement} → {answer}");
        }
        io::stdout().flush().expect("a pipe");
    }

    /// Performs a statement, or several with `|` between them.
    fn perform(&mut self, statement: &str) -> String {
        if let Some((one, rest)) = statement.split_once(" | ") {
            let answer = self.perform(one);
            return format!("{answer} | {}", self.perform(rest));
        }
        let (call, name) = statement.split_once(" = ").unwrap_or((statement, ""));
        let words: Vec<&str> = call.split_whitespace().collect();
        match words[..] {
            ["tick"] => self.tick(),
            ["limit", which, value] => self.set_limit(which, value),
            [actor, ref rest @ ..] => match index_of(actor) {
                Some(index) => self.direct(index, actor, rest, name),
                None => format!("no actor: {actor}"),
            },
            [] => String::new(),
        }
    }

    /// Has an actor perform a statement, and gives the result a name.
    fn direct(&mut self, index: usize, actor: &str, words: &[&str], name: &str) -> String {
        if self.processes[index] == -1 {
            if self.names.process_id(actor).is_some() {
                return "gone".to_owned();
            }
            if let Err(error) = self.start(index, actor) {
                return error;
            }
        }
        let of_thread = usize::from(words.first() == Some(&"thread"));
        let verb = words.get(of_thread).copied().unwrap_or_default();
        if verb == "kill" {
            // SAFETY: a descriptor of a process of this situation.
            unsafe {
                let process = self.processes[index];
                libc::syscall(libc::SYS_pidfd_send_signal, process, libc::SIGKILL, 0, 0);
            }
            return self.gone(index);
        }
        let resolved: Vec<String> = words.iter().map(|word| self.names.resolve(word)).collect();
        let mut message = resolved.join(" ");
        let becomes_two = ["fork", "raw-fork", "vfork-exec", "spawn"].contains(&verb);
        if becomes_two {
            message = format!("{message} {name}");
        }
        send(self.sockets[index], &message);
        if ["exit", "end"].contains(&verb) {
            return self.gone(index);
        }
        let answer = self.answer(index);
        self.names.name(name, &answer);
        if becomes_two && answer.starts_with("ok") {
            match index_of(name) {
                Some(child) => self.welcome(child, name),
                None => return "the child has no name".to_owned(),
            }
        }
        self.names.describe(&answer)
    }

    /// Starts an actor.
    fn start(&mut self, index: usize, name: &str) -> Result<(), String> {
        io::stdout().flush().expect("a pipe");
        // SAFETY: this process has one thread, so the child may run any code.
        match unsafe { libc::fork() } {
            0 => {
                self.sockets.iter().for_each(|&socket| {
                    // SAFETY: the stage's end, which the child does not use.
                    unsafe { libc::close(socket) };
                });
                Actor::new(index).act()
            }
            -1 => Err(super::actor::failed()),
            _ => {
                self.welcome(index, name);
                Ok(())
            }
        }
    }

    /// Receives the first answer of a new actor, which is its process id.
    fn welcome(&mut self, index: usize, name: &str) {
        let hello = self.answer(index);
        self.names.name(name, &hello);
        let pid = self.names.process_id(name).unwrap_or_default();
        // SAFETY: numbers.
        self.processes[index] = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as c_int;
    }

    /// Waits for an answer, or for the death of the actor.
    fn answer(&mut self, index: usize) -> String {
        let (socket, process) = (self.sockets[index], self.processes[index]);
        match wait(&[socket, process], patience()) {
            Some(0) => receive(socket).unwrap_or_else(|| "closed".to_owned()),
            Some(_) => {
                self.processes[index] = -1;
                format!("died {}", status(process))
            }
            None => {
                self.clear();
                "no answer".to_owned()
            }
        }
    }

    /// Waits until an actor has ended.
    fn gone(&mut self, index: usize) -> String {
        let process = std::mem::replace(&mut self.processes[index], -1);
        match wait(&[process], patience()) {
            Some(_) => "gone".to_owned(),
            None => "does not end".to_owned(),
        }
    }

    /// Waits until the next second, in which a new phase begins. The kernel's coarse clock is up to 10 ms late.
    fn tick(&mut self) -> String {
        let now = now();
        let next = Duration::from_secs(now.as_secs() + 1) + Duration::from_millis(25);
        thread::sleep(next - now);
        self.names.phase(next.as_secs() as i64);
        "ok".to_owned()
    }

    /// Sets a limit of the namespace, before any process makes its first call.
    fn set_limit(&self, which: &str, value: &str) -> String {
        let (file, text) = if env::var(BACKEND).is_ok_and(|backend| backend == "user") {
            let file = self.directory.join("limits");
            let others = fs::read_to_string(&file).unwrap_or_default();
            (file, format!("{others}{which} {value}\n"))
        } else {
            let file = format!("/proc/sys/kernel/{which}");
            (PathBuf::from(file), value.to_owned())
        };
        match fs::write(&file, text) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("not done: {}: {error}", file.display()),
        }
    }

    /// Kills all actors, and removes the directory.
    fn clear(&mut self) {
        for process in self.names.processes() {
            // SAFETY: the id is still that of a process of this situation: it runs, or its parent has not waited for
            // it.
            unsafe { libc::kill(process as libc::pid_t, libc::SIGKILL) };
        }
        self.processes = [-1; ACTORS];
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Makes a pair of sockets. Moves the actor's end to this number, and returns the stage's end.
fn stage_end(number: c_int) -> c_int {
    let mut ends = [-1; 2];
    // SAFETY: two descriptors of this process.
    unsafe {
        let kind = libc::SOCK_SEQPACKET;
        assert_eq!(
            libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()),
            0
        );
        libc::dup2(ends[1], number);
        libc::close(ends[1]);
        // Above the numbers of the actors' sockets, which stay free for these.
        let end = libc::fcntl(
            ends[0],
            libc::F_DUPFD_CLOEXEC,
            FIRST_SOCKET + ACTORS as c_int,
        );
        libc::close(ends[0]);
        end
    }
}

/// Waits until one of these descriptors is readable, and returns its index; `None` after the timeout.
fn wait(descriptors: &[c_int], timeout: c_int) -> Option<usize> {
    let mut polled: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // SAFETY: the list has this length.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    polled
        .iter()
        .position(|polled| polled.revents & (libc::POLLIN as c_short) != 0)
}

/// Returns the exit status of a process, or the signal that has killed it; `elsewhere` if it is not a child of this
/// process.
fn status(process: c_int) -> String {
    // SAFETY: plain data, for which zeroes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes one siginfo_t.
    let result = unsafe {
        libc::waitid(
            libc::P_PIDFD,
            process as libc::id_t,
            &mut info,
            libc::WEXITED,
        )
    };
    if result != 0 {
        return "elsewhere".to_owned();
    }
    // SAFETY: the kernel has filled in the fields of SIGCHLD.
    format!("{}", unsafe { info.si_status() })
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
