//! The witness network's lists of logs, read again and again (B4).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::{Egress, Encoding, Limits, Place, Request};
use modkeep_tlog::log_list::{LIST_BYTES_MAX, LogList};
use url::Url;

use super::keeper::{Adopted, Qpd, Witness};

/// For a whole list.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where a list is.
#[derive(Clone, Debug)]
pub enum ListPlace {
    /// A file.
    File(PathBuf),
    /// An http or https URL, whose host `egress` has as configured.
    Url(Box<Url>),
}

/// What one reading of one list brought, for who keeps count. The list, and what came of it.
#[derive(Debug)]
pub struct ListTold<'a> {
    /// Where the list is, without a login.
    pub place: &'a str,
    /// What it brought and how many items cannot be witnessed, or why it was not read: then everything stays as it was.
    pub outcome: Result<(&'a Adopted, usize), &'a str>,
}

/// Reads lists for a witness: one task; its owner runs [`run`](Self::run), or [`read`](Self::read) once.
pub struct Lists {
    witness: Witness,
    places: Vec<ListPlace>,
    qpd_max: Qpd,
    egress: Egress,
    tell: Arc<dyn Fn(&ListTold<'_>) + Send + Sync>,
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Lists {
    /// Lists for this witness. A log may ask as often as its list says, at most `qpd_max` times a day.
    pub fn new(
        witness: Witness,
        places: Vec<ListPlace>,
        qpd_max: Qpd,
        egress: Egress,
        tell: impl Fn(&ListTold<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { witness, places, qpd_max, egress, tell: Arc::new(tell) }
    }

    /// Reads every list now, and again after each pause, for ever. Cancel safe: what was taken in stays.
    pub async fn run(&self, every: Duration) {
        loop {
            self.read().await;
            tokio::time::sleep(every).await;
        }
    }

    /// Reads every list once, one after the other.
    pub async fn read(&self) {
        for place in &self.places {
            let name = place.to_string();
            match self.take(place).await {
                Ok((adopted, skipped)) => {
                    (self.tell)(&ListTold { place: &name, outcome: Ok((&adopted, skipped)) });
                }
                Err(reason) => (self.tell)(&ListTold { place: &name, outcome: Err(&reason) }),
            }
        }
    }

    async fn take(&self, place: &ListPlace) -> Result<(Adopted, usize), String> {
        let bytes = self.bytes(place).await?;
        let (witness, qpd_max) = (self.witness.clone(), self.qpd_max);
        let adopting = tokio::task::spawn_blocking(move || {
            let list = LogList::parse(&bytes).map_err(|error| error.to_string())?;
            let adopted = witness.adopt(list.logs, qpd_max).map_err(|error| error.to_string())?;
            Ok((adopted, list.skipped.len()))
        });
        adopting.await.map_err(|error| error.to_string())?
    }

    async fn bytes(&self, place: &ListPlace) -> Result<Vec<u8>, String> {
        let limit = LIST_BYTES_MAX as u64;
        match place {
            ListPlace::File(path) => {
                use tokio::io::AsyncReadExt as _;
                let mut bytes = Vec::new();
                let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
                let read = file.take(limit + 1).read_to_end(&mut bytes).await;
                read.map(|_| bytes).map_err(|error| error.to_string())
            }
            ListPlace::Url(url) => {
                let limits = Limits { bytes_max: limit, total: PATIENCE, ..Limits::default() };
                let request =
                    Request { limits, encoding: Encoding::Gzip, ..Place::new((**url).clone()).request() };
                let response = self.egress.get(request).await.map_err(|error| error.to_string())?;
                if response.status != 200 {
                    return Err(format!("answered {}", response.status));
                }
                response.body.collect(limit).await.map(Vec::from).map_err(|error| error.to_string())
            }
        }
    }
}

impl fmt::Display for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => Place::new((**url).clone()).url().fmt(f),
        }
    }
}
