//! Threads: as many as the machine has cores, or as many as the system gives.
//!
//! A system may allow a process fewer threads than it has cores (`ulimit -u`, a container's limit of processes). That is no
//! reason to fail: what is computed does not depend on how many there are.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::{ThreadBuilder, ThreadPoolBuilder};

/// How many threads a program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// One for every core, or what `RAYON_NUM_THREADS` says.
    pub wanted: usize,
    /// What the system gave, at least one.
    pub have: usize,
}

/// Makes the threads that the evaluator computes on; a program calls this once, before it computes. Without it they are
/// made when they are first wanted, and that ends in a panic where the system does not give them all.
pub fn start() -> Threads {
    let wanted = wanted();
    let mut reserved = reserve(wanted, |body| thread::Builder::new().spawn(body).map(drop));
    let have = reserved.len().max(1);
    // An error says that there are threads already: then those remain, and the reserved ones end.
    let _ = match reserved.is_empty() {
        true => ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global(),
        false => ThreadPoolBuilder::new()
            .num_threads(have)
            .spawn_handler(|worker| {
                let sent = reserved.pop().map(|thread| thread.send(worker).is_ok());
                if sent == Some(true) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
            })
            .build_global(),
    };
    Threads { wanted, have }
}

/// Runs `work` on a thread for every core at once, this one among them; on fewer where the system gives no more. Ends when
/// all have.
pub fn on_all_cores(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        let more = (1..wanted()).map(|_| thread::Builder::new().spawn_scoped(scope, &work));
        more.take_while(Result::is_ok).for_each(drop);
        work();
    });
}

fn wanted() -> usize {
    let said = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    said.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Threads that wait for what they are to do, `wanted` of them or as many as `spawn` makes. They are made before the pool
/// is, because a pool that cannot be made whole can never be made again.
fn reserve(
    wanted: usize,
    mut spawn: impl FnMut(Box<dyn FnOnce() + Send>) -> io::Result<()>,
) -> Vec<Sender<ThreadBuilder>> {
    let one = || {
        let (give, take) = channel::<ThreadBuilder>();
        let body = move || take.recv().into_iter().for_each(ThreadBuilder::run);
        spawn(Box::new(body)).map(|()| give)
    };
    std::iter::repeat_with(one).take(wanted).map_while(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn where_the_system_gives_fewer_threads_there_are_fewer() {
        let allowed = |most: usize| {
            let mut made = 0;
            reserve(8, |body| {
                made += 1;
                if made > most {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    thread::Builder::new().spawn(body).map(drop)
                }
            })
        };
        assert_eq!([0, 1, 3, 9].map(|most| allowed(most).len()), [0, 1, 3, 8]);
        // What is reserved does what a pool wants, and the pool is as large.
        let mut reserved = allowed(3);
        let pool = ThreadPoolBuilder::new().num_threads(3).spawn_handler(|worker| {
            reserved
                .pop()
                .expect("one for every worker")
                .send(worker)
                .map_err(|_| io::ErrorKind::WouldBlock.into())
        });
        let pool = pool.build().unwrap();
        assert_eq!(pool.install(rayon::current_num_threads), 3);
    }

    #[test]
    fn a_program_without_further_threads_computes_on_its_own() {
        let sum = thread::spawn(|| {
            let pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
            pool.install(|| rayon::join(|| 1, || 2))
        });
        assert_eq!(sum.join().unwrap(), (1, 2));
    }

    #[test]
    fn work_is_done_by_this_thread_too() {
        let (left, done) = (AtomicUsize::new(100), AtomicUsize::new(0));
        on_all_cores(|| {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(done.into_inner(), 100);
    }
}
