//! A sequence's logits do not depend on how its tokens were cut, placed or accompanied.
//!
//! Attention, norms and RoPE work row by row, and so do candle's products with most quantised
//! weights: there the bits are the same, and with F32 weights (also F16 and BF16, which are widened
//! when they are loaded), whose product is the project's own. Q6_K is the exception: candle takes a
//! single row of it through another routine, which adds in another order. There the test asks for
//! what rounding allows.

use candle_core::{DType, quantized::GgmlDType};
use rstest::rstest;
use tier0::model::{BlockId, Decoder, SequenceSlice, TokenId};

use super::files::{
    Architecture, Recipe, Session, TinyFile, bits, blocks_in_order, random_tokens, relative_error,
};

/// How alike two runs have to be.
#[derive(Debug, Clone, Copy)]
enum Alike {
    /// Bit for bit.
    Same,
    /// Up to the order of f32 sums, after which a value may also fall to the other side of a
    /// rounding: to bf16 in the cache, to int8 before a product with quantised weights.
    Within(f64),
}

impl Alike {
    fn assert(self, got: &[Vec<f32>], wanted: &[Vec<f32>]) {
        let wide = |row: &Vec<f32>| row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let error = got.iter().zip(wanted).map(|(g, w)| relative_error(g, &wide(w))).fold(0.0, f64::max);
        match self {
            Self::Same => assert!(bits(got) == bits(wanted), "not the same bits: off by {error}"),
            Self::Within(tolerance) => assert!(error < tolerance, "off by {error}"),
        }
        assert_eq!(got.len(), wanted.len());
    }
}

fn decoder(recipe: &Recipe, dtype: GgmlDType) -> Decoder {
    TinyFile::random(recipe, dtype).load().unwrap()
}

fn gemma() -> Recipe {
    Recipe::of(Architecture::Gemma3)
}

fn qwen() -> Recipe {
    Recipe::of(Architecture::Qwen2)
}

fn wide() -> Recipe {
    qwen().in_whole_blocks()
}

fn ids(blocks: &[u32]) -> Vec<BlockId> {
    blocks.iter().copied().map(BlockId).collect()
}

#[rstest]
#[case(gemma(), GgmlDType::F32, Alike::Same)]
#[case(gemma(), GgmlDType::Q8_0, Alike::Same)]
#[case(qwen(), GgmlDType::Q4_0, Alike::Same)]
#[case(qwen(), GgmlDType::Q5_1, Alike::Same)]
#[case(wide(), GgmlDType::Q8_0, Alike::Same)]
#[case(wide(), GgmlDType::Q4K, Alike::Same)]
#[case(wide(), GgmlDType::Q5K, Alike::Same)]
#[case(wide(), GgmlDType::Q6K, Alike::Within(0.03))]
fn a_prompt_in_chunks_equals_the_whole(
    #[case] recipe: Recipe,
    #[case] dtype: GgmlDType,
    #[case] alike: Alike,
) {
    let decoder = decoder(&recipe, dtype);
    let tokens = random_tokens(23, recipe.n_vocab, 11);
    let blocks = blocks_in_order(6);
    let whole = Session::new(&decoder, DType::BF16).chunks(&tokens, &blocks, &[23]);
    for lens in [&[12, 11][..], &[3, 4, 9, 7], &[5, 17, 1], &[1; 23]] {
        let chunked = Session::new(&decoder, DType::BF16).chunks(&tokens, &blocks, lens);
        alike.assert(&chunked[chunked.len() - 1..], &whole);
    }
}

/// The output projection sees the one sampled row in every case.
#[test]
fn chunks_of_several_tokens_equal_the_whole_in_q6_k_too() {
    let recipe = wide();
    let decoder = decoder(&recipe, GgmlDType::Q6K);
    let tokens = random_tokens(23, recipe.n_vocab, 11);
    let blocks = blocks_in_order(6);
    let whole = Session::new(&decoder, DType::BF16).chunks(&tokens, &blocks, &[23]);
    for lens in [&[12, 11][..], &[3, 4, 9, 7], &[2, 19, 2]] {
        let chunked = Session::new(&decoder, DType::BF16).chunks(&tokens, &blocks, lens);
        Alike::Same.assert(&chunked[chunked.len() - 1..], &whole);
    }
}

