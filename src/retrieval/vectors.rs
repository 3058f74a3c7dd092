//! Caches the passages' vectors in a file, so that a start need not embed them again.
//!
//! A file that does not fit or is damaged is made again.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::{Passage, RetrievalError};
use crate::embed::Embed;

const FILE_NAME: &str = "passages.safetensors";
const TENSOR: &str = "vectors";
/// Metadata key: fingerprint of the passages and of the embedding model.
const FINGERPRINT: &str = "fingerprint";
/// Metadata key: hash of the vectors themselves.
const CHECKSUM: &str = "checksum";

/// A text whose vector identifies the embedding model.
const PROBE: &str = "Where is my parcel, and may I still send it back?";

/// A hash of the passages and of the embedding model's behaviour.
pub(super) fn fingerprint(passages: &[Passage], embed: &dyn Embed) -> Result<String, RetrievalError> {
    let mut hash = Sha256::new();
    for vector in embed.embed(&[PROBE])? {
        hash.update(to_le_bytes(&vector));
    }
    for passage in passages {
        for part in [&passage.id, &passage.title, &passage.text] {
            // The length keeps "ab" + "c" apart from "a" + "bc".
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The `[n][dim]` vectors in `dir`, if they are complete and have this fingerprint.
pub(super) fn load(dir: &Path, fingerprint: &str, n: usize, dim: usize) -> Option<Vec<Vec<f32>>> {
    let path = dir.join(FILE_NAME);
    let bytes = std::fs::read(&path).ok()?;
    let vectors = parse(&bytes, fingerprint, [n, dim]);
    if vectors.is_none() {
        tracing::info!(path = %path.display(), "the kept vectors do not fit; embedding anew");
    }
    vectors
}

fn parse(bytes: &[u8], fingerprint: &str, shape: [usize; 2]) -> Option<Vec<Vec<f32>>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let metadata = header.metadata().as_ref()?;
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let tensor = tensors.tensor(TENSOR).ok()?;
    let fits = metadata.get(FINGERPRINT)? == fingerprint
        && *metadata.get(CHECKSUM)? == hex(&Sha256::digest(tensor.data()))
        && tensor.dtype() == Dtype::F32
        && tensor.shape() == shape;
    if !fits {
        return None;
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Some(values.chunks(shape[1].max(1)).map(<[f32]>::to_vec).collect())
}

/// Writes the `[n][dim]` vectors to `dir`, atomically.
pub(super) fn save(
    dir: &Path,
    fingerprint: &str,
    vectors: &[Vec<f32>],
    dim: usize,
) -> Result<(), RetrievalError> {
    let path = dir.join(FILE_NAME);
    let failed = |reason: String| RetrievalError::Vectors { path: path.clone(), reason };
    let data = to_le_bytes(&vectors.concat());
    let metadata = HashMap::from([
        (FINGERPRINT.to_owned(), fingerprint.to_owned()),
        (CHECKSUM.to_owned(), hex(&Sha256::digest(&data))),
    ]);
    let tensor =
        TensorView::new(Dtype::F32, vec![vectors.len(), dim], &data).map_err(|e| failed(e.to_string()))?;
    let bytes =
        safetensors::serialize([(TENSOR, tensor)], Some(metadata)).map_err(|e| failed(e.to_string()))?;
    write_atomically(dir, &path, &bytes).map_err(|e| failed(e.to_string()))
}

fn write_atomically(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn to_le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::testing::HashEmbed;

    fn passage(id: &str, title: &str, text: &str) -> Passage {
        Passage { id: id.to_owned(), article: "a".to_owned(), title: title.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let vectors = vec![vec![0.6, 0.8], vec![-1.0, 0.0], vec![0.0, 1.0]];
        save(&dir.path().join("new"), "abc", &vectors, 2).unwrap();
        assert_eq!(load(&dir.path().join("new"), "abc", 3, 2), Some(vectors));
    }

    #[test]
    fn other_passages_models_or_sizes_do_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), "abc", &[vec![0.6, 0.8]], 2).unwrap();
        assert!(load(dir.path(), "abd", 1, 2).is_none());
        assert!(load(dir.path(), "abc", 2, 2).is_none());
        assert!(load(dir.path(), "abc", 1, 3).is_none());
        assert!(load(&dir.path().join("elsewhere"), "abc", 1, 2).is_none());
    }

    #[test]
    fn no_damaged_byte_goes_unnoticed() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), "abc", &[vec![0.6, 0.8]], 2).unwrap();
        let path = dir.path().join(FILE_NAME);
        let whole = std::fs::read(&path).unwrap();
        for n in 0..whole.len() {
            std::fs::write(&path, &whole[..n]).unwrap();
            assert!(load(dir.path(), "abc", 1, 2).is_none(), "cut after {n} bytes");
        }
        for i in whole.len() - 8..whole.len() {
            let mut flipped = whole.clone();
            flipped[i] ^= 1;
            std::fs::write(&path, flipped).unwrap();
            assert!(load(dir.path(), "abc", 1, 2).is_none(), "byte {i} flipped");
        }
    }

    #[test]
    fn the_fingerprint_tells_passages_and_models_apart() {
        let passages = [passage("a#x", "ab", "c"), passage("a#y", "d", "e")];
        let moved = [passage("a#x", "a", "bc"), passage("a#y", "d", "e")];
        let of = |passages: &[Passage], dim| fingerprint(passages, &HashEmbed::new(dim)).unwrap();
        assert_eq!(of(&passages, 64), of(&passages, 64));
        assert_ne!(of(&passages, 64), of(&moved, 64));
        assert_ne!(of(&passages, 64), of(&passages[..1], 64));
        assert_ne!(of(&passages, 64), of(&passages, 65));
    }
}
