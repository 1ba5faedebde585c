//! Bodies of the few requests that have one: read whole, short, and in time.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// For the whole body of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unread {
    /// It is longer than it may be.
    TooLong,
    /// It did not come in time.
    TooSlow,
    /// The connection or its framing broke.
    Broken,
}

/// The whole body, if it has at most so many bytes and comes within [`PATIENCE`].
pub(crate) async fn gather<B: http_body::Body<Data = Bytes>>(
    body: B,
    bytes_max: usize,
) -> Result<Bytes, Unread> {
    // Announced lengths are not read at all.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Unread::TooLong);
    }
    let read = async {
        let (mut body, mut all) = (pin!(body), BytesMut::new());
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            if all.len().saturating_add(data.len()) > bytes_max {
                return Err(Unread::TooLong);
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or(Err(Unread::TooSlow))
}
