//! The one thread pool: every parallel kernel shares it, and none runs inside another.
//!
//! A decode step of a small model makes some 300 parallel calls in 5 ms. So a call must cost about a
//! microsecond: idle workers spin on one word ([`gate`]) for a short while before they park, and a
//! call never waits for a worker that has not joined it. A worker that another process has pushed off
//! its core costs nothing then; the caller and the others take its tasks.

mod gate;
mod shares;

use std::{
    any::Any,
    cell::{Cell, UnsafeCell},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use gate::{Epoch, Gate};
use shares::{MOST_TASKS, Shares};

/// How long a worker without work spins before it parks: longer than the serial work between two
/// products, short enough that an idle server burns nothing.
const SPIN: Duration = Duration::from_micros(50);
/// Looks at the gate between two looks at the clock.
const LOOKS_PER_CLOCK: usize = 32;

/// What sets the number of threads, unless [`configure`] does.
const THREADS_VARIABLE: &str = "TIER0_THREADS";

static CONFIGURED: OnceLock<Threads> = OnceLock::new();
static GLOBAL: OnceLock<Pool> = OnceLock::new();

thread_local! {
    /// Whether this thread is inside a task: what it calls in parallel then runs inline.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// How many threads a pool has, and where they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Threads {
    /// Threads, the calling one included. 0 leaves it to `TIER0_THREADS`, else to how many the machine
    /// runs at once.
    pub n_threads: usize,
    /// Cores that threads are kept on, in turn: the first for the caller that asks for it with
    /// [`Pool::keep_caller`], the others for the pool's own. With none, the system chooses.
    pub cores: Vec<usize>,
}

/// Why the process-wide pool cannot be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// It was asked for, or configured, before.
    #[error("the thread pool already has its size of {n_threads}; set it before the first product")]
    AlreadyConfigured {
        /// Threads that the pool has or will have.
        n_threads: usize,
    },
    /// A core that threads are to be kept on is not there, or not for this process.
    #[error(
        "there is no core {core} for this process to keep threads on; `taskset -p $$` shows those that are"
    )]
    UnknownCore {
        /// Its number.
        core: usize,
    },
}

/// Sets how many threads the process-wide pool has, and where they run.
///
/// # Errors
/// When the pool has started, or was configured before, or a core does not exist.
pub fn configure(threads: Threads) -> Result<(), ThreadsError> {
    let known = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = threads.cores.iter().find(|core| known.iter().all(|known| known.id != **core)) {
        return Err(ThreadsError::UnknownCore { core: *core });
    }
    if let Some(pool) = GLOBAL.get() {
        return Err(ThreadsError::AlreadyConfigured { n_threads: pool.n_threads() });
    }
    CONFIGURED
        .set(threads)
        .map_err(|refused| ThreadsError::AlreadyConfigured { n_threads: refused.n_threads })
}

/// The process-wide pool, started by the first call, with what [`configure`] set.
pub fn global() -> &'static Pool {
    GLOBAL.get_or_init(|| Pool::start(CONFIGURED.get().cloned().unwrap_or_default()))
}

/// [`Pool::run`] on the process-wide pool.
///
/// # Panics
/// When a task panics, with what it panicked with.
pub fn parallel(n_tasks: usize, work: &(dyn Fn(usize) + Sync)) {
    global().run(n_tasks, work);
}

/// Threads that wait for work together.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    cores: Vec<usize>,
    workers: Vec<Worker>,
    /// Held for the length of a call: one at a time.
    turn: Mutex<()>,
}

/// The caller's handle on one worker.
#[derive(Debug)]
struct Worker {
    asleep: Arc<AtomicBool>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

/// What caller and workers both see.
#[derive(Debug)]
struct Shared {
    gate: Gate,
    /// Written by the caller while the gate is shut and nobody inside; read by those inside.
    job: UnsafeCell<Option<Job>>,
    shares: Shares,
    /// What the first panicking task panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
}

/// One call: its closure, with the lifetime taken off, and how often to call it.
#[derive(Debug, Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    n_tasks: usize,
}

