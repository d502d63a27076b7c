//! The threads that a command computes on.

use zoetrope_kernels::threads::{Threads, start as make};

use crate::terminal;

/// Makes the threads, once, when a program starts; says so where the system gives fewer than there are cores.
pub fn start() {
    let Threads { wanted, have } = make();
    if have < wanted {
        terminal::note(format_args!(
            "the system gives this process {have} of {wanted} threads (ulimit -u); it computes on those"
        ));
    }
}
