//! Merges several rankings by rank alone, because scores of different kinds cannot be added.

use std::collections::BTreeMap;

/// Constant that reduces the advantage of the first ranks; the paper's value.
const K: f32 = 60.0;

/// Reciprocal rank fusion: an item's score is the sum of 1 / (60 + rank) over the rankings that
/// hold it (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
/// individual Rank Learning Methods", 2009). Best first; equal scores by item.
pub(super) fn reciprocal_rank(rankings: &[Vec<usize>]) -> Vec<(usize, f32)> {
    let mut scores: BTreeMap<usize, f32> = BTreeMap::new();
    for ranking in rankings {
        for (i, item) in ranking.iter().enumerate() {
            *scores.entry(*item).or_default() += 1.0 / (K + 1.0 + i as f32);
        }
    }
    let mut fused: Vec<(usize, f32)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn items(fused: &[(usize, f32)]) -> Vec<usize> {
        fused.iter().map(|(item, _)| *item).collect()
    }

    #[test]
    fn what_both_rankings_hold_beats_what_one_puts_first() {
        let fused = reciprocal_rank(&[vec![1, 2, 3], vec![4, 2, 5]]);
        assert_eq!(fused[0].0, 2);
    }

    #[test]
    fn scores_are_those_of_the_paper() {
        let fused = reciprocal_rank(&[vec![7, 8], vec![8]]);
        assert_eq!(items(&fused), [8, 7]);
        assert!((fused[0].1 - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-7);
        assert!((fused[1].1 - 1.0 / 61.0).abs() < 1e-7);
    }

    fn ranking() -> impl Strategy<Value = Vec<usize>> {
        Just((0..12).collect::<Vec<usize>>())
            .prop_shuffle()
            .prop_flat_map(|items| (Just(items), 0..12usize))
            .prop_map(|(items, n)| items[..n].to_vec())
    }

    proptest! {
        #[test]
        fn every_item_comes_once_and_scores_fall(a in ranking(), b in ranking()) {
            let fused = reciprocal_rank(&[a.clone(), b.clone()]);
            let expected: BTreeSet<usize> = a.into_iter().chain(b).collect();
            prop_assert_eq!(fused.len(), expected.len());
            prop_assert_eq!(items(&fused).into_iter().collect::<BTreeSet<_>>(), expected);
            prop_assert!(fused.is_sorted_by(|x, y| x.1 >= y.1));
        }

        #[test]
        fn equal_rankings_are_kept(a in ranking()) {
            prop_assert_eq!(items(&reciprocal_rank(&[a.clone(), a.clone()])), a);
        }

        #[test]
        fn the_order_of_the_rankings_does_not_matter(a in ranking(), b in ranking()) {
            let one = items(&reciprocal_rank(&[a.clone(), b.clone()]));
            prop_assert_eq!(one, items(&reciprocal_rank(&[b, a])));
        }
    }
}
