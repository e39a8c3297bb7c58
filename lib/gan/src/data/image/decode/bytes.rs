//! Bounded reading of files' bytes, and numbers of them.

use super::limits::cut_short;

/// The `length` bytes from a place on.
pub(super) fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    bytes.get(at..).and_then(|rest| rest.get(..length)).ok_or_else(cut_short)
}

/// The unsigned number that up to eight bytes are, the highest first.
pub(super) fn big(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}

/// The same, the lowest first.
pub(super) fn little(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}
