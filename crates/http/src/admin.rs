//! The service of the admin listener: metrics and the details of health. Never public (L10).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};

use crate::asked::Asked;
use crate::body::Body;
use crate::metrics::Metrics;
use crate::pages::{metrics, plain, readiness};
use crate::probes::Probes;

/// `/metrics`, `/healthz`, `/readyz?verbose`. Cheap to clone; it never fails.
#[derive(Clone, Debug)]
pub struct Admin {
    metrics: Metrics,
    probes: Arc<Probes>,
}

impl Admin {
    /// An admin service over these numbers and checks.
    pub fn new(metrics: Metrics, probes: Probes) -> Self {
        Self { metrics, probes: Arc::new(probes) }
    }

    /// Answers a request; its body is dropped unread.
    pub fn answer<B>(&self, request: Request<B>) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let asked = Asked::read(&parts.method, &parts.headers);
        if parts.method != http::Method::GET && parts.method != http::Method::HEAD {
            return with(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n", &asked);
        }
        match parts.uri.path() {
            "/metrics" => metrics(self.metrics.text(), &asked),
            "/healthz" => plain(self.probes.ask().summary(), &asked),
            "/readyz" => {
                let verbose =
                    parts.uri.query().is_some_and(|query| query.split('&').any(|word| word == "verbose"));
                readiness(&self.probes, verbose, &asked)
            }
            _ => with(StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz?verbose\n", &asked),
        }
    }
}

fn with(status: StatusCode, text: &'static str, asked: &Asked<'_>) -> Response<Body> {
    let mut response = plain(text, asked);
    *response.status_mut() = status;
    response
}

impl<B> tower_service::Service<Request<B>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request)))
    }
}

impl hyper::service::Service<Request<hyper::body::Incoming>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        ready(Ok(self.answer(request)))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::probes::Health;

    async fn get(admin: &Admin, target: &str) -> (u16, String) {
        let response = admin.answer(Request::get(target).body(()).unwrap());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_operator_sees_numbers_and_reasons() {
        let probes = Probes::default().with("store", || Health::Down("the disk is gone".into()));
        let admin = Admin::new(Metrics::new("1", "c"), probes);
        let (status, text) = get(&admin, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("modkeep_build_info") && text.ends_with("# EOF\n"));
        assert_eq!(get(&admin, "/healthz").await.0, 200);
        assert_eq!(get(&admin, "/readyz").await, (503, "not ready: store\n".into()));
        let (status, text) = get(&admin, "/readyz?verbose").await;
        assert_eq!(status, 503);
        assert!(text.contains("store: down the disk is gone"));
        assert_eq!(get(&admin, "/debug/pprof").await.0, 404);
    }
}
