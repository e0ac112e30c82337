//! Random situations on both backends. A situation that differs is shortened for as long as it still differs.
//!
//! `SHMKEY_RANDOM` sets how many are played. Each run prints its seed, and `SHMKEY_SEED` repeats a run.

use super::{
    DROPIN,
    actor::ACTORS,
    compare,
    play::{Side, Transcript, play},
    support::{
        Random,
        needs::{self, ROOT},
    },
    table::Situation,
};
use libtest_mimic::{Failed, Trial};
use std::env;

/// The number of situations that are played, unless `SHMKEY_RANDOM` sets it.
const COUNT: usize = 150;

/// The number of situations that are played at a time.
const AT_A_TIME: usize = 50;

pub fn trials() -> Vec<Trial> {
    let asked = env::var("SHMKEY_RANDOM").ok();
    let count = asked.and_then(|asked| asked.parse().ok()).unwrap_or(COUNT);
    // If this one fails, `names` does not replace a value that differs between runs.
    let itself = "random situations on the kernel are the same with libc and with the drop-in";
    let user = "the user backend answers as the kernel does: random situations";
    vec![
        Trial::test("random situations end", || {
            // A few of them use up the names of all processes.
            let seed = Random::seed_of_run();
            (0..20_000).for_each(|index| drop(random(seed.wrapping_add(index))));
            Ok(())
        }),
        compare::trial(itself, move || {
            let sides = [Side::Libc, Side::Kernel(DROPIN.clone())];
            search(&sides, Random::seed_of_run(), count / 3)
        }),
        compare::trial(user, move || {
            let sides = [Side::Kernel(DROPIN.clone()), Side::User(DROPIN.clone())];
            search(&sides, Random::seed_of_run(), count)
        }),
    ]
}

/// Plays random situations. If one differs, fails with a shortened form of it.
pub fn search(sides: &[Side; 2], seed: u64, count: usize) -> Result<(), Failed> {
    let all: Vec<Situation> = (0..count)
        .map(|index| random(seed.wrapping_add(index as u64)))
        .collect();
    for some in all.chunks(AT_A_TIME) {
        let [ones, others] = play_both(sides, some)?;
        for ((situation, one), other) in some.iter().zip(&ones).zip(&others) {
            if one != other {
                return Err(
                    shortened(sides, situation.clone(), [one.clone(), other.clone()])?.into(),
                );
            }
        }
    }
    Ok(())
}

fn play_both(sides: &[Side; 2], situations: &[Situation]) -> Result<[Vec<Transcript>; 2], String> {
    let all: Vec<&Situation> = situations.iter().collect();
    Ok([play(&sides[0], &all)?, play(&sides[1], &all)?])
}

/// Removes statements for as long as the situation still differs: halves, then quarters, …, then single statements.
fn shortened(
    sides: &[Side; 2],
    mut situation: Situation,
    mut transcripts: [Transcript; 2],
) -> Result<String, String> {
    let mut len = situation.statements.len().next_power_of_two() / 2;
    while len > 0 {
        let without: Vec<Situation> = (0..situation.statements.len())
            .step_by(len)
            .map(|from| {
                let mut shorter = situation.clone();
                let to = (from + len).min(shorter.statements.len());
                shorter.statements.drain(from..to);
                shorter
            })
            .collect();
        let [ones, others] = play_both(sides, &without)?;
        let differs = ones
            .iter()
            .zip(&others)
            .position(|(one, other)| one != other);
        match differs {
            Some(found) => {
                situation = without[found].clone();
                transcripts = [ones[found].clone(), others[found].clone()];
                len = len.min(situation.statements.len().next_power_of_two());
            }
            None => len /= 2,
        }
    }
    let [one, other] = &transcripts;
    Ok(compare::report(&situation, one, other))
}

/// A process of a random situation.
struct Process {
    name: char,
    is_root: bool,
    /// The numbers in the names of its attachments at addresses that the backend chose.
    attached: Vec<usize>,
}

/// The names in the statements so far.
struct Names {
    random: Random,
    processes: Vec<Process>,
    next: char,
    segments: usize,
    addresses: usize,
    /// Whether there are several users.
    users: bool,
}

/// Returns the random situation that a seed stands for.
fn random(seed: u64) -> Situation {
    let mut random = Random::seeded(seed);
    let len = 8 + random.below(40);
    let users = needs::missing(&[ROOT]).is_none() && random.below(4) == 0;
    let mut names = Names {
        random,
        processes: Vec::new(),
        next: 'A',
        segments: 0,
        addresses: 0,
        users,
    };
    let mut statements = names.another();
    while statements.len() < len && names.is_left() {
        statements.extend(names.statements());
    }
    Situation {
        subject: "random".to_owned(),
        name: format!("random, seed {seed}"),
        statements,
    }
}

/// The name of the last process of a situation: there is one for each actor.
const LAST: char = (b'A' + ACTORS as u8 - 1) as char;

/// The number of places at which segments are attached. Each has room for the two pages of a segment.
const PLACES: usize = 5;

