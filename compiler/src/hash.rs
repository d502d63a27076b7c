//! Content hashes in text.

use sha2::{Digest, Sha256};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The first 12 digits of the SHA-256 of a text.
pub fn short(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))[..12].to_string()
}
