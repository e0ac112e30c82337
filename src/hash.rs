//! The hash of keys and fingerprints. It never changes: programs of all versions and languages make the same
//! numbers.

/// Returns the FNV-1a hash of 64 bits. Source: Fowler, Noll, Vo, `draft-eastlake-fnv`.
pub(crate) fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.into_iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}
