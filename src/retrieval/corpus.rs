//! Splits articles into passages: one for each section, and several for a long section.

use std::collections::HashSet;

/// Most words of a passage, unless a single sentence has more. The embedding model reads about 190
/// words, and a quote should be no longer than needed to support the reply.
const MAX_WORDS: usize = 120;

/// Where a long section is split: between paragraphs, else between lines, else between sentences.
const CUTS: [&str; 3] = ["\n\n", "\n", ". "];

/// Section name of the text above all headings.
const OVERVIEW: &str = "overview";

/// A knowledge article to be made searchable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Id such as `returns`; the first part of its passages' ids.
    pub id: String,
    /// Title of the article, and of the text above all headings.
    pub title: String,
    /// Text in Markdown.
    pub text: String,
}

/// A section of an article, or a part of a long one: the unit of search and citation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Id `article#section`, such as `returns#how-long`; further parts of a long section end in `-2`, `-3`
    /// and so on.
    pub id: String,
    /// Id of the article.
    pub article: String,
    /// The section's heading, without markup.
    pub title: String,
    /// The article's text below the heading.
    pub text: String,
}

/// The passages of `articles`, in their order.
///
/// A section reaches from its heading (`#`, `##` or `###`) to the next one; deeper headings
/// belong to its text. What precedes all headings becomes `article#overview`. Sections without
/// text give no passage. Ids are unique.
#[must_use]
pub fn passages(articles: &[Article]) -> Vec<Passage> {
    let mut ids = HashSet::new();
    let mut passages = Vec::new();
    for article in articles {
        let markdown = article.text.replace("\r\n", "\n");
        for section in sections(&markdown) {
            let title = section.heading.unwrap_or(&article.title);
            let slug = section.heading.map_or_else(|| OVERVIEW.to_owned(), slug);
            for text in cut_long(&markdown[section.body.clone()]) {
                passages.push(Passage {
                    id: unique_id(&mut ids, &article.id, &slug),
                    article: article.id.clone(),
                    title: title.to_owned(),
                    text: text.to_owned(),
                });
            }
        }
    }
    passages
}

/// `article#slug`, or the first of `article#slug-2`, `-3`, … that is free.
fn unique_id(ids: &mut HashSet<String>, article: &str, slug: &str) -> String {
    let mut id = format!("{article}#{slug}");
    let mut n = 2;
    while !ids.insert(id.clone()) {
        id = format!("{article}#{slug}-{n}");
        n += 1;
    }
    id
}

struct Section<'a> {
    /// `None` above all headings.
    heading: Option<&'a str>,
    /// Bytes of the markdown from the heading's end to the next heading.
    body: std::ops::Range<usize>,
}

fn sections(markdown: &str) -> Vec<Section<'_>> {
    let mut sections = vec![Section { heading: None, body: 0..0 }];
    let mut is_code = false;
    let mut end = 0;
    for line in markdown.split_inclusive('\n') {
        end += line.len();
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        match heading(line).filter(|_| !is_code) {
            Some(text) => sections.push(Section { heading: Some(text), body: end..end }),
            None => {
                if let Some(section) = sections.last_mut() {
                    section.body.end = end;
                }
            }
        }
    }
    sections
}

/// The text of a heading of the first three levels.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let is_heading = (1..=3).contains(&level) && text.starts_with([' ', '\t', '\n']);
    is_heading.then(|| text.trim().trim_end_matches('#').trim_end())
}

/// Lower-case letters and digits, with hyphens for all else: `How long?` is `how-long`.
fn slug(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "section".to_owned() } else { words.join("-") }
}

/// `body` in one piece, or in several of at most [`MAX_WORDS`]; none if it has no words.
fn cut_long(body: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut end, mut n_words) = (0, 0, 0);
    for piece in pieces(body, &CUTS) {
        let n = count_words(piece);
        if n_words > 0 && n_words + n > MAX_WORDS {
            parts.push(&body[start..end]);
            (start, n_words) = (end, 0);
        }
        end += piece.len();
        n_words += n;
    }
    parts.push(&body[start..end]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Consecutive pieces of `text`, each short enough or without a place to split.
fn pieces<'a>(text: &'a str, cuts: &[&str]) -> Vec<&'a str> {
    match cuts {
        [cut, finer @ ..] if count_words(text) > MAX_WORDS => {
            text.split_inclusive(cut).flat_map(|piece| pieces(piece, finer)).collect()
        }
        _ => vec![text],
    }
}

