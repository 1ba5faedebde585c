//! The command line: what can be asked for, and the flags that stand in for configuration keys.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Setting;

/// A Go module mirror, checksum database relay and module index in one program.
#[derive(Debug, Parser)]
#[command(name = "modkeep", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags every command takes.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch on the command line")]
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Configuration file, instead of the first of ./modkeep.toml, ~/.config/modkeep/ and /etc/modkeep/
    #[arg(long, global = true, value_name = "FILE", env = "MODKEEP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<String>,
    /// Results as JSON: one document, or lines ending in {"type":"summary"}
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Only errors on standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// More on standard error
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Colour on standard error
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub(crate) color: Color,
    /// No progress line even on a terminal
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve modules to go commands
    Serve(Serve),
    /// Fetch, verify and keep module versions
    Get(Get),
    /// Fetch everything a go.sum, a go.mod or a list of module@version lines names
    Prefetch(Prefetch),
    /// Take in a GOMODCACHE or any tree in the protocol's layout, verified
    Import(Import),
    /// Write a tree that any file server can serve to go commands
    Export(Export),
    /// List what is kept
    List(List),
    /// Show everything known about one version
    Show(Show),
    /// Check every byte kept against what was promised
    #[command(alias = "scrub")]
    Fsck(Fsck),
    /// Copy everything kept, beside a running server; the keys of our log stay out
    Backup(Backup),
    /// Put a backup back into an empty data directory
    Restore(Restore),
    /// Check every line of go.sum files against a checksum database
    Verify(Verify),
    /// Follow a checksum database and prove that it never misbehaved, or that it did
    Audit(Audit),
    /// Proofs of single records, and checking them without asking anybody
    #[command(subcommand)]
    Proof(ProofCommand),
    /// Keys and records of our own checksum database
    #[command(subcommand)]
    Log(LogCommand),
    /// Watch other logs and cosign what continues what was seen of them
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Write, check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script
    Completion {
        /// For this shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// `serve`
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Listen here; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Vec<String>,
    /// Metrics and readiness listen here; "" for nowhere
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin_listen: Option<String>,
    /// Where modules come from, in GOPROXY's grammar
    #[arg(long, value_name = "CHAIN")]
    pub(crate) upstream: Option<String>,
    /// Never ask anybody: serve what is kept
    #[arg(long)]
    pub(crate) offline: bool,
    /// Check the configuration and the store, then stop
    #[arg(long)]
    pub(crate) check: bool,
}

/// `get`
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// module@version, module@latest or module@query
    #[arg(required = true, value_name = "MODULE@VERSION")]
    pub(crate) modules: Vec<String>,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
}

/// `prefetch`
#[derive(Args, Debug)]
pub(crate) struct Prefetch {
    /// go.sum, go.mod or a file of module@version lines; "-" is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
}

/// How `get` and `prefetch` fetch.
#[derive(Args, Debug)]
pub(crate) struct Fetching {
    /// Fetches at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Go through a running modkeep instead of opening the store
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}

/// `import`
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// A GOMODCACHE, its cache/download, or any tree in the protocol's layout
    pub(crate) tree: PathBuf,
    /// Say what would be taken in, and take in nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `export`
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The directory to write; made if missing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Only what this go.sum names
    #[arg(long, value_name = "GO.SUM")]
    pub(crate) from: Option<PathBuf>,
}

/// `list`
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that people type")]
pub(crate) struct List {
    /// Prefix pattern as in GOPRIVATE, for example golang.org/x
    pub(crate) pattern: Option<String>,
    /// One line for each version
    #[arg(long)]
    pub(crate) versions: bool,
    /// Only versions kept without a checksum database's word
    #[arg(long)]
    pub(crate) unverified: bool,
    /// Only versions that do not stand at their origin any more: tag or repository gone or moved, a login wanted
    #[arg(long)]
    pub(crate) broken: bool,
    /// With --broken: ask the origins now instead of showing what was found last
    #[arg(long, requires = "broken")]
    pub(crate) recheck: bool,
    /// With --broken: what of this go.sum could not be built any more without a mirror
    #[arg(long, value_name = "GO.SUM", requires = "broken")]
    pub(crate) from: Option<PathBuf>,
}

