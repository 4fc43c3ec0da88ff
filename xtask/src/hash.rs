//! SHA-256 of files, to tell whether anything changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// The SHA-256 over names and contents of `files`, in the given order, in lower case hexadecimal.
///
/// # Errors
///
/// If one of them cannot be read.
pub(crate) fn of_files<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<String> {
    let mut sum = Sha256::new();
    for file in files {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        // Lengths keep two files from passing for one.
        sum.update(file.to_string_lossy().len().to_le_bytes());
        sum.update(file.to_string_lossy().as_bytes());
        sum.update(bytes.len().to_le_bytes());
        sum.update(bytes);
    }
    Ok(hex(&sum.finalize()))
}

/// All files below `top`, sorted; none if there is no such directory, itself if it is a file.
///
/// # Errors
///
/// If a directory cannot be read.
pub(crate) fn files_below(top: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![top.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_file() {
            found.push(path);
        } else if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
                open.push(entry?.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::of_files;

    #[test]
    fn no_files_have_the_digest_of_nothing() {
        assert_eq!(
            of_files([].into_iter()).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
