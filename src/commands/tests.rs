use super::*;

fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> (ExitCode, String, String) {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("imcast").chain(arguments.iter().copied()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    let code = run(arguments, environment, &mut output, &mut errors);
    (code, String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
}

#[track_caller]
fn check(arguments: &[&str], environment: &[(&str, &str)], code: ExitCode, beginning: &str) {
    let (found, output, errors) = run_with(arguments, environment);
    let shown = format!("{output}{errors}");
    assert_eq!(found, code, "{arguments:?}: {shown}");
    assert!(shown.starts_with(beginning), "{arguments:?}: {shown}");
}

#[test]
fn the_command_line_is_consistent() {
    <CommandLine as CommandFactory>::command().debug_assert();
}

#[test]
fn usage_faults_exit_64_and_help_exits_0() {
    let usage = ExitCode::from(USAGE_FAULT);
    check(&["fly"], &[], usage, "error: unrecognized subcommand");
    check(&["serve", "--listen", "nowhere"], &[], usage, "error: invalid value");
    check(&["check", "--sandbox"], &[], usage, "error: unexpected argument");
    check(&["--config"], &[], usage, "error: a value is required");
    check(&["--help"], &[], ExitCode::SUCCESS, "One HTTP gateway");
    check(&["--version"], &[], ExitCode::SUCCESS, "imcast 0.");
}

#[test]
fn check_prints_one_line_per_fault_and_exits_1() {
    let environment = [("IMCAST__LOG__LEVEL", "loud"), ("IMCAST__LOG__COLOUR", "red")];
    let (code, output, errors) = run_with(&["check"], &environment);
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(output, "");
    let keys: Vec<_> = errors.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["log.level", "log.colour"]);
}

#[test]
fn check_says_ok() {
    check(&["check"], &[], ExitCode::SUCCESS, "ok: no channel");
    let missing = ["check", "--config", "/nonexistent/x.toml"];
    check(&missing, &[], ExitCode::FAILURE, "/nonexistent/x.toml: cannot be read");
}

#[test]
fn a_new_key_is_shown_once_and_known_by_what_the_configuration_holds() {
    use crate::api::keys::key::KeyDigest;

    let (code, printed, _) = run_with(&["keygen", "--name", "billing"], &[]);
    assert_eq!(code, ExitCode::SUCCESS);
    let key = printed.lines().find(|line| line.starts_with("imc_")).unwrap();
    assert_eq!(printed.matches(key).count(), 1);
    let (_, toml) = printed.split_once("# For imcast.toml").unwrap();
    let toml = format!("# {toml}channels = [\"sandbox-tim\"]\nbatches_per_second = 5\noperator = true\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &toml).unwrap();
    let settings = config::load(Some(file.path()), [], REGISTRY).ok().unwrap();
    assert!(settings.keys[0].digest.matches(&KeyDigest::of(key)));
    let (code, shown, _) = run_with(&["check", "--config", &file.path().display().to_string()], &[]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(shown.contains("1 keys\n  billing: key "), "{shown}");
    assert!(shown.contains("channels [sandbox-tim], 5 batches a second, operator"), "{shown}");
    let digest = settings.keys[0].digest.to_string();
    assert!(!shown.contains(&digest) && !shown.contains(key), "{shown}");
    check(&["keygen", "--name", "two words"], &[], ExitCode::from(USAGE_FAULT), "error: invalid value");
}

#[test]
fn health_asks_the_configured_address() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = closed.to_string();
    let beginning = format!("imcast: the gateway at {listen} does not answer as it should: no connection");
    let environment = [("IMCAST__SERVER__LISTEN", &*listen)];
    check(&["health"], &environment, ExitCode::FAILURE, &beginning);
    check(&["health", "--url", "https://x.test"], &[], ExitCode::FAILURE, "imcast: the URL must read");
}

#[test]
fn the_demo_reports_what_every_stand_in_answers() {
    let (code, output, errors) = run_with(&["demo"], &[]);
    assert_eq!(code, ExitCode::SUCCESS, "{output}{errors}");
    for provider in REGISTRY {
        assert!(output.contains(provider.name), "{output}");
    }
}

/// What `--help` lists.
fn commands() -> Vec<String> {
    let program = <CommandLine as CommandFactory>::command();
    let names: Vec<_> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert!(names.len() >= 6, "{names:?}");
    names
}

#[test]
fn completions_of_every_shell_name_every_command() {
    for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
        let (code, output, errors) = run_with(&["completions", &shell.to_string()], &[]);
        assert_eq!((code, errors.as_str()), (ExitCode::SUCCESS, ""), "{shell}");
        for name in commands() {
            assert!(output.contains(&name), "{shell}: {name}");
        }
        assert!(output.contains("connect") && output.contains("sandbox"), "{shell}: options of commands");
    }
    check(&["completions", "abacus"], &[], ExitCode::from(USAGE_FAULT), "error: invalid value");
}

#[test]
fn the_manual_page_names_every_command_and_each_has_its_own() {
    let (code, page, errors) = run_with(&["man"], &[]);
    assert_eq!((code, errors.as_str()), (ExitCode::SUCCESS, ""));
    assert!(page.contains(".TH imcast 1"), "{page}");
    for name in commands() {
        assert!(page.contains(&format!("imcast\\-{name}(1)")), "{name}: {page}");
        let (code, own, errors) = run_with(&["man", &name], &[]);
        assert_eq!((code, errors.as_str()), (ExitCode::SUCCESS, ""), "{name}");
        assert!(own.contains(&format!(".TH imcast-{name} 1")), "{name}: {own}");
    }
    let (_, serve, _) = run_with(&["man", "serve"], &[]);
    assert!(serve.contains("\\-\\-sandbox") && serve.contains("imcast serve"), "{serve}");
    check(&["man", "fly"], &[], ExitCode::FAILURE, "imcast: there is no command of that name");
}

/// Takes nothing: the reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_reader_that_went_away_is_an_error_and_no_panic() {
    for arguments in [&["imcast", "completions", "bash"][..], &["imcast", "man"]] {
        let arguments = arguments.iter().map(OsString::from);
        let mut errors = Vec::new();
        assert_eq!(run(arguments, [], &mut Closed, &mut errors), ExitCode::FAILURE);
        assert!(errors.starts_with(b"imcast: nothing can be written"));
    }
}
