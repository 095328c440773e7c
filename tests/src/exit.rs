//! Work for the end of this program: what is shared by many tests is never dropped.

use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

type Work = Box<dyn FnOnce() + Send>;

static WORK: Mutex<Vec<Work>> = Mutex::new(Vec::new());

unsafe extern "C" {
    safe fn atexit(handler: extern "C" fn()) -> c_int;
}

/// Has `work` done when this program ends by itself, the latest first.
pub(crate) fn at_exit(work: impl FnOnce() + Send + 'static) {
    let mut all = WORK.lock().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        assert_eq!(atexit(do_all), 0, "there is room for one");
    }
    all.push(Box::new(work));
}

extern "C" fn do_all() {
    loop {
        // Not held while the work is done: it may leave more behind.
        let work = WORK.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(work) = work else { break };
        work();
    }
}
