//! Collects log lines in tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};

use crate::telemetry::{Format, Settings, logs};

/// What was written so far.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// Collects what this thread logs while the guard lives.
    pub(crate) fn collect(format: Format, level: Level) -> (Self, DefaultGuard) {
        // Interested in everything for as long as the process lives: what a thread without a collector met
        // first would otherwise stay switched off for all of them.
        static EVERYTHING: OnceLock<Dispatch> = OnceLock::new();
        EVERYTHING.get_or_init(|| Dispatch::new(tracing_subscriber::Registry::default()));
        let written = Self::default();
        let writer = written.clone();
        let subscriber = logs::subscriber(Settings { format, level }, move || writer.clone(), None);
        (written, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
