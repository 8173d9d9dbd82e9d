//! The `imcast` program: hands the process's inputs to [`imcast::commands::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut output = std::io::stdout().lock();
    // Not locked: log lines go there from other threads.
    let mut errors = std::io::stderr();
    let environment = imcast::config::environment();
    imcast::commands::run(std::env::args_os(), environment, &mut output, &mut errors)
}