fn count_words(text: &str) -> usize {
    text.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn article(text: &str) -> Article {
        Article { id: "returns".to_owned(), title: "Returns and refunds".to_owned(), text: text.to_owned() }
    }

    fn cut(text: &str) -> Vec<Passage> {
        passages(&[article(text)])
    }

    fn ids(passages: &[Passage]) -> Vec<&str> {
        passages.iter().map(|p| p.id.as_str()).collect()
    }

    #[test]
    fn every_section_is_a_passage_with_its_own_words() {
        let found = cut("# Sending things back\nIn short.\n\n## How long?\n30 days.\n\n### Sale items ###\n\
             14 days.\n#### Shoes\n7 days.\n");
        let expected = [
            ("returns#sending-things-back", "Sending things back", "In short."),
            ("returns#how-long", "How long?", "30 days."),
            ("returns#sale-items", "Sale items", "14 days.\n#### Shoes\n7 days."),
        ];
        assert_eq!(found.len(), expected.len());
        for (passage, (id, title, text)) in found.iter().zip(expected) {
            assert_eq!((passage.id.as_str(), passage.title.as_str()), (id, title));
            assert_eq!(passage.text, text);
            assert_eq!(passage.article, "returns");
        }
    }

    #[test]
    fn what_precedes_all_headings_is_the_overview() {
        let found = cut("In short.\r\n\r\n## More\r\nWords.");
        assert_eq!(ids(&found), ["returns#overview", "returns#more"]);
        assert_eq!(found[0].title, "Returns and refunds");
    }

    #[test]
    fn empty_sections_give_no_passage() {
        assert_eq!(ids(&cut("# Title\n\n## Group\n### Part\nWords.")), ["returns#part"]);
        assert!(cut("").is_empty());
    }

    #[test]
    fn a_hash_without_a_space_or_in_code_is_no_heading() {
        let found = cut("#W2611340 is an order\n```\n# comment\n```\nend");
        assert_eq!(ids(&found), ["returns#overview"]);
    }

    #[test]
    fn equal_headings_get_numbers() {
        let found = cut("## Fees\na\n## Fees 2\nb\n## Fees!\nc\n## ?\nd");
        let expected = ["returns#fees", "returns#fees-2", "returns#fees-3", "returns#section"];
        assert_eq!(ids(&found), expected);
    }

    #[rstest]
    #[case::paragraphs("\n\n")]
    #[case::lines("\n")]
    #[case::sentences(" ")]
    fn long_sections_are_cut_between(#[case] separator: &str) {
        let sentence = format!("{}end.", "word ".repeat(49));
        let text = vec![sentence.clone(); 5].join(separator);
        let found = cut(&format!("## Long\n{text}"));
        assert_eq!(ids(&found), ["returns#long", "returns#long-2", "returns#long-3"]);
        assert_eq!(found[0].text, [sentence.as_str(), &sentence].join(separator));
        assert_eq!(found[2].text, sentence);
        assert!(found.iter().all(|p| p.title == "Long"));
    }

    /// Lines of markdown: headings of all levels, list items, long and short sentences, blanks.
    fn markdown() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "#{1,5} [a-z?!]{0,8}( [a-z]{1,5})?",
            "- [a-z]{1,6} [a-z]{1,6}",
            "([a-zäß]{1,7} ){0,60}[a-z]{1,3}\\.",
            Just(String::new()),
            Just("```".to_owned()),
        ];
        prop::collection::vec(line, 0..40).prop_map(|lines| lines.join("\n"))
    }

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    proptest! {
        #[test]
        fn no_word_is_lost_or_moved(text in markdown()) {
            let body: Vec<&str> = sections(&text)
                .into_iter()
                .flat_map(|section| words(&text[section.body]))
                .collect();
            let headings = sections(&text)
                .into_iter()
                .filter_map(|section| section.heading)
                .map(|heading| words(heading).len())
                .sum::<usize>();
            let found = cut(&text);
            prop_assert_eq!(&found.iter().flat_map(|p| words(&p.text)).collect::<Vec<_>>(), &body);
            // Only the headings' words, and the marks before them, are not in the body.
            let n_marks = sections(&text).len() - 1;
            prop_assert_eq!(words(&text).len(), body.len() + headings + n_marks);
        }

        #[test]
        fn ids_are_unique_and_name_their_article(texts in prop::collection::vec(markdown(), 1..4)) {
            let articles: Vec<Article> = texts
                .iter()
                .enumerate()
                .map(|(i, text)| Article { id: format!("a{}", i % 2), ..article(text) })
                .collect();
            let found = passages(&articles);
            let unique: HashSet<&str> = found.iter().map(|p| p.id.as_str()).collect();
            prop_assert_eq!(unique.len(), found.len());
            for passage in &found {
                let prefix = format!("{}#", passage.article);
                prop_assert!(passage.id.starts_with(&prefix));
            }
        }

        #[test]
        fn passages_are_short_where_they_can_be(text in markdown()) {
            // Every generated sentence has fewer words than a passage may have.
            for passage in cut(&text) {
                prop_assert!(count_words(&passage.text) <= MAX_WORDS);
            }
        }
    }
}
