//! The HTTP surface: OpenAI-compatible endpoints, errors, streaming, metrics.
