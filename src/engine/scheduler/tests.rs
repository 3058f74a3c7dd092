use proptest::prelude::*;

use super::{
    simulation::{Rng, Simulation, solo},
    *,
};
use crate::model::TokenId;

const CONFIG: SchedulerConfig = SchedulerConfig {
    n_blocks: 64,
    block_size: 4,
    max_batch_tokens: 24,
    max_running: 8,
    prefill_chunk: 8,
    max_waiting: 100,
    batch_aging_steps: 20,
};

/// `n` random tokens, different for each `seed`.
fn prompt(seed: u64, n: usize) -> Vec<TokenId> {
    let mut rng = Rng(seed);
    (0..n).map(|_| TokenId(10 + rng.below(50) as u32)).collect()
}

fn request(id: u64, prompt: Vec<TokenId>, max_tokens: usize) -> NewSequence {
    NewSequence { id: SeqId(id), prompt, max_tokens, priority: Priority::Interactive }
}

fn batch(id: u64, prompt: Vec<TokenId>, max_tokens: usize) -> NewSequence {
    NewSequence { priority: Priority::Batch, ..request(id, prompt, max_tokens) }
}

/// A prompt whose solo run goes on for `n_least` tokens or more.
fn talkative(n: usize, n_least: usize) -> Vec<TokenId> {
    (0..).map(|seed| prompt(seed, n)).find(|prompt| solo(prompt, n_least + 1).len() > n_least).unwrap()
}

fn ids(plan: &StepPlan) -> Vec<u64> {
    plan.entries.iter().map(|entry| entry.seq.0).collect()
}

#[test]
fn what_cannot_work_is_refused_at_the_door() {
    let mut scheduler = Scheduler::new(SchedulerConfig { max_waiting: 1, ..CONFIG }).unwrap();
    assert_eq!(scheduler.submit(request(1, vec![], 1)), Err(AdmissionError::EmptyPrompt));
    assert_eq!(scheduler.submit(request(1, prompt(1, 4), 0)), Err(AdmissionError::NothingToGenerate));
    let too_long = scheduler.submit(request(1, prompt(1, 250), 7));
    assert_eq!(too_long, Err(AdmissionError::ExceedsCapacity { n_tokens: 257, capacity: 256 }));
    assert_eq!(scheduler.submit(request(1, prompt(1, 250), 6)), Ok(()));
    assert_eq!(
        scheduler.submit(request(1, prompt(1, 4), 1)),
        Err(AdmissionError::Duplicate { id: SeqId(1) })
    );
    assert_eq!(
        scheduler.submit(request(2, prompt(1, 4), 1)),
        Err(AdmissionError::QueueFull { n_waiting: 1 })
    );
}

#[test]
fn a_step_must_hold_all_decodes_and_a_chunk() {
    let refused = |config| Scheduler::new(config).err();
    assert_eq!(refused(SchedulerConfig { max_batch_tokens: 16, ..CONFIG }), None);
    let error = refused(SchedulerConfig { max_batch_tokens: 15, ..CONFIG }).unwrap();
    assert!(error.to_string().ends_with("raise `max_batch_tokens` to at least 16"), "{error}");
    let error = refused(SchedulerConfig { block_size: 0, ..CONFIG });
    assert_eq!(error, Some(ConfigError::Zero { field: "block_size" }));
}

#[test]
fn a_long_prompt_delays_others_by_a_chunk_at_most() {
    let mut simulation = Simulation::new(CONFIG, 0);
    simulation.submit(request(1, talkative(4, 8), 8)).unwrap();
    simulation.step(&[]);
    simulation.submit(request(2, prompt(2, 60), 1)).unwrap();
    for _ in 0..7 {
        let plan = simulation.step(&[]).unwrap();
        assert_eq!(ids(&plan), [1, 2]);
        assert_eq!(plan.n_tokens(), 1 + CONFIG.prefill_chunk);
    }
    simulation.run();
    simulation.check_end();
}

#[test]
fn simultaneous_requests_compute_their_common_prefix_once() {
    let mut simulation = Simulation::new(CONFIG, 0);
    let shared = prompt(1, 42);
    for id in 0..6 {
        let own = prompt(100 + id, 5);
        simulation.submit(request(id, [shared.clone(), own].concat(), 1)).unwrap();
    }
    simulation.run();
    assert_eq!(simulation.n_computed, 42 + 6 * 5);
    let cached: Vec<_> = simulation.requests.values().map(|request| request.n_cached_tokens).collect();
    assert_eq!(cached, [Some(0), Some(42), Some(42), Some(42), Some(42), Some(42)]);
    let stats = simulation.scheduler.stats();
    assert_eq!((stats.n_queried_tokens, stats.n_hit_tokens), (6 * 47, 5 * 42));
    simulation.check_end();
}

