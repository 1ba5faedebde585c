//! The world's inhabitants: one module for each kind that the go command treats in its own way.

use crate::world::ModuleWorld;

/// Paths and versions that tests name.
pub mod names {
    /// A path with capitals; its twin is [`LOWER`].
    pub const CAPITALS: &str = "example.com/Kingfisher/Reeds";
    /// The same letters without capitals, another module.
    pub const LOWER: &str = "example.com/kingfisher/reeds";
    /// Has `v2.1.0+incompatible` and `v3.0.0+incompatible`.
    pub const INCOMPATIBLE: &str = "example.com/heron";
    /// Has pseudo-versions only.
    pub const PSEUDO: &str = "example.com/wader";
    /// The newest of them.
    pub const PSEUDO_NEWEST: &str = "v0.0.0-20260102030405-abcdef012345";
    /// Lives at gopkg.in.
    pub const GOPKG: &str = "gopkg.in/plover.v2";
    /// Lives at a vanity host.
    pub const VANITY: &str = "birds.example/finch";
    /// Has a module nested in it, [`INNER`].
    pub const OUTER: &str = "example.com/marsh";
    /// Nested in [`OUTER`].
    pub const INNER: &str = "example.com/marsh/pool";
    /// Has `/v2` and `/v3` beside it, and a pre-release.
    pub const MAJORS: &str = "example.com/tern";
    /// Has pre-releases only.
    pub const PRERELEASES: &str = "example.com/egret";
    /// Says of itself that it is deprecated.
    pub const DEPRECATED: &str = "example.com/dodo";
    /// Its `v1.7.0` retracts `v1.5.0`.
    pub const RETRACTED: &str = "example.com/swift";
    /// Has no go.mod.
    pub const LEGACY: &str = "example.com/oldcrow";
    /// Has a zip of about one megabyte.
    pub const LARGE: &str = "example.com/pelican";
    /// A library that needs most of the others, and the program `cmd/chirp`.
    pub const PROGRAM: &str = "example.com/aviary";
    /// A toolchain, which is always checked in the database (P-107).
    pub const TOOLCHAIN: &str = "golang.org/toolchain";
    /// Its one version.
    pub const TOOLCHAIN_VERSION: &str = "v0.0.1-go1.27.99.linux-amd64";
}

use names::{
    CAPITALS, DEPRECATED, GOPKG, INCOMPATIBLE, INNER, LARGE, LEGACY, LOWER, MAJORS, OUTER, PRERELEASES,
    PROGRAM, PSEUDO, PSEUDO_NEWEST, RETRACTED, TOOLCHAIN, TOOLCHAIN_VERSION, VANITY,
};

/// What the program needs, and the import name that it gives each. Not [`LOWER`]: go builds no program from two
/// paths that differ only by case.
const NEEDS: &[(&str, &str, &str)] = &[
    (CAPITALS, "v1.0.0", "capital"),
    (INCOMPATIBLE, "v3.0.0+incompatible", "heron"),
    (PSEUDO, PSEUDO_NEWEST, "wader"),
    (GOPKG, "v2.1.3", "plover"),
    (VANITY, "v0.9.0", "finch"),
    (OUTER, "v1.0.0", "marsh"),
    (INNER, "v0.2.0", "pool"),
    (MAJORS, "v1.5.2", "tern"),
    ("example.com/tern/v3", "v3.1.0", "tern3"),
    (RETRACTED, "v1.7.0", "swift"),
    (LEGACY, "v0.3.0", "oldcrow"),
];

impl ModuleWorld {
    /// A world with a module of every kind; see [`names`].
    pub fn every_kind() -> Self {
        let mut world = Self::new();
        add_libraries(&mut world);
        add_changing_fates(&mut world);
        add_large(&mut world);
        add_program(&mut world);
        let files: [(&str, &[u8]); 2] =
            [("VERSION", b"go1.27.99\n"), ("bin/go", b"#!/bin/sh\necho go1.27.99\n")];
        world.add(TOOLCHAIN, TOOLCHAIN_VERSION, &files);
        world
    }
}

