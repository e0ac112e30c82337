//! The user backend: segments in a directory of files. What is counted, what is removed, what others can do to it, and what
//! is left of the dead.

#[path = "../support/mod.rs"]
mod support;

/// Makes each function a task, and defines a test that runs it in a namespace of its own.
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
mod hostile;
mod killed;
mod namespace;
mod parts;
mod pending;
mod places;
mod selection;
mod sharing;

use support::{do_task, say};

/// What the processes of these tests do.
#[test]
fn helper_process() {
    let tasks = [
        counting::TASKS,
        hostile::TASKS,
        killed::TASKS,
        parts::TASKS,
        pending::TASKS,
        places::TASKS,
        selection::TASKS,
        sharing::TASKS,
    ];
    do_task(&tasks.concat());
    say("done");
}
