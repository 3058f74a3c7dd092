//! How a call is cut into tasks.

use std::ops::Range;

use super::AttentionRow;

/// Query heads of a row that a kernel takes at most.
pub(super) const MAX_HEADS: usize = 8;
/// Rows of one sequence that a task takes at most: they share the work of reading keys and values.
const MAX_ROWS: usize = 16;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 4;

/// Query heads of some rows of one sequence that share a KV head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) rows: Range<usize>,
    pub(super) kv_head: usize,
    /// Among all query heads; at most [`MAX_HEADS`].
    pub(super) heads: Range<usize>,
}

/// Tasks that together are all heads of all rows, `group` query heads to a KV head.
pub(super) fn cut(rows: &[AttentionRow<'_>], n_kv_heads: usize, group: usize, n_threads: usize) -> Vec<Task> {
    let even = rows.len() * n_kv_heads / (n_threads * TASKS_PER_THREAD);
    let runs = runs(rows, even.clamp(1, MAX_ROWS));
    let n_pieces = runs.len() * n_kv_heads;
    // With few pieces, those that the threads cannot share evenly are split by query heads.
    let n_split = if n_pieces < n_threads * TASKS_PER_THREAD { n_pieces % n_threads } else { 0 };
    let pieces = runs.iter().flat_map(|run| (0..n_kv_heads).map(move |kv_head| (run, kv_head)));
    let mut tasks = Vec::with_capacity(n_pieces + n_threads);
    for (i, (run, kv_head)) in pieces.enumerate() {
        let fewest = group.div_ceil(MAX_HEADS);
        let n_parts = match n_pieces - i <= n_split {
            true => n_threads.div_ceil(n_split).clamp(fewest, group),
            false => fewest,
        };
        let start = kv_head * group;
        let heads =
            (0..n_parts).map(|part| start + part * group / n_parts..start + (part + 1) * group / n_parts);
        tasks.extend(heads.map(|heads| Task { rows: run.clone(), kv_head, heads }));
    }
    tasks
}

/// Cuts the rows into runs of one sequence each, of at most `most`.
fn runs(rows: &[AttentionRow<'_>], most: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.len() < most && rows[run.start].blocks == row.blocks => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(blocks: &[u32]) -> AttentionRow<'_> {
        AttentionRow { first: 0, end: 1, blocks }
    }

    proptest! {
        #[test]
        fn each_head_of_each_row_is_in_one_task(
            lengths in proptest::collection::vec(1usize..60, 0..5),
            n_kv_heads in 1usize..5,
            group in 1usize..20,
            n_threads in 1usize..9,
        ) {
            let tables: Vec<[u32; 1]> = (0..lengths.len() as u32).map(|i| [i]).collect();
            let sequences = tables.iter().zip(&lengths);
            let rows: Vec<_> = sequences.flat_map(|(table, n)| vec![row(table); *n]).collect();
            let mut seen = vec![0; rows.len() * n_kv_heads * group];
            for task in cut(&rows, n_kv_heads, group, n_threads) {
                prop_assert!(task.heads.len() <= MAX_HEADS && !task.heads.is_empty());
                prop_assert!(task.rows.clone().all(|i| rows[i].blocks == rows[task.rows.start].blocks));
                for head in task.heads {
                    prop_assert_eq!(head / group, task.kv_head);
                    task.rows.clone().for_each(|row| seen[row * n_kv_heads * group + head] += 1);
                }
            }
            prop_assert!(seen.into_iter().all(|n| n == 1));
        }
    }

    #[test]
    fn a_piece_too_many_is_split_by_heads() {
        let heads = |n_threads| -> Vec<Range<usize>> {
            cut(&[row(&[0])], 3, 3, n_threads).into_iter().map(|task| task.heads).collect()
        };
        assert_eq!(heads(1), [0..3, 3..6, 6..9]);
        assert_eq!(heads(2), [0..3, 3..6, 6..7, 7..9]);
        assert_eq!(heads(3), [0..3, 3..6, 6..9]);
    }
}