/// A prompt, a sequence in its middle and one that decodes share a step.
#[rstest]
#[case(gemma(), GgmlDType::F32, Alike::Same)]
#[case(gemma(), GgmlDType::Q8_0, Alike::Same)]
#[case(qwen(), GgmlDType::Q4_0, Alike::Same)]
#[case(qwen(), GgmlDType::Q5_1, Alike::Same)]
#[case(wide(), GgmlDType::Q8_0, Alike::Same)]
#[case(wide(), GgmlDType::Q4K, Alike::Same)]
#[case(wide(), GgmlDType::Q5K, Alike::Same)]
#[case(wide(), GgmlDType::Q6K, Alike::Within(0.03))]
fn a_sequence_among_others_equals_its_solo_run(
    #[case] recipe: Recipe,
    #[case] dtype: GgmlDType,
    #[case] alike: Alike,
) {
    let decoder = decoder(&recipe, dtype);
    let prompts: Vec<Vec<TokenId>> =
        [(10, 1), (14, 2), (13, 3)].map(|(n, seed)| random_tokens(n, recipe.n_vocab, seed)).into();
    let tables = [ids(&[5, 1, 9, 0]), ids(&[2, 8, 3, 7]), ids(&[4, 10, 6, 11])];
    // So many tokens are cached before the step: all the second but five, all the third but one.
    let cached = [0, 9, 12];

    let alone: Vec<Vec<f32>> = (0..3)
        .flat_map(|i| {
            let lens: Vec<usize> =
                [cached[i], prompts[i].len() - cached[i]].into_iter().filter(|n| *n > 0).collect();
            Session::new(&decoder, DType::BF16).chunks(&prompts[i], &blocks_in_order(4), &lens).pop()
        })
        .collect();

    let mut session = Session::new(&decoder, DType::BF16);
    let slice = |i: usize, from: usize, to: usize, n_sampled| SequenceSlice {
        tokens: &prompts[i][from..to],
        offset: from,
        blocks: &tables[i],
        n_sampled,
    };
    assert!(session.step(&[slice(1, 0, 9, 0), slice(2, 0, 12, 0)]).is_empty());
    let together = session.step(&[slice(0, 0, 10, 1), slice(1, 9, 14, 1), slice(2, 12, 13, 1)]);
    alike.assert(&together, &alone);
}

#[rstest]
#[case(gemma(), GgmlDType::F32)]
#[case(gemma(), GgmlDType::Q8_0)]
#[case(wide(), GgmlDType::Q6K)]
fn scattered_blocks_equal_blocks_in_a_row(#[case] recipe: Recipe, #[case] dtype: GgmlDType) {
    let decoder = decoder(&recipe, dtype);
    let tokens = random_tokens(23, recipe.n_vocab, 5);
    let lens = [14, 1, 8];
    let mut session = Session::new(&decoder, DType::BF16);
    let in_a_row = session.chunks(&tokens, &blocks_in_order(6), &lens);
    // The second run also meets what the first left in the cache.
    let scattered = session.chunks(&tokens, &ids(&[17, 3, 22, 1, 9, 5]), &lens);
    Alike::Same.assert(&scattered, &in_a_row);
}

/// bf16 keeps 8 bits of the keys and values: 0.4 % each at most.
#[rstest]
#[case(Recipe::of(Architecture::Llama))]
#[case(gemma())]
fn a_bf16_cache_is_close_to_an_f32_one(#[case] recipe: Recipe) {
    let decoder = decoder(&recipe, GgmlDType::F32);
    let tokens = random_tokens(23, recipe.n_vocab, 5);
    let run = |dtype| Session::new(&decoder, dtype).chunks(&tokens, &blocks_in_order(6), &[16, 1, 6]);
    let (rough, fine) = (run(DType::BF16), run(DType::F32));
    assert_ne!(rough, fine);
    Alike::Within(0.02).assert(&rough, &fine);
}
