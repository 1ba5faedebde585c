//! `witness`: watching other logs, the key for it, and carrying heads to a witness (B4).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::Egress;
use modkeep_http::{Admin, Metrics, Probes, Server};
use modkeep_log::witness::{
    Asker, FeedError, Feeder, ListPlace, Lists, Qpd, Which, Witness, WitnessError, WitnessKeygen, read_key,
};
use modkeep_store::SystemClock;
use modkeep_tlog::cosignature::Algorithm;
use modkeep_tlog::witness::WitnessedLog;
use modkeep_tlog::{VerifierKey, WitnessKey};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::database::Place;
use super::runtime;
use super::serve::{resolved, stop_asked};
use crate::cli::{Color, KeyKind, WitnessCommand, WitnessFeed, WitnessMake, WitnessServe};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::watch;
use crate::wiring::Sources;

/// How long a witness that is fed has for an answer: it waits for no lookup.
const FEED_PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(
    command: &WitnessCommand,
    color: Color,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    match command {
        WitnessCommand::Serve(serve) => keep(serve, color, effective, output),
        WitnessCommand::Feed(feed) => feed_all(feed, effective, output),
        WitnessCommand::Keygen(make) => keygen(make, output),
    }
}

/// Makes a witness's key.
pub(super) fn keygen(make: &WitnessMake, output: &Output) -> Result<Exit, Failed> {
    let algorithm = match make.kind {
        KeyKind::Ed25519 => Algorithm::Ed25519,
        KeyKind::MlDsa44 => Algorithm::MlDsa44,
    };
    let made = WitnessKeygen::write(&make.out, &make.name, algorithm)
        .map_err(|error| Failed::new(Exit::Failed, error.to_string()))?;
    let file = make.out.display().to_string();
    output.notice(&format!(
        "{file} holds the secret key: keep it readable by nobody else, and use it nowhere else"
    ));
    let key = made.vkey.to_string();
    output.result(|| key.clone(), || json!({ "name": make.name, "key": key, "key_file": file }));
    Ok(Exit::Done)
}

fn keep(serve: &WitnessServe, color: Color, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    crate::log::init(effective, color);
    let qpd = Qpd(serve.qpd);
    let logs = watched(&serve.log)?.into_iter().map(|log| (log, qpd)).collect();
    let mut signers = Vec::new();
    for file in &serve.key {
        signers.push(read_key(file).map_err(|error| Failed::new(Exit::Config, error.to_string()))?);
    }
    let places = serve.list.iter().map(|text| list_place(text)).collect::<Result<Vec<_>, _>>()?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let witness = Witness::open(&serve.state, signers, logs, Arc::new(SystemClock))?;
        let metrics =
            Metrics::new(env!("CARGO_PKG_VERSION"), option_env!("MODKEEP_COMMIT").unwrap_or("unknown"));
        let told = watch::witness::lists(&metrics, &witness);
        let lists = Lists::new(witness.clone(), places.clone(), qpd, way_to(&places, effective)?, told);
        let server = bound(effective, "--listen", &serve.listen).await?;
        announce(&witness, server.addresses(), output)?;
        let stop = CancellationToken::new();
        let mut running =
            vec![server.serve(modkeep_http::Witness::new(witness), stop.clone()).map_err(failed)?];
        if let Some(admin) = &serve.admin {
            let server = bound(effective, "--admin", std::slice::from_ref(admin)).await?;
            for address in server.addresses() {
                output.notice(&format!("admin     http://{address}/metrics"));
            }
            let service = Admin::new(metrics, Probes::default());
            running.push(server.serve(service, stop.clone()).map_err(failed)?);
        }
        tokio::select! {
            () = stop_asked() => {}
            () = lists.run(serve.list_every.0), if !places.is_empty() => {}
        }
        stop.cancel();
        for server in running {
            server.join().await;
        }
        Ok(Exit::Done)
    })
}

fn failed(error: modkeep_http::serve::ServeError) -> Failed {
    Failed::new(Exit::Failed, error.to_string())
}

/// One thread's listener: the witness reads bodies, and so may the other one.
async fn bound(effective: &Effective, flag: &str, texts: &[String]) -> Result<Server, Failed> {
    let listen = resolved(effective, flag, texts).await?;
    let threads = NonZeroUsize::MIN;
    let config = modkeep_http::serve::Config { threads, reads_bodies: true, ..Default::default() };
    Server::bind(&listen, config).map_err(failed)
}

