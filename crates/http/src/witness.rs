//! A witness on the wire: `POST /add-checkpoint` and `GET /HEX/checkpoint` (spec B4; C2SP tlog-witness).
//!
//! It has a listener of its own and shares nothing with the service of modules.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use modkeep_log::witness::{Denied, Witness as Keeper};
use modkeep_tlog::witness::{REQUEST_BYTES_MAX, Refusal, conflict_body};
use tokio::sync::Semaphore;

use crate::asked::Asked;
use crate::body::Body;
use crate::pages::plain;
use crate::posted::{Unread, gather};

/// Requests decided at once; more wait. Each is a few signature checks and, if all is well, one synced file.
const PARALLEL: usize = 32;
/// The type of a 409's body.
const SIZE_TYPE: HeaderValue = HeaderValue::from_static("text/x.tlog.size");

/// The service of a witness. Cheap to clone; it never fails.
#[derive(Clone, Debug)]
pub struct Witness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keeper: Keeper,
    places: Semaphore,
}

impl Witness {
    /// The service over this witness's memory.
    pub fn new(keeper: Keeper) -> Self {
        Self(Arc::new(Inner { keeper, places: Semaphore::new(PARALLEL) }))
    }

    /// Answers a request.
    ///
    /// Cancel safe: a client that leaves may have been cosigned, and learns it from the next answer.
    pub async fn answer<B>(self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        let asked = Asked::read(&parts.method, &parts.headers);
        let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
        match parts.uri.path() {
            "/add-checkpoint" if parts.method == Method::POST => {
                match gather(body, REQUEST_BYTES_MAX).await {
                    Ok(body) => self.add_checkpoint(body, &asked).await,
                    Err(unread) => with(status_of(unread), "the request did not come through\n", &asked),
                }
            }
            "/add-checkpoint" => with(StatusCode::METHOD_NOT_ALLOWED, "only POST\n", &asked),
            path if is_read => match path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"))
            {
                Some(hex) => self.checkpoint(hex.to_owned(), &asked).await,
                None => with(
                    StatusCode::NOT_FOUND,
                    "here are POST /add-checkpoint and GET /HEX/checkpoint\n",
                    &asked,
                ),
            },
            _ => with(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n", &asked),
        }
    }

    async fn add_checkpoint(self, body: Bytes, asked: &Asked<'_>) -> Response<Body> {
        let inner = self.0;
        let Ok(_place) = inner.places.acquire().await else { return fault("closing", asked) };
        let work = Arc::clone(&inner);
        match tokio::task::spawn_blocking(move || work.keeper.add_checkpoint(&body)).await {
            Ok(Ok(lines)) => with(StatusCode::OK, lines, asked),
            Ok(Err(denied)) => refuse(&denied, asked),
            Err(error) => fault(&error.to_string(), asked),
        }
    }

    async fn checkpoint(self, hex: String, asked: &Asked<'_>) -> Response<Body> {
        match tokio::task::spawn_blocking(move || self.0.keeper.checkpoint(&hex)).await {
            Ok(Ok(Some(note))) => with(StatusCode::OK, note, asked),
            Ok(Ok(None)) => with(StatusCode::NOT_FOUND, "nothing of such a log was cosigned here\n", asked),
            Ok(Err(error)) => fault(&error.to_string(), asked),
            Err(error) => fault(&error.to_string(), asked),
        }
    }
}

/// The statuses of B4.
fn refuse(denied: &Denied, asked: &Asked<'_>) -> Response<Body> {
    let text = || format!("{denied}\n");
    let refusal = match denied {
        Denied::Refused(refusal) => refusal,
        Denied::TooOften { retry_after } => {
            let mut response = with(StatusCode::TOO_MANY_REQUESTS, text(), asked);
            let seconds = HeaderValue::from(retry_after.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            return response;
        }
        other => return fault(&other.to_string(), asked),
    };
    match refusal {
        Refusal::Malformed(_) | Refusal::OldTooLarge => with(StatusCode::BAD_REQUEST, text(), asked),
        Refusal::UnknownOrigin => with(StatusCode::NOT_FOUND, text(), asked),
        Refusal::BadSignature => with(StatusCode::FORBIDDEN, text(), asked),
        Refusal::Unprocessable(_) => with(StatusCode::UNPROCESSABLE_ENTITY, text(), asked),
        Refusal::Conflict { size } => {
            let mut response = with(StatusCode::CONFLICT, conflict_body(*size), asked);
            response.headers_mut().insert(header::CONTENT_TYPE, SIZE_TYPE);
            response
        }
    }
}

fn status_of(unread: Unread) -> StatusCode {
    match unread {
        Unread::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Unread::Broken => StatusCode::BAD_REQUEST,
    }
}

/// Our own trouble. The reason is for the operator: a log that is watched learns no paths.
fn fault(reason: &str, asked: &Asked<'_>) -> Response<Body> {
    tracing::error!(event = "witness", "nothing is cosigned: {reason}");
    with(StatusCode::INTERNAL_SERVER_ERROR, "this witness is in trouble; its operator has been told\n", asked)
}

fn with(status: StatusCode, text: impl Into<Bytes>, asked: &Asked<'_>) -> Response<Body> {
    let mut response = plain(text, asked);
    *response.status_mut() = status;
    response
}

impl hyper::service::Service<Request<hyper::body::Incoming>> for Witness {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let answering = self.clone().answer(request);
        Box::pin(async { Ok(answering.await) })
    }
}
