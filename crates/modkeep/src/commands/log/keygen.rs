//! `log keygen`: the key that signs, written once, and the GOSUMDB line for it (A5).

use modkeep_log::LogName;
use serde_json::json;

use crate::cli::Keygen;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(in crate::commands) fn run(keygen: &Keygen, output: &Output) -> Result<Exit, Failed> {
    let name = LogName::parse(&keygen.name).map_err(|error| Failed::new(Exit::Usage, error.to_string()))?;
    if name.as_str().strip_suffix("/log").is_none_or(str::is_empty) {
        let reason =
            format!("--name {name}: want HOST/log, because the log is served below /log of that host");
        return Err(Failed::new(Exit::Usage, reason));
    }
    let made = modkeep_log::Keygen::write(&keygen.out, &name, keygen.url.as_deref())
        .map_err(|error| Failed::new(Exit::Failed, error.to_string()))?;
    let file = keygen.out.display().to_string();
    output.notice(&format!("{file} holds the secret key: keep it readable by nobody else, and keep a copy"));
    output.notice(&format!("[log]  enabled = true  name = \"{name}\"  key_file = \"{file}\""));
    output.result(
        || format!("GOSUMDB=\"{}\"", made.gosumdb),
        || json!({ "name": name.as_str(), "key": made.vkey.to_string(), "gosumdb": made.gosumdb, "key_file": file }),
    );
    Ok(Exit::Done)
}
