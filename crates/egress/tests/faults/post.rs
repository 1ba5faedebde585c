//! POSTs, and requests that trust whoever answers.

use http::HeaderValue;
use modkeep_egress::{Post, Trust};

use super::*;

fn post(text: &'static str) -> Post {
    Post {
        content_type: HeaderValue::from_static("text/x-question"),
        encoding: Encoding::Plain,
        bytes: text.as_bytes().into(),
    }
}

fn redirect(status: u16, to: &str) -> Vec<Do> {
    vec![send(&format!("HTTP/1.1 {status} On\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))]
}

#[tokio::test]
async fn a_post_carries_its_body_and_keeps_the_connection() {
    let server = Server::plain(|_| ok("fine")).await;
    let egress = egress(&[&server]);
    for _ in 0..3 {
        let answer = egress.post(request(&server.url("/q")), post("what?")).await.unwrap();
        assert_eq!((answer.status, answer.url.as_str()), (200, &*server.url("/q")));
        assert_eq!(&answer.body.collect(100).await.unwrap()[..], b"fine");
    }
    assert_eq!(server.connections(), 1);
    let seen = &server.seen()[0];
    assert!(seen.starts_with("POST /q HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nwhat?"), "{seen}");
    assert!(seen.contains("content-type: text/x-question\r\n"), "{seen}");
}

#[tokio::test]
async fn a_post_is_sent_on_only_where_it_stays_a_post() {
    for (status, follows) in [(301, false), (302, false), (303, false), (307, true), (308, true)] {
        let there = Server::plain(|_| ok("there")).await;
        let target = there.url("/moved");
        let to = target.clone();
        let here = Server::plain(move |_| redirect(status, &to)).await;
        let egress = egress(&[&here, &there]);
        let mut asked = request(&here.url("/q"));
        asked.headers.push(("x-secret".parse().unwrap(), HeaderValue::from_static("s3cret")));
        asked.headers.push(("git-protocol".parse().unwrap(), HeaderValue::from_static("version=2")));
        match egress.post(asked, post("what?")).await {
            Ok(answer) => {
                assert!(follows, "{status}");
                assert_eq!(answer.url.as_str(), target, "the answer names who gave it");
                let seen = &there.seen()[0];
                assert!(seen.starts_with("POST /moved") && seen.ends_with("what?"), "{seen}");
                assert!(seen.contains("git-protocol: version=2") && !seen.contains("s3cret"), "{seen}");
            }
            Err(error) => {
                assert!(!follows && matches!(error, Error::BadRedirect { .. }), "{status}: {error}");
                assert_eq!(there.connections(), 0);
            }
        }
    }
}

fn insecure(url: &str) -> Request {
    Request { trust: Trust::Insecure, ..request(url) }
}

#[tokio::test]
async fn hostile_d11_a_wrong_certificate_passes_only_where_it_was_allowed() {
    for identity in
        [Identity::new(&["other.example"], None), Identity::new(&["localhost"], Some((2020, 1, 1)))]
    {
        let server = Server::tls(&identity, |_| ok("whoever")).await;
        let egress = egress(&[&server]);
        for _ in 0..2 {
            assert_eq!(fetch(&egress, insecure(&server.https("/"))).await.unwrap().0, 200);
            // The connection that nobody checked is there to be used, and is not.
            let error = fetch(&egress, request(&server.https("/"))).await.unwrap_err();
            assert!(matches!(error, Error::Tls { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn hostile_c04_what_is_allowed_to_one_host_is_not_allowed_to_the_next() {
    let identity = Identity::new(&["other.example"], None);
    let there = Server::tls(&identity, |_| ok("whoever")).await;
    let to = format!("https://127.0.0.1:{}/", there.address.port());
    let here = Server::tls(&identity, move |_| redirect(302, &to)).await;
    let egress = egress(&[&here, &there]);
    let error = fetch(&egress, insecure(&here.https("/"))).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");

    // To plain http of the same host a redirect may lead, of another host it may not.
    let plain = Server::plain(|_| ok("plain")).await;
    for (host, passes) in [("localhost", true), ("127.0.0.1", false)] {
        let to = format!("http://{host}:{}/", plain.address.port());
        let here = Server::tls(&identity, move |_| redirect(302, &to)).await;
        let egress = super::egress(&[&here, &plain]);
        let answer = fetch(&egress, insecure(&here.https("/"))).await;
        assert_eq!(answer.is_ok(), passes, "{host}: {answer:?}");
        let error = fetch(&egress, request(&here.https("/"))).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error}");
    }
}

#[tokio::test]
async fn insecure_is_not_private() {
    let egress = egress(&[]);
    for url in
        ["http://10.0.0.1/", "http://169.254.169.254/", "http://localhost/", "http://good.example:8080/"]
    {
        let error = egress.get(insecure(url)).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{url}: {error}");
    }
}
