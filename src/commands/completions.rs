//! `imcast completions`: what a shell needs to complete this program's commands and options.

use std::io::Write;

use clap_complete::Shell;

use crate::commands::CommandError;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(
    arguments: &Arguments,
    mut command: clap::Command,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    // In memory first: the generator would panic if the output were closed.
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    Ok(output.write_all(&script)?)
}