#[test]
fn of_two_equal_prompts_the_second_waits_for_the_first() {
    let mut simulation = Simulation::new(CONFIG, 0);
    let prompt = talkative(40, 6);
    simulation.submit(request(1, prompt.clone(), 6)).unwrap();
    simulation.submit(request(2, prompt, 3)).unwrap();
    assert_eq!(ids(&simulation.step(&[]).unwrap()), [1]);
    simulation.run();
    assert_eq!(simulation.requests[&SeqId(2)].n_cached_tokens, Some(39));
    simulation.check_end();
}

#[test]
fn a_prefix_that_two_computed_at_once_is_kept_once() {
    let mut simulation = Simulation::new(CONFIG, 0);
    let prompt = talkative(40, 4);
    simulation.submit(batch(1, prompt.clone(), 4)).unwrap();
    simulation.step(&[]);
    // It goes first, so it does not wait for the other: both compute tokens 24 to 32 in this step.
    simulation.submit(request(2, prompt, 4)).unwrap();
    assert_eq!(ids(&simulation.step(&[]).unwrap()), [2, 1]);
    while simulation.scheduler.running.iter().any(|running| !running.is_decoding()) {
        simulation.step(&[]);
    }
    assert_eq!(simulation.scheduler.stats().n_running, 2);
    simulation.step(&[]);
    assert_eq!(simulation.scheduler.stats().n_used_blocks, 10 + 2, "ten full ones in common");
    simulation.run();
    simulation.check_end();
}

#[test]
fn what_was_generated_is_cached_too() {
    let mut simulation = Simulation::new(CONFIG, 0);
    let first = talkative(10, 8);
    simulation.submit(request(1, first.clone(), 8)).unwrap();
    simulation.run();
    let turn = [first, simulation.requests[&SeqId(1)].output.clone(), prompt(2, 6)].concat();
    simulation.submit(request(2, turn, 1)).unwrap();
    simulation.run();
    // The last token generated was never run through the model.
    assert_eq!(simulation.requests[&SeqId(2)].n_cached_tokens, Some(17));
    simulation.check_end();
}

#[test]
fn drafts_save_steps_and_change_nothing() {
    let n_steps = |n_drafts| {
        let mut simulation = Simulation::new(CONFIG, 7);
        simulation.n_drafts = n_drafts;
        for id in 0..4 {
            simulation.submit(request(id, talkative(6 + id as usize, 20), 20)).unwrap();
        }
        simulation.run();
        simulation.check_end();
        simulation.scheduler.n_steps
    };
    assert!(n_steps(6) * 4 < n_steps(0) * 3, "{} steps against {}", n_steps(6), n_steps(0));
}

#[test]
fn the_last_in_order_is_preempted_and_still_ends_right() {
    let mut simulation = Simulation::new(SchedulerConfig { n_blocks: 12, ..CONFIG }, 0);
    for id in 0..3 {
        simulation.submit(request(id, talkative(8 + id as usize, 24), 24)).unwrap();
    }
    simulation.run();
    assert!(simulation.scheduler.stats().n_preemptions > 0);
    simulation.check_end();
}

#[test]
fn batch_is_preempted_for_interactive_even_if_it_came_first() {
    let config = SchedulerConfig { n_blocks: 12, batch_aging_steps: 1_000, ..CONFIG };
    let mut simulation = Simulation::new(config, 0);
    simulation.submit(batch(1, talkative(8, 30), 30)).unwrap();
    simulation.step(&[]);
    simulation.submit(request(2, talkative(9, 30), 30)).unwrap();
    for _ in 0..30 {
        assert!(ids(&simulation.step(&[]).unwrap()).contains(&2));
    }
    assert_eq!(simulation.scheduler.stats().n_preemptions, 1);
    simulation.run();
    simulation.check_end();
}

