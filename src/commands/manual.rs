//! `imcast man`: the manual pages, made from the command line's own definition.

use std::io::Write;

use clap_mangen::Man;

use crate::commands::CommandError;

/// Which page.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The command whose page to print [default: the page of the program]
    #[arg(value_name = "COMMAND")]
    of: Option<String>,
}

/// Prints one page; that of a command is named as the program's page refers to it, e.g. `imcast-serve(1)`.
pub(super) fn run(
    arguments: &Arguments,
    mut program: clap::Command,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    program.build();
    let page = match &arguments.of {
        None => Man::new(program),
        Some(name) => Man::new(program.find_subcommand(name).ok_or(CommandError::NoSuchCommand)?.clone()),
    };
    Ok(page.render(output)?)
}
