//! all-MiniLM-L6-v2: a six-layer BERT whose mean-pooled, normalised output is the embedding.
//!
//! Texts are tokenised, laid out one after the other without padding, and run through the layers in
//! batches of some hundred tokens. Pooling and normalisation follow the model's card; texts longer than
//! [`MAX_TOKENS`] are cut. [`files`] reads the model's files, [`encoder`] is the network on the CPU, [`candle`] elsewhere.

mod candle;
mod encoder;
mod files;
mod layer;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use candle_core::Device;
use tier0_kernels::pool;
use tokenizers::Tokenizer;

use self::{
    candle::CandleBert,
    encoder::{Buffers, Encoder},
};
use super::{Embed, EmbedError, normalize};

/// Most tokens of a text, `[CLS]` and `[SEP]` included: the length that the model was fine-tuned for.
const MAX_TOKENS: usize = 256;
/// Tokens of a batch, unless one text alone has more: enough to keep all threads busy, few enough that
/// the activations stay in the processor's caches.
const BATCH_TOKENS: usize = 512;
/// Texts that are tokenised in one parallel call, which bounds the wait of other users of the threads.
const TEXTS_PER_CALL: usize = 32;

/// The sentence-embedding model all-MiniLM-L6-v2, or any BERT of the same file layout.
///
/// On the CPU the matrices are bf16, and no sum depends on the number of texts: a text's vector has the
/// same bits alone and in any batch. On other devices every text runs by itself, in f32.
pub struct MiniLm {
    network: Network,
    tokenizer: Tokenizer,
    dim: usize,
}

enum Network {
    Kernels {
        encoder: Encoder,
        /// The buffers that no call uses at the moment.
        buffers: Mutex<Vec<Buffers>>,
    },
    Candle(CandleBert),
}

impl MiniLm {
    /// Loads `model.safetensors`, `tokenizer.json` and `config.json` from `dir`.
    ///
    /// # Errors
    /// [`EmbedError::Load`] with the file that is missing, unreadable or not what it should be.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, EmbedError> {
        let config = files::read_config(&dir.join("config.json"))?;
        let tokenizer = files::read_tokenizer(&dir.join("tokenizer.json"), &config)?;
        let network = match device.is_cpu() {
            true => {
                let encoder = files::read_encoder(&dir.join("model.safetensors"), &config)?;
                Network::Kernels { encoder, buffers: Mutex::default() }
            }
            false => Network::Candle(CandleBert::load(dir, device)?),
        };
        Ok(Self { network, tokenizer, dim: config.hidden_size })
    }

    /// The token ids of each text.
    fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, EmbedError> {
        let mut tokenized: Vec<Result<Vec<u32>, String>> = vec![Ok(Vec::new()); texts.len()];
        for (texts, ids) in texts.chunks(TEXTS_PER_CALL).zip(tokenized.chunks_mut(TEXTS_PER_CALL)) {
            pool::global().run_chunks(ids, 1, &|i, ids| {
                let encoding = self.tokenizer.encode_fast(texts[i], true);
                ids[0] = encoding.map(|encoding| encoding.get_ids().to_vec()).map_err(|e| e.to_string());
            });
        }
        tokenized.into_iter().collect::<Result<_, _>>().map_err(EmbedError::Run)
    }
}

impl Embed for MiniLm {
    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let ids = self.tokenize(texts)?;
        let mut vectors = match &self.network {
            Network::Kernels { encoder, buffers } => {
                let free = || buffers.lock().unwrap_or_else(PoisonError::into_inner);
                let mut buffers = free().pop().unwrap_or_default();
                let mut vectors = Vec::with_capacity(texts.len());
                for batch in batches(&ids) {
                    encoder.run(batch, &mut buffers);
                    vectors.extend(buffers.pooled(batch, self.dim));
                }
                free().push(buffers);
                vectors
            }
            Network::Candle(bert) => {
                let vectors = ids.iter().map(|ids| bert.pooled(ids));
                vectors.collect::<candle_core::Result<_>>().map_err(|e| EmbedError::Run(e.to_string()))?
            }
        };
        vectors.iter_mut().for_each(|vector| normalize(vector));
        Ok(vectors)
    }
}

/// Cuts the texts into batches of at most [`BATCH_TOKENS`], at least one text each.
fn batches(ids: &[Vec<u32>]) -> impl Iterator<Item = &[Vec<u32>]> {
    let mut rest = ids;
    std::iter::from_fn(move || {
        let mut n_tokens = 0;
        let fitting = rest.iter().take_while(|ids| {
            n_tokens += ids.len();
            n_tokens <= BATCH_TOKENS
        });
        let n_texts = fitting.count().max(1);
        let (batch, after) = rest.split_at_checked(n_texts)?;
        rest = after;
        Some(batch)
    })
}
