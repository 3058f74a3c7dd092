//! Joins a file from parts, and goes on where an earlier try ended.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::{
    digest::{Hasher, read_chunks},
    error::SourceError,
    manifest::Part,
    work::Fetched,
};

/// A file that grows part by part. Only whole, checked parts stay in it.
pub(super) struct Assembly<'a> {
    name: &'a str,
    path: PathBuf,
    file: File,
    parts: Vec<&'a Part>,
    n_done: usize,
    done_bytes: u64,
    hasher: Hasher,
}

impl<'a> Assembly<'a> {
    /// Opens the file at `path` and keeps those of its first parts that are whole and right.
    pub(super) fn resume(name: &'a str, path: PathBuf, parts: Vec<&'a Part>) -> Result<Self, SourceError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(SourceError::io("open", &path))?;
        let mut assembly =
            Self { name, path, file, parts, n_done: 0, done_bytes: 0, hasher: Hasher::default() };
        let resumed = assembly.keep_right_parts().and_then(|()| assembly.rewind());
        resumed.map_err(SourceError::io("resume", &assembly.path))?;
        Ok(assembly)
    }

    fn keep_right_parts(&mut self) -> io::Result<()> {
        let mut reader = self.file.try_clone()?;
        while let Some(part) = self.next_part() {
            let mut part_hasher = Hasher::default();
            let mut whole_hasher = self.hasher.clone();
            let n_bytes = read_chunks(&mut reader, part.size_bytes, &mut |chunk| {
                part_hasher.update(chunk);
                whole_hasher.update(chunk);
                Ok(())
            })?;
            let found = part_hasher.finish();
            if n_bytes < part.size_bytes || part.sha256 != found {
                break;
            }
            self.advance(part, whole_hasher);
        }
        Ok(())
    }

    /// Cuts off whatever follows the last right part, and writes on from there.
    fn rewind(&mut self) -> io::Result<()> {
        self.file.set_len(self.done_bytes)?;
        self.file.seek(SeekFrom::Start(self.done_bytes))?;
        Ok(())
    }

    fn advance(&mut self, part: &Part, hasher: Hasher) {
        self.n_done += 1;
        self.done_bytes += part.size_bytes;
        self.hasher = hasher;
    }

    /// The first part still missing.
    pub(super) fn next_part(&self) -> Option<&'a Part> {
        self.parts.get(self.n_done).copied()
    }

    /// How many bytes are here, in parts that are whole.
    pub(super) fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    /// Appends the first part still missing. After an error the file is as it was before.
    pub(super) fn append(&mut self, part: &Part, reader: &mut dyn Read) -> Result<(), SourceError> {
        let appended = self.try_append(part, reader);
        if appended.is_err() {
            self.rewind().map_err(SourceError::io("shorten", &self.path))?;
        }
        appended
    }

    fn try_append(&mut self, part: &Part, reader: &mut dyn Read) -> Result<(), SourceError> {
        let mut part_hasher = Hasher::default();
        let mut whole_hasher = self.hasher.clone();
        let file = &mut self.file;
        // One byte more than is due shows a part that is too long without unpacking all of it.
        let found_bytes = read_chunks(reader, part.size_bytes + 1, &mut |chunk| {
            part_hasher.update(chunk);
            whole_hasher.update(chunk);
            file.write_all(chunk)
        })
        .map_err(SourceError::io("unpack into", &self.path))?;
        let what = || format!("{} of {} {}", part.path, part.package, part.version);
        if found_bytes != part.size_bytes {
            return Err(SourceError::WrongSize {
                what: what(),
                expected_bytes: part.size_bytes,
                found_bytes,
            });
        }
        let found = part_hasher.finish();
        if part.sha256 != found {
            return Err(SourceError::WrongHash { what: what(), expected: part.sha256, found });
        }
        self.advance(part, whole_hasher);
        Ok(())
    }

    /// The file with all its parts.
    pub(super) fn finish(self) -> Fetched {
        Fetched { name: self.name.to_owned(), path: self.path, sha256: self.hasher.finish() }
    }
}
