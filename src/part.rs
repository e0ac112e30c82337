//! A part that this process plays in an object: its sender, its receiver, its writer.

use crate::{
    Error, ErrorKind,
    object::Object,
    sync::Claim,
    sys::{Life, ProcessMark, Task},
};

/// The proof that this process has a part.
pub(crate) struct Part {
    me: Task,
    /// The process' own mark: a child made by `fork` has another one, and not the part.
    mark: u64,
    /// Where it stands.
    process: ProcessMark,
}

impl Part {
    /// Takes a part, also after a process that has died.
    pub fn take(object: &Object, claim: &Claim) -> Result<Part, Error> {
        object.expect_writable()?;
        object.introduce();
        let me = Task::process();
        let process = ProcessMark::get();
        match claim.take(me, |task| object.life_of_process(task) == Life::Dead) {
            true => Ok(Part {
                me,
                mark: process.load(),
                process,
            }),
            false => Err(object.error(ErrorKind::Busy)),
        }
    }

    /// Whether this is the process that has taken it, and not a child.
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        self.mark == self.process.load()
    }

    /// Gives it back.
    pub fn release(&self, claim: &Claim) {
        if self.is_ours() {
            claim.release(self.me);
        }
    }
}
