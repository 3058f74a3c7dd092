//! Reads labelled examples: CSV with the header `text,label`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::{IntentError, mask};

/// A customer's message and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Example {
    /// The message as a customer would write it.
    pub text: String,
    /// The intent, in `snake_case`.
    pub label: String,
}

/// Reads examples from a CSV file with the header `text,label`; texts may be quoted.
///
/// # Errors
/// [`IntentError::File`] when the file cannot be read; [`IntentError::Example`], with the line,
/// for a row that is not an example or that contradicts an earlier one.
pub fn read_examples(path: &Path) -> Result<Vec<Example>, IntentError> {
    let file = File::open(path).map_err(|source| IntentError::File { path: path.to_owned(), source })?;
    parse_examples(file, path)
}

/// `path` serves the error messages only.
fn parse_examples(csv: impl Read, path: &Path) -> Result<Vec<Example>, IntentError> {
    let wrong = |line: u64, reason: String| IntentError::Example { path: path.to_owned(), line, reason };
    let csv_error = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        wrong(line, e.to_string())
    };
    let mut reader = csv::Reader::from_reader(csv);
    let header = reader.headers().map_err(csv_error)?.clone();
    if !header.iter().eq(["text", "label"]) {
        let found = header.iter().collect::<Vec<_>>().join(",");
        return Err(wrong(1, format!("the header is {found:?}, expected \"text,label\"")));
    }

    let mut examples = Vec::new();
    let mut seen: HashMap<String, (u64, String)> = HashMap::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(csv_error)? {
        let line = record.position().map_or(0, csv::Position::line);
        let example: Example = record.deserialize(Some(&header)).map_err(csv_error)?;
        check(&example).map_err(|reason| wrong(line, reason))?;
        let key = mask(&example.text).to_lowercase();
        match seen.get(&key) {
            Some((first_line, label)) if *label != example.label => {
                let reason = format!(
                    "{:?} already stands in line {first_line} as {label:?}; keep one of them",
                    example.text
                );
                return Err(wrong(line, reason));
            }
            _ => {}
        }
        seen.insert(key, (line, example.label.clone()));
        examples.push(example);
    }
    Ok(examples)
}

fn check(example: &Example) -> Result<(), String> {
    if example.text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    let is_snake_case = example.label.starts_with(|c: char| c.is_ascii_lowercase())
        && example.label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_snake_case {
        Ok(())
    } else {
        Err(format!("the label {:?} is not snake_case, such as track_order", example.label))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(csv: &str) -> Result<Vec<Example>, IntentError> {
        parse_examples(csv.as_bytes(), Path::new("my.csv"))
    }

    #[test]
    fn quoted_commas_quotes_and_line_breaks_are_text() {
        let examples =
            parse("text,label\n\"Hi, where is \"\"my\"\" parcel?\",track_order\n\"two\nlines\",other\n")
                .unwrap();
        assert_eq!(examples[0].text, "Hi, where is \"my\" parcel?");
        assert_eq!(examples[0].label, "track_order");
        assert_eq!(examples[1].text, "two\nlines");
    }

    #[rstest]
    #[case::header("message,intent\nhi,other\n", 1, "text,label")]
    #[case::empty_text("text,label\nhi,other\n\"  \",other\n", 3, "empty")]
    #[case::label("text,label\nhi,Track Order\n", 2, "snake_case")]
    #[case::too_many_fields("text,label\nhi, there,other\n", 2, "3 fields")]
    #[case::contradiction("text,label\nwhere is #W1?,track_order\nWhere is #W2?,other\n", 3, "line 2")]
    fn a_wrong_line_is_named(#[case] csv: &str, #[case] line: u64, #[case] reason: &str) {
        let error = parse(csv).unwrap_err().to_string();
        assert!(error.starts_with(&format!("my.csv, line {line}: ")), "{error}");
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn an_example_may_be_repeated() {
        let examples =
            parse("text,label\nwhere is #W1000001?,track_order\nWhere is #W1000002?,track_order\n");
        assert_eq!(examples.unwrap().len(), 2);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_examples(Path::new("no/such.csv")).unwrap_err();
        assert!(error.to_string().contains("no/such.csv"));
    }
}
