//! Writes log lines as the `[log]` section says.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::telemetry::escape::Escaping;
use crate::telemetry::settings::{Format, Settings};
use crate::telemetry::traces::Export;

/// Logs cannot be switched on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something in this process logs already.
    #[error("logs were already set up")]
    AlreadySet(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Writes the whole process's log lines to standard error, and hands spans to `export` if there is one.
///
/// # Errors
/// [`LogError`] if it was called before.
pub fn start(settings: Settings, export: Option<&Export>) -> Result<(), LogError> {
    let subscriber = subscriber(settings, std::io::stderr, export);
    tracing::subscriber::set_global_default(subscriber).map_err(LogError::AlreadySet)
}

/// What turns events into lines, and spans into what is exported.
pub fn subscriber<W>(
    settings: Settings,
    writer: W,
    export: Option<&Export>,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Packages below us may log URLs with secrets in them at finer levels than `warn`.
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(settings.level)))
        .with_target(env!("CARGO_CRATE_NAME"), settings.level);
    let lines = tracing_subscriber::fmt::layer().with_writer(Escaping(writer));
    let lines = match settings.format {
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Box::new(Registry::default().with(export.map(Export::layer)).with(lines.with_filter(targets)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;
    use crate::telemetry::written::Written;

    fn lines(format: Format, level: Level) -> String {
        let (written, _guard) = Written::collect(format, level);
        tracing::info!(batch.id = "bat_1", elapsed_ms = 7, "Batch finished.");
        tracing::debug!("Call sent.");
        tracing::info!(target: "h2::client", "foreign line");
        tracing::warn!(target: "h2::client", "foreign warning");
        written.text()
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
    fn no_text_breaks_out_of_its_line() {
        let hostile =
            "a\r\nINFO forged\x1b[2J\x1b[31m<script>alert(1)</script>\u{202e}gpj\u{9b}31m\u{2028}\u{7f}";
        for format in [Format::Text, Format::Json] {
            let (written, guard) = Written::collect(format, Level::INFO);
            tracing::info!(client_ref = %hostile, other = ?hostile, plain = hostile, "Name: {hostile}");
            drop(guard);
            let text = written.text();
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(char::is_control), "{line:?}");
            for mark in ['<', '\u{202e}', '\u{2028}'] {
                assert!(!line.contains(mark), "{line:?}");
            }
            if format == Format::Json {
                let json: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(json["client_ref"], hostile);
                assert_eq!(json["plain"], hostile);
            }
        }
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
