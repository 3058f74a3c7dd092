//! What the store's articles say to a question: the passages near it, and of each the sentences that
//! are about it, for quoting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tier0_text::sentences;

use super::brief::{Brief, Statement};
use crate::{
    embed::{Embed, EmbedError},
    intent::parts,
    retrieval::{Hit, Index},
    support::{Citation, Outcome, SupportError, run_blocking, texts::English},
};

/// Sentences quoted from one passage at most, and how much further from the question than the nearest
/// one they may be.
const MAX_SENTENCES: usize = 3;
const MAX_DISTANCE: f32 = 0.15;
/// How much less similar a second passage may be to be quoted beside the first, and the sentences that
/// each gives then.
const TIE: f32 = 0.05;
const MAX_SENTENCES_OF_TWO: usize = 2;
/// Similarity of a sentence to its question from which it surely answers it.
const SURE_SIMILARITY: f32 = 0.6;
/// Sentences of a section that a citation quotes where no sentence was chosen.
const MAX_QUOTED: usize = 2;

/// The store's articles.
#[derive(Clone)]
pub(in crate::support) struct Articles {
    pub(in crate::support) index: Arc<Index>,
    /// Compares sentences with questions.
    pub(in crate::support) embed: Arc<dyn Embed>,
    /// Passages looked at for a question.
    pub(in crate::support) n_passages: usize,
    /// Similarity, −1 to 1, below which a passage does not answer a question.
    pub(in crate::support) min_similarity: f32,
    /// Passages that have been looked at, by id: questions come back to the same ones.
    pub(in crate::support) read: Arc<Mutex<HashMap<String, Arc<ReadPassage>>>>,
}

/// A passage's sentences, and the vectors of what is compared with questions.
#[derive(Debug)]
pub(in crate::support) struct ReadPassage {
    sentences: Vec<String>,
    /// One for each sentence below its headings: they say what a sentence's "it" is.
    vectors: Vec<Vec<f32>>,
    /// Of the headings alone.
    heading: Vec<f32>,
}

impl Articles {
    /// The passages nearest to `question`, best first, each with the sentences that are about it.
    ///
    /// # Errors
    /// When searching or embedding fails.
    pub(in crate::support) async fn find(&self, question: String) -> Result<Vec<PassageMatch>, SupportError> {
        let articles = self.clone();
        run_blocking("retrieve", move || articles.find_now(&question)).await
    }

    fn find_now(&self, question: &str) -> Result<Vec<PassageMatch>, SupportError> {
        let failed = |reason: String| SupportError::Stage { stage: "retrieve", reason };
        let hits = self.index.search(question, self.n_passages).map_err(|e| failed(e.to_string()))?;
        let embedded = self.embed.embed(&[question]).map_err(|e| failed(e.to_string()))?;
        let vector = embedded.first().map_or(&[][..], Vec::as_slice);
        let quoted = hits.into_iter().map(|hit| Ok(quote(vector, &*self.read(&hit)?, hit)));
        let quoted = quoted.collect::<Result<Vec<_>, EmbedError>>();
        let mut quoted = quoted.map_err(|e| failed(e.to_string()))?;
        // The searches find the neighbourhood; which section answers, sentences and headings tell best.
        quoted.sort_by(|a, b| b.similarity().total_cmp(&a.similarity()));
        Ok(quoted)
    }

