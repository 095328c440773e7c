//! Waits for events in other processes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to wait. Only a failing test waits that long.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Calls `probe` until it returns something, and returns that. The error names `what` it waited for.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s for {what}, which did not happen", TIMEOUT.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
