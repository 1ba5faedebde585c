//! A log behind http or https, asked through the one way out.

use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use modkeep_egress::{Egress, Encoding, Limits, Place, Request, Response};
use tokio::runtime::Handle;
use url::Url;

use crate::audit::source::{Away, Source};

/// How often a question is asked before the log counts as away.
const TRIES: u32 = 4;
/// The first pause between two tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that the log may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A log on a server. Its threads wait on a runtime that somebody else runs.
#[derive(Clone, Debug)]
pub struct Remote {
    egress: Egress,
    base: Place,
    runtime: Handle,
}

impl Remote {
    /// The log whose `latest` is `base/latest`. Must not be used from the runtime's own threads.
    pub fn new(egress: Egress, base: Url, runtime: Handle) -> Self {
        Self { egress, base: Place::new(base), runtime }
    }

    async fn ask(&self, path: &str, bytes_max: u64, fresh: bool) -> Result<Option<Vec<u8>>, Trouble> {
        let mut headers = Vec::new();
        if fresh {
            let no_cache = HeaderValue::from_static("no-cache");
            headers.extend::<[(HeaderName, HeaderValue); 2]>([
                (CACHE_CONTROL, no_cache.clone()),
                (PRAGMA, no_cache),
            ]);
        }
        let request = Request {
            headers,
            limits: Limits { bytes_max, ..Limits::default() },
            encoding: Encoding::Gzip,
            ..self.base.below(path).request()
        };
        let response = self.egress.get(request).await.map_err(|error| Trouble::of(&error))?;
        match response.status {
            200 => response.body.collect(bytes_max).await.map(|bytes| Some(bytes.into())),
            404 | 410 => return Ok(None),
            _ => return Err(Trouble::refused(&response)),
        }
        .map_err(|error| Trouble::of(&error))
    }
}

impl Source for Remote {
    fn get(&self, path: &str, bytes_max: u64, fresh: bool) -> Result<Option<Vec<u8>>, Away> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            match self.runtime.block_on(self.ask(path, bytes_max, fresh)) {
                Ok(answer) => return Ok(answer),
                Err(trouble) if trouble.is_final || attempt >= TRIES => {
                    return Err(Away {
                        place: self.base.below(path).url().to_string(),
                        reason: trouble.reason,
                    });
                }
                Err(trouble) => {
                    std::thread::sleep(trouble.wait.unwrap_or(pause).min(PAUSE_MAX));
                    pause *= 2;
                }
            }
        }
        Ok(None)
    }
}

/// Why one try brought nothing.
struct Trouble {
    reason: String,
    wait: Option<Duration>,
    /// Another try meets the same.
    is_final: bool,
}

impl Trouble {
    fn of(error: &modkeep_egress::Error) -> Self {
        let is_final = matches!(error.class(), modkeep_egress::Class::Refusal | modkeep_egress::Class::Limit);
        Self { reason: error.to_string(), wait: error.retry_after(), is_final }
    }

    fn refused(response: &Response) -> Self {
        let status = response.status;
        let is_final = (400..500).contains(&status) && status != 429;
        Self { reason: format!("answered {status}"), wait: response.retry_after(), is_final }
    }
}
