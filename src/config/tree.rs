//! Parses and merges sources; knows no key.

use ::config::{Config, ConfigError, File, FileFormat, Map, Source, Value};

/// A table of a source; never logged, it holds secrets.
pub(super) type Table = Map<String, Value>;

/// Where a whole source hangs while it is merged: the merge reads names at the top as paths (`a.b[0]`), so
/// that the operator's own names must not stand there.
const ROOT: &str = "root";

/// One source for the merge.
#[derive(Clone)]
struct Layer(Table);

// By hand: the table may hold secrets.
impl std::fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Layer")
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, ConfigError> {
        Ok(Map::from([(ROOT.to_owned(), Value::from(self.0.clone()))]))
    }
}

/// Parses TOML.
///
/// # Errors
/// What is wrong and where, without a piece of the text: a secret may stand there.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    File::from_str(text, FileFormat::Toml).collect().map_err(|error| describe(&error))
}

/// The parser shows the line at fault between its first line, the place, and its last, the reason.
fn describe(error: &ConfigError) -> String {
    let ConfigError::FileParse { cause, .. } = error else {
        return "is not valid TOML".to_owned();
    };
    let shown = cause.to_string();
    let place = shown.lines().next().unwrap_or_default();
    let reason = shown.lines().next_back().unwrap_or_default();
    match place.strip_prefix("TOML parse error at ") {
        Some(place) => format!("is not valid TOML at {place}: {reason}"),
        None => format!("is not valid TOML: {reason}"),
    }
}

/// Merges tables, key by key; later ones win, arrays are replaced whole.
pub(super) fn merge<const COUNT: usize>(layers: [Table; COUNT]) -> Table {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(Layer(layer));
    }
    // Neither can fail: a layer gives exactly one table, under this name.
    let merged = builder.build().and_then(|config| config.get_table(ROOT));
    merged.unwrap_or_default()
}

/// The tree as JSON text; a number that JSON cannot carry becomes `null`.
pub(super) fn to_json(table: Table) -> String {
    let json: Result<serde_json::Value, ConfigError> = Value::from(table).try_deserialize();
    json.unwrap_or_default().to_string()
}
