//! A sequence's logits do not depend on how its tokens were cut, placed or accompanied: bit for bit,
//! whatever the weights are stored in.

use candle_core::{DType, quantized::GgmlDType};
use rstest::rstest;
use tier0::model::{BlockId, Decoder, SequenceSlice, TokenId};

use super::files::{
    Architecture, Recipe, Session, TinyFile, bits, blocks_in_order, random_tokens, relative_error,
};

/// What the products read, with a model that it fits.
fn stored() -> Vec<(Recipe, GgmlDType)> {
    vec![
        (gemma(), GgmlDType::F32),
        (gemma(), GgmlDType::Q8_0),
        (qwen(), GgmlDType::Q4_0),
        (qwen(), GgmlDType::Q4_1),
        (qwen(), GgmlDType::Q5_0),
        (qwen(), GgmlDType::Q5_1),
        (wide(), GgmlDType::Q8_0),
        (wide(), GgmlDType::Q4K),
        (wide(), GgmlDType::Q5K),
        (wide(), GgmlDType::Q6K),
    ]
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

#[test]
fn a_prompt_in_chunks_equals_the_whole() {
    for (recipe, dtype) in stored() {
        let decoder = decoder(&recipe, dtype);
        let tokens = random_tokens(23, recipe.n_vocab, 11);
        let blocks = blocks_in_order(6);
        let whole = Session::new(&decoder, DType::BF16).chunks(&tokens, &blocks, &[23]);
        for lens in [&[12, 11][..], &[3, 4, 9, 7], &[5, 17, 1], &[1; 23]] {
            let chunked = Session::new(&decoder, DType::BF16).chunks(&tokens, &blocks, lens);
            assert_eq!(bits(&chunked[chunked.len() - 1..]), bits(&whole), "{dtype:?} in {lens:?}");
        }
    }
}

/// A prompt, a sequence in its middle and one that decodes share a step.
#[test]
fn a_sequence_among_others_equals_its_solo_run() {
    for (recipe, dtype) in stored() {
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
        assert_eq!(bits(&together), bits(&alone), "{dtype:?}");
    }
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
    assert_eq!(bits(&scattered), bits(&in_a_row));
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
    for (rough, fine) in rough.iter().zip(&fine) {
        let fine: Vec<f64> = fine.iter().map(|x| f64::from(*x)).collect();
        let error = relative_error(rough, &fine);
        assert!(error < 0.02, "off by {error}");
    }
}
