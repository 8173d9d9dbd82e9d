//! The program run as a shell runs it: `send`, `plan`, and `serve` where it does not start.

mod sandbox;
mod scripted;
mod serve;

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::outputs::{self, Output};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Starts the program with nothing of this process's environment; standard input is empty.
pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    start_with(arguments, environment, b"")
}

fn start_with(arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_imcast"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Whoever does not read it closes it, which is no fault.
    std::thread::spawn(move || stdin.write_all(&input));
    child
}

pub(crate) async fn end(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    outputs::note(Output::Program, &output.stdout);
    outputs::note(Output::Program, &output.stderr);
    Ended {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}
