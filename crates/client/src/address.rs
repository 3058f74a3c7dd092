//! A server's address and the key that it wants, as a user gives them.

use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};

use crate::error::ClientError;

/// The address of an endpoint such as `models` on the server at `url`, with or without `/v1` at its end.
pub(crate) fn endpoint(url: &str, name: &str) -> Result<Url, ClientError> {
    let bad = |reason: &str| ClientError::BadUrl { url: url.to_owned(), reason: reason.to_owned() };
    let mut endpoint: Url = url.trim().parse().map_err(|_| bad("it has not the form of one"))?;
    if !matches!(endpoint.scheme(), "http" | "https") {
        return Err(bad("it does not begin with http:// or https://"));
    }
    let path = endpoint.path().trim_end_matches('/');
    let path = format!("{}/v1/{name}", path.strip_suffix("/v1").unwrap_or(path));
    endpoint.set_path(&path);
    Ok(endpoint)
}

/// What every request carries.
pub(crate) fn headers(api_key: Option<&str>) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = api_key {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ClientError::BadKey)?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://localhost:8080")]
    #[case("http://localhost:8080/")]
    #[case("http://localhost:8080/v1")]
    #[case("http://localhost:8080/v1/")]
    fn the_address_may_end_with_the_version(#[case] url: &str) {
        let endpoint = endpoint(url, "chat/completions").unwrap();
        assert_eq!(endpoint.as_str(), "http://localhost:8080/v1/chat/completions");
    }

    #[test]
    fn a_path_before_the_version_is_kept() {
        let endpoint = endpoint("https://shop.example/tier0", "chat/completions").unwrap();
        assert_eq!(endpoint.as_str(), "https://shop.example/tier0/v1/chat/completions");
    }

    #[rstest]
    #[case("localhost:8080")]
    #[case("ftp://localhost")]
    #[case("http://")]
    #[case("")]
    fn what_is_no_address_is_refused_with_an_example_of_one(#[case] url: &str) {
        let message = endpoint(url, "models").unwrap_err().to_string();
        assert!(message.contains(&format!("`{url}`")), "{message}");
        assert!(message.contains("http://localhost:8080"), "{message}");
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_without_being_shown() {
        let message = headers(Some("s3cret\n")).unwrap_err().to_string();
        assert!(message.contains("key") && !message.contains("s3cret"), "{message}");
    }

    #[test]
    fn the_key_is_not_shown_when_debugging() {
        let headers = headers(Some("s3cret")).unwrap();
        assert!(!format!("{headers:?}").contains("s3cret"));
    }
}
