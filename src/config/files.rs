//! The files that a configuration was read from, and whether they are still the same.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Every file that was asked for, and what it was like just before it was read.
#[derive(Debug, Default)]
pub struct FilesRead {
    seen: Vec<(PathBuf, Option<Stamp>)>,
}

/// What all the files are like at one moment, in their order; `None` = not there.
#[derive(Debug, PartialEq, Eq)]
pub struct Look(Vec<Option<Stamp>>);

/// Tells one state of a file from another, links followed: a mounted secret is exchanged by turning a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Of the inode: differs also where somebody sets the time of a copied file back.
    changed: (i64, i64),
}

impl FilesRead {
    pub(super) fn note(&mut self, path: &Path) {
        self.seen.push((path.to_owned(), stamp(path)));
    }

    /// Looks at all of them; blocks as long as the file system does.
    #[must_use]
    pub fn look(&self) -> Look {
        Look(self.seen.iter().map(|(path, _)| stamp(path)).collect())
    }

    /// Whether there is something else to read than was read.
    ///
    /// A file that is away says nothing: it is about to be replaced, or there is nothing to read.
    #[must_use]
    pub fn differ(&self, look: &Look) -> bool {
        self.seen.iter().zip(&look.0).any(|((_, seen), now)| now.is_some() && now != seen)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: file.dev(),
        inode: file.ino(),
        bytes: file.len(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_comes_is_another_one_and_one_that_goes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, link, missing] =
            ["first", "second", "link", "missing"].map(|name| folder.path().join(name));
        std::fs::write(&first, "a").unwrap();
        std::fs::write(&second, "a").unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let read = |path: &Path| {
            let mut files = FilesRead::default();
            files.note(path);
            files
        };
        let differ = |files: &FilesRead| files.differ(&files.look());

        let linked = read(&link);
        assert!(!differ(&linked));
        let turned = folder.path().join("turned");
        std::os::unix::fs::symlink(&second, &turned).unwrap();
        std::fs::rename(&turned, &link).unwrap();
        assert!(differ(&linked), "a link was turned");

        let written = read(&first);
        std::fs::write(&first, "ab").unwrap();
        assert!(differ(&written), "a file was written");

        let gone = read(&second);
        std::fs::remove_file(&second).unwrap();
        assert!(!differ(&gone), "a file is away");

        let came = read(&missing);
        assert!(!differ(&came));
        std::fs::write(&missing, "a").unwrap();
        assert!(differ(&came), "a file came");
    }
}
