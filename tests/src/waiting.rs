//! Waiting for what happens in another process.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to wait. Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// What `probe` returns as soon as it returns something. The error says that it was waited in
/// vain for `what`.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
