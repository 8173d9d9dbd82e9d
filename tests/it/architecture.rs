//! The shape of the source: imports point one way, and a provider is one folder that nobody else knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imcast::providers::REGISTRY;

/// What each module may import of ours, besides itself.
///
/// Every module reads its own settings with `adapter::fields`, which is why nearly all of them import `adapter`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("telemetry", &["adapter", "domain"]),
    ("adapter", &["domain"]),
    ("store", &["adapter", "domain"]),
    ("providers", &["adapter", "domain"]),
    ("transport", &["adapter", "telemetry"]),
    ("dispatch", &["adapter", "domain", "store", "telemetry", "transport"]),
    ("api", &["adapter", "dispatch", "domain", "store", "telemetry"]),
    ("callbacks", &["adapter", "api", "dispatch", "domain", "store", "telemetry", "transport"]),
    ("console", &["adapter", "dispatch", "domain", "store", "telemetry"]),
    ("sandbox", &["adapter", "providers"]),
];

/// Modules that wire the others together and may import any of them.
const MAY_IMPORT_ALL: &[&str] = &["app", "commands", "config", "lib", "main"];

/// Packages that only some modules may name.
const CONFINED: &[(&str, &[&str])] = &[
    ("reqwest", &["transport", "commands"]),
    ("hyper_rustls", &["transport"]),
    ("axum", &["api", "console", "sandbox", "app"]),
    ("sqlx", &["store"]),
];

/// The files of a provider's folder.
const PROVIDER_FILES: &[&str] = &[
    "auth.rs",
    "codes.rs",
    "default.toml",
    "mod.rs",
    "sandbox.rs",
    "settings.rs",
    "tests.rs",
    "translate.rs",
    "wire.rs",
];

/// The folder beside those of the providers with what their tests share; it names none of them.
const SHARED_TEST_RIG: &str = "test_rig";

struct Source {
    /// Below `src`, e.g. `dispatch/plan.rs`.
    path: String,
    /// The first part of the path, e.g. `dispatch`.
    module: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs")
            || self.path.ends_with("test_rig.rs")
            || self.path.contains("/tests/")
            || self.path.contains("/test_rig/")
    }

    /// Lines of code before the tests of the file, with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().enumerate().map(|(index, line)| (index + 1, line.trim_start()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    assert!(found.len() > 30, "the source is somewhere else");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            let first = below.split('/').next().unwrap_or_default();
            found.push(Source {
                module: first.trim_end_matches(".rs").to_owned(),
                text: std::fs::read_to_string(&path).unwrap(),
                path: below,
            });
        }
    }
}

/// Names that directly follow `before` in a line.
fn names_after<'a>(line: &'a str, before: &str) -> Vec<&'a str> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    line.match_indices(before)
        .map(|(start, _)| {
            let rest = &line[start + before.len()..];
            rest.split(|letter| !is_name(letter)).next().unwrap_or_default()
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for source in sources() {
        if MAY_IMPORT_ALL.contains(&source.module.as_str()) || source.is_test() {
            continue;
        }
        let Some(allowed) = allowed.get(source.module.as_str()) else {
            faults.push(format!("{}: the table does not know this module", source.path));
            continue;
        };
        for (number, line) in source.lines() {
            for name in names_after(line, "crate::") {
                // A group after `crate::` or a macro of ours would hide what it imports.
                if name != source.module && !allowed.contains(&name) {
                    faults.push(format!("{}:{number} imports {name:?}", source.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn packages_stay_where_they_belong() {
    let mut faults = Vec::new();
    for source in sources() {
        for (package, modules) in CONFINED {
            let path = format!("{package}::");
            for (number, line) in source.lines() {
                if line.contains(&path) && !modules.contains(&source.module.as_str()) {
                    faults.push(format!("{}:{number} names {package}", source.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_provider_is_one_folder_with_its_files() {
    let mut faults = Vec::new();
    for provider in REGISTRY {
        for file in PROVIDER_FILES {
            let path = root().join("providers").join(provider.name).join(file);
            let is_there = std::fs::read_to_string(&path).is_ok_and(|text| !text.trim().is_empty());
            if !is_there {
                faults.push(format!("{} is missing", path.display()));
            }
        }
    }
    let folders = std::fs::read_dir(root().join("providers")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir() && !path.ends_with(SHARED_TEST_RIG)).count();
    assert_eq!(folders, REGISTRY.len(), "each folder has its row");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nobody_else_names_a_provider() {
    let mut faults = Vec::new();
    for source in sources() {
        for provider in REGISTRY {
            // A provider's folder may hold a name that is also another's: paths on the wire are what they are.
            // That providers do not import each other is checked below.
            let is_shared = source.path.starts_with("providers/test_rig/");
            if !is_shared && (source.module == "providers" || source.is_test()) {
                continue;
            }
            for (number, line) in source.lines() {
                if line.contains(provider.name) {
                    faults.push(format!("{}:{number} names {}", source.path, provider.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn providers_do_not_know_each_other() {
    for source in sources() {
        let Some((own, _)) = source.path.strip_prefix("providers/").and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        for (number, line) in source.lines() {
            for name in names_after(line, "crate::providers::") {
                let is_shared = source.is_test() && name == SHARED_TEST_RIG;
                assert!(name == own || is_shared, "{}:{number} imports {name}", source.path);
            }
        }
    }
}

#[test]
fn adapters_do_no_input_or_output() {
    let forbidden = [
        "tokio::",
        "std::net",
        "std::fs",
        "std::env",
        "std::thread",
        "SystemTime::now",
        "Instant",
        "static mut",
        "OnceLock",
        "LazyLock",
        "thread_local!",
    ];
    let mut faults = Vec::new();
    for source in sources() {
        if !["adapter", "domain", "providers"].contains(&source.module.as_str()) || source.is_test() {
            continue;
        }
        for (number, line) in source.lines() {
            for word in forbidden {
                if line.contains(word) {
                    faults.push(format!("{}:{number} has {word}", source.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn certificates_are_always_checked() {
    for source in sources() {
        for word in ["danger_accept_invalid", "tls_danger"] {
            assert!(!source.text.contains(word), "{}", source.path);
        }
    }
}
