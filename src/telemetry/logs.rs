//! Writes log lines as the `[log]` section says.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::telemetry::settings::{Format, Settings};

/// Logs cannot be switched on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something in this process logs already.
    #[error("logs were already set up")]
    AlreadySet(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Writes the whole process's log lines to standard error.
///
/// # Errors
/// [`LogError`] if it was called before.
pub fn start(settings: Settings) -> Result<(), LogError> {
    let subscriber = subscriber(settings, std::io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(LogError::AlreadySet)
}

/// What turns events into lines.
fn subscriber<W>(settings: Settings, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Packages below us may log URLs with secrets in them at finer levels than `warn`.
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(settings.level)))
        .with_target(env!("CARGO_CRATE_NAME"), settings.level);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match settings.format {
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    Box::new(Registry::default().with(lines.with_filter(targets)))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: Format, level: Level) -> String {
        let written = Written::default();
        let writer = written.clone();
        let settings = Settings { format, level };
        tracing::subscriber::with_default(subscriber(settings, move || writer.clone()), || {
            tracing::info!(batch.id = "bat_1", elapsed_ms = 7, "Batch finished.");
            tracing::debug!("Call sent.");
            tracing::info!(target: "h2::client", "foreign line");
            tracing::warn!(target: "h2::client", "foreign warning");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_are_objects_with_their_fields_at_the_top() {
        let text = lines(Format::Json, Level::INFO);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["batch.id"], "bat_1");
        assert_eq!(first["elapsed_ms"], 7);
        assert_eq!(first["message"], "Batch finished.");
    }

    #[test]
    fn the_level_is_ours_and_other_packages_only_warn() {
        for (level, expected) in [(Level::ERROR, 0), (Level::WARN, 1), (Level::INFO, 2), (Level::TRACE, 3)] {
            let text = lines(Format::Text, level);
            assert_eq!(text.lines().count(), expected, "{level}: {text}");
            assert!(!text.contains("foreign line"), "{text}");
        }
    }
}
