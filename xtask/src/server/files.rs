//! What is answered over HTTP: files of the given directories.
//!
//! Not here: anything that changes, and caching, since files change under a server that runs.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode};
use tower_http::services::ServeDir;

/// By which a page is cross-origin isolated (HTML, section 7.1.4).
const ISOLATION: [(&str, &str); 2] =
    [("cross-origin-opener-policy", "same-origin"), ("cross-origin-embedder-policy", "require-corp")];

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The directories, by the URL path below which they appear.
pub(super) struct Files {
    /// Prefixes without their last `/`, the longest first.
    roots: Vec<(String, ServeDir)>,
    isolates: bool,
}

impl Files {
    /// See [`Config::roots`](super::Config::roots) and [`Config::isolates`](super::Config::isolates).
    ///
    /// # Errors
    ///
    /// If a path does not begin with `/` or does not lead to a directory.
    pub(super) fn new(roots: Vec<(String, PathBuf)>, isolates: bool) -> io::Result<Self> {
        let mut served = Vec::new();
        for (prefix, directory) in roots {
            if !prefix.starts_with('/') {
                let message = format!("the URL path {prefix:?} does not begin with /");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            if !directory.is_dir() {
                let message = format!("there is no directory {}", directory.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
            let prefix = prefix.trim_end_matches('/').to_owned();
            let service = ServeDir::new(directory).redirect_path_prefix(&prefix);
            served.push((prefix, service));
        }
        // Stable, so that roots of the same path stay in the order given.
        served.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(Self { roots: served, isolates })
    }

    /// Answers one request; the body of the request is not looked at.
    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Result<Response<Body>, Infallible> {
        let mut response = if request.uri().path() == "/healthz" {
            text(StatusCode::OK, "ok\n".into())
        } else {
            self.find(request).await
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in ISOLATION.into_iter().filter(|_| self.isolates) {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Ok(response)
    }

    async fn find<B>(&self, request: &Request<B>) -> Response<Body> {
        for (prefix, service) in &self.roots {
            if request.uri().path() == prefix {
                // Or the relative URLs of its page would lead nowhere.
                return moved(&format!("{prefix}/"));
            }
            let Some(below) = below(prefix, request) else { continue };
            match service.clone().try_call(below).await {
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {}
                Ok(response) => return typed(response.map(BodyExt::boxed_unsync)),
                Err(error) if is_absent(&error) => {}
                Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            }
        }
        text(StatusCode::NOT_FOUND, "there is no such file\n".into())
    }
}

/// Whether another root may have the file; what may not be read is as if it were not there.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// RFC 9239: JavaScript, modules too, is `text/javascript`.
fn typed(mut response: Response<Body>) -> Response<Body> {
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/javascript") {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
    }
    response
}

/// The same request as seen from below `prefix`; `None` if it is not below.
fn below<B>(prefix: &str, request: &Request<B>) -> Option<Request<Empty<Bytes>>> {
    let target = request.uri().path_and_query()?.as_str();
    let rest = target.strip_prefix(prefix)?;
    // `/pkgs` is not below `/pkg`.
    if !rest.starts_with('/') {
        return None;
    }
    let mut below = Request::new(Empty::new());
    *below.method_mut() = request.method().clone();
    *below.uri_mut() = rest.parse().ok()?;
    *below.headers_mut() = request.headers().clone();
    Some(below)
}

fn moved(location: &str) -> Response<Body> {
    let mut response = text(StatusCode::TEMPORARY_REDIRECT, String::new());
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
