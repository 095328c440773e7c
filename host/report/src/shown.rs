//! Shows events as they happen, without a journal.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use gatling_runs::{Entry, Event, Redactor, Sink};

use crate::text::{Options, Renderer};

/// Shows events as they happen, without a journal.
pub struct Shown<W>(Mutex<(Renderer<W>, Redactor)>);

impl<W: Write> Shown<W> {
    /// Shows events on `out`.
    pub fn new(out: W, options: Options) -> Self {
        Self(Mutex::new((Renderer::new(out, options), Redactor::default())))
    }
}

impl<W: Write + Send> Sink for Shown<W> {
    fn take(&self, mut event: Event) {
        let (renderer, redactor) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        event.change_texts(|text| redactor.redact(text));
        // The run continues even if nobody reads its output any more.
        _ = renderer.show(&Entry::now(event));
    }

    fn hide(&self, redactor: Redactor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = redactor;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn live_output_without_a_journal_contains_no_secrets() {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no panic").write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let shown = Shown::new(kept.clone(), Options::default());
        shown.hide(Redactor::new([("TOKEN", "hunter2")], &[]));
        shown.take(Event::Output { text: "it is hunter2".to_owned(), open: false });
        assert_eq!(kept.0.lock().expect("no panic").as_slice(), b"    | it is [TOKEN]\n");
    }
}