#[test]
fn the_last_blocks_are_left_to_those_that_run() {
    let mut simulation = Simulation::new(SchedulerConfig { n_blocks: 12, ..CONFIG }, 0);
    simulation.submit(request(1, talkative(8, 24), 24)).unwrap();
    simulation.step(&[]);
    // Its prompt would fit, but then the first could not go on.
    simulation.submit(request(2, prompt(2, 40), 1)).unwrap();
    assert_eq!(ids(&simulation.step(&[]).unwrap()), [1]);
    simulation.run();
    assert_eq!(simulation.scheduler.stats().n_preemptions, 0);
    simulation.check_end();
}

#[test]
fn nobody_overtakes_the_one_that_lacks_blocks() {
    for last in [request(3, prompt(3, 4), 1), batch(3, prompt(3, 4), 1)] {
        let config = SchedulerConfig { n_blocks: 12, batch_aging_steps: 1_000, ..CONFIG };
        let mut simulation = Simulation::new(config, 0);
        simulation.submit(request(1, talkative(8, 24), 24)).unwrap();
        simulation.submit(request(2, prompt(2, 42), 1)).unwrap();
        simulation.submit(last).unwrap();
        let plans = std::iter::from_fn(|| simulation.step(&[]));
        let admitted: Vec<u64> = plans.flat_map(|plan| plan.admitted).map(|one| one.seq.0).collect();
        assert_eq!(admitted, [1, 2, 3]);
        simulation.check_end();
    }
}

#[test]
fn a_sequence_that_needs_the_whole_pool_gets_it() {
    // Its cached prefix ends in mid-block: the copy is one block too many.
    let config = SchedulerConfig { n_blocks: 3, ..CONFIG };
    let mut simulation = Simulation::new(config, 0);
    let shared = talkative(6, 6);
    simulation.submit(request(1, shared.clone(), 1)).unwrap();
    simulation.run();
    simulation.submit(request(2, shared, 6)).unwrap();
    simulation.run();
    simulation.check_end();
}

#[test]
fn interactive_goes_first_but_batch_is_not_starved() {
    let config = SchedulerConfig { max_running: 1, ..CONFIG };
    let mut simulation = Simulation::new(config, 0);
    simulation.submit(batch(0, prompt(0, 8), 1)).unwrap();
    let mut order = vec![];
    for id in 1..40 {
        simulation.submit(request(id, prompt(id, 8), 1)).unwrap();
        order.extend(ids(&simulation.step(&[]).unwrap()));
    }
    let position = order.iter().position(|&id| id == 0);
    assert_eq!(position, Some(CONFIG.batch_aging_steps as usize));
    simulation.run();
    simulation.check_end();
}

#[test]
fn a_cancelled_sequence_gives_its_blocks_back_in_every_phase() {
    let config = SchedulerConfig { max_running: 2, ..CONFIG };
    let mut simulation = Simulation::new(config, 0);
    simulation.submit(request(1, talkative(4, 40), 40)).unwrap();
    simulation.step(&[]);
    simulation.submit(request(2, prompt(2, 40), 4)).unwrap();
    simulation.submit(request(3, prompt(3, 40), 4)).unwrap();
    simulation.step(&[]);
    let stats = simulation.scheduler.stats();
    assert_eq!((stats.n_running, stats.n_waiting), (2, 1));

    simulation.cancel(SeqId(3)); // waiting
    assert_eq!(simulation.scheduler.stats().n_waiting, 0);
    simulation.cancel(SeqId(2)); // within its prompt
    assert_eq!(simulation.scheduler.stats().n_used_blocks, 2);
    simulation.step(&[SeqId(1)]); // decoding, while the model runs
    assert!(simulation.scheduler.is_idle());
    simulation.cancel(SeqId(1)); // no longer there
    simulation.check_end();
}

#[test]
fn a_failed_step_ends_its_sequences_and_leaves_no_trace() {
    let mut simulation = Simulation::new(CONFIG, 0);
    let prompt = talkative(30, 4);
    simulation.submit(request(1, prompt.clone(), 4)).unwrap();
    simulation.step(&[]);
    simulation.failing_step(&[]);
    assert!(simulation.scheduler.is_idle());
    simulation.submit(request(2, prompt, 4)).unwrap();
    simulation.run();
    assert_eq!(simulation.requests[&SeqId(2)].n_cached_tokens, Some(24));
    simulation.check_end();
}

#[test]
fn a_copy_that_was_never_made_is_not_cached() {
    let mut simulation = Simulation::new(CONFIG, 0);
    simulation.submit(request(1, prompt(1, 6), 1)).unwrap();
    simulation.run();
    simulation.submit(request(2, prompt(1, 12), 1)).unwrap();
    // Begins in mid-block, is cancelled while the model runs, and then the model fails.
    simulation.failing_step(&[SeqId(2)]);
    simulation.submit(request(3, prompt(1, 12), 1)).unwrap();
    simulation.run();
    simulation.check_end();
}

