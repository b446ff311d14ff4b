//! Versions of what is stored: another version is refused, because nobody knows what it means by the same
//! fields. It is written first, and so refused before anything else is read.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads a version, and refuses every other than the one `wanted`; `what` is stored, in words.
pub(crate) fn read<'de, D: Deserializer<'de>>(
    from: D,
    what: &str,
    wanted: u32,
) -> Result<u32, D::Error> {
    let found = u32::deserialize(from)?;
    if found == wanted {
        return Ok(found);
    }
    let other = other(found, wanted);
    Err(D::Error::custom(format_args!("{what} cannot be read: {other}")))
}

/// Says that something is of another version.
pub(crate) fn other(found: u32, wanted: u32) -> String {
    format!("it is of version {found}, not {wanted}")
}
