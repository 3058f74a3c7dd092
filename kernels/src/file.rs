//! A file in memory without a copy: how weights are read before they are packed.

use std::{fs::File, io, ops::Range};

use memmap2::Mmap;

/// A file mapped for reading. Its pages come from the system's cache when they are first read, and
/// belong to it.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps the whole of `file` as it is now.
    ///
    /// # Errors
    /// When the system cannot map it, as is the case with a folder.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: what is read stays the same only as long as nobody writes to the file. Models are
        // written under another name and then renamed, so that a file under its own name is whole
        // and is not written again; who overwrites one in place while it is being loaded gets what
        // any reader of that file would get, a damaged model.
        unsafe { Mmap::map(file) }.map(Self)
    }

    /// Gives back the memory of a range that is not needed soon. Reading it again is right, only slower.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            use memmap2::UncheckedAdvice::DontNeed;
            let len = range.end.min(self.0.len()).saturating_sub(range.start);
            // SAFETY: the mapping is of a file, for reading only: its pages come back from the file
            // with what they held. A wish; what refuses it costs memory and nothing else.
            let _ = unsafe { self.0.unchecked_advise_range(DontNeed, range.start, len) };
        }
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_reads_as_it_is_also_after_its_memory_was_given_back() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let mapped = MappedFile::new(&file).unwrap();
        assert_eq!(mapped.as_ref(), bytes);
        mapped.release(5..90_000);
        mapped.release(99_999..200_000);
        assert_eq!(mapped.as_ref(), bytes);
    }
}
