//! A failed operation on an object: a few numbers, from which its text is made on request.

use super::{Action, ErrorKind, What};
use crate::{kind::Kind, sys};

/// An operation on an object that has failed: all that its text is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub kind: ErrorKind,
    pub object: Kind,
    pub action: Action,
    pub what: What,
    /// The segment.
    pub id: i32,
    /// The number of the object's [`Label`](super::Label).
    pub label: u32,
    /// The namespaces of the object's holders, as a number that [`fold`] makes.
    pub namespaces: u32,
    pub number: u64,
    /// Often a holder's word, as it lay in the segment: any number.
    pub other: u64,
}

/// Makes a smaller number from that which `sys::namespaces` returns, or which a header holds. 0 stands
/// for unknown namespaces.
pub(crate) fn fold(namespaces: u64) -> u32 {
    match namespaces {
        sys::NO_NAMESPACE => 0,
        _ => (namespaces ^ namespaces >> 32) as u32,
    }
}

impl Failure {
    /// Returns the same in integers, for C; the first is never 0.
    #[inline]
    pub fn to_words(self) -> [u64; 4] {
        let tags = [
            self.kind as u8,
            self.object as u8,
            self.action as u8,
            self.what as u8,
        ];
        [
            u64::from(u32::from_ne_bytes(tags)) | u64::from(self.namespaces) << 32,
            u64::from(self.id as u32) | u64::from(self.label) << 32,
            self.number,
            self.other,
        ]
    }

    /// Returns the failure that such integers stand for; `None` if there is none.
    pub fn from_words([tags, names, number, other]: [u64; 4]) -> Option<Failure> {
        let [kind, object, action, what] = (tags as u32).to_ne_bytes();
        let mut kinds = ErrorKind::OF_OBJECTS.iter().copied();
        let mut objects = Kind::ALL.into_iter();
        Some(Failure {
            kind: kinds.find(|&known| known as u8 == kind)?,
            object: objects.find(|&known| known as u8 == object)?,
            action: Action::ALL.get(usize::from(action))?.0,
            what: *What::ALL.get(usize::from(what))?,
            id: names as u32 as i32,
            label: (names >> 32) as u32,
            namespaces: (tags >> 32) as u32,
            number,
            other,
        })
    }
}

#[cfg(test)]
impl Failure {
    /// A thread that tries to lock a mutex which it has locked.
    pub fn example() -> Failure {
        Failure {
            kind: ErrorKind::WouldBlock,
            object: Kind::Mutex,
            action: Action::Lock,
            what: What::Held,
            id: -5,
            label: 0,
            namespaces: fold(sys::namespaces()),
            number: 0,
            other: crate::holder::Holder::thread(false).bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_back() {
        for (index, (action, _)) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, index);
        }
        for (index, what) in What::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, index);
        }
        for &kind in ErrorKind::OF_OBJECTS {
            let failure = Failure {
                kind,
                number: 7,
                other: u64::MAX,
                ..Failure::example()
            };
            let same = Failure::from_words(failure.to_words()).unwrap();
            assert_eq!(format!("{same:?}"), format!("{failure:?}"));
        }
    }

    /// Reserving and peeking in a ring may fail for want of memory.
    #[test]
    fn an_object_can_lack_memory() {
        let mut failure = Failure::example();
        failure.kind = ErrorKind::OutOfMemory;
        assert_eq!(failure.kind.errno_of_object(), libc::ENOMEM);
        assert!(Failure::from_words(failure.to_words()).is_some());
    }

    /// A C program may hand over anything, and a segment may hold anything.
    #[test]
    fn any_integers_are_a_text_or_none() {
        assert!(Failure::from_words([u64::MAX; 4]).is_none());
        assert!(Failure::from_words([0; 4]).is_none());
        let mut texts = 0;
        for kind in 0..=255 {
            for what in 0..=255 {
                let tags = u64::from(u32::from_ne_bytes([kind, 4, 5, what]));
                let words = [
                    tags | Failure::example().to_words()[0] & !0xffff_ffff,
                    1,
                    u64::MAX,
                    u64::MAX,
                ];
                if let Some(failure) = Failure::from_words(words) {
                    texts += 1;
                    assert!(
                        crate::Error::object(failure)
                            .to_string()
                            .contains("ring (id 1): wait: E"),
                        "{failure:?}"
                    );
                }
            }
        }
        assert_eq!(texts, ErrorKind::OF_OBJECTS.len() * What::ALL.len());
    }
}
