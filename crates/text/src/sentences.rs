//! Where the sentences of a text end.

/// The sentences of a text. A markdown list's items are sentences of their own.
#[must_use]
pub fn sentences(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['-', '*', '#', '>', ' ']).replace("**", "");
        let mut start = 0;
        let ends = line.char_indices().filter(|(_, c)| matches!(c, '.' | '!' | '?')).map(|(at, _)| at + 1);
        for end in ends {
            let rest = &line[end..];
            let closed = rest.trim_start_matches(['”', '"', ')', '’']);
            let mut following = closed.chars();
            let boundary = match (following.next(), following.next()) {
                (None, _) => true,
                (Some(space), Some(next)) => space.is_whitespace() && !next.is_lowercase(),
                (Some(space), None) => space.is_whitespace(),
            };
            if boundary {
                let end = end + (rest.len() - closed.len());
                push_sentence(&mut out, &line[start..end]);
                start = end;
            }
        }
        push_sentence(&mut out, &line[start..]);
    }
    out
}

fn push_sentence(out: &mut Vec<String>, sentence: &str) {
    let sentence = sentence.trim();
    if sentence.chars().any(char::is_alphanumeric) {
        out.push(sentence.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_where_they_should() {
        let text =
            "It costs $6.95, e.g. for a lamp. “Pending” means wait. Is it?\n- One item\n\n**Two** items.";
        let expected =
            ["It costs $6.95, e.g. for a lamp.", "“Pending” means wait.", "Is it?", "One item", "Two items."];
        assert_eq!(sentences(text), expected);
    }

    proptest! {
        #[test]
        fn no_word_of_a_text_is_lost_in_its_sentences(text in "[a-zA-Z0-9 .!?\"()\n-]{0,80}") {
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&sentences(&text).join(" ")), letters(&text));
        }
    }
}
