//! How a step is put together: decodes first, then prefill in order of priority.

use super::{
    Admission, Priority, Scheduler, SeqId, StepPlan,
    sequence::{Running, Sequence},
};
use crate::{engine::radix::common_prefix, model::TokenId};

/// Proposes draft tokens for a sequence, given its id, its tokens and the number of rows that the step
/// has without drafts, approximately. Drafts that do not fit are cut off.
pub type Drafter<'a> = dyn FnMut(SeqId, &[TokenId], usize) -> Vec<TokenId> + 'a;

/// The outcome of an attempt to admit a waiting sequence.
enum Attempt {
    Admitted,
    /// A running sequence is computing its prefix.
    Deferred,
    /// Not enough free blocks.
    NoRoom,
}

impl Scheduler {
    /// The next step; `None` when no sequence waits or runs. Each plan has to be
    /// [committed](Self::commit) or [failed](Self::fail_step) before the next.
    ///
    /// # Panics
    /// When the last plan is still in flight: its blocks are being written to.
    pub fn plan(&mut self, drafter: &mut Drafter<'_>) -> Option<StepPlan> {
        assert!(!self.running.iter().any(Running::is_planned), "the last plan is still in flight");
        self.n_steps += 1;
        self.age_batch_requests();
        self.waiting.sort_by_key(Sequence::order);
        self.running.sort_by_key(|running| running.sequence.order());

        let mut plan = StepPlan::default();
        // A sequence that was just preempted must not take the blocks back in the same step.
        let mut admits = self.plan_decodes(&mut plan, drafter);
        let mut budget = self.config.max_batch_tokens - plan.n_tokens();
        if !plan.entries.is_empty() {
            budget = budget.min(self.config.prefill_chunk);
        }
        for priority in [Priority::Interactive, Priority::Batch] {
            self.plan_prefills(priority, &mut budget, &mut plan);
            admits = admits && self.admit_all(priority, &mut budget, &mut plan);
        }
        (!plan.entries.is_empty()).then_some(plan)
    }

    /// Makes batch sequences interactive that have waited or run for more than `batch_aging_steps` steps.
    fn age_batch_requests(&mut self) {
        let running = self.running.iter_mut().map(|running| &mut running.sequence);
        for sequence in self.waiting.iter_mut().chain(running) {
            if self.n_steps - sequence.submitted_step > self.config.batch_aging_steps {
                sequence.priority = Priority::Interactive;
            }
        }
    }

    /// Plans one token of every decoding sequence, and its drafts. Returns whether there were enough blocks
    /// without preemption.
    fn plan_decodes(&mut self, plan: &mut StepPlan, drafter: &mut Drafter<'_>) -> bool {
        let n_before = self.n_preemptions;
        let n_decodes = self.running.iter().filter(|running| running.is_decoding()).count();
        let wants_prefill = n_decodes < self.running.len() || !self.waiting.is_empty();
        let n_reserved = if wants_prefill { self.config.prefill_chunk } else { 0 };
        let mut draft_budget = self.config.max_batch_tokens - n_decodes - n_reserved;
        let mut index = 0;
        while index < self.running.len() {
            if self.running[index].is_decoding() && self.make_room(index) {
                let drafts = self.draft(index, draft_budget, n_decodes + n_reserved, drafter);
                draft_budget -= drafts.len();
                plan.entries.push(self.running[index].schedule(1, &drafts, self.config.block_size));
            }
            index += 1;
        }
        self.n_preemptions == n_before
    }

    /// Grows a sequence's block table to hold all its tokens. Evicts from the prefix cache first, then
    /// preempts the last in order, none of which is planned yet. Returns `false` when the sequence
    /// itself was preempted.
    fn make_room(&mut self, index: usize) -> bool {
        while index < self.running.len() {
            let is_alone = self.running.len() == 1;
            let Running { sequence, table, .. } = &mut self.running[index];
            if self.kv_blocks.grow(table, sequence.tokens.len()) {
                return true;
            }
            if is_alone {
                self.kv_blocks.drop_prefix_cache(table);
                return self.kv_blocks.grow(table, sequence.tokens.len());
            }
            self.preempt_last();
        }
        false
    }

    /// Sends the last in order back to the queue, where its arrival order gives it its old place.
    fn preempt_last(&mut self) {
        if let Some(last) = self.running.pop() {
            let sequence = self.close(last);
            self.waiting.push(sequence);
            self.n_preemptions += 1;
        }
    }

