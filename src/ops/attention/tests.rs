use rstest::rstest;

use super::*;

const SHAPE: PagedKvShape = PagedKvShape { n_blocks: 4, block_size: 4, n_kv_heads: 2, head_dim: 8 };

fn wave(shape: &[usize], step: f32) -> Tensor {
    let n = shape.iter().product::<usize>();
    let data: Vec<f32> = (0..n).map(|i| (i as f32 * step).sin()).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Both implementations of the cache, on the CPU.
fn caches(dtype: DType) -> [PagedKv; 2] {
    let candle = candle_attention::Cache::new(SHAPE, dtype, &Device::Cpu).unwrap();
    [PagedKv::new(SHAPE, dtype, &Device::Cpu).unwrap(), PagedKv(Store::Candle(candle))]
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[rstest]
#[case(DType::F32, None, 1e-5)]
#[case(DType::F32, Some(3), 1e-5)]
#[case(DType::BF16, None, 1e-5)]
fn both_ways_agree(#[case] dtype: DType, #[case] window: Option<usize>, #[case] tolerance: f32) {
    // Two sequences of five and eight tokens, in blocks of their own; rows of more than keys.
    let slots: Vec<u32> = [12, 13, 14, 15, 4, 0, 1, 2, 3, 8, 9, 10, 11].to_vec();
    let rows = wave(&[slots.len(), 40], 0.17);
    let (keys, values) = (rows.narrow(1, 3, 16).unwrap(), rows.narrow(1, 21, 16).unwrap());
    let spans = [
        Span { start: 0, len: 5, offset: 0, blocks: vec![3, 1] },
        Span { start: 5, len: 1, offset: 7, blocks: vec![0, 2] },
    ];
    let q = wave(&[6, 4, 8], 0.31);
    let [ours, plain] = caches(dtype).map(|mut cache| {
        cache.write(&keys, &values, &slots).unwrap();
        cache.attend(&q, &spans, AttentionSpec { scale: 0.35, window }).unwrap()
    });
    assert!(difference(&ours, &plain) < tolerance, "they differ by {}", difference(&ours, &plain));
}

#[test]
fn a_copied_block_holds_the_same_and_is_written_apart() {
    let (keys, values) = (wave(&[4, 16], 0.2), wave(&[4, 16], 0.3));
    let others = wave(&[1, 16], 0.7);
    let span = |block: u32, n: usize| [Span { start: 0, len: 1, offset: n - 1, blocks: vec![block] }];
    let q = wave(&[1, 4, 8], 0.31);
    let spec = AttentionSpec { scale: 0.35, window: None };
    for mut cache in caches(DType::F32) {
        cache.write(&keys, &values, &[4, 5, 6, 7]).unwrap();
        cache.copy_block(1, 2, 2).unwrap();
        let of = |cache: &PagedKv, block, n| cache.attend(&q, &span(block, n), spec).unwrap();
        assert_eq!(difference(&of(&cache, 1, 2), &of(&cache, 2, 2)), 0.0);
        let before = of(&cache, 1, 3);
        cache.write(&others, &others, &[10]).unwrap();
        assert_eq!(difference(&of(&cache, 1, 3), &before), 0.0);
        assert!(difference(&of(&cache, 2, 3), &before) > 1e-3);
    }
}

#[rstest]
#[case(&[16], 16)]
#[case(&[0, 1], 16)]
#[case(&[0], 8)]
fn what_does_not_fit_is_an_error(#[case] slots: &[u32], #[case] width: usize) {
    let rows = wave(&[1, width], 0.2);
    let [mut ours, _] = caches(DType::F32);
    assert!(ours.write(&rows, &rows, slots).is_err());
    assert!(ours.copy_block(0, 4, 1).is_err());
}
