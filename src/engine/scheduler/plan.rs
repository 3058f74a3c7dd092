//! How a step is put together: decodes first, then prefill in order of priority.

use super::{
    Admission, Priority, Scheduler, SeqId, StepPlan,
    sequence::{Running, Sequence},
};
use crate::{engine::radix::common_prefix, model::TokenId};

/// Proposes tokens that may follow a sequence, to be verified in the step at hand, which has about so
/// many rows without anybody's. More than there is room for are cut off.
pub type Drafter<'a> = dyn FnMut(SeqId, &[TokenId], usize) -> Vec<TokenId> + 'a;

/// What came of a waiting sequence.
enum Admitted {
    Yes,
    /// One that runs is computing what it needs.
    Later,
    /// Blocks are wanting.
    NoRoom,
}

impl Scheduler {
    /// The next step; `None` when nothing waits and nothing runs. Each plan is to be
    /// [committed](Self::commit) or [abandoned](Self::abandon) before the next.
    ///
    /// # Panics
    /// When the last plan was neither: its blocks are still being written to.
    pub fn plan(&mut self, drafter: &mut Drafter<'_>) -> Option<StepPlan> {
        assert!(!self.running.iter().any(Running::is_planned), "the last plan is still in flight");
        self.n_steps += 1;
        self.promote_the_patient();
        self.waiting.sort_by_key(Sequence::order);
        self.running.sort_by_key(|running| running.sequence.order());

        let mut plan = StepPlan::default();
        // Whoever has just been preempted must not take the blocks back in the same step.
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

    /// Batch sequences that have been here for long enough count as interactive.
    fn promote_the_patient(&mut self) {
        let running = self.running.iter_mut().map(|running| &mut running.sequence);
        for sequence in self.waiting.iter_mut().chain(running) {
            if self.n_steps - sequence.submitted_step > self.config.batch_patience_steps {
                sequence.priority = Priority::Interactive;
            }
        }
    }

    /// Plans one token of every decoding sequence, and its drafts. Whether blocks sufficed without
    /// preemption.
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
                plan.entries.push(self.running[index].take(1, &drafts, self.config.block_size));
            }
            index += 1;
        }
        self.n_preemptions == n_before
    }

    /// Sees to it that a sequence's blocks hold all its tokens, at the cost of the cache first and
    /// then of those behind it in order, none of which is planned yet. `false` when it was itself
    /// the one to be preempted.
    fn make_room(&mut self, index: usize) -> bool {
        while index < self.running.len() {
            let is_alone = self.running.len() == 1;
            let Running { sequence, table, .. } = &mut self.running[index];
            if self.memory.grow(table, sequence.tokens.len()) {
                return true;
            }
            if is_alone {
                self.memory.sacrifice_cache(table);
                return self.memory.grow(table, sequence.tokens.len());
            }
            self.preempt_last();
        }
        false
    }

    /// Sends the last in order back to the queue, where its arrival gives it its old place.
    fn preempt_last(&mut self) {
        if let Some(last) = self.running.pop() {
            let sequence = self.close(last);
            self.waiting.push(sequence);
            self.n_preemptions += 1;
        }
    }

    /// Drafts for a sequence, as many as budget, `max_tokens` and blocks allow; nobody is preempted
    /// for them.
    fn draft(
        &mut self,
        index: usize,
        budget: usize,
        n_rows: usize,
        drafter: &mut Drafter<'_>,
    ) -> Vec<TokenId> {
        let Running { sequence, table, .. } = &mut self.running[index];
        // The step itself yields one token more than it has drafts.
        let n_most = budget.min(sequence.n_left() - 1);
        if n_most == 0 {
            return vec![];
        }
        let mut drafts = drafter(sequence.id, &sequence.tokens, n_rows);
        drafts.truncate(n_most);
        if !self.memory.grow(table, sequence.tokens.len() + drafts.len()) {
            let n_slots = table.blocks().len() * self.config.block_size;
            drafts.truncate(n_slots - sequence.tokens.len());
        }
        drafts
    }

    /// Plans the next chunks of prompts that are under way; their blocks are there.
    fn plan_prefills(&mut self, priority: Priority, budget: &mut usize, plan: &mut StepPlan) {
        let prefills = self
            .running
            .iter_mut()
            .filter(|running| running.sequence.priority == priority && !running.is_planned());
        for running in prefills {
            let n_tokens = running.n_pending().min(*budget);
            if n_tokens > 0 {
                plan.entries.push(running.take(n_tokens, &[], self.config.block_size));
                *budget -= n_tokens;
            }
        }
    }

    /// Admits waiting sequences in order, each with a first chunk. `false` when blocks ran out:
    /// nobody may then overtake the one that lacks them.
    fn admit_all(&mut self, priority: Priority, budget: &mut usize, plan: &mut StepPlan) -> bool {
        let mut index = 0;
        while index < self.waiting.len() && *budget > 0 && self.running.len() < self.config.max_running {
            if self.waiting[index].priority != priority {
                index += 1;
                continue;
            }
            match self.admit(index, budget, plan) {
                Admitted::Yes => {}
                Admitted::Later => index += 1,
                Admitted::NoRoom => return false,
            }
        }
        true
    }

    fn admit(&mut self, index: usize, budget: &mut usize, plan: &mut StepPlan) -> Admitted {
        let sequence = &self.waiting[index];
        let found = self.memory.match_prefix(sequence.cacheable());
        if self.is_under_way(sequence, found.n_tokens) {
            self.memory.decline(found);
            return Admitted::Later;
        }
        let n_tokens = sequence.tokens.len();
        let mut n_cached = found.n_tokens;
        // One more block for each that runs, or the next step would preempt somebody.
        let mut opened = self.memory.open(found, n_tokens, self.running.len());
        if opened.is_none() && self.running.is_empty() {
            // What it was to begin with pinned what it needs: it has to do without.
            self.memory.clear_cache();
            let nothing = self.memory.match_prefix(&[]);
            n_cached = 0;
            opened = self.memory.open(nothing, n_tokens, 0);
        }
        let Some((table, copy)) = opened else { return Admitted::NoRoom };
        let mut running = Running::new(self.waiting.remove(index), table, n_cached);
        self.count_admission(&mut running, plan);
        plan.copies.extend(copy);
        let n_tokens = running.n_pending().min(*budget);
        plan.entries.push(running.take(n_tokens, &[], self.config.block_size));
        *budget -= n_tokens;
        self.running.push(running);
        Admitted::Yes
    }

    /// Whether a sequence before this one is about to compute a block or more of what it lacks.
    /// What has been computed of a prompt is cached, so each step of that sequence shortens the
    /// wait; its end or preemption ends it.
    fn is_under_way(&self, waiting: &Sequence, n_cached: usize) -> bool {
        self.running.iter().any(|running| {
            let is_before = running.sequence.order() < waiting.order();
            is_before && !running.is_decoding() && {
                let n_common = common_prefix(&running.sequence.tokens, waiting.cacheable());
                n_common >= n_cached + self.config.block_size
            }
        })
    }

    /// Counts what the cache gave, once for each sequence: after a preemption it would mostly be
    /// what the sequence left there itself.
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
