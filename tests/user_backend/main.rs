//! The user backend, which keeps segments in files of a directory: counts and times, hostile files, killed processes,
//! places of the directory, and the choice of the backend.

#[path = "../support/mod.rs"]
mod support;

/// Defines a test for each function, which runs it as a task of another process in a namespace of its own. Functions
/// after the `;` are tasks without a test.
macro_rules! tasks {
    ($($task:ident)+ $(; $($other:ident)+)?) => {
        pub const TASKS: &[(&str, fn(&str))] = &[
            $((stringify!($task), |_| $task()),)+
            $($((stringify!($other), |_| $other()),)+)?
        ];

        mod tests {
            $(
                #[test]
                fn $task() {
                    crate::namespace::Namespace::new().run(stringify!($task));
                }
            )+
        }
    };
}

mod counting;
mod forks;
mod hostile;
mod killed;
mod locks;
mod namespace;
mod parts;
mod pending;
mod places;
mod selection;
mod sharing;

use support::{do_task, say};

/// Runs a task in the processes that the tests start.
#[test]
fn helper_process() {
    let tasks = [
        counting::TASKS,
        forks::TASKS,
        hostile::TASKS,
        killed::TASKS,
        locks::TASKS,
        parts::TASKS,
        pending::TASKS,
        places::TASKS,
        selection::TASKS,
        sharing::TASKS,
    ];
    do_task(&tasks.concat());
    say("done");
}
