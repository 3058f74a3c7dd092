//! SHA-256 digests, computed while bytes pass by.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Bytes read at a time: large enough that the system calls cost nothing beside the hashing.
const CHUNK_BYTES: usize = 1 << 18;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

/// A text that is no SHA-256 digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest: 64 hexadecimal digits are expected")]
pub struct NotADigest(String);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let refused = || NotADigest(text.to_owned());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refused())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

/// A digest in the making. Cloning it keeps a point to go back to.
#[derive(Clone, Default)]
pub(super) struct Hasher(sha2::Sha256);

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// Hands at most `limit_bytes` of `reader` to `each`, chunk by chunk, and returns how many
/// there were.
pub(super) fn read_chunks(
    reader: &mut dyn Read,
    limit_bytes: u64,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut reader = reader.take(limit_bytes);
    let mut n_bytes = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(n_bytes),
            Ok(n) => {
                each(&chunk[..n])?;
                n_bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a whole file for its digest; `on_bytes` hears how many bytes are done.
pub(super) fn hash_file(path: &Path, on_bytes: &mut dyn FnMut(u64)) -> io::Result<Sha256> {
    let mut hasher = Hasher::default();
    let mut done_bytes = 0;
    read_chunks(&mut File::open(path)?, u64::MAX, &mut |chunk| {
        hasher.update(chunk);
        done_bytes += chunk.len() as u64;
        on_bytes(done_bytes);
        Ok(())
    })?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The digest of no bytes at all, from the standard (FIPS 180-4).
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        assert_eq!(Hasher::default().finish().to_string(), EMPTY);
    }

    #[test]
    fn texts_that_are_no_digest_are_refused() {
        for text in ["", "e3b0", &EMPTY[1..], &EMPTY.replace('e', "g"), &"é".repeat(32)] {
            assert!(text.parse::<Sha256>().is_err(), "{text} was taken");
        }
    }

    proptest! {
        #[test]
        fn a_digest_survives_being_written_and_read(bytes: [u8; 32]) {
            let digest = Sha256(bytes);
            prop_assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
            prop_assert_eq!(digest.to_string().to_uppercase().parse::<Sha256>().unwrap(), digest);
        }

        #[test]
        fn hashing_in_pieces_is_hashing_at_once(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            cut in 0usize..600,
        ) {
            let cut = cut.min(bytes.len());
            let mut pieces = Hasher::default();
            pieces.update(&bytes[..cut]);
            pieces.update(&bytes[cut..]);
            let mut whole = Hasher::default();
            whole.update(&bytes);
            prop_assert_eq!(pieces.finish(), whole.finish());
        }
    }
}
