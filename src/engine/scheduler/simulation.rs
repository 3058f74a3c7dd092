//! A worker with a fake model: its cache records which token lies in which slot, and the next token is
//! a hash of those that a sequence sees. A block that is freed too early, copied wrongly or written by
//! two sequences shows at once, either in the slots or in the generated tokens.
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{BlockCopy, BlockId, TokenId};

/// Ends a sequence; about every fiftieth token.
pub(super) const END: TokenId = TokenId(99);

/// The model: what follows a sequence. A small vocabulary lets sequences share what they generate.
fn next_token(tokens: &[TokenId]) -> TokenId {
    let hash = tokens.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, token| {
        (hash ^ (u64::from(token.0) + 1)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = hash ^ (hash >> 29);
    if hash.is_multiple_of(50) { END } else { TokenId((hash / 50 % 3) as u32) }
}

/// What a sequence generates when nothing else runs.
pub(super) fn solo(prompt: &[TokenId], max_tokens: usize) -> Vec<TokenId> {
    let mut tokens = prompt.to_vec();
    while tokens.len() < prompt.len() + max_tokens && tokens[prompt.len()..].last() != Some(&END) {
        tokens.push(next_token(&tokens));
    }
    tokens.split_off(prompt.len())
}

/// SplitMix64: random enough for a test, and the same every time.
#[derive(Debug, Clone)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }
}

/// The token and its position that each slot holds.
struct Slots {
    block_size: usize,
    slots: Vec<Option<(usize, TokenId)>>,
}

impl Slots {
    fn index(&self, blocks: &[BlockId], position: usize) -> usize {
        blocks[position / self.block_size].0 as usize * self.block_size + position % self.block_size
    }

    fn copy(&mut self, copy: &BlockCopy) {
        let (from, to) = (copy.from.0 as usize * self.block_size, copy.to.0 as usize * self.block_size);
        self.slots.copy_within(from..from + copy.n_tokens, to);
    }

    /// Writes the tokens of all entries, no slot twice. `spoiled` clears the slots instead.
    fn write(&mut self, entries: &[StepEntry], spoiled: bool) {
        let mut written = BTreeSet::new();
        for entry in entries {
            for (position, &token) in (entry.offset..).zip(&entry.tokens) {
                let index = self.index(&entry.blocks, position);
                assert!(written.insert(index), "slot {index} is written twice in one step");
                self.slots[index] = (!spoiled).then_some((position, token));
            }
        }
    }

    fn check(&self, blocks: &[BlockId], tokens: &[TokenId], whose: &dyn std::fmt::Debug) {
        for (position, &token) in tokens.iter().enumerate() {
            let slot = self.slots[self.index(blocks, position)];
            assert_eq!(slot, Some((position, token)), "position {position} of {whose:?}");
        }
    }
}

/// A request as the worker knows it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) prompt: Vec<TokenId>,
    pub(super) max_tokens: usize,
    pub(super) output: Vec<TokenId>,
    /// Tokens that the prefix cache held when it was admitted.
    pub(super) n_cached_tokens: Option<usize>,
    /// Whether it ran to its own end.
    pub(super) is_done: bool,
    /// Whether it was cancelled, or a step of it failed.
    pub(super) is_broken_off: bool,
}

impl Request {
    fn tokens(&self) -> Vec<TokenId> {
        [self.prompt.as_slice(), &self.output].concat()
    }
}

/// A worker with the fake model in place of the real one.
pub(super) struct Simulation {
    pub(super) scheduler: Scheduler,
    pub(super) requests: BTreeMap<SeqId, Request>,
    /// Most drafts for a sequence in a step.
    pub(super) n_drafts: usize,
    /// Tokens run through the model, drafts included.
    pub(super) n_computed: usize,
    slots: Slots,
    rng: Rng,
}

impl Simulation {
    pub(super) fn new(config: SchedulerConfig, seed: u64) -> Self {
        let slots = vec![None; config.n_blocks * config.block_size];
        let slots = Slots { block_size: config.block_size, slots };
        let scheduler = Scheduler::new(config).unwrap();
        Self { scheduler, requests: BTreeMap::new(), n_drafts: 0, n_computed: 0, slots, rng: Rng(seed) }
    }

