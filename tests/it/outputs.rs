//! Hands on whatever the gateway says in a test to `scripts/check-secrets`, which searches it for secrets.
//!
//! Only where that script runs the tests; otherwise nothing here does anything, except that one test may collect
//! the log itself.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

use tracing_subscriber::fmt::format::FmtSpan;

/// Names the socket that the script listens at.
const SOCKET: &str = "IMCAST_OUTPUTS";

/// What configurations and requests of the tests hold as secrets, by kind; those that are made on the way are told by
/// [`secret`].
const SECRETS: [(&str, &[&str]); 6] = [
    (
        "provider secret",
        &[
            "canary-6f1d2b",
            "TEST-SECRET",
            "TEST-KEY",
            "openIM123",
            "stand-in-key-that-opens-nothing",
            "SandboxSecretOfNobody",
            "sandbox-client-secret",
        ],
    ),
    (
        "relay query",
        &[
            "00112233445566778899aabbccddeeff",
            "0123456789abcdef0123456789abcdef",
            "fedcba9876543210fedcba9876543210",
        ],
    ),
    ("credential of a caller", &["canary-of-a-caller"]),
    ("provider token", &["TEST-APP-TOKEN", "TEST-ADMIN-TOKEN", "canary-token-"]),
    ("webhook secret", &["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "cHJldmlvdXMtc2VjcmV0LW9mLXRoZS1vcGVyYXRvcg"]),
    ("database password", &["canary-database"]),
];

/// Where something was said.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// The log of a gateway in this process, with every span and its fields: what an exporter of traces is given.
    Log,
    /// Standard output and error of the program.
    Program,
    /// Status, headers and body of an answer, that of `/metrics` among them.
    Answer,
    /// What is kept: an SQLite file with its log, or the dump of a database.
    Store,
}

impl Output {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Program => "program",
            Self::Answer => "answer",
            Self::Store => "store",
        }
    }
}

/// Whether anybody searches.
pub(crate) fn is_searched() -> bool {
    searcher().is_some()
}

/// Hands on what was said.
pub(crate) fn note(output: Output, bytes: &[u8]) {
    tell("output", output.as_str(), bytes);
}

/// Hands on a secret that was made in the course of a test.
pub(crate) fn secret(kind: &str, text: &str) {
    tell("secret", kind, text.as_bytes());
}

/// Hands on what an SQLite file holds, with what is not yet merged into it.
pub(crate) fn note_file(path: &Path) {
    if !is_searched() {
        return;
    }
    for ending in ["", "-wal"] {
        // Files come and go with the process that has them open.
        if let Ok(bytes) = std::fs::read(format!("{}{ending}", path.display())) {
            note(Output::Store, &bytes);
        }
    }
}

fn tell(word: &str, kind: &str, bytes: &[u8]) {
    if let Some(searcher) = searcher() {
        let mut stream = unpoisoned(searcher);
        writeln!(stream, "{word}\t{kind}\t{}", bytes.len()).unwrap();
        stream.write_all(bytes).unwrap();
    }
}

fn searcher() -> Option<&'static Mutex<UnixStream>> {
    static SEARCHER: OnceLock<Option<Mutex<UnixStream>>> = OnceLock::new();
    let connect = || {
        let mut stream = UnixStream::connect(std::env::var_os(SOCKET)?).expect("the script listens");
        for (kind, texts) in SECRETS {
            for text in texts {
                write!(stream, "secret\t{kind}\t{}\n{text}", text.len()).unwrap();
            }
        }
        Some(Mutex::new(stream))
    };
    SEARCHER.get_or_init(connect).as_ref()
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is collected of the log for a test of this process, if one wants it.
static COLLECTED: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Logs all that happens in this process from here on, at every level and of every package.
pub(crate) fn log_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(|| Lines);
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    });
}

/// Collects what is logged from here on; one test of a process may.
pub(crate) fn collect_log() {
    log_everything();
    *unpoisoned(&COLLECTED) = Some(Vec::new());
}

/// Ends [`collect_log`].
pub(crate) fn collected_log() -> String {
    String::from_utf8_lossy(&unpoisoned(&COLLECTED).take().unwrap()).into_owned()
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        note(Output::Log, line);
        if let Some(collected) = &mut *unpoisoned(&COLLECTED) {
            collected.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