/// A request of a random load, and what happens to it.
#[derive(Debug, Clone)]
struct Arrival {
    n_steps_before: usize,
    new: NewSequence,
    /// Steps after which it is cancelled, and whether while the model runs.
    cancelled: Option<(usize, bool)>,
}

/// Prompts are the beginning of one of three texts, most with something of their own behind it.
fn arrival(id: u64, rng: &mut Rng, capacity: usize) -> Arrival {
    let mut prompt = prompt(rng.below(3) as u64, 1 + rng.below(capacity / 3));
    prompt.extend((0..rng.below(12)).map(|_| TokenId(rng.below(3) as u32)));
    let max_tokens = 1 + rng.below(60);
    let priority = if rng.below(3) == 0 { Priority::Batch } else { Priority::Interactive };
    Arrival {
        n_steps_before: rng.below(4) * rng.below(3),
        new: NewSequence { id: SeqId(id), prompt, max_tokens, priority },
        cancelled: (rng.below(5) == 0).then(|| (rng.below(20), rng.below(2) == 0)),
    }
}

/// Runs a load; the simulation checks every step, and the end is checked here.
fn serve(config: SchedulerConfig, n_requests: u64, seed: u64) -> Simulation {
    let capacity = config.n_blocks * config.block_size;
    let mut rng = Rng(seed);
    let mut simulation = Simulation::new(config, seed);
    simulation.n_drafts = 5;
    let mut cancellations: Vec<(u64, bool, SeqId)> = vec![];
    for id in 0..n_requests {
        let Arrival { n_steps_before, new, cancelled } = arrival(id, &mut rng, capacity);
        for _ in 0..n_steps_before {
            let now = simulation.scheduler.n_steps;
            let due = cancellations.extract_if(.., |(step, ..)| *step <= now);
            let (in_flight, before): (Vec<_>, Vec<_>) = due.partition(|(_, in_flight, _)| *in_flight);
            before.iter().for_each(|(.., id)| simulation.cancel(*id));
            let in_flight: Vec<SeqId> = in_flight.into_iter().map(|(.., id)| id).collect();
            if rng.below(100) == 0 {
                simulation.failing_step(&in_flight);
            } else {
                simulation.step(&in_flight);
            }
        }
        let seq = new.id;
        match simulation.submit(new) {
            Ok(()) => {}
            Err(AdmissionError::ExceedsCapacity { n_tokens, .. }) => assert!(n_tokens > capacity),
            Err(refusal) => assert!(matches!(refusal, AdmissionError::QueueFull { .. }), "{refusal}"),
        }
        let now = simulation.scheduler.n_steps;
        cancellations.extend(cancelled.map(|(after, in_flight)| (now + after as u64, in_flight, seq)));
    }
    simulation.run();
    simulation.check_end();
    simulation
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every sequence generates what it generates alone, whatever else arrives, ends, is cancelled,
    /// preempted or fails, and every block is freed again.
    #[test]
    fn a_sequence_is_the_same_in_any_company(
        n_blocks in 2_usize..40,
        block_size in 1_usize..9,
        max_running in 1_usize..9,
        prefill_chunk in 1_usize..20,
        n_spare in 0_usize..20,
        batch_aging_steps in 0_u64..40,
        seed: u64,
    ) {
        let config = SchedulerConfig {
            n_blocks: n_blocks.max(6_usize.div_ceil(block_size)),
            block_size,
            max_batch_tokens: max_running + prefill_chunk + n_spare,
            max_running,
            prefill_chunk,
            max_waiting: 20,
            batch_aging_steps,
        };
        serve(config, 25, seed);
    }
}

#[test]
fn a_soak_of_2000_requests_in_a_small_pool() {
    let config = SchedulerConfig { n_blocks: 40, max_waiting: 30, ..CONFIG };
    let simulation = serve(config, 2_000, 1);
    let stats = simulation.scheduler.stats();
    assert!(stats.n_preemptions > 100, "{stats:?}");
    assert!(stats.n_hit_tokens * 4 > stats.n_queried_tokens, "{stats:?}");
    assert!(simulation.requests.len() > 1_000, "{} were accepted", simulation.requests.len());
}