    pub(super) fn submit(&mut self, new: NewSequence) -> Result<(), AdmissionError> {
        let NewSequence { id, prompt, max_tokens, .. } = new.clone();
        self.scheduler.submit(new)?;
        let request = Request {
            prompt,
            max_tokens,
            output: vec![],
            n_cached_tokens: None,
            is_done: false,
            is_broken_off: false,
        };
        self.requests.insert(id, request);
        Ok(())
    }

    /// Plans, runs and commits a step, and cancels `cancelled` while it runs.
    pub(super) fn step(&mut self, cancelled: &[SeqId]) -> Option<StepPlan> {
        let plan = self.plan()?;
        self.copy(&plan);
        self.slots.write(&plan.entries, false);
        let results: Vec<StepResult> = plan.entries.iter().filter_map(|entry| self.sample(entry)).collect();
        cancelled.iter().for_each(|&id| self.cancel(id));
        self.scheduler.commit(&results);
        for StepResult { seq, accepted } in results {
            self.deliver(seq, &accepted);
        }
        self.audit();
        Some(plan)
    }

    /// A step in which the model fails halfway: nothing is copied, and the slots to be written are
    /// spoiled. Cancels `cancelled` while it runs.
    pub(super) fn failing_step(&mut self, cancelled: &[SeqId]) {
        let Some(plan) = self.plan() else { return };
        self.slots.write(&plan.entries, true);
        cancelled.iter().for_each(|&id| self.cancel(id));
        let ended: BTreeSet<SeqId> = self.scheduler.fail_step().into_iter().collect();
        assert_eq!(ended, plan.entries.iter().map(|entry| entry.seq).collect());
        for id in ended {
            self.requests.get_mut(&id).unwrap().is_broken_off = true;
        }
        self.audit();
    }

    /// Cancels a request, as when its stream is dropped.
    pub(super) fn cancel(&mut self, id: SeqId) {
        self.scheduler.end(id);
        if let Some(request) = self.requests.get_mut(&id).filter(|request| !request.is_done) {
            request.is_broken_off = true;
        }
    }

    /// Steps until nothing waits or runs; every plan makes progress, so the number of steps is bounded.
    pub(super) fn run(&mut self) {
        let n_tokens: usize =
            self.requests.values().map(|request| request.prompt.len() + request.max_tokens).sum();
        let n_most = self.scheduler.n_steps as usize + 10 * n_tokens;
        while self.step(&[]).is_some() {
            assert!((self.scheduler.n_steps as usize) < n_most, "no end after {n_most} steps");
        }
        assert!(self.scheduler.is_idle());
    }

    /// Checks the end of a simulation: each request has the tokens of its solo run, or a prefix of them if
    /// it was broken off, and all blocks are free again.
    pub(super) fn check_end(&mut self) {
        for (id, request) in &self.requests {
            let expected = solo(&request.prompt, request.max_tokens);
            assert!(expected.starts_with(&request.output), "{id:?}");
            assert!(request.is_broken_off || request.output.len() == expected.len(), "{id:?}");
        }
        self.scheduler.clear_cache();
        let Stats { n_blocks, n_free_blocks, n_used_blocks, .. } = self.scheduler.stats();
        assert_eq!((n_free_blocks, n_used_blocks), (n_blocks, 0));
    }

    fn plan(&mut self) -> Option<StepPlan> {
        let is_decoding = |running: &&Running| running.is_decoding();
        let decoding: BTreeSet<SeqId> =
            self.scheduler.running.iter().filter(is_decoding).map(id_of).collect();
        let (n_drafts, rng) = (self.n_drafts, &mut self.rng);
        let plan = self.scheduler.plan(&mut |_, tokens, _| draft(tokens, n_drafts, rng));
        let Some(plan) = plan else {
            assert!(self.scheduler.is_idle(), "there is work, but no plan");
            return None;
        };
        self.check_plan(&plan, &decoding);
        for Admission { seq, n_cached_tokens } in &plan.admitted {
            let request = self.requests.get_mut(seq).unwrap();
            assert_eq!(request.n_cached_tokens.replace(*n_cached_tokens), None, "admitted twice");
        }
        self.n_computed += plan.n_tokens();
        Some(plan)
    }

