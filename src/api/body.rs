//! Reads a request's body: JSON of any shape first, then its fields by name.

use axum::{
    body::Bytes,
    extract::{FromRequest, OptionalFromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;

/// A request's body: a JSON object whose fields are not checked yet.
#[derive(Debug)]
pub(super) struct JsonBody(Value);

impl JsonBody {
    /// Deserialises the fields of `T`; other fields are ignored.
    ///
    /// # Errors
    /// 400 naming the field whose value is of the wrong type.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        serde_path_to_error::deserialize(&self.0).map_err(|error| {
            let path = error.path().to_string();
            let reason = error.into_inner();
            ApiError::invalid_param(&path, format!("the value of `{path}` is wrong: {reason}"))
        })
    }
}

impl TryFrom<Value> for JsonBody {
    type Error = ApiError;

    fn try_from(value: Value) -> Result<Self, ApiError> {
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err(ApiError::invalid("the body must be a JSON object"))
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        parse(&read_to_end(request, state).await?)
    }
}

/// For handlers whose body is optional.
impl<S: Send + Sync> OptionalFromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let headers = request.headers().clone();
        let bytes = read_to_end(request, state).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        require_json(&headers)?;
        parse(&bytes).map(Some)
    }
}

async fn read_to_end<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is longer than this server reads (server.max_body_bytes)",
        ),
        _ => ApiError::invalid("the body could not be read to its end"),
    })
}

fn parse(bytes: &[u8]) -> Result<JsonBody, ApiError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not valid JSON: {error}")))?;
    value.try_into()
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::refused(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the content type is {content_type:?}, but must be \"application/json\""),
    ))
}

/// The value of a required field, which must not be null.
///
/// # Errors
/// 400 naming the field.
pub(super) fn required<T>(param: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| {
        ApiError::invalid_param(param, format!("`{param}` is missing"))
            .with_code("missing_required_parameter")
    })
}
