//! The configuration: defaults, `tier0.toml`, `TIER0_*` variables and flags, merged once and checked.