    /// Budgets, completeness, and that each entry is the next tokens of its sequence.
    fn check_plan(&self, plan: &StepPlan, decoding: &BTreeSet<SeqId>) {
        let config = &self.scheduler.config;
        let entries: BTreeMap<SeqId, &StepEntry> =
            plan.entries.iter().map(|entry| (entry.seq, entry)).collect();
        assert_eq!(entries.len(), plan.entries.len(), "two entries for one sequence");
        assert!(plan.n_tokens() <= config.max_batch_tokens);
        assert!(self.scheduler.running.len() <= config.max_running);
        for running in self.scheduler.running.iter().filter(|running| decoding.contains(&id_of(running))) {
            assert!(entries.contains_key(&id_of(running)), "a decoding sequence is left out");
        }
        let (decodes, prefills): (Vec<_>, Vec<_>) =
            plan.entries.iter().partition(|entry| decoding.contains(&entry.seq));
        let n_prefill: usize = prefills.iter().map(|entry| entry.tokens.len()).sum();
        assert!(decodes.is_empty() || n_prefill <= config.prefill_chunk);
        for entry in &plan.entries {
            let known = self.requests[&entry.seq].tokens();
            let end = entry.offset + entry.tokens.len();
            let n_drafts = end.saturating_sub(known.len());
            let n_known = entry.tokens.len() - n_drafts;
            assert_eq!(entry.tokens[..n_known], known[entry.offset..end - n_drafts]);
            assert_eq!(entry.n_sampled, if end < known.len() { 0 } else { 1 + n_drafts });
            assert_eq!(entry.blocks.len(), end.div_ceil(config.block_size));
        }
    }

    fn copy(&mut self, plan: &StepPlan) {
        let targets: BTreeSet<BlockId> = plan.copies.iter().map(|copy| copy.to).collect();
        assert_eq!(targets.len(), plan.copies.len(), "a block is copied to twice");
        for copy in &plan.copies {
            assert!(!targets.contains(&copy.from), "a block is both source and target");
            self.slots.copy(copy);
        }
    }

    /// One token for each sampled row of an entry, as long as they agree with its drafts.
    fn sample(&self, entry: &StepEntry) -> Option<StepResult> {
        let mut visible = self.requests[&entry.seq].tokens();
        visible.truncate(entry.offset);
        visible.extend(&entry.tokens);
        self.slots.check(&entry.blocks, &visible, &entry.seq);
        let mut accepted = vec![];
        for end in visible.len() + 1 - entry.n_sampled..=visible.len() {
            let token = next_token(&visible[..end]);
            accepted.push(token);
            if token == END || visible.get(end) != Some(&token) {
                break;
            }
        }
        (entry.n_sampled > 0).then_some(StepResult { seq: entry.seq, accepted })
    }

    fn deliver(&mut self, id: SeqId, accepted: &[TokenId]) {
        let request = self.requests.get_mut(&id).unwrap();
        request.output.extend(accepted);
        let has_ended = request.output.last() == Some(&END);
        if has_ended {
            self.scheduler.end(id);
        }
        request.is_done = has_ended || request.output.len() == request.max_tokens;
    }

    /// Checks that no reference is lost or left over, and that every block holds the tokens that its
    /// holders expect.
    fn audit(&self) {
        let Scheduler { kv_blocks, running, .. } = &self.scheduler;
        kv_blocks.audit(running.iter().map(|running| &running.table));
        for running in running {
            let tokens = &running.sequence.tokens;
            assert_eq!(*tokens, self.requests[&id_of(running)].tokens());
            self.slots.check(running.table.blocks(), &tokens[..running.n_computed], &id_of(running));
        }
        for (tokens, blocks) in kv_blocks.cached_paths() {
            self.slots.check(&blocks, &tokens, &"the cache");
        }
    }
}

fn id_of(running: &Running) -> SeqId {
    running.sequence.id
}

/// Up to `n_most` tokens, each wrong with probability 1/4.
fn draft(tokens: &[TokenId], n_most: usize, rng: &mut Rng) -> Vec<TokenId> {
    let mut drafted = tokens.to_vec();
    for _ in 0..rng.below(n_most + 1) {
        let right = next_token(&drafted);
        drafted.push(if rng.below(4) > 0 { right } else { TokenId(rng.below(3) as u32) });
    }
    drafted.split_off(tokens.len())
}
