//! Files into records, one line at a time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{ImportError, Located, Rejections};
use crate::{Article, ArticleId};

/// The records of a file of JSON objects, one a line; `None` where there is no such file. Blank
/// lines are skipped, bad ones rejected.
pub(super) fn read_records<T: DeserializeOwned>(
    dir: &Path,
    file: &str,
    rejections: &mut Rejections,
) -> Result<Option<Vec<Located<T>>>, ImportError> {
    let path = dir.join(file);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ImportError::Read { path, source }),
    };
    let mut records = Vec::new();
    for (line, bytes) in (1..).zip(without_byte_order_mark(&bytes).split(|&byte| byte == b'\n')) {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match parse_record(bytes) {
            Ok(record) => records.push(Located { line, record }),
            Err(reason) => rejections.add(file, line, reason),
        }
    }
    Ok(Some(records))
}

fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn parse_record<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let text =
        std::str::from_utf8(line).map_err(|error| format!("not UTF-8 after byte {}", error.valid_up_to()))?;
    // serde would also take an array with the fields in order.
    if !text.trim_start().starts_with('{') {
        return Err("not a JSON object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        match message.strip_suffix(&position) {
            Some(reason) => format!("{reason} (column {})", error.column()),
            None => message,
        }
    })
}

/// Every `*.md` file of the folder, by name.
pub(super) fn read_articles(dir: &Path, rejections: &mut Rejections) -> Result<Vec<Article>, ImportError> {
    let mut articles = Vec::new();
    let mut file_of_id: HashMap<ArticleId, String> = HashMap::new();
    for path in markdown_files(dir)? {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let article = match read_article(&path)? {
            Ok(article) => article,
            Err((line, reason)) => {
                rejections.add(&file, line, reason);
                continue;
            }
        };
        if let Some(other) = file_of_id.insert(article.id.clone(), file.to_string()) {
            let reason = format!("gives the article id {} that {other} gives too", article.id);
            rejections.add(&file, 1, reason);
        }
        articles.push(article);
    }
    Ok(articles)
}

fn markdown_files(dir: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let unreadable = |source| ImportError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension() == Some(OsStr::new("md")) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The article in a file, or the line that is wrong and why.
fn read_article(path: &Path) -> Result<Result<Article, (usize, String)>, ImportError> {
    let bytes = std::fs::read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let text = match std::str::from_utf8(without_byte_order_mark(&bytes)) {
        Ok(text) => text,
        Err(error) => {
            let n_breaks = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            return Ok(Err((n_breaks + 1, "not UTF-8".to_owned())));
        }
    };
    if text.trim().is_empty() {
        return Ok(Err((1, "the article is empty".to_owned())));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(match ArticleId::from_stem(&stem) {
        Ok(id) => Ok(Article::from_markdown(id, text.to_owned())),
        Err(_) => Err((1, "the file's name has no letter or digit".to_owned())),
    })
}
