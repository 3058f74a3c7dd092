//! The one thread that owns the model: admits requests, runs step after step, sends the results.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{mpsc::UnboundedReceiver, watch};

use super::{
    constraint::{Constraint, prepare_all},
    error::EngineError,
    generation::{Generation, Job},
    observe::Observe,
    scheduler::{NewSequence, Scheduler, SeqId, Stats, StepPlan, StepResult},
};
use crate::model::{Batch, Forward, Logits, ModelError, SequenceSlice, Tokenizer};

/// The model, the scheduler, and the requests that wait or run.
pub(super) struct Worker<M> {
    pub(super) model: M,
    /// The last step's logits; the next step reuses their memory.
    pub(super) logits: Logits,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) scheduler: Scheduler,
    pub(super) observer: Arc<dyn Observe>,
    pub(super) stats: watch::Sender<Stats>,
    /// Every request that has not ended, waiting ones included.
    pub(super) running: BTreeMap<SeqId, Generation>,
    /// Number of the next sequence.
    pub(super) next_id: u64,
}

impl<M: Forward> Worker<M> {
    /// Serves until every handle is gone and every request has ended.
    pub(super) fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        tier0_kernels::pool::global().keep_caller();
        loop {
            if self.scheduler.is_idle() {
                let Some(job) = jobs.blocking_recv() else { return };
                self.admit(job);
            }
            while let Ok(job) = jobs.try_recv() {
                self.admit(job);
            }
            self.drop_cancelled();
            self.step();
            let stats = self.scheduler.stats();
            self.observer.step(&stats);
            self.stats.send_replace(stats);
        }
    }

    /// Gives the request a sequence id and queues it.
    fn admit(&mut self, job: Job) {
        let id = SeqId(self.next_id);
        self.next_id += 1;
        let (priority, max_tokens) = (job.request.priority, job.max_tokens);
        let (prompt, generation) = Generation::new(job, &self.tokenizer);
        match self.scheduler.submit(NewSequence { id, prompt, max_tokens, priority }) {
            Ok(()) => drop(self.running.insert(id, generation)),
            Err(error) => generation.fail(error.into()),
        }
    }

    /// Ends the requests whose stream was dropped.
    fn drop_cancelled(&mut self) {
        let scheduler = &mut self.scheduler;
        self.running.retain(|id, generation| {
            let keeps = !generation.is_cancelled();
            if !keeps {
                scheduler.end(*id);
            }
            keeps
        });
    }

    /// Plans a step, runs the model and commits the results.
    fn step(&mut self) {
        let running = &mut self.running;
        let plan = self.scheduler.plan(&mut |id, tokens, n_rows| {
            running.get_mut(&id).map_or_else(Vec::new, |generation| generation.propose(tokens, n_rows))
        });
        let Some(plan) = plan else { return };
        let _span =
            tracing::debug_span!("step", n_sequences = plan.entries.len(), n_tokens = plan.n_tokens())
                .entered();
        for admission in &plan.admitted {
            if let Some(generation) = self.running.get_mut(&admission.seq) {
                generation.admitted(admission.n_cached_tokens);
            }
        }
        let outcome = std::thread::scope(|scope| {
            let constraints: Vec<&mut Constraint> =
                self.running.values_mut().filter_map(Generation::constraint).collect();
            if !constraints.is_empty() {
                scope.spawn(|| prepare_all(constraints));
            }
            forward(&mut self.model, &plan, &mut self.logits)
        });
        match outcome {
            Ok(()) => self.commit_step(&plan),
            Err(error) => self.fail_step(&error),
        }
    }

    /// Samples every sequence's rows and commits the accepted tokens to the scheduler.
    fn commit_step(&mut self, plan: &StepPlan) {
        let mut rows = self.logits.rows();
        let mut results = Vec::new();
        for entry in plan.entries.iter().filter(|entry| entry.n_sampled > 0) {
            let own = rows.by_ref().take(entry.n_sampled).collect::<Vec<_>>();
            let Some(generation) = self.running.get_mut(&entry.seq) else { continue };
            let drafts = &entry.tokens[entry.tokens.len() + 1 - entry.n_sampled..];
            let outcome =
                generation.advance(own.into_iter(), drafts, &self.tokenizer, self.observer.as_ref());
            if outcome.ended {
                self.running.remove(&entry.seq);
                self.scheduler.end(entry.seq);
            }
            results.push(StepResult { seq: entry.seq, accepted: outcome.accepted });
        }
        self.scheduler.commit(&results);
    }

    /// Ends the sequences of a step that failed.
    fn fail_step(&mut self, error: &ModelError) {
        tracing::error!(%error, "a step failed; its requests end");
        for id in self.scheduler.fail_step() {
            if let Some(generation) = self.running.remove(&id) {
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