    /// The passage of a hit, read once.
    fn read(&self, hit: &Hit) -> Result<Arc<ReadPassage>, EmbedError> {
        let id = &hit.passage.id;
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let sentences = sentences(&hit.passage.text);
        let place = format!("{}, {}", hit.passage.article, hit.passage.title);
        let placed = sentences.iter().map(|sentence| format!("{place}: {sentence}"));
        let texts: Vec<String> = placed.chain([place.clone()]).collect();
        let mut vectors = self.embed.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        let heading = vectors.pop().unwrap_or_default();
        let read = Arc::new(ReadPassage { sentences, vectors, heading });
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Arc::clone(&read));
        Ok(read)
    }

    /// The passages nearest to a message: to all of it, or to a question that it ends in after saying
    /// other things, whichever finds the nearer one.
    ///
    /// # Errors
    /// When searching or embedding fails.
    pub(in crate::support) async fn find_for(
        &self,
        message: &English,
    ) -> Result<Vec<PassageMatch>, SupportError> {
        let parts = parts(message.as_str());
        let whole = if parts.is_empty() { message.as_str().to_owned() } else { parts.join(" ") };
        let questions: Vec<String> =
            parts.into_iter().filter(|part| part.ends_with('?') && *part != whole).collect();
        let mut best = self.find(whole).await?;
        for question in questions {
            let found = self.find(question).await?;
            if similarity_of_best(&found) > similarity_of_best(&best) {
                best = found;
            }
        }
        Ok(best)
    }

    /// The best of what was found, if it is near enough to its question to answer it.
    pub(in crate::support) fn answer<'a>(&self, found: &'a [PassageMatch]) -> Option<&'a PassageMatch> {
        found.first().filter(|best| best.similarity() >= self.min_similarity)
    }

    /// The same, and a second passage that is about as near.
    pub(in crate::support) fn answers(&self, mut found: Vec<PassageMatch>) -> Vec<PassageMatch> {
        if self.answer(&found).is_none() {
            return Vec::new();
        }
        let least = similarity_of_best(&found) - TIE;
        found.retain(|quoted| quoted.similarity() >= least);
        found.truncate(2);
        if found.len() == 2 {
            found.iter_mut().for_each(|quoted| quoted.keep_best(MAX_SENTENCES_OF_TWO));
        }
        found
    }

    /// Fills in what the sections say that a brief only names.
    pub(in crate::support) fn quote_in(&self, brief: &mut Brief) {
        for citation in brief.citations.iter_mut().filter(|citation| citation.quote.is_empty()) {
            let passage = self.index.passages().iter().find(|passage| passage.id == citation.id);
            if let Some(passage) = passage {
                let mut quoted = sentences(&passage.text);
                quoted.truncate(MAX_QUOTED);
                citation.title.clone_from(&passage.title);
                citation.quote = quoted.join(" ");
            }
        }
    }
}

/// A passage that a reply may rest on, with the sentences that matter.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageMatch {
    /// The passage and its ranks.
    pub hit: Hit,
    /// How near the headings are to the question, −1 to 1.
    pub heading_similarity: f32,
    /// The chosen sentences, in the passage's order.
    pub sentences: Vec<SentenceMatch>,
}

/// A sentence of an article, and how near it is to the question.
#[derive(Debug, Clone, PartialEq)]
pub struct SentenceMatch {
    /// The article's own words.
    pub text: String,
    /// Cosine similarity to the question, −1 to 1.
    pub similarity: f32,
}

impl PassageMatch {
    /// How near it is to the question, −1 to 1: its best sentence, and by half as much its headings. A
    /// sentence alone is often near to questions that its section is not about.
    pub fn similarity(&self) -> f32 {
        (2.0 * self.best_similarity() + self.heading_similarity) / 3.0
    }

    /// Similarity of the best sentence; −1 where there is none.
    fn best_similarity(&self) -> f32 {
        self.sentences.iter().map(|s| s.similarity).fold(-1.0, f32::max)
    }

    /// As the reply's report names it.
    pub fn citation(&self) -> Citation {
        let passage = &self.hit.passage;
        Citation { id: passage.id.clone(), title: passage.title.clone(), quote: self.quote() }
    }

    /// Drops all but the nearest sentences.
    fn keep_best(&mut self, n_sentences: usize) {
        let mut nearest: Vec<f32> = self.sentences.iter().map(|s| s.similarity).collect();
        nearest.sort_unstable_by(|a, b| b.total_cmp(a));
        if let Some(least) = nearest.get(n_sentences.saturating_sub(1)) {
            self.sentences.retain(|s| s.similarity >= *least);
        }
    }

