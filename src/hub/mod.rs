//! Where models come from: manifests, downloads, checks.
