//! Which pages may connect.

use core::fmt;

use http::HeaderMap;
use http::header::ORIGIN;
use url::Url;

/// What is done with requests that have no `Origin`: all browsers send one, other clients need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutOrigin {
    /// They are served, for clients that are no browsers.
    Accept,
    /// They are refused with 403.
    Refuse,
}

/// Which pages may connect, by the origin that a browser sends with a request. A page of any other site may open a
/// WebSocket to this server too, and the browser sends the user's cookies with it: `Origin` alone tells the two apart.
///
/// # Specification
///
/// [RFC 6455 section 10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// `None` for any.
    allowed: Option<Vec<String>>,
    without: WithoutOrigin,
}

impl Origins {
    /// These and no other; each is compared as it is, such as `https://example.com` or `http://localhost:3000`, or `null`,
    /// which sandboxed pages send and files.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] for what no browser sends: a path, or a slash at the end, the scheme's own port, capital letters,
    /// a host that is not in ASCII.
    pub fn new<S: Into<String>>(
        allowed: impl IntoIterator<Item = S>,
        without: WithoutOrigin,
    ) -> Result<Self, InvalidOrigin> {
        let allowed: Vec<String> = allowed.into_iter().map(Into::into).collect();
        match allowed.iter().find(|origin| !is_origin(origin)) {
            Some(invalid) => Err(InvalidOrigin { origin: invalid.clone() }),
            None => Ok(Self { allowed: Some(allowed), without }),
        }
    }

    /// Every page of every site, also in the name of a user who is logged in here. For what anybody may see.
    #[must_use]
    pub fn any(without: WithoutOrigin) -> Self {
        Self { allowed: None, without }
    }

    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next(), &self.allowed) {
            (None, _, _) => self.without == WithoutOrigin::Accept,
            (Some(origin), None, Some(allowed)) => {
                allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
            }
            (Some(_), None, None) => true,
            // Of two it is not known which is true.
            (Some(_), Some(_), _) => false,
        }
    }
}

/// Whether a browser may send it.
fn is_origin(origin: &str) -> bool {
    origin == "null"
        || Url::parse(origin).is_ok_and(|url| {
            let serialized = url.origin().ascii_serialization();
            // Of schemes that the URL standard does not know, such as an extension's, the origin is opaque there.
            serialized == origin || serialized == "null" && url.has_host() && is_bare(origin)
        })
}

/// `scheme://host`, with or without a port, and nothing else.
fn is_bare(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, host)| {
        !host.is_empty() && host.bytes().all(|byte| !byte.is_ascii_uppercase() && !b"/?#@".contains(&byte))
    })
}

/// What was given is no origin as a browser sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidOrigin {
    /// What was given.
    pub origin: String,
}

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no origin, such as `https://example.com`", self.origin)
    }
}

impl core::error::Error for InvalidOrigin {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn headers(origins: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn origins_are_compared_as_they_are() {
        let list = ["https://example.com", "http://localhost:3000", "null"];
        for without in [WithoutOrigin::Accept, WithoutOrigin::Refuse] {
            let origins = Origins::new(list, without).unwrap();
            for allowed in list {
                assert!(origins.allow(&headers(&[allowed])), "{allowed}");
            }
            for other in [
                "https://example.com:444",
                "http://example.com",
                "https://example.com.evil.example",
                "https://evil-example.com",
                "https://EXAMPLE.com",
                "https://example.com/",
                "",
            ] {
                assert!(!origins.allow(&headers(&[other])), "{other}");
                assert!(!origins.allow(&headers(&["https://example.com", other])), "{other}");
            }
            let accepts = without == WithoutOrigin::Accept;
            assert_eq!(origins.allow(&headers(&[])), accepts);
            let any = Origins::any(without);
            assert!(any.allow(&headers(&["https://evil.example"])));
            assert!(!any.allow(&headers(&["https://a.example", "https://b.example"])));
            assert_eq!(any.allow(&headers(&[])), accepts);
        }
    }

    #[test]
    fn what_no_browser_sends_is_no_origin() {
        for valid in ["https://example.com:8443", "chrome-extension://abcdefgh", "http://[::1]:80"] {
            let is_valid = Origins::new([valid], WithoutOrigin::Refuse).is_ok();
            assert_eq!(is_valid, !valid.ends_with(":80"), "{valid}");
        }
        for invalid in [
            "",
            "example.com",
            "https://example.com/",
            "https://example.com:443",
            "https://Example.com",
            "https://b\u{fc}cher.example",
            "https://user@example.com",
            "chrome-extension://abc/page",
            "https://example.com/path",
            "*",
        ] {
            let error = Origins::new([invalid], WithoutOrigin::Refuse).unwrap_err();
            assert_eq!(error.origin, invalid);
        }
    }
}
