//! The workspace as cargo describes it: packages and the arrows between them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Error;

/// One package of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// The room: the package name without the house's prefix, `http` for `modkeep-http`.
    pub(crate) room: String,
    /// The folder that holds its `Cargo.toml`.
    pub(crate) folder: PathBuf,
    /// Arrows to other packages of the workspace.
    pub(crate) arrows: Vec<Arrow>,
}

/// One dependency of a room on another room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Arrow {
    pub(crate) to: String,
    pub(crate) kind: Kind,
}

/// What a dependency is needed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The room's own code, or its build script.
    Code,
    /// Its tests, examples and benches only.
    Tests,
}

/// Reads the workspace that holds the current directory.
pub(crate) fn packages() -> Result<Vec<Package>, Error> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let failed = |what: String| Error::Program { program: "cargo metadata".to_owned(), what };
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !out.status.success() {
        return Err(failed(String::from_utf8_lossy(&out.stderr).into_owned()));
    }
    let json: Value = serde_json::from_slice(&out.stdout).map_err(|e| failed(e.to_string()))?;
    Ok(parse(&json))
}

fn parse(metadata: &Value) -> Vec<Package> {
    let all = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = all.iter().filter_map(|p| p["name"].as_str()).collect();
    all.iter().map(|package| read_package(package, &names)).collect()
}

fn read_package(package: &Value, names: &[&str]) -> Package {
    let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    let arrows = dependencies
        .iter()
        .filter(|d| d["name"].as_str().is_some_and(|name| names.contains(&name)))
        .map(|d| Arrow { to: room(&d["name"]), kind: kind(&d["kind"]) })
        .collect();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let folder = manifest.parent().unwrap_or(Path::new("")).to_owned();
    Package { room: room(&package["name"]), folder, arrows }
}

fn room(name: &Value) -> String {
    let name = name.as_str().unwrap_or_default();
    name.strip_prefix("modkeep-").unwrap_or(name).to_owned()
}

fn kind(kind: &Value) -> Kind {
    if kind.as_str() == Some("dev") { Kind::Tests } else { Kind::Code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_to_foreign_crates_are_not_ours() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "modkeep-http", "manifest_path": "/w/crates/http/Cargo.toml", "dependencies": [
                { "name": "modkeep-fetch", "kind": null },
                { "name": "modkeep-testkit", "kind": "dev" },
                { "name": "hyper", "kind": null },
            ]},
            { "name": "modkeep-fetch", "manifest_path": "/w/crates/fetch/Cargo.toml", "dependencies": [] },
            { "name": "modkeep-testkit", "manifest_path": "/w/crates/testkit/Cargo.toml", "dependencies": [] },
        ]});
        let packages = parse(&metadata);
        assert_eq!(packages[0].room, "http");
        assert_eq!(packages[0].folder, Path::new("/w/crates/http"));
        let arrow = |to: &str, kind| Arrow { to: to.to_owned(), kind };
        assert_eq!(packages[0].arrows, [arrow("fetch", Kind::Code), arrow("testkit", Kind::Tests)]);
    }
}
