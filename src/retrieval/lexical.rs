//! BM25 over titles and texts, in memory, with English stemming.
//!
//! Indexing a store's passages takes milliseconds, so the index is made at every start and is
//! never stale. Queries are built term by term: a customer's text never meets a query parser.

use std::collections::BTreeSet;

use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
    TokenizerManager,
};
use tantivy::{Index, IndexReader, TantivyDocument, Term};

use super::{Passage, Scored};

/// Name under which [`analyzer`] is registered with the index.
const ANALYZER: &str = "english";

/// Weight of the title: its words say more about a passage than those of its text.
const TITLE_BOOST: f32 = 2.0;

/// Longest token that is indexed; longer ones are not words.
const MAX_TOKEN_BYTES: usize = 40;

/// Most different words of a query; the rest of it is ignored.
const MAX_QUERY_TERMS: usize = 256;

/// Memory of tantivy's writer, which needs at least 15 MB.
const WRITER_BYTES: usize = 20_000_000;

/// The full-text index of passages.
pub(super) struct Lexical {
    reader: IndexReader,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    title: Field,
    text: Field,
    /// Index of the passage in the indexed list.
    position: Field,
}

impl Lexical {
    /// Indexes `passages`; hits refer to them by their index.
    pub(super) fn build(passages: &[Passage]) -> tantivy::Result<Self> {
        let (schema, fields) = schema();
        let builder = Index::builder().schema(schema);
        let tokenizers = TokenizerManager::default();
        tokenizers.register(ANALYZER, analyzer());
        let mut writer = builder
            .tokenizers(tokenizers)
            .single_segment_index_writer(RamDirectory::create(), WRITER_BYTES)?;
        for (position, passage) in (0u64..).zip(passages) {
            let mut document = TantivyDocument::default();
            document.add_text(fields.title, &passage.title);
            document.add_text(fields.text, &passage.text);
            document.add_u64(fields.position, position);
            writer.add_document(document)?;
        }
        let reader = writer.finalize()?.reader()?;
        Ok(Self { reader, fields })
    }

    /// The `n` passages whose words match `query` best, with their BM25 scores, best first; ties in the
    /// passages' order. Empty if no word occurs.
    pub(super) fn search(&self, query: &str, n: usize) -> tantivy::Result<Vec<Scored>> {
        let clauses = self.clauses(query);
        if clauses.is_empty() || n == 0 {
            return Ok(Vec::new());
        }
        let searcher = self.reader.searcher();
        // Ties go to the lower document, which is the earlier passage.
        let collector = TopDocs::with_limit(n).order_by_score();
        let found = searcher.search(&BooleanQuery::new(clauses), &collector)?;
        let mut scored = Vec::with_capacity(found.len());
        for (score, address) in found {
            let positions = searcher.segment_reader(address.segment_ord).fast_fields().u64("position")?;
            if let Some(position) = positions.first(address.doc_id) {
                scored.push((position as usize, score));
            }
        }
        Ok(scored)
    }

    /// A query for any of the terms, in title or text.
    fn clauses(&self, query: &str) -> Vec<(Occur, Box<dyn Query>)> {
        let clause = |field, term: &str, boost| -> (Occur, Box<dyn Query>) {
            let term = Term::from_field_text(field, term);
            let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(query), boost)))
        };
        query_terms(query)
            .iter()
            .flat_map(|term| {
                [clause(self.fields.title, term, TITLE_BOOST), clause(self.fields.text, term, 1.0)]
            })
            .collect()
    }
}

fn schema() -> (Schema, Fields) {
    let indexing =
        TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
    let text_options = TextOptions::default().set_indexing_options(indexing);
    let mut schema = Schema::builder();
    let fields = Fields {
        title: schema.add_text_field("title", text_options.clone()),
        text: schema.add_text_field("text", text_options),
        position: schema.add_u64_field("position", NumericOptions::from(FAST)),
    };
    (schema.build(), fields)
}

/// Splits text into lower-case, stemmed words without stop words ("the", "is"); the same for passages and
/// queries.
fn analyzer() -> TextAnalyzer {
    let stop_words = STOP_WORDS.split_whitespace().map(str::to_owned);
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(MAX_TOKEN_BYTES))
        .filter(LowerCaser)
        .filter(StopWordFilter::remove(stop_words))
        .filter(Stemmer::new(Language::English))
        .build()
}

/// Stop words: articles, pronouns, prepositions, auxiliaries and question words, and the rest of "I'll"
/// after tokenisation.
const STOP_WORDS: &str = "a about am an and any are as at be been but by can could d did do does \
    for from get got had has have hello hi how i if in into is it its just let ll m may me might \
    must my need of on or our please re s should so some t than thanks that the their them then \
    there these they this those to ve want was we were what when where which who why will with \
    would you your";

fn query_terms(query: &str) -> BTreeSet<String> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(query);
    let mut terms = BTreeSet::new();
    while terms.len() < MAX_QUERY_TERMS && stream.advance() {
        terms.insert(stream.token().text.clone());
    }
    terms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passage(title: &str, text: &str) -> Passage {
        Passage {
            id: format!("a#{}", title.to_lowercase()),
            article: "a".to_owned(),
            title: title.to_owned(),
            text: text.to_owned(),
        }
    }

    fn index() -> Lexical {
        Lexical::build(&[
            passage("Returns", "Send unworn shoes back within thirty days."),
            passage("Shipping", "Parcels leave the warehouse on the next working day."),
            passage("Cancelling", "Before it ships, an order can be called off for free."),
            passage("Gift cards", "Balances never expire. Shipping of printed cards is free."),
        ])
        .unwrap()
    }

    fn found(query: &str) -> Vec<usize> {
        index().search(query, 10).unwrap().iter().map(|(p, _)| *p).collect()
    }

    #[test]
    fn the_passage_with_the_words_is_found() {
        assert_eq!(found("warehouse"), [1]);
        assert_eq!(found("When does my balance expire?"), [3]);
    }

    #[test]
    fn word_forms_and_case_do_not_matter() {
        assert_eq!(found("CANCELLED"), [2]);
        assert_eq!(found("returning a shoe")[0], 0);
    }

    #[test]
    fn a_word_in_the_title_counts_more() {
        assert_eq!(found("shipping")[0], 1);
    }

    #[test]
    fn scores_fall_and_no_more_come_than_asked_for() {
        let hits = index().search("free shipping of shoes and cards", 2).unwrap();
        assert_eq!(hits.len(), 2);
        assert!(hits[0].1 >= hits[1].1 && hits[1].1 > 0.0);
    }

    #[test]
    fn queries_without_words_find_nothing() {
        for query in ["", "   ", "?!…", "the of and", "zzzunheardof"] {
            assert!(found(query).is_empty(), "{query:?}");
        }
    }

    #[test]
    fn no_passages_no_hits() {
        assert!(Lexical::build(&[]).unwrap().search("returns", 3).unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_a_customer_types_is_no_syntax(noise in "[\\PC\"():+\\-*^~\\[\\]{}\\\\/]{0,40}") {
            let index = index();
            index.search(&noise, 3).unwrap();
            let hits = index.search(&format!("warehouse {noise}"), 4).unwrap();
            prop_assert!(hits.iter().any(|(p, _)| *p == 1));
        }
    }
}