fn add_libraries(world: &mut ModuleWorld) {
    world.add_library(CAPITALS, "v1.0.0");
    world.add_library(LOWER, "v1.0.0");
    world.add_library(LOWER, "v1.0.1");
    world.add_legacy(INCOMPATIBLE, "v1.0.0");
    world.add_legacy(INCOMPATIBLE, "v2.1.0+incompatible");
    world.add_legacy(INCOMPATIBLE, "v3.0.0+incompatible");
    world.add_library(PSEUDO, "v0.0.0-20250304050607-0123456789ab");
    world.add_library(PSEUDO, PSEUDO_NEWEST);
    world.add_library(GOPKG, "v2.0.0");
    world.add_library(GOPKG, "v2.1.3");
    world.add_library(VANITY, "v0.9.0");
    world.add_library(OUTER, "v1.0.0");
    world.add_library(INNER, "v0.2.0");
    world.add_library(MAJORS, "v1.5.2");
    world.add_library(MAJORS, "v1.5.3-pre1");
    world.add_library("example.com/tern/v2", "v2.0.1");
    world.add_library("example.com/tern/v3", "v3.1.0");
    world.add_library(PRERELEASES, "v0.1.0-alpha.1");
    world.add_library(PRERELEASES, "v0.1.0-rc.2");
    world.add_legacy(LEGACY, "v0.3.0");
}

fn add_changing_fates(world: &mut ModuleWorld) {
    world.add_library(DEPRECATED, "v1.0.0");
    let deprecated =
        format!("// Deprecated: it could not fly; use {VANITY}.\nmodule {DEPRECATED}\n\ngo 1.21\n");
    let source: &[u8] =
        b"package dodo\n\n// Name tells what was built.\nfunc Name() string { return \"dodo\" }\n";
    world.add(DEPRECATED, "v1.1.0", &[("go.mod", deprecated.as_bytes()), ("lib.go", source)]);
    world.add_library(RETRACTED, "v1.4.0");
    world.add_library(RETRACTED, "v1.5.0");
    let retracts = format!("module {RETRACTED}\n\ngo 1.21\n\n// Flew into a window.\nretract v1.5.0\n");
    let source: &[u8] =
        b"package swift\n\n// Name tells what was built.\nfunc Name() string { return \"swift\" }\n";
    world.add(RETRACTED, "v1.7.0", &[("go.mod", retracts.as_bytes()), ("lib.go", source)]);
    world.retract(RETRACTED, "v1.5.0");
}

fn add_large(world: &mut ModuleWorld) {
    let go_mod = format!("module {LARGE}\n\ngo 1.21\n");
    let source: &[u8] =
        b"package pelican\n\n// Name tells what was built.\nfunc Name() string { return \"pelican\" }\n";
    let beak = noise(1 << 20);
    let files: [(&str, &[u8]); 3] =
        [("go.mod", go_mod.as_bytes()), ("lib.go", source), ("testdata/beak.bin", &beak)];
    world.add(LARGE, "v1.0.0", &files);
}

fn add_program(world: &mut ModuleWorld) {
    let requires: String = NEEDS.iter().map(|(path, version, _)| format!("\t{path} {version}\n")).collect();
    let go_mod = format!("module {PROGRAM}\n\ngo 1.21\n\nrequire (\n{requires})\n");
    let imports: String = NEEDS.iter().map(|(path, _, name)| format!("\t{name} \"{path}\"\n")).collect();
    let calls: String = NEEDS.iter().map(|(_, _, name)| format!("\t\t{name}.Name(),\n")).collect();
    let library = format!(
        "// Package aviary holds birds.\npackage aviary\n\nimport (\n{imports})\n\n\
         // Birds lists them.\nfunc Birds() []string {{\n\treturn []string{{\n{calls}\t}}\n}}\n"
    );
    let test = "package aviary\n\nimport \"testing\"\n\n\
                func TestBirds(t *testing.T) {\n\tif len(Birds()) != 11 {\n\t\tt.Fatal(Birds())\n\t}\n}\n";
    let command = format!(
        "// Command chirp names every bird.\npackage main\n\nimport (\n\t\"os\"\n\n\t\"{PROGRAM}\"\n)\n\n\
         func main() {{\n\tfor _, bird := range aviary.Birds() {{\n\t\tos.Stdout.WriteString(bird + \"\\n\")\n\t}}\n}}\n"
    );
    for version in ["v1.0.0", "v1.1.0"] {
        let files: [(&str, &[u8]); 4] = [
            ("go.mod", go_mod.as_bytes()),
            ("aviary.go", library.as_bytes()),
            ("aviary_test.go", test.as_bytes()),
            ("cmd/chirp/main.go", command.as_bytes()),
        ];
        world.add(PROGRAM, version, &files);
    }
}

/// Bytes that no compressor makes smaller, the same each time (xorshift).
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
