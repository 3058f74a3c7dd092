//! The network on the CPU: embeddings, then layers.

use half::bf16;
use tier0_kernels::{DenseRows, pool};

use super::layer::{Layer, Norm};

/// Tokens that one task of the thread pool looks up.
const TOKENS_PER_TASK: usize = 32;

/// The weights of a BERT encoder.
pub(super) struct Encoder {
    pub(super) embeddings: Embeddings,
    pub(super) layers: Vec<Layer>,
}

/// The embeddings of tokens and of positions, before the first layer.
pub(super) struct Embeddings {
    /// `[vocab_size, hidden_size]`.
    pub(super) words: Vec<bf16>,
    /// `[max_position_embeddings, hidden_size]`.
    pub(super) positions: Vec<f32>,
    pub(super) norm: Norm,
}

/// The activations between the layers; their memory is reused from batch to batch.
#[derive(Default)]
pub(super) struct Buffers {
    /// `[n_tokens, hidden_size]`.
    pub(super) hidden: Vec<f32>,
    /// `[n_tokens, 3, hidden_size]`.
    pub(super) qkv: Vec<f32>,
    /// The attention output, `[n_tokens, hidden_size]`.
    pub(super) context: Vec<f32>,
    /// `[n_tokens, hidden_size]`, laid out for a product.
    pub(super) rows: DenseRows,
    /// `[n_tokens, intermediate_size]`, laid out for a product.
    pub(super) inner: DenseRows,
}

impl Encoder {
    /// Runs the sequences of token ids, each by itself; the result is in `buffers.hidden`, all tokens of
    /// all sequences in order. Ids are below the size of the vocabulary, sequences no longer than there
    /// are positions.
    pub(super) fn run(&self, sequences: &[Vec<u32>], buffers: &mut Buffers) {
        self.embeddings.look_up(sequences, &mut buffers.hidden);
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        for layer in &self.layers {
            layer.run(&lengths, buffers);
        }
    }
}

impl Embeddings {
    fn look_up(&self, sequences: &[Vec<u32>], hidden: &mut Vec<f32>) {
        let size = self.norm.weight.len();
        let tokens: Vec<(usize, u32)> =
            sequences.iter().flat_map(|ids| ids.iter().copied().enumerate()).collect();
        hidden.resize(tokens.len() * size, 0.0);
        pool::global().run_chunks(hidden, TOKENS_PER_TASK * size, &|task, hidden| {
            let tokens = &tokens[task * TOKENS_PER_TASK..];
            for ((position, id), out) in tokens.iter().zip(hidden.chunks_exact_mut(size)) {
                let word = &self.words[*id as usize * size..][..size];
                let place = &self.positions[position * size..][..size];
                for ((out, word), place) in out.iter_mut().zip(word).zip(place) {
                    *out = word.to_f32() + place;
                }
            }
        });
        self.norm.apply(hidden);
    }
}

impl Buffers {
    /// The mean of each sequence's tokens after [`Encoder::run`], `[size]`, the hidden size.
    pub(super) fn pooled<'a>(
        &'a self,
        sequences: &'a [Vec<u32>],
        size: usize,
    ) -> impl Iterator<Item = Vec<f32>> + 'a {
        let mut rest = self.hidden.as_slice();
        sequences.iter().map(move |ids| {
            let (tokens, after) = rest.split_at(ids.len() * size);
            rest = after;
            mean(tokens, size)
        })
    }
}

/// The mean of the rows of `tokens`, `[n_tokens, size]`; zero where there are none.
fn mean(tokens: &[f32], size: usize) -> Vec<f32> {
    let mut mean = vec![0f32; size];
    for token in tokens.chunks_exact(size) {
        mean.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
    }
    let inverse = size as f32 / tokens.len().max(1) as f32;
    mean.iter_mut().for_each(|sum| *sum *= inverse);
    mean
}
