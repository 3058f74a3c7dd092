//! The room as its callers see it, with a pip and a hub of our own.
mod hub_source;
mod local_files;
mod pip_source;
mod world;