/// `show`
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// module@version
    pub(crate) module: String,
}

/// `fsck`
#[derive(Args, Debug)]
pub(crate) struct Fsck {
    /// Move damaged files to quarantine, so that they are fetched again
    #[arg(long)]
    pub(crate) repair: bool,
}

/// `backup`
#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The folder of the backup, made if missing. Of an earlier backup there only what is new is copied, and it stays whole
    /// until the new one is
    pub(crate) dir: PathBuf,
    /// Read again what an earlier run copied, and copy anew what is damaged
    #[arg(long)]
    pub(crate) verify: bool,
}

/// `restore`
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The folder that "backup" wrote
    pub(crate) dir: PathBuf,
    /// Our log signed nothing after this backup: it may go on from here. If that is not true, it ends as a forked log
    #[arg(long)]
    pub(crate) log_is_newest: bool,
    /// Do not run fsck and log fsck at the end
    #[arg(long)]
    pub(crate) no_fsck: bool,
}

/// `verify`
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// go.sum files
    #[arg(default_value = "go.sum", value_name = "GO.SUM")]
    pub(crate) files: Vec<PathBuf>,
    /// The database, as in GOSUMDB: a known name, a key, or "KEY URL"; else the configured one
    #[arg(long, value_name = "GOSUMDB")]
    pub(crate) database: Option<String>,
    /// Where the newest head and what was proven are remembered
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Lookups at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
}

/// `audit`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// The log: a known name such as sum.golang.org, "KEY URL", or a URL with --key, also that of a copy: `file:///DIR`
    #[arg(value_name = "LOG")]
    pub(crate) log: Option<String>,
    /// Whose signature to believe
    #[arg(long, value_name = "NAME+HASH+KEY")]
    pub(crate) key: Option<String>,
    /// Where the auditor's memory lies
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Read every record again, from the first
    #[arg(long, conflicts_with = "from")]
    pub(crate) full: bool,
    /// Begin at this record
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// The copy is known to be incomplete: what it lacks is not held against it
    #[arg(long)]
    pub(crate) partial: bool,
    /// Records to look up as a go command would; else 20, and none in a copy, which has no lookups
    #[arg(long, value_name = "N")]
    pub(crate) lookups: Option<u32>,
    /// Compare with the sums of what the store keeps
    #[arg(long)]
    pub(crate) held: bool,
    /// Threads that read and hash
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Where files that prove a finding are written; else beside the memory
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
}

/// `audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Compare a head that somebody else was shown, such as a user's pkg/sumdb/NAME/latest
    Gossip(GossipFile),
    /// Tell of new versions of modules, each proven to be in the log
    Watch(AuditWatch),
}

/// `audit watch`
#[derive(Args, Debug)]
pub(crate) struct AuditWatch {
    /// Module path prefixes in the grammar of GOPRIVATE: example.com/team,*.corp.example
    #[arg(required = true, value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// The log, as for audit; else the configured one
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<String>,
    /// Whose signature to believe
    #[arg(long, value_name = "NAME+HASH+KEY")]
    pub(crate) key: Option<String>,
    /// Where it remembers what it has told
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// At the first time begin at this record; else with what is logged from now on
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// Go on, and look this often; else look once
    #[arg(long, value_name = "DURATION")]
    pub(crate) every: Option<crate::config::Period>,
    /// Threads that read and hash
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Where files that prove a finding are written; else beside the memory
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
}

/// `audit gossip`
#[derive(Args, Debug)]
pub(crate) struct GossipFile {
    /// The head; "-" is standard input
    pub(crate) file: PathBuf,
    /// The log, as for audit; else the configured one
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<String>,
    /// Whose signature to believe
    #[arg(long, value_name = "NAME+HASH+KEY")]
    pub(crate) key: Option<String>,
    /// Where the auditor's memory lies
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where files that prove a finding are written; else beside the memory
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
}

