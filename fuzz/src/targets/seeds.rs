//! Reads the material that seeds are made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Most words of a dictionary; more of them only dilute the useful ones.
const MOST_WORDS: usize = 400;

/// The top of the repository, whichever of its packages this is compiled into.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("tests/fixtures").is_dir()).unwrap()
}

/// All fixtures of a provider, by file name.
pub(crate) fn fixtures(provider: &str) -> Vec<Value> {
    let folder = root().join("tests/fixtures").join(provider.replace('_', "-"));
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
}

/// The words of the seeds in libFuzzer's notation: texts with their quotes, and bare words.
pub(crate) fn dictionary(seeds: &[Vec<u8>]) -> String {
    let mut words = BTreeSet::new();
    for seed in seeds {
        let text = String::from_utf8_lossy(seed);
        let pieces = text.split(|letter: char| !is_of_word(letter));
        // What stands between two quotes is nearly always a name or a short value.
        let quoted = text.split('"').skip(1).step_by(2).filter(|word| word.chars().all(is_of_word));
        words.extend(quoted.filter(|word| is_handy(word)).map(|word| format!("\"\\\"{word}\\\"\"")));
        words.extend(pieces.filter(|word| is_handy(word)).map(|word| format!("\"{word}\"")));
    }
    words.into_iter().take(MOST_WORDS).map(|word| word + "\n").collect()
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ':')
}

fn is_handy(word: &str) -> bool {
    (3..=32).contains(&word.len())
}
