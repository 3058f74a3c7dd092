//! The decoder computes what the architectures' descriptions say.

use candle_core::{DType, quantized::GgmlDType};
use rstest::rstest;

use super::{
    files::{Architecture, Recipe, Session, TinyFile, blocks_in_order, random_tokens, relative_error},
    reference::Reference,
};

/// Longer than every window of the recipes; the last tokens are fed one by one.
const N_TOKENS: usize = 24;
const CHUNKS: [usize; 4] = [20, 1, 1, 2];

/// f32 sums against f64 ones.
const F32_TOLERANCE: f64 = 1e-4;

/// Activations rounded to bf16, in all products of all layers.
const BF16_TOLERANCE: f64 = 0.02;

/// The CPU's products with quantised weights round the activations to int8 as well, each block of
/// 32 or 256 by its largest value: half a per cent to one of a product's size, which adds up over
/// the seven products of a layer to the 1 to 4 % seen here. A norm, a bias or a rotation that is
/// missing is off by tens of per cent.
const QUANTISED_TOLERANCE: f64 = 0.08;

/// The largest relative error over the sampled positions.
fn error(recipe: &Recipe, described: &Recipe, dtype: GgmlDType) -> f64 {
    let file = TinyFile::random(recipe, dtype);
    let tokens = random_tokens(N_TOKENS, recipe.n_vocab, 3);
    let decoder = file.load().unwrap();
    let got = Session::new(&decoder, DType::F32).chunks(&tokens, &blocks_in_order(6), &CHUNKS);
    let ids: Vec<u32> = tokens.iter().map(|t| t.0).collect();
    let wanted = Reference { recipe: described, weights: &file.weights() }.logits(&ids);
    let behind = CHUNKS.iter().scan(0, |end, len| {
        *end += len;
        Some(*end - 1)
    });
    got.iter().zip(behind).map(|(row, at)| relative_error(row, &wanted[at])).fold(0.0, f64::max)
}

fn assert_agrees(recipe: &Recipe, dtype: GgmlDType, tolerance: f64) {
    let error = error(recipe, recipe, dtype);
    assert!(error < tolerance, "{dtype:?} of {recipe:?} is off by {error}");
}

fn llama3() -> Recipe {
    let divisors = (0..12).map(|i| 1.0 + 0.5 * i as f32).collect();
    Recipe { rope_divisors: Some(divisors), ..Recipe::of(Architecture::Llama) }
}

#[rstest]
#[case::llama(Recipe::of(Architecture::Llama))]
#[case::llama3(llama3())]
#[case::llama_with_a_head_of_keys_for_each_query(Recipe { n_kv_heads: 4, ..Recipe::of(Architecture::Llama) })]
#[case::llama_scaled_linearly(Recipe { rope_factor: Some(4.0), ..Recipe::of(Architecture::Llama) })]
#[case::qwen2(Recipe::of(Architecture::Qwen2))]
#[case::qwen2_tied(Recipe { tied: true, ..Recipe::of(Architecture::Qwen2) })]
#[case::qwen3(Recipe::of(Architecture::Qwen3))]
#[case::qwen3_tied(Recipe { tied: true, ..Recipe::of(Architecture::Qwen3) })]
#[case::gemma3(Recipe::of(Architecture::Gemma3))]
#[case::gemma3_tied_and_unscaled(Recipe { tied: true, rope_factor: None, ..Recipe::of(Architecture::Gemma3) })]
fn plain_weights_give_the_described_logits(#[case] recipe: Recipe) {
    assert_agrees(&recipe, GgmlDType::F32, F32_TOLERANCE);
}

#[rstest]
#[case::llama(Recipe::of(Architecture::Llama), GgmlDType::Q4_0)]
#[case::qwen2(Recipe::of(Architecture::Qwen2), GgmlDType::Q8_0)]
#[case::qwen3(Recipe::of(Architecture::Qwen3), GgmlDType::Q5_0)]
#[case::gemma3(Recipe::of(Architecture::Gemma3), GgmlDType::Q8_0)]
#[case::q8_0_in_tiles(Recipe::of(Architecture::Llama).in_whole_blocks(), GgmlDType::Q8_0)]
#[case::q4_k(Recipe::of(Architecture::Llama).in_whole_blocks(), GgmlDType::Q4K)]
#[case::q6_k(Recipe::of(Architecture::Qwen2).in_whole_blocks(), GgmlDType::Q6K)]
fn quantised_weights_give_the_described_logits(#[case] recipe: Recipe, #[case] dtype: GgmlDType) {
    assert_agrees(&recipe, dtype, QUANTISED_TOLERANCE);
}

/// f16 weights meet activations in f32, bf16 ones activations rounded to bf16: by half of 2⁻⁸ each.
#[rstest]
#[case(Architecture::Qwen2, GgmlDType::F16, F32_TOLERANCE)]
#[case(Architecture::Gemma3, GgmlDType::F16, F32_TOLERANCE)]
#[case(Architecture::Qwen2, GgmlDType::BF16, BF16_TOLERANCE)]
#[case(Architecture::Gemma3, GgmlDType::BF16, BF16_TOLERANCE)]
fn half_precision_weights_give_the_described_logits(
    #[case] architecture: Architecture,
    #[case] dtype: GgmlDType,
    #[case] tolerance: f64,
) {
    assert_agrees(&Recipe::of(architecture), dtype, tolerance);
    assert_agrees(&Recipe { tied: true, ..Recipe::of(architecture) }, dtype, tolerance);
}

/// The agreement of plain weights means something: each detail of a recipe is seen in the logits.
#[rstest]
#[case(Recipe::of(Architecture::Llama), Recipe { rope_base: 10_000.0, ..Recipe::of(Architecture::Llama) })]
#[case(llama3(), Recipe::of(Architecture::Llama))]
#[case(Recipe::of(Architecture::Qwen3), Recipe { epsilon: 0.05, ..Recipe::of(Architecture::Qwen3) })]
#[case(Recipe::of(Architecture::Gemma3), Recipe { window: Some(6), ..Recipe::of(Architecture::Gemma3) })]
#[case(Recipe::of(Architecture::Gemma3), Recipe { rope_factor: None, ..Recipe::of(Architecture::Gemma3) })]
#[case(Recipe::of(Architecture::Gemma3), Recipe { rope_base: 10_000.0, ..Recipe::of(Architecture::Gemma3) })]
fn a_wrong_description_is_noticed(#[case] recipe: Recipe, #[case] wrong: Recipe) {
    let error = error(&recipe, &wrong, GgmlDType::F32);
    assert!(error > 10.0 * F32_TOLERANCE, "a wrong description is off by {error} only");
}

#[test]
fn sizes_that_a_file_leaves_out_follow_from_the_others() {
    let recipe = Recipe { n_kv_heads: 4, head_dim: 16, ..Recipe::of(Architecture::Llama) };
    let mut file = TinyFile::random(&recipe, GgmlDType::F32);
    let tokens = random_tokens(6, recipe.n_vocab, 3);
    let run = |file: &TinyFile| {
        let decoder = file.load().unwrap();
        Session::new(&decoder, DType::F32).chunks(&tokens, &blocks_in_order(2), &[6])
    };
    let spelt_out = run(&file);
    for key in ["attention.head_count_kv", "attention.key_length", "attention.value_length"] {
        assert!(file.metadata.remove(&format!("llama.{key}")).is_some());
    }
    assert_eq!(run(&file), spelt_out);
}