// SAFETY: `job` is written only by the caller, which holds the turn, while the gate is shut and
// nobody is inside; it is read only inside. The closure it points to is Sync, and outlives the call,
// which returns only after everyone has left.
unsafe impl Sync for Shared {}
// SAFETY: as above; a `Job` is a pointer to something Sync.
unsafe impl Send for Shared {}

/// A pointer that tasks share, each writing elements of its own.
#[derive(Debug)]
pub(crate) struct SharedMut<T>(pub(crate) *mut T);

impl<T> SharedMut<T> {
    /// The pointer.
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: who uses the pointer writes disjoint elements; see there.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl Pool {
    /// A pool of `n_threads`, at least one, the caller of [`Pool::run`] included. It has fewer where
    /// the system refuses to start them.
    pub fn new(n_threads: usize) -> Self {
        Self::start(Threads { n_threads: n_threads.max(1), cores: Vec::new() })
    }

    fn start(threads: Threads) -> Self {
        let variable = || std::env::var(THREADS_VARIABLE).ok()?.trim().parse().ok();
        let machine = || thread::available_parallelism().map_or(1, usize::from);
        let n_threads = match threads.n_threads {
            0 => variable().unwrap_or_else(machine),
            n_threads => n_threads,
        };
        let shared = Arc::new(Shared {
            gate: Gate::new(),
            job: UnsafeCell::new(None),
            shares: Shares::new(n_threads),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let cores = threads.cores;
        let workers = (1..n_threads).map_while(|i| Worker::start(i, core_of(&cores, i), &shared)).collect();
        Self { shared, cores, workers, turn: Mutex::new(()) }
    }

    /// Keeps the calling thread, and those that it starts, on the core meant for the pool's caller; for
    /// the one thread that calls most. Does nothing where no cores were given.
    pub fn keep_caller(&self) {
        keep_on(core_of(&self.cores, 0));
    }

    /// Threads that work on a call, the caller included.
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(i)` once for each `i` below `n_tasks`, on all threads, and returns when all are
    /// done. Each thread begins with a share of neighbouring tasks, in order, and helps others when it is
    /// done. Calls from several threads wait for one another; a call from inside a task runs on the
    /// thread that makes it.
    ///
    /// # Panics
    /// When a task panics, with what it panicked with; most tasks that had not begun are left out
    /// then. And where there are 2³² tasks or more.
    pub fn run(&self, n_tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        if n_tasks <= 1 || self.workers.is_empty() || IN_TASK.get() {
            (0..n_tasks).for_each(work);
            return;
        }
        assert!(n_tasks <= MOST_TASKS, "{n_tasks} tasks are more than a call can have");
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes. `finish` waits until no thread uses the job, before the
        // borrow of `work` ends; nothing in between unwinds, as `drain` catches what tasks throw.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync)>(work)
        };
        let job = Job { work, n_tasks };
        self.begin(job);
        self.shared.drain(job, 0);
        let panic = self.finish();
        drop(turn);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Calls `work(i, chunk)` for each chunk of `chunk_len` elements of `data`, the last one maybe
    /// shorter, as [`Pool::run`] does.
    ///
    /// # Panics
    /// When a task panics, or `chunk_len` is zero and `data` is not empty.
    pub fn run_chunks<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        work: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        if data.is_empty() {
            return;
        }
        let len = data.len();
        let start = SharedMut(data.as_mut_ptr());
        self.run(len.div_ceil(chunk_len), &|i| {
            let first = i * chunk_len;
            // SAFETY: chunks are disjoint and inside `data`, which is borrowed for the whole call;
            // each is made once.
            let chunk =
                unsafe { std::slice::from_raw_parts_mut(start.get().add(first), chunk_len.min(len - first)) };
            work(i, chunk);
        });
    }

    /// Lets the workers in on `job`, and wakes those that sleep, as far as there are tasks for them.
    fn begin(&self, job: Job) {
        // SAFETY: the turn is held, the gate is shut, and `finish` of the last call saw everyone leave.
        unsafe { *self.shared.job.get() = Some(job) };
        self.shared.shares.fill(job.n_tasks);
        self.shared.gate.open();
        for worker in self.workers.iter().take(job.n_tasks - 1) {
            if worker.asleep.load(Ordering::SeqCst) {
                worker.thread.unpark();
            }
        }
    }

    /// Shuts the gate and waits for those inside. Returns what a task panicked with.
    fn finish(&self) -> Option<Box<dyn Any + Send>> {
        self.shared.gate.shut();
        let everyone_left = || self.shared.gate.is_empty().then_some(());
        while spin_for(everyone_left).is_none() {
            thread::yield_now();
        }
        self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            if let Some(handle) = worker.handle.take() {
                // A worker catches what tasks throw, so it has nothing to tell.
                let _ = handle.join();
            }
        }
    }
}

impl Worker {
    fn start(index: usize, core: Option<usize>, shared: &Arc<Shared>) -> Option<Self> {
        let asleep = Arc::new(AtomicBool::new(false));
        let (shared, flag) = (Arc::clone(shared), Arc::clone(&asleep));
        let serve = move || {
            keep_on(core);
            IN_TASK.set(true);
            let mut seen = Epoch::default();
            while let Some(epoch) = shared.wait(seen, &flag) {
                seen = epoch;
                shared.join(epoch, index);
            }
        };
        let handle = thread::Builder::new().name(format!("kernels-{index}")).spawn(serve).ok()?;
        Some(Self { asleep, thread: handle.thread().clone(), handle: Some(handle) })
    }
}

impl Shared {
    /// Waits for an open call other than `seen`: spins, then parks. `None` when the pool goes away.
    fn wait(&self, seen: Epoch, asleep: &AtomicBool) -> Option<Epoch> {
        loop {
            let stop_or_call = || {
                let stop = self.stop.load(Ordering::SeqCst);
                if stop {
                    Some(None)
                } else {
                    self.gate.open_epoch().filter(|epoch| *epoch != seen).map(Some)
                }
            };
            if let Some(found) = spin_for(stop_or_call) {
                return found;
            }
            // The flag goes up before the last look: a caller that opens the gate after that look
            // sees the flag and unparks.
            asleep.store(true, Ordering::SeqCst);
            if stop_or_call().is_none() {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
        }
    }

    /// Works on the call `epoch` as thread number `thread`, if its gate is still open.
    fn join(&self, epoch: Epoch, thread: usize) {
        if !self.gate.enter(epoch) {
            return;
        }
        // SAFETY: this thread is inside, so the caller does not write.
        if let Some(job) = unsafe { *self.job.get() } {
            self.drain(job, thread);
        }
        self.gate.leave();
    }

    /// Takes tasks until none is left. Never unwinds.
    fn drain(&self, job: Job, thread: usize) {
        let was_in_task = IN_TASK.replace(true);
        let tasks = || {
            // SAFETY: the caller of `run` keeps the closure alive until everyone has left.
            let work = unsafe { &*job.work };
            while let Some(task) = self.shares.take(thread) {
                work(task);
            }
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(tasks)) {
            self.shares.clear();
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
        IN_TASK.set(was_in_task);
    }
}

/// The core for thread number `index`.
fn core_of(cores: &[usize], index: usize) -> Option<usize> {
    cores.get(index % cores.len().max(1)).copied()
}

/// Keeps the calling thread on a core. Where the system refuses, it runs where the system likes.
fn keep_on(core: Option<usize>) {
    if let Some(id) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
}

/// Looks until there is something, for [`SPIN`] at most.
fn spin_for<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let mut start = None;
    loop {
        for _ in 0..LOOKS_PER_CLOCK {
            if let Some(found) = look() {
                return Some(found);
            }
            std::hint::spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return None;
        }
    }
}

#[cfg(test)]
mod tests;
