//! Finds the passages of the store's articles that a question is about: BM25 and vectors, fused by rank.
