//! SHA-256 of files, to tell whether anything changed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of `bytes`, in lower case hexadecimal.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Size and SHA-256 of a file.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn of_file(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut sum = Sha256::new();
    let mut part = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut part).with_context(|| format!("reading {}", path.display()))?;
        if n == 0 {
            return Ok((bytes, hex(&sum.finalize())));
        }
        sum.update(part.get(..n).unwrap_or_default());
        bytes += u64::try_from(n)?;
    }
}

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
    use super::{of, of_files};

    #[test]
    fn the_empty_digest_is_the_known_one() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of(b""), known);
        assert_eq!(of_files([].into_iter()).unwrap(), known);
    }
}
