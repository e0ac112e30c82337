//! A role that this process has in an object: sender, receiver or publisher.

use crate::{
    Error, ErrorKind,
    holder::{Holder, Life, Proof},
    object::Object,
    sync::Claim,
};

/// The proof that this process has a role.
pub(crate) struct Role {
    holder: Holder,
    proof: Proof,
}

impl Role {
    /// Takes a role that is free, or whose holder has died.
    pub fn take(object: &Object, claim: &Claim) -> Result<Role, Error> {
        object.expect_writable()?;
        let me = object.this_process();
        let is_dead = |holder| object.life(Holder::from_bits(holder)) == Life::Dead;
        if claim.take(me.bits(), is_dead) {
            Ok(Role {
                holder: me,
                proof: me.proof(),
            })
        } else {
            Err(object.error(ErrorKind::Busy))
        }
    }

    /// Returns whether this process has taken the role, and has not inherited it by
    /// fork.
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        self.holder.is_this_process()
    }

    /// Returns true only if `is_ours` does, and is faster. May return false although `is_ours` returns true.
    #[inline(always)]
    pub fn is_certainly_ours(&self) -> bool {
        self.proof.holds(self.holder)
    }

    /// Returns whether this process still has the role: no other process has taken it
    /// over.
    #[inline(always)]
    pub fn is_held(&self, claim: &Claim) -> bool {
        self.is_ours() && claim.is_of(self.holder.bits())
    }

    /// Releases it.
    pub fn release(&self, claim: &Claim) {
        if self.is_ours() {
            claim.release(self.holder.bits());
        }
    }
}
