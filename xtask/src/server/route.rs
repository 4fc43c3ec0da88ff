//! Which WebSocket route a request asks for.
//!
//! Not here: what the routes do.

use std::fmt;

/// A route with its parameters, all within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/echo`, `/echo?digest=1`
    Echo { digest: bool },
    /// `/sink`
    Sink,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// No route has this path.
    Path,
    /// A parameter is missing, wrong, or out of bounds; its name.
    Query(&'static str),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("there is no such route"),
            Self::Query(name) => write!(f, "the parameter {name} is missing or out of bounds"),
        }
    }
}

impl Route {
    /// The route of a request target.
    ///
    /// # Errors
    ///
    /// [`Unknown`]. Parameters that a route does not know are ignored.
    pub(super) fn of(target: &str) -> Result<Self, Unknown> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query(query);
        Ok(match path {
            "/echo" => Self::Echo { digest: query.get("digest").is_some_and(|value| value == "1") },
            "/sink" => Self::Sink,
            _ => return Err(Unknown::Path),
        })
    }
}

/// The part of a request target behind `?`.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}
