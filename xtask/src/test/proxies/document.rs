//! The configurations in `docs/proxies.md`: what users copy is what the tests run, with other ports.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::tools;

/// The document.
pub(super) fn path() -> PathBuf {
    tools::root().join("docs/proxies.md")
}

/// The text of the fenced block behind whose fence stands `name`.
///
/// # Errors
///
/// If there is not exactly one.
pub(super) fn block<'a>(document: &'a str, name: &str) -> Result<&'a str> {
    let fence = format!("```{name}\n");
    let mut parts = document.split(&fence);
    let (_, found, more) = (parts.next(), parts.next(), parts.next());
    let text = found.with_context(|| format!("there is no block `{name}`"))?;
    if more.is_some() {
        bail!("there are several blocks `{name}`");
    }
    Ok(text.split_once("```").with_context(|| format!("the block `{name}` has no end"))?.0)
}

/// `text` with each `from` replaced by its `to`.
///
/// # Errors
///
/// If one of them is not in the text: then it says something else than the test believes.
pub(super) fn replaced(text: &str, replacements: &[(&str, String)]) -> Result<String> {
    replacements.iter().try_fold(text.to_owned(), |text, (from, to)| {
        if !text.contains(from) {
            bail!("there is no `{from}` in:\n{text}");
        }
        Ok(text.replace(from, to))
    })
}

#[cfg(test)]
mod tests {
    use super::{block, replaced};

    #[test]
    fn blocks_are_found_by_their_names() {
        let document = "# a\n```nginx\none\n```\n```nginx tls\ntwo\n```\n";
        assert_eq!(block(document, "nginx").unwrap(), "one\n");
        assert_eq!(block(document, "nginx tls").unwrap(), "two\n");
        assert!(block(document, "tls").is_err());
        assert!(block(&document.repeat(2), "nginx").is_err());
        assert!(block("```nginx\none", "nginx").is_err());
    }

    #[test]
    fn what_is_to_be_replaced_has_to_be_there() {
        let ports = [("80;", "9001;".to_owned()), ("1h", "1s".to_owned())];
        assert_eq!(replaced("listen 80; timeout 1h", &ports).unwrap(), "listen 9001; timeout 1s");
        assert!(replaced("listen 80; timeout 60m", &ports).is_err());
    }
}
