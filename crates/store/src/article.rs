//! Knowledge articles.

use super::ArticleId;

/// A knowledge article: what the shop tells its customers about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Its file's name, such as `returns`.
    pub id: ArticleId,
    /// Its first `#` heading.
    pub title: String,
    /// The whole article in Markdown, heading included.
    pub text: String,
}

impl Article {
    /// Reads an article of this id. Without a `#` heading, the id serves as the title.
    #[must_use]
    pub fn from_markdown(id: ArticleId, text: String) -> Self {
        let heading = text
            .lines()
            .find_map(|line| line.strip_prefix("# "))
            .map(str::trim)
            .filter(|title| !title.is_empty());
        let title = heading.unwrap_or(id.as_str()).to_owned();
        Self { id, title, text }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first("# Sending back\n\n## When\n", "Sending back")]
    #[case::after_text("Draft.\n\n#  Sending back \n\n# Other\n", "Sending back")]
    #[case::only_sections("## When\n\nWithin 30 days.\n", "returns")]
    #[case::blank("#  \n", "returns")]
    fn the_first_heading_is_the_title(#[case] text: &str, #[case] title: &str) {
        let id = ArticleId::new("returns").unwrap();
        let article = Article::from_markdown(id, text.to_owned());
        assert_eq!(article.title, title);
        assert_eq!(article.text, text);
    }
}
