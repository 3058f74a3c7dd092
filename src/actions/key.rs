//! The key that confirmation tokens are signed with: 32 random bytes in a file of the data folder.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rand::{TryRngCore, rngs::OsRng};
use tempfile::NamedTempFile;

use super::hmac::Mac;

const N_KEY_BYTES: usize = 32;

/// Signs confirmation tokens. Its `Debug` form hides it.
#[derive(Debug, Clone)]
pub struct ActionKey(Mac);

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key of confirmation tokens {path}: {source}")]
    Read {
        /// Path of the key file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot write the key of confirmation tokens {path}: {source}")]
    Write {
        /// Path of the key file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file does not hold a key.
    #[error(
        "the key of confirmation tokens {path} is damaged: it holds {n_bytes} bytes instead of \
         {N_KEY_BYTES}; remove it to have a new one made, which makes open confirmations void"
    )]
    Damaged {
        /// Path of the key file.
        path: PathBuf,
        /// Length of the file.
        n_bytes: usize,
    },
    /// The system's random number generator failed.
    #[error("the system gives no random bytes for a key: {0}")]
    Random(#[from] rand::rand_core::OsError),
}

impl ActionKey {
    /// The key in the file at `path`. A missing file is created with a new key that only its owner may
    /// read. Two servers that create it at the same time get the same key.
    ///
    /// # Errors
    /// [`KeyError`] when the file can be neither read nor made, or holds something else.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        match fs::read(path) {
            Ok(bytes) => Self::from_file(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(KeyError::Read { path: path.to_owned(), source }),
        }
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        match write_new(path, &random_bytes()?) {
            // Another server may have created it first; the key in the file counts.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(KeyError::Write { path: path.to_owned(), source }),
        }
        let bytes = fs::read(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        Self::from_file(path, &bytes)
    }

    fn from_file(path: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let damaged = || KeyError::Damaged { path: path.to_owned(), n_bytes: bytes.len() };
        if bytes.len() != N_KEY_BYTES {
            return Err(damaged());
        }
        Mac::new(bytes).map(Self).map_err(|_| damaged())
    }

    pub(super) fn mac(&self) -> &Mac {
        &self.0
    }
}

fn random_bytes() -> Result<[u8; N_KEY_BYTES], KeyError> {
    let mut bytes = [0; N_KEY_BYTES];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // On Unix it is created with mode 0600, which it keeps.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn same(a: &ActionKey, b: &ActionKey) -> bool {
        a.mac().sign(b"message") == b.mac().sign(b"message")
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("action.key");
        let made = ActionKey::open_or_create(&path).unwrap();
        assert!(same(&made, &ActionKey::open_or_create(&path).unwrap()));
        assert_eq!(fs::read(&path).unwrap().len(), N_KEY_BYTES);
        let other = ActionKey::open_or_create(&dir.path().join("other.key")).unwrap();
        assert!(!same(&made, &other));
        let n_files = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(n_files, 1, "something was left beside the key");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("action.key");
        ActionKey::open_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn servers_that_start_together_end_with_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("action.key");
        let open = || ActionKey::open_or_create(&path).unwrap();
        let keys: Vec<ActionKey> = std::thread::scope(|threads| {
            let started: Vec<_> = (0..8).map(|_| threads.spawn(open)).collect();
            started.into_iter().map(|thread| thread.join().expect("the thread ends")).collect()
        });
        assert!(keys.iter().all(|key| same(key, &keys[0])));
    }

    #[rstest]
    #[case(&[])]
    #[case(&[7; N_KEY_BYTES - 1])]
    #[case(&[7; N_KEY_BYTES + 1])]
    fn a_damaged_key_is_named_and_left_alone(#[case] bytes: &[u8]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("action.key");
        fs::write(&path, bytes).unwrap();
        let error = ActionKey::open_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("action.key") && error.contains("remove it"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("action.key");
        fs::write(&path, [0x41; N_KEY_BYTES]).unwrap();
        let shown = format!("{:?}", ActionKey::open_or_create(&path).unwrap());
        assert_eq!(shown, "ActionKey(Mac(hidden))");
    }
}