impl Names {
    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.random.below(values.len())]
    }

    /// Starts another process, if there is a name left for it.
    fn another(&mut self) -> Vec<String> {
        let name = self.next;
        if name > LAST {
            return Vec::new();
        }
        self.next = (name as u8 + 1) as char;
        let user = if self.users {
            self.one_of(&["0:0", "1001:1001", "1002:1001", "1003:1003"])
        } else {
            "0:0"
        };
        self.processes.push(Process {
            name,
            is_root: user == "0:0",
            attached: Vec::new(),
        });
        let become_user = if self.users {
            format!("{name} as {user}")
        } else {
            format!("{name} look")
        };
        vec![become_user]
    }

    /// Whether a process lives, or another one can be started.
    fn is_left(&self) -> bool {
        !self.processes.is_empty() || self.next <= LAST
    }

    fn segment(&mut self) -> String {
        let index = self.random.below(self.segments.min(6) + 1);
        format!("x{}", self.segments - index)
    }

    fn place(&mut self) -> String {
        format!("@{}", self.random.below(PLACES) * 4)
    }

    /// Returns where a process may have attached a segment: a place, or an address that the backend chose.
    fn attached(&mut self, which: usize) -> String {
        let own = self.processes[which].attached.clone();
        if own.is_empty() || self.random.below(2) == 0 {
            return self.place();
        }
        format!("p{}", self.one_of(&own))
    }

    fn statements(&mut self) -> Vec<String> {
        if self.processes.is_empty() {
            return self.another();
        }
        let which = self.random.below(self.processes.len());
        let name = self.processes[which].name;
        let statement = match self.random.below(100) {
            0..12 => self.get(),
            12..32 => self.attach(which),
            32..44 => self.detach(which),
            44..58 => {
                let verb = self.one_of(&["stat", "stat", "stat", "stat-any", "stat-at"]);
                let segment = self.segment();
                if verb == "stat" {
                    format!("stat {segment}")
                } else {
                    format!("{verb} index:{segment}")
                }
            }
            58..63 => format!("rm {}", self.segment()),
            63..66 => self.set(),
            66..68 => format!("{} {}", self.one_of(&["lock", "unlock"]), self.segment()),
            68..71 => self.one_of(&["usage", "info"]).to_owned(),
            71..75 => format!("poke {} {}", self.attached(which), self.random.below(256)),
            75..79 => format!("peek {}", self.attached(which)),
            79..81 => {
                let (verb, place) = (self.one_of(&["munmap", "block"]), self.place());
                return vec![format!("{name} {verb} {place} 16384 | {name} look")];
            }
            81 => "closefrom".to_owned(),
            82..85 => return self.another(),
            85..98 => return self.change(which),
            _ => return vec![format!("{name} fork-exit | {name} look")],
        };
        let thread = if self.random.below(20) == 0 {
            "thread "
        } else {
            ""
        };
        vec![format!("{name} {thread}{statement}")]
    }

    fn get(&mut self) -> String {
        self.segments += 1;
        let key = self.one_of(&["private", "K1", "K1", "K2", "K3"]);
        let size = self.one_of(&["4097", "5000", "8191", "8192"]);
        let flags = self.one_of(&[
            "creat+600",
            "creat+600",
            "creat+660",
            "creat+666",
            "creat+excl+600",
            "0",
            "600",
            "creat+640",
        ]);
        let segments = self.segments;
        format!("get {key} {size} {flags} = x{segments}")
    }

    fn attach(&mut self, which: usize) -> String {
        let segment = self.segment();
        let place = self.place();
        match self.random.below(10) {
            0 => format!("at {segment} {place} remap"),
            1 => format!("at {segment} {place}+{} rnd", self.random.below(4096)),
            2 => format!("at {segment} {place} rdonly"),
            3 => format!("at {segment} {place}+1"),
            4..7 => format!("at {segment} {place}"),
            _ => {
                self.addresses += 1;
                self.processes[which].attached.push(self.addresses);
                format!(
                    "at {segment} 0 {} = p{}",
                    self.one_of(&["0", "0", "rdonly"]),
                    self.addresses
                )
            }
        }
    }

    /// Detaches a segment. An address that the backend chose is not used again, because other memory may be there by
    /// then.
    fn detach(&mut self, which: usize) -> String {
        let own = &mut self.processes[which].attached;
        if own.is_empty() || self.random.below(2) == 0 {
            return format!("dt {}", self.place());
        }
        let address = own.swap_remove(self.random.below(own.len()));
        format!("dt p{address}")
    }

    fn set(&mut self) -> String {
        let segment = self.segment();
        // In a shared directory, only root can give a segment to another user: a documented difference.
        let owner = if self.users {
            "uid=keep gid=keep"
        } else {
            self.one_of(&["uid=0 gid=1001", "uid=1001 gid=1001", "uid=0 gid=0"])
        };
        // The owner may always read and write: otherwise the file could not be opened for a child, which is a
        // documented difference.
        let mode = self.one_of(&["600", "640", "666", "604", "1644"]);
        format!("set {segment} {owner} mode={mode}")
    }

    /// Has a process fork, execute a program, or end.
    fn change(&mut self, which: usize) -> Vec<String> {
        let name = self.processes[which].name;
        let change = self.random.below(13);
        match change {
            // A fork by another user needs permissions that may be gone: a documented difference.
            0..6 if self.next <= LAST && self.processes[which].is_root => {
                let child = self.next;
                self.next = (child as u8 + 1) as char;
                let verb = self.one_of(&["fork", "fork", "fork", "spawn", "vfork-exec"]);
                let attached = if verb == "fork" {
                    self.processes[which].attached.clone()
                } else {
                    Vec::new()
                };
                self.processes.push(Process {
                    name: child,
                    is_root: true,
                    attached,
                });
                vec![format!("{name} {verb} = {child}")]
            }
            6..9 => {
                self.processes[which].attached.clear();
                vec![format!("{name} exec | {name} look")]
            }
            9..13 => {
                self.processes.remove(which);
                let ends = self.one_of(&["kill", "kill", "exit", "end"]);
                // A call cannot know which of several processes has died last, a documented difference. So another
                // process checks all segments after each death.
                vec![match self.processes.first() {
                    Some(other) => format!("{name} {ends} | {} look", other.name),
                    None => format!("{name} {ends}"),
                }]
            }
            _ => Vec::new(),
        }
    }
}
