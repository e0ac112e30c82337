//! Machines: network and IPC namespaces that are connected by a cable (veth).

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A machine: a network namespace and an IPC namespace, which exist for as long as a sleeping process.
pub struct Machine {
    pub name: &'static str,
    keeper: Child,
    net: File,
    ipc: File,
}

impl Machine {
    pub fn new(name: &'static str) -> Machine {
        let mut keeper = Command::new("unshare");
        keeper
            .args(["--net", "--ipc", "sleep", "1000000"])
            .stdout(Stdio::null());
        end_with_parent(&mut keeper);
        let keeper = keeper.spawn().expect("unshare(1) is installed");
        let id = keeper.id();
        let namespace = |kind: &str| {
            let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let path = format!("/proc/{id}/ns/{kind}");
            // `unshare` makes both namespaces before it becomes `sleep`.
            for _ in 0..500 {
                if std::fs::read_link(&path).is_ok_and(|its| its != own) {
                    return File::open(&path).unwrap();
                }
                thread::sleep(Duration::from_millis(10));
            }
            panic!("these tests need permission to make namespaces: run them as root");
        };
        let (net, ipc) = (namespace("net"), namespace("ipc"));
        let machine = Machine {
            name,
            keeper,
            net,
            ipc,
        };
        machine.ip("link set lo up");
        machine
    }

    /// Returns two machines with a cable between them.
    pub fn pair() -> (Machine, Machine) {
        let (one, other) = (Machine::new("here"), Machine::new("there"));
        one.connect(&other, "10.77.1");
        (one, other)
    }

    /// Connects this machine to another one by a cable. Their addresses are NETWORK.1 and NETWORK.2.
    pub fn connect(&self, other: &Machine, network: &str) {
        let (link, id) = (link(network), other.keeper.id());
        self.ip(&format!(
            "link add {link} type veth peer name {link} netns {id}"
        ));
        for (machine, host) in [(self, 1), (other, 2)] {
            machine.ip(&format!("addr add {network}.{host}/24 dev {link}"));
            machine.ip(&format!("link set {link} up"));
        }
    }

    /// Cuts the cable (`down`), or heals it (`up`).
    pub fn set_link(&self, network: &str, state: &str) {
        self.ip(&format!("link set {} {state}", link(network)));
    }

    pub fn ip(&self, arguments: &str) {
        let mut ip = self.command(Path::new("ip"));
        let status = ip.args(arguments.split(' ')).status();
        let status = status.expect("ip(8) is installed");
        assert!(status.success(), "ip {arguments}");
    }

    /// Returns a command that runs on this machine, and ends with this process.
    pub fn command(&self, program: &Path) -> Command {
        let (net, ipc) = (self.net.as_raw_fd(), self.ipc.as_raw_fd());
        let mut command = Command::new(program);
        // SAFETY: between fork and exec, the closure makes system calls only.
        unsafe { command.pre_exec(move || enter(&[net, ipc])) };
        end_with_parent(&mut command);
        command
    }

    /// Runs a closure in a thread that has the shared memory and the network of this machine.
    pub fn run<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> T {
        let (net, ipc) = (self.net.as_raw_fd(), self.ipc.as_raw_fd());
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(&[net, ipc]).unwrap();
                closure()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn link(network: &str) -> String {
    format!("eth{}", network.replace('.', "-"))
}

fn enter(namespaces: &[i32]) -> io::Result<()> {
    for &namespace in namespaces {
        // SAFETY: changes the namespaces of this thread, and no memory.
        if unsafe { libc::setns(namespace, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Has the kernel kill a process when the thread that starts it ends, which is the thread of a test.
fn end_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec, the closure makes one system call.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}
