//! `imcast keygen`: makes a key. Opens no socket and keeps nothing.

use std::io::Write;

use crate::api::keys::key::Key;
use crate::api::keys::settings::is_name;
use crate::commands::CommandError;

/// Whose key it is.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The caller's name; a second key of a name is for changing over to it
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = name)]
    name: String,
}

/// Prints the key, which is not shown again, and what the configuration needs to know it by.
pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let key = Key::generate()?;
    writeln!(
        output,
        "# The key. It is shown only now: give it to the caller, who sends it with every request as"
    )?;
    writeln!(output, "# Authorization: Bearer <key>")?;
    writeln!(output, "{}", key.text.expose())?;
    writeln!(output)?;
    writeln!(output, "# For imcast.toml, which never holds the key itself:")?;
    writeln!(output, "[[keys]]")?;
    writeln!(output, "name = \"{}\"", arguments.name)?;
    writeln!(output, "id = \"{}\"", key.id)?;
    writeln!(output, "sha256 = \"{}\"", key.digest())?;
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    let detail = || "a name has 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`".to_owned();
    is_name(text).then(|| text.to_owned()).ok_or_else(detail)
}
