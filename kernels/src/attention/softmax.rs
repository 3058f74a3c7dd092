//! Softmax of the scores of the heads of a row.

use super::blocks::LANES;
use crate::vector::exp;

/// Softmax of `scale·scores` in place, shifted by the maximum so that nothing overflows: of the first
/// `len` scores of each head, behind which there is room for [`LANES`] more.
///
/// Sums in [`LANES`] lanes by position: an order that depends on the length alone.
#[inline(always)]
pub(super) fn softmax<const HEADS: usize>(mut heads: [&mut [f32]; HEADS], len: usize, scale: f32) {
    let mut lanes = [[0f32; LANES]; HEADS];
    for (scores, lanes) in heads.iter_mut().zip(&mut lanes) {
        *lanes = exponentiate(scores, len, scale);
    }
    // The heads go side by side, as each addition waits for the one before.
    let mut sums = [0f32; HEADS];
    for lane in 0..LANES {
        for (sum, lanes) in sums.iter_mut().zip(&lanes) {
            *sum += lanes[lane];
        }
    }
    for (scores, sum) in heads.into_iter().zip(sums) {
        let inverse = 1.0 / sum;
        for score in whole_chunks(scores, len).as_flattened_mut() {
            *score *= inverse;
        }
    }
}

/// `e` to the power of `scale·scores` less their maximum, and the sums of that. Zeros fill up the last
/// chunk.
#[inline(always)]
fn exponentiate(scores: &mut [f32], len: usize, scale: f32) -> [f32; LANES] {
    scores[len..len + LANES].fill(f32::NEG_INFINITY);
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in whole_chunks(scores, len) {
        for (largest, score) in largest.iter_mut().zip(chunk) {
            *largest = larger(*score * scale, *largest);
        }
    }
    let largest = fold(largest);
    let mut sums = [0f32; LANES];
    let (last, chunks) = match whole_chunks(scores, len) {
        [chunks @ .., last] => (last, chunks),
        [] => return sums,
    };
    for chunk in chunks {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score * scale - largest);
            *sum += *score;
        }
    }
    for score in last.iter_mut() {
        *score = exp(*score * scale - largest);
    }
    scores[len..len + LANES].fill(0.0);
    if let Some(last) = whole_chunks(scores, len).last() {
        for (sum, score) in sums.iter_mut().zip(last) {
            *sum += *score;
        }
    }
    sums
}

/// The first `len` scores, the last chunk filled up with what is behind.
#[inline(always)]
fn whole_chunks(scores: &mut [f32], len: usize) -> &mut [[f32; LANES]] {
    scores[..len.next_multiple_of(LANES)].as_chunks_mut().0
}

/// The larger number; of a NaN and a number the second.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The largest lane.
#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = larger(lanes[lane + width], lanes[lane]);
        }
        width /= 2;
    }
    lanes[0]
}
