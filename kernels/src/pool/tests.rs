use std::sync::atomic::{AtomicU32, AtomicUsize};

use rstest::rstest;

use super::*;

/// How often each of `n_tasks` was called.
fn count_calls(pool: &Pool, n_tasks: usize) -> Vec<u32> {
    let counts: Vec<AtomicU32> = (0..n_tasks).map(|_| AtomicU32::new(0)).collect();
    pool.run(n_tasks, &|i| {
        counts[i].fetch_add(1, Ordering::Relaxed);
    });
    counts.into_iter().map(AtomicU32::into_inner).collect()
}

#[rstest]
fn every_task_runs_once(#[values(1, 2, 3, 8)] n_threads: usize, #[values(0, 1, 2, 7, 1000)] n_tasks: usize) {
    let pool = Pool::new(n_threads);
    for _ in 0..50 {
        assert_eq!(count_calls(&pool, n_tasks), vec![1; n_tasks]);
    }
}

#[test]
fn a_pool_has_at_least_the_caller() {
    assert_eq!(Pool::new(0).n_threads(), 1);
    assert_eq!(Pool::new(3).n_threads(), 3);
}

#[test]
fn several_threads_work_at_once() {
    let pool = Pool::new(3);
    let arrived = AtomicUsize::new(0);
    pool.run(3, &|_| {
        arrived.fetch_add(1, Ordering::SeqCst);
        let start = Instant::now();
        while arrived.load(Ordering::SeqCst) < 3 {
            assert!(start.elapsed() < Duration::from_secs(20), "the other tasks did not begin");
            thread::yield_now();
        }
    });
}

#[test]
fn sleeping_workers_wake_up() {
    let pool = Pool::new(3);
    for _ in 0..20 {
        thread::sleep(SPIN * 20);
        assert_eq!(count_calls(&pool, 64), vec![1; 64]);
    }
    thread::sleep(SPIN * 100);
    assert!(pool.workers.iter().all(|worker| worker.asleep.load(Ordering::SeqCst)), "idle workers must park");
}

#[test]
fn a_call_inside_a_task_runs_inline() {
    let pool = Pool::new(2);
    let total = AtomicUsize::new(0);
    pool.run(8, &|_| {
        let thread = thread::current().id();
        pool.run(5, &|i| {
            assert_eq!(thread::current().id(), thread);
            total.fetch_add(i, Ordering::Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 80);
}

#[test]
fn callers_take_turns() {
    let pool = Pool::new(3);
    let inside = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for n_tasks in 2..60 {
                    let owner = AtomicBool::new(false);
                    pool.run(n_tasks, &|_| {
                        if !owner.swap(true, Ordering::SeqCst) {
                            assert!(!inside.swap(true, Ordering::SeqCst), "two calls at once");
                            thread::yield_now();
                            inside.store(false, Ordering::SeqCst);
                        }
                    });
                    assert!(owner.into_inner());
                    assert_eq!(count_calls(&pool, n_tasks), vec![1; n_tasks]);
                }
            });
        }
    });
}

#[rstest]
fn a_panic_reaches_the_caller_and_the_pool_lives_on(
    #[values(1, 2, 4)] n_threads: usize,
    #[values(0, 13)] bad: usize,
) {
    let pool = Pool::new(n_threads);
    for _ in 0..20 {
        let call = || pool.run(100, &|i| assert!(i != bad, "task {i} is bad"));
        let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>(), Some(&format!("task {bad} is bad")));
        assert_eq!(count_calls(&pool, 100), vec![1; 100]);
    }
    assert!(!IN_TASK.get());
}

#[test]
fn the_global_pool_cannot_change_once_it_runs() {
    let n_threads = global().n_threads();
    let threads = Threads { n_threads: n_threads + 1, cores: Vec::new() };
    assert_eq!(configure(threads), Err(ThreadsError::AlreadyConfigured { n_threads }));
    let sum = AtomicUsize::new(0);
    parallel(10, &|i| {
        sum.fetch_add(i, Ordering::Relaxed);
    });
    assert_eq!(sum.into_inner(), 45);
}

#[test]
fn threads_can_be_kept_on_a_core() {
    let Some(core) = core_affinity::get_core_ids().and_then(|cores| cores.first().copied()) else { return };
    let pool = Pool::start(Threads { n_threads: 3, cores: vec![core.id] });
    assert_eq!(count_calls(&pool, 100), vec![1; 100]);
    // In a thread of its own: what is kept stays kept.
    thread::spawn(move || {
        pool.keep_caller();
        assert_eq!(core_affinity::get_core_ids().unwrap(), [core]);
    })
    .join()
    .unwrap();
}

#[test]
fn a_core_that_is_not_there_is_an_error() {
    let error = configure(Threads { n_threads: 1, cores: vec![usize::MAX] }).unwrap_err();
    assert_eq!(error, ThreadsError::UnknownCore { core: usize::MAX });
}