    /// Drafts for a sequence, as many as budget, `max_tokens` and free blocks allow. No sequence is
    /// preempted for drafts.
    fn draft(
        &mut self,
        index: usize,
        budget: usize,
        n_rows: usize,
        drafter: &mut Drafter<'_>,
    ) -> Vec<TokenId> {
        let Running { sequence, table, .. } = &mut self.running[index];
        // A step yields one token more than it has drafts.
        let n_most = budget.min(sequence.n_left() - 1);
        if n_most == 0 {
            return vec![];
        }
        let mut drafts = drafter(sequence.id, &sequence.tokens, n_rows);
        drafts.truncate(n_most);
        if !self.kv_blocks.grow(table, sequence.tokens.len() + drafts.len()) {
            let n_slots = table.blocks().len() * self.config.block_size;
            drafts.truncate(n_slots - sequence.tokens.len());
        }
        drafts
    }

    /// Plans the next chunks of prompts whose prefill has begun; they have all their blocks.
    fn plan_prefills(&mut self, priority: Priority, budget: &mut usize, plan: &mut StepPlan) {
        let prefills = self
            .running
            .iter_mut()
            .filter(|running| running.sequence.priority == priority && !running.is_planned());
        for running in prefills {
            let n_tokens = running.n_pending().min(*budget);
            if n_tokens > 0 {
                plan.entries.push(running.schedule(n_tokens, &[], self.config.block_size));
                *budget -= n_tokens;
            }
        }
    }

    /// Admits waiting sequences in order, each with a first chunk. Returns `false` when there are not enough
    /// free blocks: no sequence may then overtake the one that lacks them.
    fn admit_all(&mut self, priority: Priority, budget: &mut usize, plan: &mut StepPlan) -> bool {
        let mut index = 0;
        while index < self.waiting.len() && *budget > 0 && self.running.len() < self.config.max_running {
            if self.waiting[index].priority != priority {
                index += 1;
                continue;
            }
            match self.admit(index, budget, plan) {
                Attempt::Admitted => {}
                Attempt::Deferred => index += 1,
                Attempt::NoRoom => return false,
            }
        }
        true
    }

    fn admit(&mut self, index: usize, budget: &mut usize, plan: &mut StepPlan) -> Attempt {
        let sequence = &self.waiting[index];
        let found = self.kv_blocks.match_prefix(sequence.cacheable());
        if self.prefix_is_being_computed(sequence, found.n_tokens) {
            self.kv_blocks.release_match(found);
            return Attempt::Deferred;
        }
        let n_tokens = sequence.tokens.len();
        let mut n_cached = found.n_tokens;
        // One spare block for each running sequence, or the next step would preempt one.
        let mut opened = self.kv_blocks.open(found, n_tokens, self.running.len());
        if opened.is_none() && self.running.is_empty() {
            // Its cached prefix pins the blocks that it needs: it starts without the cache.
            self.kv_blocks.clear_cache();
            let empty = self.kv_blocks.match_prefix(&[]);
            n_cached = 0;
            opened = self.kv_blocks.open(empty, n_tokens, 0);
        }
        let Some((table, copy)) = opened else { return Attempt::NoRoom };
        let mut running = Running::new(self.waiting.remove(index), table, n_cached);
        self.count_admission(&mut running, plan);
        plan.copies.extend(copy);
        let n_tokens = running.n_pending().min(*budget);
        plan.entries.push(running.schedule(n_tokens, &[], self.config.block_size));
        *budget -= n_tokens;
        self.running.push(running);
        Attempt::Admitted
    }

    /// Whether an earlier sequence is about to compute a block or more of the uncached prefix of
    /// `waiting`. Each step of the earlier sequence caches what it computed and so shortens the wait;
    /// its end or preemption ends the wait.
    fn prefix_is_being_computed(&self, waiting: &Sequence, n_cached: usize) -> bool {
        self.running.iter().any(|running| {
            let is_before = running.sequence.order() < waiting.order();
            is_before && !running.is_decoding() && {
                let n_common = common_prefix(&running.sequence.tokens, waiting.cacheable());
                n_common >= n_cached + self.config.block_size
            }
        })
    }

    /// Counts the cached tokens, once for each sequence: after a preemption they would mostly be what the
    /// sequence cached itself.
    fn count_admission(&mut self, running: &mut Running, plan: &mut StepPlan) {
        let sequence = &mut running.sequence;
        if !std::mem::replace(&mut sequence.was_admitted, true) {
            let n_cached_tokens = running.n_computed;
            plan.admitted.push(Admission { seq: sequence.id, n_cached_tokens });
            self.n_queried_tokens += sequence.tokens.len() as u64;
            self.n_hit_tokens += n_cached_tokens as u64;
        }
    }
}
