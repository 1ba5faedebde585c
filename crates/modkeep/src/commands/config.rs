//! `config init|check|show`.

use crate::cli::ConfigCommand;
use crate::config::{DEFAULTS, Effective};
use crate::exit::Exit;
use crate::output::Output;

/// Prints the file with every key commented out, so that a later default still reaches those who keep it.
pub(super) fn init(output: &Output) -> Exit {
    let commented: String = DEFAULTS
        .lines()
        .map(|line| {
            if line.contains(" = ") && !line.starts_with('#') {
                format!("# {line}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    output.raw(&commented);
    Exit::Done
}

pub(super) fn run(command: &ConfigCommand, effective: &Effective, output: &Output) -> Exit {
    match command {
        ConfigCommand::Show { changed } if output.is_json() => {
            output.raw(&format!("{}\n", effective.json(*changed)));
        }
        ConfigCommand::Show { changed } => output.raw(&effective.show(*changed)),
        // Reaching this place means that every layer was read; what binds it to the world is checked by wiring.
        ConfigCommand::Init | ConfigCommand::Check => match crate::wiring::check(effective) {
            Ok(()) => output
                .result(|| "the configuration is sound".to_owned(), || serde_json::json!({ "ok": true })),
            Err(failed) => {
                output.problem(&failed.text);
                return failed.exit;
            }
        },
    }
    Exit::Done
}
