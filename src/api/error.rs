//! The one place where failures become HTTP statuses and OpenAI error objects.
//!
//! An error that the client can correct is sent in full; any other is logged, and the client gets a
//! reference to the log.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::actions::{ActionError, NotDone};
use crate::engine::EngineError;
use crate::support::SupportError;

/// Seconds after which a client may try again when the queue was full.
const RETRY_AFTER_S: u16 = 5;

/// A refusal or a failure, in the shape that OpenAI's clients read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

/// The body of an error answer, and of an error event in a stream.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl ApiError {
    /// The request is wrong: `message` says what to change.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, message)
    }

    /// The request is wrong at `param`.
    pub(super) fn invalid_param(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::invalid(message) }
    }

    /// The request has an unsupported value at `param`.
    pub(super) fn unsupported(param: &str, message: impl Into<String>) -> Self {
        Self::invalid_param(param, message).with_code("unsupported_parameter")
    }

    /// The request is refused with this status.
    pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, kind: "invalid_request_error", message: message.into(), param: None, code: None }
    }

    /// The model is not among `served`.
    pub(super) fn unknown_model(model: &str, served: &[&str]) -> Self {
        let served = served.join(", ");
        Self {
            param: Some("model".to_owned()),
            ..Self::refused(
                StatusCode::NOT_FOUND,
                format!("the model {model:?} is not served here; served are: {served}"),
            )
        }
        .with_code("model_not_found")
    }

    /// An error that the client cannot correct. `cause` goes to the log only.
    pub(super) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request failed");
        let message = "the server failed to answer; its log says why, under the x-request-id \
                       of this answer";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "server_error", ..Self::invalid(message) }
    }

    /// Adds the code by which programs distinguish errors.
    pub(super) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The error object to send.
    pub(super) fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            error: ErrorObject {
                message: &self.message,
                kind: self.kind,
                param: self.param.as_deref(),
                code: self.code,
            },
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::PromptTooLong { .. } => Self::invalid(message).with_code("context_length_exceeded"),
            EngineError::EmptyPrompt => Self::invalid(message).with_code("empty_prompt"),
            EngineError::Template { .. } => Self::invalid_param("messages", message),
            EngineError::ExceedsCapacity { .. } => Self::invalid_param("max_tokens", message),
            EngineError::Grammar { .. } => Self::invalid_param("response_format", message),
            EngineError::QueueFull { .. } => {
                Self { kind: "rate_limit_error", ..Self::refused(StatusCode::TOO_MANY_REQUESTS, message) }
                    .with_code("queue_full")
            }
            EngineError::Stopped => {
                Self { kind: "server_error", ..Self::refused(StatusCode::SERVICE_UNAVAILABLE, message) }
                    .with_code("shutting_down")
            }
            EngineError::Model(_) => Self::internal(&error),
        }
    }
}

impl From<SupportError> for ApiError {
    fn from(error: SupportError) -> Self {
        match error {
            SupportError::NoUserMessage => Self::invalid_param("messages", error.to_string()),
            SupportError::Engine(error) => error.into(),
            SupportError::Store(_) | SupportError::Stage { .. } => Self::internal(&error),
        }
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let message = error.to_string();
        let (status, code) = match &error {
            ActionError::UnknownToken => (StatusCode::NOT_FOUND, "unknown_action_token"),
            ActionError::NotDone { reason, .. } => match reason {
                NotDone::Expired { .. } => (StatusCode::GONE, "action_expired"),
                NotDone::WrongCustomer { .. } => (StatusCode::FORBIDDEN, "wrong_customer"),
                NotDone::Impossible { .. } => (StatusCode::CONFLICT, "action_impossible"),
                NotDone::HookRefused { .. } => (StatusCode::CONFLICT, "action_refused"),
                NotDone::Arguments { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "action_arguments"),
                NotDone::UnknownAction => (StatusCode::NOT_IMPLEMENTED, "unknown_action"),
                NotDone::HookFailed { .. } => {
                    return Self { kind: "server_error", ..Self::refused(StatusCode::BAD_GATEWAY, message) }
                        .with_code("action_failed");
                }
                NotDone::Store(_) => return Self::internal(&error),
            },
            ActionError::Unsigned { .. } => return Self::internal(&error),
        };
        Self::refused(status, message).with_code(code)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