/// `proof`
#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Prove a record and write the proof as a file (C2SP tlog-proof)
    Get(ProofGet),
    /// Check such a file, offline
    Verify(ProofVerify),
}

/// `proof get`
#[derive(Args, Debug)]
pub(crate) struct ProofGet {
    /// module@version
    pub(crate) module: String,
    /// The file to write; else standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The database, as in GOSUMDB; else the configured one
    #[arg(long, value_name = "GOSUMDB")]
    pub(crate) database: Option<String>,
    /// Where the newest head and what was proven are remembered
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

/// `proof verify`
#[derive(Args, Debug)]
pub(crate) struct ProofVerify {
    /// The proof
    pub(crate) file: PathBuf,
    /// Whose signature to believe; else sum.golang.org's
    #[arg(long, value_name = "NAME+HASH+KEY", conflicts_with = "policy")]
    pub(crate) key: Option<String>,
    /// Logs and witnesses that must have signed (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The record's two lines, where the proof does not hold them
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

/// `log`
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Make the key that signs, and print the GOSUMDB line for it
    Keygen(Keygen),
    /// Have everything recorded that a go.sum names, and compare: the exit status is 7 if a sum differs
    Import(LogImport),
    /// Say how far our log is, who has cosigned it, and what witnesses and users found
    Status,
    /// Check every record, tile and head of our log against each other
    Fsck(LogFsck),
    /// Write the log as a tree of files that any file server can serve
    Export(LogExport),
    /// Make missing tiles and the index of names again from the records, or a whole log from an exported tree
    Rebuild(LogRebuild),
    /// Bring an old copy of our log forward to the newest head that anybody has seen, so that it may sign again
    Recover(LogRecover),
}

/// `log rebuild`
#[derive(Args, Debug)]
pub(crate) struct LogRebuild {
    /// Fill an empty log from this tree, as log export writes it in both layouts
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Whose signature the tree's heads must bear; else that of the configured key
    #[arg(long, value_name = "NAME+HASH+KEY", requires = "from")]
    pub(crate) key: Option<String>,
    /// The log signed nothing after this tree: it may go on from here. If that is not true, it ends as a forked log
    #[arg(long, requires = "from")]
    pub(crate) log_is_newest: bool,
}

/// `log recover`
#[derive(Args, Debug)]
pub(crate) struct LogRecover {
    /// A signed head that somebody has seen, as latest serves it; the copy of the newest head that the configuration names is looked at in any case. May be
    /// repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) head: Vec<PathBuf>,
    /// A tree of this log, exported or copied from a replica: its latest is a head that was seen, and its tiles stand in for
    /// those that are missing here
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

/// `log fsck`
#[derive(Args, Debug)]
pub(crate) struct LogFsck {
    /// Read records from this one on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) from: u64,
    /// Read records before this one; the hashes of all the others are looked at in any case
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<u64>,
    /// Read the records of one tile in so many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sample: u64,
    /// Whose signatures heads must bear; else those of the configured keys. May be repeated
    #[arg(long, value_name = "NAME+HASH+KEY")]
    pub(crate) key: Vec<String>,
    /// Threads that hash
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
}

/// `log export`
#[derive(Args, Debug)]
pub(crate) struct LogExport {
    /// The directory to write; made if missing. What is there already is kept, so that a second run adds only what is new
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The paths of go commands, those of C2SP tlog-tiles, or both
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) layout: Layout,
}

/// Which paths an exported log has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Layout {
    /// latest, tile/8/L/N, tile/8/data/N
    Go,
    /// checkpoint, tile/L/N, tile/entries/N
    C2sp,
    /// Both
    Both,
}

