//! The data set that `/feed` streams; `xtask/data/README.md` says where it is from.
//!
//! Not here: sending it.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::peer::hex;

const UNICODE_DATA: &str = include_str!("../../data/UnicodeData.txt");

static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let mut sha256 = Sha256::new();
    for (n, row) in rows().enumerate() {
        if n > 0 {
            sha256.update("\n");
        }
        sha256.update(row);
    }
    hex(sha256)
});

/// The rows, without their line feeds.
pub(super) fn rows() -> impl Iterator<Item = &'static str> {
    UNICODE_DATA.lines()
}

/// The SHA-256 of all rows joined by line feeds, in lower case hexadecimal.
pub(super) fn digest() -> &'static str {
    &DIGEST
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::{UNICODE_DATA, digest, hex, rows};

    #[test]
    fn the_data_set_is_the_one_that_its_readme_describes() {
        let readme = include_str!("../../data/README.md");
        let file = hex(Sha256::new_with_prefix(UNICODE_DATA));
        assert!(readme.contains(&format!("SHA-256 of the file | `{file}`")), "{file}");
        assert!(readme.contains(&format!("| `{}` |", digest())), "{}", digest());
        assert!(readme.contains("| Rows | 34,924,"));
        assert_eq!(rows().count(), 34_924);
        assert_eq!(UNICODE_DATA.len(), 1_913_704);
        assert!(UNICODE_DATA.starts_with("0000;<control>;Cc;"));
    }
}
