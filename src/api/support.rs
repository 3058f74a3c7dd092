//! The model `support`: a chat completion whose answer comes from the ticket pipeline.
//!
//! Sampling fields of the request are checked but not used: the pipeline decides how a reply is written.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};

use super::{
    AppState, SUPPORT_MODEL,
    error::ApiError,
    metrics,
    openai::{ChatChoice, ChatDelta, Completion, Head, WholeChoice},
    params::Params,
    sse::{self, Chunks, Ending},
};
use crate::engine::FinishReason;
use crate::model::chat::{Message, Role};
use crate::support::{Answer, Channel, SupportError, Ticket};

/// Makes a ticket from the conversation and the helpdesk's metadata about the sender.
///
/// An empty value counts as absent, because helpdesks fill templates.
///
/// # Errors
/// 400 naming the metadata key that cannot be read, or when there is no user message.
pub(super) fn ticket(
    messages: Vec<Message>,
    mut metadata: BTreeMap<String, String>,
) -> Result<Ticket, ApiError> {
    if !messages.iter().any(|message| message.role == Role::User) {
        return Err(SupportError::NoUserMessage.into());
    }
    let mut take = |key: &str| metadata.remove(key).filter(|value| !value.is_empty());
    let ticket = Ticket {
        id: take("ticket_id"),
        channel: channel(take("channel").as_deref())?,
        subject: take("subject"),
        messages,
        customer_email: take("customer_email"),
        customer_verified: verified(take("customer_verified").as_deref())?,
    };
    if ticket.customer_verified && ticket.customer_email.is_none() {
        return Err(ApiError::invalid_param(
            "metadata.customer_email",
            "`customer_verified` is \"true\", but `customer_email` does not say who is verified",
        ));
    }
    Ok(ticket)
}

fn channel(value: Option<&str>) -> Result<Channel, ApiError> {
    match value {
        None => Ok(Channel::default()),
        Some("chat") => Ok(Channel::Chat),
        Some("email") => Ok(Channel::Email),
        Some(other) => Err(ApiError::invalid_param(
            "metadata.channel",
            format!("`channel` is {other:?}, but must be \"chat\" or \"email\""),
        )),
    }
}

/// Whether the sender is verified: only by the exact word "true".
fn verified(value: Option<&str>) -> Result<bool, ApiError> {
    match value {
        Some("true") => Ok(true),
        None | Some("false") => Ok(false),
        Some(other) => Err(ApiError::invalid_param(
            "metadata.customer_verified",
            format!("`customer_verified` is {other:?}, but must be \"true\" or \"false\""),
        )),
    }
}

/// Answers a ticket as `params` say: whole, or as a stream that begins once the answer exists.
///
/// # Errors
/// The pipeline's error; in a stream it is an event instead.
pub(super) async fn answer(
    state: Arc<AppState>,
    ticket: Ticket,
    params: &Params,
) -> Result<Response, ApiError> {
    if params.n_logprobs.is_some() {
        let message = "the model \"support\" tells no log probabilities; leave `logprobs` out";
        return Err(ApiError::unsupported("logprobs", message));
    }
    if params.stream {
        return Ok(streamed(state, ticket, params.include_usage));
    }
    let Answer { content, report, usage, .. } = process(&state, &ticket).await?;
    let completion = Completion {
        head: Head::new::<ChatChoice>(SUPPORT_MODEL),
        choices: vec![ChatChoice::whole(content, None, FinishReason::Stop)],
        usage: Some(Some(usage.into())),
        support: Some(report),
    };
    Ok(Json(completion).into_response())
}

async fn process(state: &AppState, ticket: &Ticket) -> Result<Answer, ApiError> {
    let answer = state.support.answer(ticket).await?;
    metrics::count_ticket(&state.metrics, &answer.report);
    metrics::count_tokens(&state.metrics, SUPPORT_MODEL, answer.usage);
    Ok(answer)
}

/// Streams the answer once it is verified. Until then the client gets keep-alive comments only.
fn streamed(state: Arc<AppState>, ticket: Ticket, include_usage: bool) -> Response {
    let keep_alive = state.keep_alive();
    let events = stream::once(async move {
        let chunks = Chunks::<ChatDelta>::new(SUPPORT_MODEL, include_usage);
        match process(&state, &ticket).await {
            Ok(answer) => events(&chunks, answer),
            Err(error) => vec![sse::error(&error)],
        }
    });
    sse::respond(events.flat_map(stream::iter), keep_alive)
}

fn events(chunks: &Chunks<ChatDelta>, answer: Answer) -> Vec<axum::response::sse::Event> {
    let Answer { content, report, usage, .. } = answer;
    let words = content.split_inclusive(char::is_whitespace);
    let end = Ending { reason: FinishReason::Stop, tokens: None, usage, support: Some(report) };
    chunks
        .opening()
        .into_iter()
        .chain(words.map(|word| chunks.piece(word, None)))
        .chain(chunks.end(end))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(metadata: &[(&str, &str)]) -> Result<Ticket, ApiError> {
        let question = Message { role: Role::User, content: "Where is it?".to_owned() };
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        ticket(vec![question], metadata.iter().map(own).collect())
    }

    #[test]
    fn a_sender_counts_as_unverified_until_the_helpdesk_says_otherwise() {
        let ticket = read(&[("customer_email", "ada@example.com"), ("subject", "")]).unwrap();
        assert!(!ticket.customer_verified);
        assert_eq!(ticket.channel, Channel::Chat);
        assert_eq!(ticket.subject, None);

        let ticket = read(&[
            ("customer_email", "ada@example.com"),
            ("customer_verified", "true"),
            ("channel", "email"),
            ("ticket_id", "T-1"),
            ("another_key", "ignored"),
        ])
        .unwrap();
        assert!(ticket.customer_verified);
        assert_eq!(ticket.channel, Channel::Email);
        assert_eq!(ticket.id.as_deref(), Some("T-1"));
    }

    #[rstest]
    #[case("customer_verified", "True")]
    #[case("customer_verified", "yes")]
    #[case("customer_verified", "1")]
    #[case("customer_verified", " true")]
    #[case("channel", "fax")]
    fn values_that_are_not_exact_are_refused(#[case] key: &str, #[case] value: &str) {
        let error = read(&[("customer_email", "ada@example.com"), (key, value)]).unwrap_err();
        let body = serde_json::to_value(error.body()).unwrap();
        assert_eq!(body["error"]["param"], format!("metadata.{key}"));
    }

    #[test]
    fn nobody_is_verified_without_an_address() {
        assert!(read(&[("customer_verified", "true")]).is_err());
        assert!(read(&[("customer_verified", "true"), ("customer_email", "")]).is_err());
    }
}