/// A file, or an http or https URL.
fn list_place(text: &str) -> Result<ListPlace, Failed> {
    if !text.contains("://") {
        return Ok(ListPlace::File(PathBuf::from(text)));
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    let url = url.map(|url| ListPlace::Url(Box::new(url)));
    url.ok_or_else(|| {
        Failed::new(Exit::Usage, format!("--list {text:?}: want a file, or an http or https URL"))
    })
}

/// The one way out, with the lists' hosts as configured ones.
fn way_to(places: &[ListPlace], effective: &Effective) -> Result<Egress, Failed> {
    let url = |place: &ListPlace| match place {
        ListPlace::Url(url) => Some((**url).clone()),
        ListPlace::File(_) => None,
    };
    let urls: Vec<Url> = places.iter().filter_map(url).collect();
    crate::wiring::egress(effective, &Sources::of(effective)?, &urls)
}

fn announce(witness: &Witness, addresses: &[SocketAddr], output: &Output) -> Result<(), Failed> {
    for (origin, head) in witness.watched()? {
        output.notice(&format!("watches   {origin}, cosigned up to size {}", head.size));
    }
    for signer in witness.signers() {
        output.notice(&format!("key       {}", signer.key()));
    }
    for address in addresses {
        output.notice(&format!("witness   http://{address}/"));
    }
    Ok(())
}

/// `VKEY` or `VKEY=ORIGIN`. Several keys of one origin are its old and its new one (A5, "Rotation").
fn watched(texts: &[String]) -> Result<Vec<WitnessedLog>, Failed> {
    let mut logs: Vec<WitnessedLog> = Vec::new();
    for text in texts {
        let (key, origin) = log_of(text)?;
        match logs.iter_mut().find(|log| log.origin == origin) {
            Some(log) => log.keys.push(key),
            None => logs.push(WitnessedLog { origin, keys: vec![key] }),
        }
    }
    Ok(logs)
}

fn log_of(text: &str) -> Result<(VerifierKey, String), Failed> {
    let wrong = |reason: String| Failed::new(Exit::Usage, format!("--log {text:?}: {reason}"));
    // Base64 ends in up to two signs of equality itself.
    if let Ok(key) = VerifierKey::parse(text) {
        let origin = key.name().to_owned();
        return Ok((key, origin));
    }
    for (at, _) in text.match_indices('=') {
        if let (Ok(key), origin) = (VerifierKey::parse(&text[..at]), &text[at + 1..])
            && !origin.is_empty()
            && !origin.contains('\n')
        {
            return Ok((key, origin.to_owned()));
        }
    }
    Err(wrong(
        "want NAME+HASH+KEY, or NAME+HASH+KEY=ORIGIN where checkpoints begin with another line".to_owned(),
    ))
}

fn feed_all(feed: &WitnessFeed, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let place = Place::parse(&feed.log, feed.key.as_deref())?;
    let to = submission(&feed.to)?;
    let mut keys = Vec::new();
    for key in &feed.witness_key {
        let parsed = WitnessKey::parse(key);
        keys.push(
            parsed.map_err(|error| Failed::new(Exit::Usage, format!("--witness-key {key:?}: {error}")))?,
        );
    }
    let runtime = runtime()?;
    let source = place.source(effective, &runtime)?;
    let egress = {
        let _inside = runtime.enter();
        crate::wiring::egress(effective, &Sources::of(effective)?, std::slice::from_ref(&to))?
    };
    let which = if feed.checkpoint { Which::Checkpoint } else { Which::Latest };
    let asker = Asker::new(egress, to, keys, FEED_PATIENCE);
    let mut feeder = Feeder::new(place.key.clone(), which, asker);
    let stop = feed.every.map(|_| stopping(&runtime));
    loop {
        let fed = feeder.feed(source.as_ref(), runtime.handle());
        let exit = tell(fed, &place, output);
        // A log that contradicts itself is not fed again: somebody has to look.
        let (Some(every), Some(stop)) = (feed.every, &stop) else { return Ok(exit) };
        if exit == Exit::Integrity {
            return Ok(exit);
        }
        let waited = runtime.block_on(async { tokio::time::timeout(every.0, stop.cancelled()).await });
        if waited.is_ok() {
            return Ok(Exit::Done);
        }
    }
}

/// Cancelled when somebody asks us to stop; a feeding under way is finished.
pub(super) fn stopping(runtime: &Runtime) -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    runtime.spawn(async move {
        stop_asked().await;
        asked.cancel();
    });
    stop
}

fn tell(fed: Result<modkeep_log::witness::Fed, FeedError>, place: &Place, output: &Output) -> Exit {
    let error = match fed {
        Ok(fed) => {
            let (from, size) = (fed.from.get(), fed.size.get());
            output.result(
                || format!("{}: cosigned at size {size} (the witness had {from})", place.name()),
                || json!({ "log": place.name(), "ok": true, "from": from, "size": size }),
            );
            return Exit::Done;
        }
        Err(error) => error,
    };
    let exit = match &error {
        FeedError::Inconsistent { .. } => Exit::Integrity,
        _ => Exit::Origin,
    };
    if output.is_json() {
        output
            .result(String::new, || json!({ "log": place.name(), "ok": false, "error": error.to_string() }));
    } else {
        output.problem(&format!("{}: {error}", place.name()));
    }
    exit
}

fn submission(text: &str) -> Result<Url, Failed> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    url.ok_or_else(|| {
        Failed::new(Exit::Usage, format!("--to {text:?}: want the witness's http or https URL"))
    })
}

impl From<WitnessError> for Failed {
    fn from(error: WitnessError) -> Self {
        let exit = match error {
            WitnessError::Damaged { .. } => Exit::Integrity,
            WitnessError::Keys(_) => Exit::Config,
            _ => Exit::Store,
        };
        Self::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    #[test]
    fn a_watched_log_is_a_key_with_its_origin() {
        assert_eq!(log_of(KEY).unwrap().1, "sum.golang.org");
        let other = format!("{KEY}=go.sum database tree");
        let (key, origin) = log_of(&other).unwrap();
        assert_eq!((key.to_string().as_str(), origin.as_str()), (KEY, "go.sum database tree"));
        for wrong in ["", "sum.golang.org", &format!("{KEY}="), &format!("{KEY}=a\nb")] {
            assert!(log_of(wrong).is_err(), "{wrong}");
        }
        let twice = watched(&[KEY.to_owned(), KEY.to_owned(), other]).unwrap();
        assert_eq!(
            twice.iter().map(|log| (log.origin.as_str(), log.keys.len())).collect::<Vec<_>>(),
            [("sum.golang.org", 2), ("go.sum database tree", 1)]
        );
    }
}
