//! Cleanup at the end of this program, because values that many tests share are never dropped.

use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

type Work = Box<dyn FnOnce() + Send>;

static WORK: Mutex<Vec<Work>> = Mutex::new(Vec::new());

unsafe extern "C" {
    safe fn atexit(handler: extern "C" fn()) -> c_int;
}

/// Runs `work` when this program exits normally. The work that was added last runs first.
pub(crate) fn at_exit(work: impl FnOnce() + Send + 'static) {
    let mut all = WORK.lock().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        assert_eq!(atexit(do_all), 0, "the handler can be registered");
    }
    all.push(Box::new(work));
}

extern "C" fn do_all() {
    loop {
        // The lock is not held while the work runs, because it may add more.
        let work = WORK.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(work) = work else { break };
        work();
    }
}
