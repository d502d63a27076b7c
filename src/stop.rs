//! Ctrl-C in a long run: the run stops before its next step, and what is finished is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zoetrope_runtime::{Error, Result};

/// Whether a run shall stop.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on: the first Ctrl-C, or the first request to end, stops the run; a second one ends the program.
    pub fn listen() -> Stop {
        let asked = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: the first signal finds the flag as it is. Where neither can be had, a signal ends the program.
            let _ = signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked));
            let _ = signal_hook::flag::register(signal, Arc::clone(&asked));
        }
        Stop(asked)
    }

    /// Goes on, unless the run shall stop.
    ///
    /// # Errors
    /// It shall.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn a_signal_stops_the_run_and_not_the_program() {
        let stop = Stop::listen();
        assert!(stop.check().is_ok());
        kill_process(getpid(), Signal::TERM).unwrap();
        // Another thread may have taken it.
        let taken = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            stop.check().is_err()
        });
        assert!(taken && matches!(stop.check(), Err(Error::Stopped)));
    }
}
