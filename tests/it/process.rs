//! The program itself, started for a test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::outputs::{self, Output};
use crate::raw::RawCaller;

/// No test waits longer than this for a line of the log.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every configuration here has.
const COMMON: &str = "[server]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n";

/// A running `imcast serve`; dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    log: UnboundedReceiver<String>,
    address: SocketAddr,
    config: tempfile::NamedTempFile,
    home: tempfile::TempDir,
}

impl Process {
    pub(crate) async fn start(toml: &str) -> Self {
        Self::start_with(toml, &[]).await
    }

    /// Starts it with these variables in its environment.
    pub(crate) async fn start_with(toml: &str, environment: &[(&str, &str)]) -> Self {
        let config = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config.path(), format!("{COMMON}{toml}")).unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_imcast"))
            .args(["serve", "--config"])
            .arg(config.path())
            .env_clear()
            .envs(environment.iter().copied())
            .envs(outputs::is_searched().then_some(("IMCAST__LOG__LEVEL", "trace")))
            // A configuration that names no file gets one that is gone with the process.
            .current_dir(home.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = unbounded_channel();
        // Ends with the process, whose standard error it reads.
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.inspect(|line| note_line(line)).try_for_each(|line| sender.send(line))
        });
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self { child, log, address, config, home };
        let listening = process.logged("Listening.").await;
        process.address = listening["server.address"].as_str().unwrap().parse().unwrap();
        process
    }

    /// Waits for the line of the log with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.log.recv()).await.expect("a line in time");
            let line: Value = serde_json::from_str(&line.expect("a line before the end")).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Every line of the log up to the one with this message.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn log_until(&mut self, message: &str) -> String {
        let mut log = String::new();
        while !log.contains(message) {
            let line = tokio::time::timeout(PATIENCE, self.log.recv()).await.expect("a line in time");
            log.push_str(&line.expect("a line before the end"));
            log.push('\n');
        }
        log
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Lets the files that it writes to become so large and no larger; `None` = as large as they like.
    #[cfg(feature = "sqlite")]
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let size = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut limit = Command::new("prlimit");
        // The hard limit stays, so that anybody may lift the soft one again.
        limit.args(["--pid", &self.child.id().to_string(), &format!("--fsize={size}:")]);
        assert!(limit.status().unwrap().success());
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.config.path(), format!("{COMMON}{toml}")).unwrap();
    }

    /// Kills it; what it had logged that nobody has read.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.log.recv().await {
            rest.push(line);
        }
        rest
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ending = async { while self.log.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ending).await.expect("an end in time");
        self.child.wait().unwrap()
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn connect(&self) -> std::io::Result<RawCaller> {
        TcpStream::connect(self.address).await.map(RawCaller::new)
    }

    /// The most memory that it ever held, in kilobytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The body of what is at a path.
    pub(crate) async fn get(&self, path: &str) -> String {
        let mut caller = self.connect().await.unwrap();
        caller.write(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
        caller.answer().await.unwrap().body
    }

    /// Status and code of the answer to a request.
    pub(crate) async fn ask(&self, request: &[u8]) -> (u16, String) {
        let mut caller = self.connect().await.unwrap();
        caller.write(request).await;
        let answer = caller.answer().await.unwrap();
        (answer.status, answer.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended, as it should.
        drop(self.child.kill());
        drop(self.child.wait());
        // Where batches are kept unless the configuration says otherwise, which most here do not.
        outputs::note_file(&self.home.path().join("imcast.db"));
        for line in std::fs::read_to_string(self.config.path()).unwrap_or_default().lines() {
            if let Some(path) = line.strip_prefix("url = 'sqlite:") {
                outputs::note_file(path.trim_end_matches('\'').as_ref());
            }
        }
    }
}

fn note_line(line: &str) {
    outputs::note(Output::Program, format!("{line}\n").as_bytes());
}
