//! Before a request to somebody's repository or page goes out: may it, and when (E10, K04, K05).
//!
//! The rules of a host are fetched once a day, as one more request of ours, and by the same way out. What the
//! configuration names is its operator's own business and is not asked for rules.

use std::pin::Pin;

use tokio::time::Instant;
use url::Url;

use crate::client::Egress;
use crate::error::Error;
use crate::hop::Hop;
use crate::host::HostPort;
use crate::manners::Rules;
use crate::request::{Encoding, Kind, Limits, Request, Response};
use crate::robots::FILE_BYTES_MAX;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// What the caller asked for.
    Callers,
    /// A host's rules, which no rules precede.
    Rules,
}

impl Egress {
    /// Whether the owner of this URL asked us to leave it alone ([`crate::Config::opt_out`]); for ways out that are no
    /// requests of ours.
    ///
    /// # Errors
    /// [`Error::Refused`] with the setting.
    pub fn check_opt_out(&self, url: &Url) -> Result<(), Error> {
        // Of schemes whose port nobody knows here, the host is what was meant.
        let of_host = || HostPort::parse(&format!("{}:443", url.host_str()?)).ok();
        match HostPort::of(url).or_else(of_host) {
            Some(place) => self.manners().check_opt_out(&place, url),
            None => Ok(()),
        }
    }

    /// Lets a request to a host out when its owner, its rules and its pace allow it.
    pub(crate) async fn permit(
        &self,
        hop: &Hop,
        place: &HostPort,
        kind: Kind,
        errand: Errand,
        deadline: Instant,
    ) -> Result<(), Error> {
        if kind == Kind::Named {
            return Ok(());
        }
        self.manners().check_opt_out(place, &hop.url)?;
        if self.is_configured(&hop.url) {
            return Ok(());
        }
        let delay = match errand {
            Errand::Rules => None,
            Errand::Callers => {
                let is_tls = hop.url.scheme() == "https";
                let rules = self.manners().rules(place, is_tls, || self.ask_for_rules(hop)).await?;
                rules.check(place, &hop.url)?
            }
        };
        self.manners().keep_pace(place, delay, deadline).await
    }

    /// On the heap, because a request may ask for rules, which is a request.
    fn ask_for_rules(&self, hop: &Hop) -> Pin<Box<dyn Future<Output = Result<Rules, Error>> + Send + '_>> {
        let limits = Limits { bytes_max: u64::MAX, redirects_max: 5, ..Limits::default() };
        let mut url = hop.url.clone();
        url.set_path("/robots.txt");
        url.set_query(None);
        let request = Request {
            trust: hop.trust,
            kind: Kind::Origin,
            encoding: Encoding::Gzip,
            limits,
            ..Request::named(url)
        };
        let deadline = Instant::now() + limits.total;
        Box::pin(async move {
            match self.follow(request, None, deadline, Errand::Rules).await {
                Ok(response) => self.read_rules(response).await,
                // A host that sends us in circles, or where we may not go, has no rules for us.
                Err(Error::BadRedirect { .. } | Error::Refused { .. }) => Ok(self.manners().read(404, b"")),
                Err(error) => Err(error),
            }
        })
    }

    async fn read_rules(&self, response: Response) -> Result<Rules, Error> {
        let Response { status, mut body, .. } = response;
        let mut file = Vec::new();
        while file.len() < FILE_BYTES_MAX
            && let Some(chunk) = body.chunk().await?
        {
            file.extend_from_slice(&chunk);
        }
        Ok(self.manners().read(status, &file))
    }
}
