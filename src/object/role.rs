//! A role that this process has in an object: sender, receiver or publisher.

use crate::{
    Error, ErrorKind,
    holder::{Holder, Life},
    object::Object,
    sync::Claim,
};

/// The proof that this process has a role.
pub(crate) struct Role(Holder);

impl Role {
    /// Takes a role that is free, or whose holder has died.
    pub fn take(object: &Object, claim: &Claim) -> Result<Role, Error> {
        object.expect_writable()?;
        let me = object.this_process();
        let is_dead = |holder| object.life(Holder::from_bits(holder)) == Life::Dead;
        if claim.take(me.bits(), is_dead) {
            Ok(Role(me))
        } else {
            Err(object.error(ErrorKind::Busy))
        }
    }

    /// Returns whether this process has taken the role, and has not inherited it by
    /// fork.
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        self.0.is_this_process()
    }

    /// Returns whether this process still has the role: no other process has taken it
    /// over.
    #[inline(always)]
    pub fn is_held(&self, claim: &Claim) -> bool {
        self.is_ours() && claim.is_of(self.0.bits())
    }

    /// Releases it.
    pub fn release(&self, claim: &Claim) {
        if self.is_ours() {
            claim.release(self.0.bits());
        }
    }
}