/// `log keygen`
#[derive(Args, Debug)]
pub(crate) struct Keygen {
    /// The log's name: the host it is reached at, and /log
    #[arg(long, value_name = "HOST/log")]
    pub(crate) name: String,
    /// The file to write the secret key to; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The log's address for the GOSUMDB line, where go commands reach it neither by its name nor as their GOPROXY
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// `log import`
#[derive(Args, Debug)]
pub(crate) struct LogImport {
    /// go.sum, go.mod or a file of module@version lines; "-" is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
}

/// `witness`
#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Be a witness: POST /add-checkpoint (C2SP tlog-witness)
    Serve(WitnessServe),
    /// Make a witness's key, and print the key that judges its cosignatures
    Keygen(WitnessMake),
    /// Carry the heads of a log that calls no witness to one
    Feed(WitnessFeed),
}

/// `witness serve`
#[derive(Args, Debug)]
pub(crate) struct WitnessServe {
    /// Listen here; may be repeated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8090")]
    pub(crate) listen: Vec<String>,
    /// The secret key that "witness keygen" made; may be repeated, one of each kind
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Where it remembers what it has cosigned; never to be lost, or put back from an old copy, under the same key
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// A log to watch: its key, and the first line of its checkpoints where that is not the key's name; may be repeated
    #[arg(long, required_unless_present = "list", value_name = "NAME+HASH+KEY[=ORIGIN]")]
    pub(crate) log: Vec<String>,
    /// A list of logs (logs/v0 of the witness network) whose new logs are watched too; may be repeated. A list only adds:
    /// what is watched stays as it is, whatever becomes of the list
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) list: Vec<String>,
    /// How often the lists are read again
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) list_every: crate::config::Period,
    /// How often each log is cosigned in a day, at most; a list may say less
    #[arg(long, value_name = "NUMBER", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) qpd: u32,
    /// Show metrics here, for operators alone
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
}

/// `witness keygen`
#[derive(Args, Debug)]
pub(crate) struct WitnessMake {
    /// The witness's name, by custom a URL without its scheme: witness.example.org/w1
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The file to write the secret key to; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// How it signs; ml-dsa-44 withstands quantum computers, and fewer logs read it
    #[arg(long, value_enum, default_value = "ed25519")]
    pub(crate) kind: KeyKind,
}

/// How a witness signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum KeyKind {
    /// Ed25519
    Ed25519,
    /// ML-DSA-44
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

/// `witness feed`
#[derive(Args, Debug)]
pub(crate) struct WitnessFeed {
    /// The log: a name, "KEY URL", or a URL with --key
    pub(crate) log: String,
    /// The log's key, where a URL is given
    #[arg(long, value_name = "NAME+HASH+KEY")]
    pub(crate) key: Option<String>,
    /// The witness's submission address
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The witness's key; may be repeated, one of each kind
    #[arg(long, required = true, value_name = "NAME+HASH+KEY")]
    pub(crate) witness_key: Vec<String>,
    /// Feed again and again, so often; else once
    #[arg(long, value_name = "PERIOD")]
    pub(crate) every: Option<crate::config::Period>,
    /// Feed /checkpoint, under the log's own name, instead of /latest, whose first line all checksum databases share
    #[arg(long)]
    pub(crate) checkpoint: bool,
}

/// `config`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a file with every key, its meaning and its default
    Init,
    /// Read the configuration as serve would, and say what is wrong
    Check,
    /// Print the values in force and where each comes from
    Show {
        /// Only what differs from the defaults
        #[arg(long)]
        changed: bool,
    },
}

impl Cli {
    /// The flags that stand for configuration keys.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |key: &str, text: &str| settings.push(Setting::flag(key, text));
        if let Some(store) = &self.global.store {
            set("store.path", store);
        }
        if self.global.verbose {
            set("observe.log_level", "debug");
        }
        if self.global.quiet {
            set("observe.log_level", "error");
        }
        if let Command::Serve(serve) = &self.command {
            if !serve.listen.is_empty() {
                set("server.listen", &serve.listen.join(","));
            }
            if let Some(address) = &serve.admin_listen {
                set("server.admin_listen", address);
            }
            if let Some(chain) = &serve.upstream {
                set("origin.upstream", chain);
            }
            if serve.offline {
                set("origin.upstream", "off");
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