    /// The same with its nearest sentence alone.
    pub(in crate::support) fn best_sentence(mut self) -> Self {
        self.keep_best(1);
        self
    }

    /// How surely it answers its question, 0 to 1.
    pub(in crate::support) fn confidence(&self) -> f32 {
        (self.similarity() / SURE_SIMILARITY).clamp(0.0, 1.0)
    }

    /// The brief that quotes it, with what introduces the article's words.
    pub(in crate::support) fn brief(&self, introduction: &str, confidence: f32) -> Brief {
        let mut statements: Vec<Statement> =
            self.sentences.iter().map(|sentence| Statement::quoting(&sentence.text)).collect();
        if let Some(first) = statements.first_mut() {
            *first = first.clone().introduced_by(introduction);
        }
        Brief {
            citations: vec![self.citation()],
            ..Brief::new(Outcome::Answer, statements, confidence * self.confidence())
        }
    }

    /// The sentences, as they stand in the article.
    pub(in crate::support) fn quote(&self) -> String {
        self.sentences.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

fn similarity_of_best(found: &[PassageMatch]) -> f32 {
    found.first().map_or(-1.0, PassageMatch::similarity)
}

/// The sentences of a passage that are about a question, given as its vector.
fn quote(question: &[f32], read: &ReadPassage, hit: Hit) -> PassageMatch {
    let similarity = |vector: &Vec<f32>| question.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut ranked: Vec<(usize, f32)> = read.vectors.iter().map(similarity).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let best = ranked.first().map_or(0.0, |(_, similarity)| *similarity);
    ranked.retain(|(_, similarity)| *similarity >= best - MAX_DISTANCE);
    ranked.truncate(MAX_SENTENCES);
    ranked.sort_unstable_by_key(|(i, _)| *i);
    let sentence =
        |(i, similarity): (usize, f32)| SentenceMatch { text: read.sentences[i].clone(), similarity };
    PassageMatch {
        hit,
        heading_similarity: similarity(&read.heading),
        sentences: ranked.into_iter().map(sentence).collect(),
    }
}

#[cfg(test)]
mod tests {
    use tier0_store::demo;

    use super::*;
    use crate::{embed::testing::real_model, retrieval};

    /// The demo store's articles, searched with the default settings; `None` where the embedding model is missing.
    fn articles() -> Option<Articles> {
        let embed: Arc<dyn Embed> = real_model()?;
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let articles = demo::generate(7, today).unwrap().articles.into_iter().map(|article| {
            retrieval::Article { id: article.id.to_string(), title: article.title, text: article.text }
        });
        let passages = retrieval::passages(&articles.collect::<Vec<_>>());
        let index = Arc::new(Index::build(passages, Arc::clone(&embed)).unwrap());
        Some(Articles { index, embed, n_passages: 6, min_similarity: 0.55, read: Arc::default() })
    }

    /// Questions with the sections that answer them, and questions about which the articles are silent.
    #[test]
    fn an_article_answers_or_is_silent() {
        let Some(articles) = articles() else { return };
        let questions = include_str!("../../../examples/demo-store/questions.csv");
        let (mut n_right, mut n_silent, mut wrong) = (0, 0, Vec::new());
        for row in csv::Reader::from_reader(questions.as_bytes()).records() {
            let row = row.unwrap();
            let (question, sections) = (&row[0], &row[1]);
            let found = articles.find_now(question).unwrap();
            let quoted: Vec<String> =
                articles.answers(found).into_iter().map(|quoted| quoted.hit.passage.id.clone()).collect();
            match quoted.iter().any(|id| sections.split('|').any(|section| section == id)) {
                true => n_right += 1,
                false if quoted.is_empty() => n_silent += 1,
                false => wrong.push(format!("{quoted:?} for {question}")),
            }
        }
        println!("{n_right} right, {n_silent} to a person, {} wrong: {wrong:#?}", wrong.len());
        assert!(n_right >= 40 && wrong.len() * 20 <= n_right, "{n_right} right, wrong: {wrong:#?}");
    }
}
