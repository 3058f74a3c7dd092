//! The one thread that owns the model: takes requests in, runs step after step, tells what came of it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{mpsc::UnboundedReceiver, watch};

use super::{
    EngineError,
    constraint::{Constraint, prepare_all},
    generation::{Generation, Job},
    observe::Observe,
    scheduler::{NewSequence, Refusal, Scheduler, SeqId, Stats, StepPlan, StepResult},
};
use crate::model::{Batch, Forward, Logits, ModelError, SequenceSlice, Tokenizer};

/// The model, the scheduler, and the requests under way.
pub(super) struct Worker<M> {
    pub(super) model: M,
    /// Those of the last step; their memory is for the next.
    pub(super) logits: Logits,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) scheduler: Scheduler,
    pub(super) observer: Arc<dyn Observe>,
    pub(super) stats: watch::Sender<Stats>,
    pub(super) under_way: BTreeMap<SeqId, Generation>,
    pub(super) n_taken: u64,
}

impl<M: Forward> Worker<M> {
    /// Serves until every handle is gone and every request has ended.
    pub(super) fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        tier0_kernels::pool::global().keep_caller();
        loop {
            if self.scheduler.is_idle() {
                let Some(job) = jobs.blocking_recv() else { return };
                self.take_in(job);
            }
            while let Ok(job) = jobs.try_recv() {
                self.take_in(job);
            }
            self.drop_cancelled();
            self.step();
            let stats = self.scheduler.stats();
            self.observer.step(&stats);
            self.stats.send_replace(stats);
        }
    }

    fn take_in(&mut self, job: Job) {
        let id = SeqId(self.n_taken);
        self.n_taken += 1;
        let (priority, max_tokens) = (job.request.priority, job.max_tokens);
        let (prompt, generation) = Generation::new(job, &self.tokenizer);
        match self.scheduler.submit(NewSequence { id, prompt, max_tokens, priority }) {
            Ok(()) => drop(self.under_way.insert(id, generation)),
            Err(refusal) => generation.fail(refusal.into()),
        }
    }

    fn drop_cancelled(&mut self) {
        let scheduler = &mut self.scheduler;
        self.under_way.retain(|id, generation| {
            let stays = !generation.is_cancelled();
            if !stays {
                scheduler.end(*id);
            }
            stays
        });
    }

    /// Plans a step, runs it and books what came of it.
    fn step(&mut self) {
        let under_way = &mut self.under_way;
        let plan = self.scheduler.plan(&mut |id, tokens, n_rows| {
            under_way.get_mut(&id).map_or_else(Vec::new, |generation| generation.propose(tokens, n_rows))
        });
        let Some(plan) = plan else { return };
        let _span =
            tracing::debug_span!("step", n_sequences = plan.entries.len(), n_tokens = plan.n_tokens())
                .entered();
        for admission in &plan.admitted {
            if let Some(generation) = self.under_way.get_mut(&admission.seq) {
                generation.admitted(admission.n_cached_tokens);
            }
        }
        let outcome = std::thread::scope(|scope| {
            let constraints: Vec<&mut Constraint> =
                self.under_way.values_mut().filter_map(Generation::constraint).collect();
            if !constraints.is_empty() {
                scope.spawn(|| prepare_all(constraints));
            }
            forward(&mut self.model, &plan, &mut self.logits)
        });
        match outcome {
            Ok(()) => self.book(&plan),
            Err(error) => self.abandon(&error),
        }
    }

    /// Samples every sequence's rows and tells the scheduler.
    fn book(&mut self, plan: &StepPlan) {
        let mut rows = self.logits.rows();
        let mut results = Vec::new();
        for entry in plan.entries.iter().filter(|entry| entry.n_sampled > 0) {
            let own = rows.by_ref().take(entry.n_sampled).collect::<Vec<_>>();
            let Some(generation) = self.under_way.get_mut(&entry.seq) else { continue };
            let drafts = &entry.tokens[entry.tokens.len() + 1 - entry.n_sampled..];
            let progress =
                generation.advance(own.into_iter(), drafts, &self.tokenizer, self.observer.as_ref());
            if progress.ended {
                self.under_way.remove(&entry.seq);
                self.scheduler.end(entry.seq);
            }
            results.push(StepResult { seq: entry.seq, accepted: progress.accepted });
        }
        self.scheduler.commit(&results);
    }

    /// Ends the sequences of a step that failed.
    fn abandon(&mut self, error: &ModelError) {
        tracing::error!(%error, "a step failed; its requests end");
        for id in self.scheduler.abandon() {
            if let Some(generation) = self.under_way.remove(&id) {
                generation.fail(EngineError::Model(error.to_string()));
            }
        }
    }
}

/// Runs a step's copies and its forward pass.
fn forward(model: &mut impl Forward, plan: &StepPlan, logits: &mut Logits) -> Result<(), ModelError> {
    model.copy_blocks(&plan.copies)?;
    let slices: Vec<SequenceSlice<'_>> = plan
        .entries
        .iter()
        .map(|entry| SequenceSlice {
            tokens: &entry.tokens,
            offset: entry.offset,
            blocks: &entry.blocks,
            n_sampled: entry.n_sampled,
        })
        .collect();
    model.forward(&Batch::new(&slices, model.cache_spec().block_size)?, logits)
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmptyPrompt => Self::EmptyPrompt,
            Refusal::NeverFits { n_tokens, capacity } => Self::NeverFits { n_tokens, capacity },
            Refusal::QueueFull { n_waiting } => Self::QueueFull { waiting: n_waiting },
            other @ (Refusal::NothingToGenerate | Refusal::Duplicate { .. }) => {
                Self::Model(other.to_string())
            }
        }
    }
}
