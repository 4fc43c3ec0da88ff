//! What may be connected to, and which subprotocols may be offered: checked before anything is
//! tried, with the same words on every platform.

use core::fmt;
use core::ops::Deref;

/// A URL as it was given, of which `Debug` does not show what may be secret.
#[derive(Clone)]
pub(crate) struct Address(pub(super) String);

impl Deref for Address {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(shown(&self.0), f)
    }
}

/// Why a URL is not one that a WebSocket can be opened to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// Not a URL, even against the base.
    Invalid {
        /// The text that was given, but for its query, in which a token may be, and user and password.
        url: String,
    },
    /// A relative URL where there is no base to resolve it: on the host without
    /// [`ClientBuilder::base`](super::ClientBuilder::base), in Node, or in a worker made from a
    /// `blob:` URL.
    NoBase {
        /// The text that was given, but for its query, in which a token may be, and user and password.
        url: String,
    },
    /// A scheme other than `ws`, `wss`, `http` and `https`.
    Scheme {
        /// The scheme, without its colon.
        scheme: String,
    },
    /// A fragment (`#…`) has no meaning for a WebSocket (WHATWG WebSockets section 3.1).
    Fragment,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { url } => write!(f, "not a valid url: \"{url}\""),
            Self::NoBase { url } => write!(f, "the relative url \"{url}\" has no base to resolve against"),
            Self::Scheme { scheme } => write!(f, "the scheme {scheme}: is not ws, wss, http or https"),
            Self::Fragment => f.write_str("a websocket url has no fragment (#)"),
        }
    }
}

impl core::error::Error for UrlError {}

/// Why a subprotocol may not be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubprotocolError {
    /// Not a token of RFC 9110 section 5.6.2 (empty, or with spaces, commas, slashes, …).
    NotAToken {
        /// The name that was given.
        name: String,
    },
    /// Offered twice.
    Duplicate {
        /// The name that was given.
        name: String,
    },
}

impl fmt::Display for SubprotocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAToken { name } if name.is_empty() => f.write_str("a subprotocol has an empty name"),
            Self::NotAToken { name } => write!(f, "the subprotocol {name} is not a token"),
            Self::Duplicate { name } => write!(f, "the subprotocol {name} is offered twice"),
        }
    }
}

impl core::error::Error for SubprotocolError {}

/// Why a URL does not name a proxy. Of the URL nothing is told, since there may be a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// Not an absolute URL with nothing behind host and port.
    Invalid,
    /// A scheme other than `http` and `https`.
    Scheme {
        /// The scheme, without its colon.
        scheme: String,
    },
    /// User or password are not UTF-8, hold control characters, or there is a colon in the user's name
    /// (RFC 7617 section 2).
    Credentials,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("not the url of a proxy"),
            Self::Scheme { scheme } => write!(f, "the scheme {scheme}: of the proxy is not http or https"),
            Self::Credentials => f.write_str("user or password of the proxy cannot be sent"),
        }
    }
}

impl core::error::Error for ProxyError {}

/// Checks the subprotocols of one offer.
pub(crate) fn check_subprotocols(names: &[String]) -> Result<(), SubprotocolError> {
    for (at, name) in names.iter().enumerate() {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(SubprotocolError::NotAToken { name: name.clone() });
        }
        if names.iter().take(at).any(|other| other == name) {
            return Err(SubprotocolError::Duplicate { name: name.clone() });
        }
    }
    Ok(())
}

/// Resolves `url` against `base` as a browser does: `http(s)` becomes `ws(s)`, a fragment is an
/// error.
///
/// `parse` is the platform's URL parser: it takes a text and a base and gives the serialised URL.
#[cfg(any(feature = "native", all(target_family = "wasm", target_os = "unknown")))]
pub(crate) fn resolve(
    url: &str,
    base: Option<&str>,
    parse: impl Fn(&str, Option<&str>) -> Option<String>,
) -> Result<String, UrlError> {
    let resolved = match parse(url, None) {
        Some(absolute) => absolute,
        None => match base {
            // A `blob:` URL has an opaque path, against which nothing resolves.
            None => return Err(relative(url)),
            Some(base) if base.starts_with("blob:") || base.starts_with("data:") => {
                return Err(relative(url));
            }
            Some(base) => {
                parse(url, Some(base)).ok_or_else(|| UrlError::Invalid { url: shown(url).into() })?
            }
        },
    };
    let Some((scheme, rest)) = resolved.split_once(':') else {
        return Err(UrlError::Invalid { url: shown(url).into() });
    };
    let scheme = match scheme {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        other => return Err(UrlError::Scheme { scheme: other.into() }),
    };
    // In a serialised URL a `#` begins the fragment and stands nowhere else.
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    Ok(format!("{scheme}:{rest}"))
}

/// What may be shown of an address: not its query, in which a token may be, nor its fragment. It may be no URL, where a password
/// in it ends cannot be known then, so that nothing in front of the last `@` is shown either.
pub(crate) fn shown(url: &str) -> &str {
    let (path, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    match path.rsplit('@').next() {
        Some(shown) if !rest.contains('@') => shown,
        _ => "",
    }
}

/// A text that does not parse by itself: relative if it looks like a path, else no URL at all.
#[cfg(any(feature = "native", feature = "sim", all(target_family = "wasm", target_os = "unknown")))]
fn relative(url: &str) -> UrlError {
    let scheme_end = url.find(':').unwrap_or(usize::MAX);
    let path_begin = url.find(['/', '?', '#']).unwrap_or(usize::MAX);
    if scheme_end < path_begin {
        UrlError::Invalid { url: shown(url).into() }
    } else {
        UrlError::NoBase { url: shown(url).into() }
    }
}

/// The part of an absolute `ws(s):` or `http(s):` URL after its `//`, for where no URL parser is.
#[cfg(feature = "sim")]
pub(crate) fn check_absolute(url: &str) -> Result<&str, UrlError> {
    let Some((scheme, rest)) = url.split_once("://") else { return Err(relative(url)) };
    if !["ws", "wss", "http", "https"].contains(&scheme) {
        return Err(UrlError::Scheme { scheme: scheme.into() });
    }
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    Ok(rest)
}
