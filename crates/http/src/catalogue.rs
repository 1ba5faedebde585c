//! Every refusal we give, in one place: its code, its text on the wire, its page under `/e/CODE`.
//!
//! The go command prints what we say only if it is short, plain and without a blank line; the rules are those of
//! user-experience.md section 8 and are linted over all rows by this file's tests. First line
//! `class: what and fact [code]`; then why; then what to do now; last line the page's address.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use modkeep_fetch::{Absent, Authority, Failure, Subject};
use modkeep_module::Version;
use modkeep_sumdb::RelayError;

/// Lines from the second on are no wider.
const COLUMNS_MAX: usize = 76;
/// A whole text, beside the name in it. The go command shows 648 bytes.
const TEXT_BYTES_MAX: usize = 600;
/// Of the eight lines that the go command shows; one of them is the link.
const LINES_MAX: usize = 7;
/// A longer module path with its version is cut in the middle; the go command's own sentence is not, while it fits.
const SUBJECT_BYTES_MAX: usize = 200;
/// What we repeat of an outsider's words.
const SAID_BYTES_MAX: usize = 150;

/// The name of a refusal: `X-Modkeep-Code`, the label of `errors_total`, the page under `/e/`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Code {
    NoSuchVersion,
    NoSuchModule,
    NoAccess,
    Unlisted,
    NotCached,
    Offline,
    Checksum,
    BadContent,
    TooLarge,
    Refused,
    NoProgram,
    OriginDown,
    OriginLimit,
    Busy,
    StillFetching,
    LogDown,
    LogInconsistent,
    LogPrivate,
    LogBusy,
    LogDenied,
    LogClosed,
    NoSuchLog,
    NoSuchTile,
    NoSuchProof,
    Storage,
    Damaged,
    Stopping,
    Internal,
    BadRequest,
    BadFraming,
    NotAModule,
    NoSuchPage,
    BadMethod,
    TooLong,
    HeadersTooLarge,
    BadRange,
}

/// One row: what never depends on the case at hand.
pub(crate) struct Row {
    pub(crate) code: Code,
    /// As it stands in brackets and in addresses.
    pub(crate) name: &'static str,
    /// The page's heading.
    pub(crate) title: &'static str,
    /// The page's paragraphs: what happened, what to do.
    pub(crate) page: &'static [&'static str],
}

impl Code {
    /// Every code, in the order of the enum.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.code)
    }

    /// How many there are.
    pub(crate) const COUNT: usize = ROWS.len();

    /// Its place in the order.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn row(self) -> &'static Row {
        &ROWS[self.index()]
    }

    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// The code of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.code)
    }
}

macro_rules! rows {
    ($($code:ident $name:literal $title:literal $($paragraph:literal)+;)+) => {
        [$(Row { code: Code::$code, name: $name, title: $title, page: &[$($paragraph),+] }),+]
    };
}

/// In the order of [`Code`].
static ROWS: [Row; 36] = rows! {
    NoSuchVersion "no-such-version" "There is no such version"
        "Every source this mirror may ask answered, and none has this version or branch of the module."
        "If you have just pushed the tag, run the same command again in a minute: the answer is remembered that long, and an exact version is then asked for anew."
        "A branch name with a slash cannot travel through any module proxy; name the commit instead.";
    NoSuchModule "no-such-module" "There is no such module"
        "Every source this mirror may ask answered, and none knows a module of this path. A path inside a repository is a module only if it holds a go.mod file."
        "If the module is private, fetch it yourself: set GOPRIVATE to a pattern that matches it.";
    NoAccess "no-access" "The origin asks for a login"
        "The repository exists or is private: its host asked for a login, and this mirror has no credential for it. To a public mirror both look the same."
        "Fetch it yourself: set GOPRIVATE to a pattern that matches it. Operators may add a rule under [[origin.credential]].";
    Unlisted "unlisted" "Not in the checksum database"
        "The checksum database was asked for this version's sums and has none, so the bytes cannot be checked, and this mirror keeps nothing that cannot be checked."
        "For a private module set GOPRIVATE to a pattern that matches it. Operators list such paths under origin.private or exempt them from checking.";
    NotCached "not-cached" "Not stored here, and not fetched"
        "The address under /cached-only, and the header Disable-Module-Fetch, answer from what is stored and never fetch. This version is not stored."
        "Use the mirror's plain address as GOPROXY to have it fetched.";
    Offline "offline" "Not stored here, and nobody to ask"
        "This mirror has no source to fetch from and does not hold what was asked."
        "Use a version that is here, or ask the operators for an import.";
    Checksum "checksum" "The bytes differ from the recorded sum"
        "What the source sent does not have the sum that was recorded for this version when it was first seen. Somebody changed a published version, or somebody on the way is lying. The bytes were put aside as evidence and are never served."
        "Tell the module's author, and use another version until this is explained. Do not switch checking off.";
    BadContent "bad-content" "The content cannot be a module"
        "What the source sent breaks a rule that the go command enforces on module files and zips."
        "Only the module's author can mend this, with a new version.";
    TooLarge "too-large" "Too large for any proxy"
        "The file is larger than the go command accepts from a proxy, so no mirror can serve it.";
    Refused "refused" "This mirror does not ask there"
        "A rule of this mirror keeps it from asking the place where the module lives: the place has an internal address, its owner wants no visits, or the rules for robots forbid it."
        "Operators change such a rule in the section that the message names.";
    NoProgram "no-program" "A program is missing here"
        "The module lives in a version control system that this mirror reads through its own program, and that program is not installed here."
        "Ask the operators to install it. Nothing is wrong with your module.";
    OriginDown "origin-down" "The source does not answer properly"
        "The source that would know does not answer, or answers with trouble of its own. That is never taken for absence. What is stored here is served meanwhile."
        "Run the same command again in a few minutes.";
    OriginLimit "origin-limit" "The source limits how often we may ask"
        "The source asked us to slow down. Run the same command again after the time in the message.";
    Busy "busy" "Too many fetches at once"
        "This mirror is fetching as much as it may. What is stored is served meanwhile. Run the same command again shortly.";
    StillFetching "still-fetching" "The fetch is still going on"
        "It takes longer than a request may wait. The fetch goes on; run the same command again and it will be served.";
    LogDown "log-down" "The checksum database does not answer"
        "New versions cannot be checked until it does, so they are not served. Everything stored here still is, and modules already in your go.sum still build.";
    LogInconsistent "log-inconsistent" "The checksum database contradicts itself"
        "It showed a signed tree that does not extend the one verified here before. Either it has forked or somebody is lying in its name. Both signed heads are kept as evidence, and lookups are stopped until an operator decides."
        "Do not switch GOSUMDB off; wait for the operators.";
    LogPrivate "log-private" "Private, and not looked up in public"
        "The module's path is private here, so its name is not sent to a public checksum database."
        "Set GONOSUMDB, or GOPRIVATE, to a pattern that matches it.";
    LogBusy "log-busy" "The log takes no new records now"
        "This server's own checksum database has too much to write, or its operators have paused it. What is recorded is served meanwhile. Run the same command again shortly.";
    LogDenied "log-denied" "Not recorded here"
        "The operators of this checksum database do not have such modules recorded."
        "Set GONOSUMDB to a pattern that matches the module, or ask the operators.";
    LogClosed "log-closed" "The log is not served"
        "This server's own checksum database found something wrong with its files, and neither signs nor serves what may be false. Modules are served meanwhile, and modules already in your go.sum still build. The operators are alerted."
        "Do not switch GOSUMDB off; wait for the operators.";
    NoSuchLog "no-such-log" "That checksum database is not relayed here"
        "The go command will ask the database itself.";
    NoSuchTile "no-such-tile" "There is no such tile"
        "The tree has no tile of that place or width, or not yet.";
    NoSuchProof "no-such-proof" "There is no such proof"
        "The record was made on this server's own word, so no other database's proof came with it. That it is in this log is proved under /log/proof/.";
    Storage "storage" "New modules cannot be stored now"
        "The disk is full or cannot be written. What is stored is served; new versions are not fetched until there is room. The operators are alerted.";
    Damaged "damaged" "The stored file is damaged"
        "The file does not match the sum recorded for it and was put aside. It is fetched again, and checked against that sum, at the next request.";
    Stopping "stopping" "This server is stopping"
        "Run the same command again in a moment.";
    Internal "internal" "Our fault"
        "Something went wrong in this mirror. Nothing is wrong with your module. Quote the request id of the message to the operators.";
    BadRequest "bad-request" "The request is malformed"
        "The path is not one that the go command sends: it has empty or dot elements, a wrong escape, or bytes that no module path can have."
        "In module paths and versions every capital letter is written as ! and its small letter.";
    BadFraming "bad-framing" "The request's end is ambiguous"
        "The request announces a body in chunks, which no question to this mirror has. Somebody on the way may read it differently, so it is not answered and the connection is closed.";
    NotAModule "not-a-module-path" "That can be no module"
        "The path breaks a rule for module paths or versions, so no module of that name can exist anywhere.";
    NoSuchPage "no-such-page" "There is no such page"
        "Modules are under /MODULE/@v/; the setup of your machine is on the front page.";
    BadMethod "method" "Only GET and HEAD"
        "This mirror is read with GET and HEAD. It is no forward proxy.";
    TooLong "too-long" "The address is too long"
        "An address may have 4,096 bytes; a module path 1,024.";
    HeadersTooLarge "headers-too-large" "The header fields are too large"
        "All header fields together may have 16 KiB, in at most 64 fields.";
    BadRange "range" "The range lies outside"
        "The Range field asks for bytes behind the end of the file.";
};

/// The words of one refusal: the case at hand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Words {
    /// What happened, without class and code.
    pub(crate) first: String,
    /// Further lines: why, and what to do now.
    pub(crate) then: Vec<String>,
}

impl Words {
    pub(crate) fn new(first: impl Into<String>) -> Self {
        Self { first: first.into(), then: Vec::new() }
    }

    pub(crate) fn and(mut self, line: impl Into<String>) -> Self {
        self.then.push(line.into());
        self
    }

    fn and_if(self, line: Option<String>) -> Self {
        match line {
            Some(line) => self.and(line),
            None => self,
        }
    }
}

/// What to say about a failure. `base` is our own address, `request` the id to quote.
pub(crate) fn words(failure: &Failure, base: &str, request: &str) -> Words {
    match failure {
        Failure::NoSuchVersion { subject, asked_ago, newest, said } => {
            Words::new(format!("{} has no version {}.", cut(subject.module.as_str()), version(subject)))
                .and(newest_line(newest.as_ref(), *asked_ago))
                .and_if(said_line(said))
                .and(again_line(*asked_ago))
        }
        Failure::InvalidVersion { asked_ago, sentence, .. } => {
            Words::new(&**sentence).and(newest_line(None, *asked_ago)).and(again_line(*asked_ago))
        }
        Failure::NoAccess { subject, host } => Words::new(format!(
            "{} exists or is private: {host} asked for a login and this mirror has no credential for it.",
            cut(subject.module.as_str())
        ))
        .and(format!("Fetch it yourself: go env -w GOPRIVATE={}", subject.module))
        .and("Or ask the operators: add a credential rule for it."),
        Failure::NoSuchModule { subject, why: Absent::AtItsOrigin, said, .. } => {
            Words::new(format!("module {}: {said}", subject.module))
                .and("Private repository? This mirror has no credentials for it.")
        }
        Failure::NoSuchModule { subject, why, said, .. } => {
            Words::new(format!("nothing found at {}.", cut(subject.module.as_str())))
                .and(absence_line(why))
                .and_if(said_line(said))
        }
        Failure::Unlisted { subject, database, .. } => {
            Words::new(format!("{} is not in the checksum database {database}.", name(subject)))
                .and("This mirror keeps nothing that cannot be checked. Private module?")
                .and(format!("You: go env -w GOPRIVATE={}", subject.module))
        }
        Failure::NotCached { subject } => {
            Words::new(format!("{} is not cached here, and this address never fetches.", name(subject)))
                .and(format!("To fetch: GOPROXY={base}"))
        }
        Failure::Offline { subject, here } => {
            Words::new(format!("this mirror has no source to ask and lacks {}.", name(subject)))
                .and_if(here_line("Here: ", here))
                .and("Ask the operators for an import.")
        }
        Failure::Checksum { subject, recorded, received, authority, .. } => Words::new(format!(
            "{}: the source now gives other bytes than {}.",
            name(subject),
            recorder(authority)
        ))
        .and("This mirror will not serve them.")
        .and(format!("source: {}", excerpt(received)))
        .and(format!("record: {recorded}{}", record_number(authority)))
        .and("A tag was probably moved. Tell the author; use another version."),
        Failure::BadContent { subject, reason } => bad_content(subject, reason),
        Failure::TooLarge { subject, what, size, limit } => {
            let fact = format!("{}: {what} too large (max size is {limit} bytes)", name(subject));
            Words::new(fact).and(format!("It has {size} bytes, so no proxy can serve it."))
        }
        _ => words_of_trouble(failure, request),
    }
}

/// The first flaw in the first line, further ones below, and who can mend them.
fn bad_content(subject: &Subject, reason: &str) -> Words {
    let mut flaws = reason.lines();
    let first = flaws.next().unwrap_or_default();
    let words = Words::new(format!("{} cannot be a module: {first}", name(subject)));
    let words = words.and("Only the module's author can fix this, with a new version.");
    flaws.fold(words, Words::and)
}

/// The other half: trouble, ours or others'.
fn words_of_trouble(failure: &Failure, request: &str) -> Words {
    match failure {
        Failure::BadAnswer { source_name, reason, .. } => Words::new(format!("{source_name} sent nonsense."))
            .and(reason.to_string())
            .and("This mirror asks again by itself; run the same command in 2 min."),
        Failure::OriginDown { subject, host, reason, here } => {
            Words::new(format!("{host} does not answer ({}).", excerpt(reason)))
                .and(format!("Not cached here: {}.", name(subject)))
                .and_if(here_line("Cached and usable now: ", here))
                .and("This mirror asks again by itself; run the same command in 2 min.")
        }
        Failure::Refused { subject, host, reason } => {
            Words::new(format!("this mirror does not ask {host} for {}.", name(subject)))
                .and(reason.to_string())
        }
        Failure::NoProgram { program, .. } => {
            Words::new(format!("the program {program} is not installed on this mirror."))
                .and("Ask the operators to install it. Nothing is wrong with your module.")
        }
        Failure::OriginLimit { host, retry_after, .. } => {
            Words::new(format!("{host} limits how often we may fetch."))
                .and(format!("Run the same command again in about {}.", span(*retry_after)))
        }
        Failure::Busy { retry_after, .. } => Words::new("this mirror is fetching as much as it may.")
            .and(format!("Run the same command again in about {}.", span(*retry_after))),
        Failure::StillFetching { subject, waited } => {
            Words::new(format!("{}: still fetching after {}.", name(subject), span(*waited)))
                .and("The fetch goes on; run the same command again in about 1 min.")
        }
        Failure::LogDown { log, .. } => log_down(log),
        Failure::LogInconsistent { log, size, .. } => log_inconsistent(log, *size),
        Failure::LogPrivate { subject, .. } => Words::new(format!(
            "{} is private here and is not looked up in any public checksum database.",
            name(subject)
        ))
        .and(format!("Run once: go env -w GONOSUMDB={}", subject.module)),
        Failure::LogBusy { log, retry_after, .. } => {
            Words::new(format!("log busy: {log} takes no new records now."))
                .and("What is recorded is served, and modules in your go.sum still build.")
                .and(format!("Run the same command again in about {}.", span(*retry_after)))
        }
        Failure::LogDenied { subject, log, rule } => {
            Words::new(format!("{} is not recorded in {log}.", name(subject)))
                .and(format!("Rule: {rule}. Ask the operators, or run once:"))
                .and(format!("go env -w GONOSUMDB={}", subject.module))
        }
        Failure::Storage { .. } => {
            Words::new("this mirror cannot write new modules now; cached ones still work.")
                .and(format!("Operators are alerted. req {request}"))
        }
        Failure::Corrupt { subject } => {
            Words::new(format!("the stored file of {} was damaged and is put aside.", name(subject)))
                .and(format!("Run the same command again. Operators are alerted. req {request}"))
        }
        Failure::Stopping { .. } => Words::new("this server is stopping.").and("Run the same command again."),
        Failure::Internal { .. }
        // The first half's; listed so that a new failure cannot be forgotten.
        | Failure::NoSuchVersion { .. }
        | Failure::InvalidVersion { .. }
        | Failure::NoAccess { .. }
        | Failure::NoSuchModule { .. }
        | Failure::Unlisted { .. }
        | Failure::NotCached { .. }
        | Failure::Offline { .. }
        | Failure::Checksum { .. }
        | Failure::BadContent { .. }
        | Failure::TooLarge { .. } => our_fault(request),
    }
}

/// What to say about what the relay of checksum databases refuses.
pub(crate) fn words_of_relay(error: &RelayError, base: &str, request: &str) -> Words {
    match error {
        RelayError::UnknownDatabase | RelayError::Malformed { .. } | RelayError::NoSuchTile { .. } => {
            Words::new(format!("{error}."))
        }
        RelayError::NotCached { log } => {
            Words::new(format!("this part of {log} is not cached here, and this address never fetches."))
                .and(format!("To fetch: GOPROXY={base}"))
        }
        RelayError::Down { log, .. } => log_down(log),
        RelayError::Inconsistent { log, size } => log_inconsistent(log, *size),
        RelayError::Closed { log, .. } => {
            Words::new(format!("{log} is not served: something is wrong with its files here."))
                .and("Modules are served, and those already in your go.sum still build.")
                .and(format!("Operators are alerted. Do not set GOSUMDB=off. req {request}"))
        }
        RelayError::NoSuchProof { what } => Words::new(cut(what)),
        RelayError::Lookup(failure) => words(failure, base, request),
    }
}

fn log_down(log: &str) -> Words {
    Words::new(format!("the checksum database {log} does not answer us."))
        .and("Modules already in your go.sum still build. We ask again by ourselves.")
}

fn log_inconsistent(log: &str, size: u64) -> Words {
    Words::new(format!("{log} showed us a tree that does not extend the one we verified at size {size}."))
        .and("Lookups are stopped on purpose, and operators are alerted.")
        .and("Do not set GOSUMDB=off.")
}

/// What we say when there is nothing to explain: the log holds it under this id.
pub(crate) fn our_fault(request: &str) -> Words {
    Words::new("our fault. Nothing is wrong with your module.")
        .and(format!("Quote this to the operators: req {request}"))
}

/// The module with its version, cut to the width that rules allow.
fn name(subject: &Subject) -> Cow<'static, str> {
    Cow::Owned(cut(&subject.to_string()).into_owned())
}

fn version(subject: &Subject) -> Cow<'_, str> {
    subject.version.as_deref().map_or(Cow::Borrowed("at all"), cut)
}

fn newest_line(newest: Option<&Version>, asked_ago: Duration) -> String {
    let asked = format!("The source was asked {} ago.", span(asked_ago));
    match newest {
        Some(newest) => format!("Newest: {}. {asked}", newest.as_str()),
        None => asked,
    }
}

fn again_line(asked_ago: Duration) -> String {
    let rest = Duration::from_mins(1).saturating_sub(asked_ago).max(Duration::from_secs(1));
    format!("Just pushed the tag? Run the same command again in {}.", span(rest))
}

fn absence_line(why: &Absent) -> String {
    match why {
        Absent::AtEverySource | Absent::AtItsOrigin => {
            "Private repository? This mirror has no credentials for it.".into()
        }
        Absent::Private => "The name is private here, so nobody outside was asked.".into(),
        Absent::DirectoryOf(module) => format!("It is a directory of the module {module}."),
    }
}

fn said_line(said: &str) -> Option<String> {
    (!said.is_empty()).then(|| format!("The source says: {}", excerpt(said)))
}

fn here_line(before: &str, here: &[Version]) -> Option<String> {
    (!here.is_empty()).then(|| {
        here.iter().fold(before.trim_end().to_owned(), |line, version| line + " " + version.as_str())
    })
}

fn recorder(authority: &Authority) -> String {
    match authority {
        Authority::Database { log, .. } => format!("the checksum database {log} recorded"),
        Authority::Ledger => "this mirror recorded when it first saw them".into(),
    }
}

fn record_number(authority: &Authority) -> String {
    match authority {
        Authority::Database { record_id, .. } => format!(" ({record_id})"),
        Authority::Ledger => String::new(),
    }
}

/// `12 s`, `3 min`, `2 h`.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// A long name, cut in the middle.
fn cut(text: &str) -> Cow<'_, str> {
    cut_to(text, SUBJECT_BYTES_MAX)
}

/// At most that many bytes of a text, cut in the middle.
fn cut_to(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let half = bytes_max / 2 - 2;
    let (head, tail) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    Cow::Owned(format!("{}...{}", &text[..head], &text[tail..]))
}

fn excerpt(said: &str) -> &str {
    let line = said.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(SAID_BYTES_MAX)]
}

/// The text on the wire (U8: plain, ASCII, bounded).
pub(crate) fn text(class: &str, code: Code, words: &Words, base: &str) -> String {
    let mut text = String::with_capacity(512);
    let link = format!("{base}/e/{}", code.name());
    let link_bytes = link.len().min(TEXT_BYTES_MAX);
    // The go command's own sentence is told whole while it fits with the link below it (P-70, P-71).
    let beside = class.len() + code.name().len() + ": ".len() + " []\n\n".len() + link_bytes;
    let first = printable(&words.first);
    let first = cut_to(&first, TEXT_BYTES_MAX.saturating_sub(beside).max(SUBJECT_BYTES_MAX));
    let _ = writeln!(text, "{class}: {first} [{}]", code.name());
    // The name in the first line is allowed on top of the limit; a sentence, the longer it is, the less.
    let on_top = first.len().min((2 * SUBJECT_BYTES_MAX).saturating_sub(first.len()));
    let room = TEXT_BYTES_MAX + on_top - link_bytes - 1;
    let further = words.then.iter().flat_map(|line| wrap(&printable(line)));
    for line in further.take(LINES_MAX - 2) {
        if text.len() + line.len() + 1 > room {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&link);
    text.push('\n');
    text
}

/// The same as RFC 9457 wants it.
pub(crate) fn json(status: u16, code: Code, words: &Words, base: &str, request: &str) -> String {
    let detail = words.then.iter().fold(words.first.clone(), |all, line| all + "\n" + line);
    let mut out = String::with_capacity(512);
    let _ = writeln!(
        out,
        "{{\"type\":{},\"title\":{},\"status\":{status},\"detail\":{},\"code\":{},\"request_id\":{}}}",
        quoted(&format!("{base}/e/{}", code.name())),
        quoted(code.row().title),
        quoted(&detail),
        quoted(code.name()),
        quoted(request),
    );
    out
}

/// A string of JSON, in printable ASCII.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            char if char.is_ascii_graphic() || char == ' ' => out.push(char),
            char => {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// Printable ASCII, everything else escaped: no reader's terminal is reached (L09).
fn printable(text: &str) -> Cow<'_, str> {
    let plain = |char: char| char.is_ascii_graphic() || char == ' ';
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let escaped = |char: char| if plain(char) { char.to_string() } else { char.escape_default().to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// The line in lines of at most [`COLUMNS_MAX`], broken at spaces; a longer word, such as a command with a long
/// module path in it, stays whole because a person will copy it.
fn wrap(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let last = lines.last_mut().expect("there is always a last line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() <= COLUMNS_MAX {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modkeep_module::{H1, ModulePath};
    use modkeep_store::FileKind;

    use super::*;
    use crate::status;

    const BASE: &str = "https://mirror.example";
    const REQUEST: &str = "01JD3X7Z2MA";

    fn asked_about(module: &str) -> Subject {
        Subject { module: ModulePath::parse(module).unwrap(), version: Some(Arc::from("v1.4.0")) }
    }

    fn here() -> Vec<Version> {
        ["v1.8.2", "v1.8.1", "v1.7.0"].iter().map(|version| Version::parse(version).unwrap()).collect()
    }

    /// One of each failure, about this module.
    #[expect(clippy::too_many_lines, reason = "a list of all there are")]
    fn failures(module: &str) -> Vec<Failure> {
        let (subject, host) = (asked_about(module), Arc::<str>::from("proxy.example"));
        let reason: Arc<str> = Arc::from("a reason that goes on and on ".repeat(20));
        let log: Arc<str> = Arc::from("sum.example");
        let wait = Duration::from_secs(40);
        vec![
            Failure::NoSuchVersion {
                subject: subject.clone(),
                asked_ago: Duration::from_secs(12),
                newest: Some(here()[0].clone()),
                said: Arc::from("unknown revision v1.4.0"),
            },
            Failure::NoSuchModule {
                subject: subject.clone(),
                asked_ago: wait,
                why: Absent::AtEverySource,
                said: reason.clone(),
            },
            Failure::NoSuchModule {
                subject: subject.clone(),
                asked_ago: wait,
                why: Absent::DirectoryOf(ModulePath::parse("example.com/m").unwrap()),
                said: Arc::from(""),
            },
            Failure::NoSuchModule {
                subject: subject.clone(),
                asked_ago: wait,
                why: Absent::AtItsOrigin,
                said: reason.clone(),
            },
            Failure::InvalidVersion {
                subject: subject.clone(),
                asked_ago: wait,
                sentence: format!("{module}@v1.4.0: invalid version: unknown revision v1.4.0").into(),
            },
            Failure::NoAccess { subject: subject.clone(), host: host.clone() },
            Failure::Refused { subject: subject.clone(), host: host.clone(), reason: reason.clone() },
            Failure::NoProgram { subject: subject.clone(), program: "hg" },
            Failure::Unlisted { subject: subject.clone(), database: log.clone(), said: reason.clone() },
            Failure::NotCached { subject: subject.clone() },
            Failure::Offline { subject: subject.clone(), here: here() },
            Failure::Checksum {
                subject: subject.clone(),
                file: FileKind::Zip,
                recorded: Arc::from(H1::of_go_mod(b"a").to_string()),
                received: Arc::from(H1::of_go_mod(b"b").to_string()),
                authority: Authority::Database { log: log.clone(), record_id: 41_020_733 },
                source_name: host.clone(),
            },
            Failure::BadContent { subject: subject.clone(), reason: reason.clone() },
            Failure::BadAnswer {
                subject: subject.clone(),
                source_name: host.clone(),
                reason: reason.clone(),
            },
            Failure::TooLarge { subject: subject.clone(), what: "zip", size: 600 << 20, limit: 500 << 20 },
            Failure::OriginDown {
                subject: subject.clone(),
                host: host.clone(),
                reason: reason.clone(),
                here: here(),
            },
            Failure::OriginLimit { subject: subject.clone(), host, retry_after: wait },
            Failure::Busy { subject: subject.clone(), retry_after: wait },
            Failure::StillFetching { subject: subject.clone(), waited: Duration::from_secs(50) },
            Failure::LogDown { subject: subject.clone(), log: log.clone(), reason: reason.clone() },
            Failure::LogInconsistent { subject: subject.clone(), log: log.clone(), size: 45_752_995 },
            Failure::LogPrivate { subject: subject.clone(), log: log.clone() },
            Failure::LogBusy {
                subject: subject.clone(),
                log: log.clone(),
                reason: reason.clone(),
                retry_after: wait,
            },
            Failure::LogDenied { subject: subject.clone(), log, rule: "log.deny" },
            Failure::Storage { subject: subject.clone(), reason: reason.clone() },
            Failure::Corrupt { subject: subject.clone() },
            Failure::Stopping { subject: subject.clone() },
            Failure::Internal { subject, reason },
        ]
    }

    /// The rules of user-experience.md section 8 and of the go command's own reading.
    fn lint(text: &str, code: Code, names: usize) {
        let lines: Vec<&str> = text.lines().collect();
        assert!((2..=8).contains(&lines.len()), "{text}");
        assert!(text.ends_with('\n') && lines.iter().all(|line| !line.trim().is_empty()), "{text}");
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
        let class = status::class(status::status(code));
        assert!(lines[0].starts_with(&format!("{class}: ")), "{text}");
        assert!(lines[0].ends_with(&format!(" [{}]", code.name())), "{text}");
        assert_eq!(lines.last().copied(), Some(format!("{BASE}/e/{}", code.name()).as_str()));
        assert!(text.len() <= TEXT_BYTES_MAX + names, "{} bytes:\n{text}", text.len());
        for line in &lines[1..] {
            // A word that is copied stays whole, however long a name is in it.
            assert!(line.len() <= COLUMNS_MAX || !line.contains(' ') || names > 0, "{}: {line}", line.len());
        }
    }

    #[test]
    fn every_failure_has_a_text_that_keeps_the_rules() {
        for failure in failures("github.com/acme/widget") {
            let code = status::code(&failure);
            let words = words(&failure, BASE, REQUEST);
            let text = text(status::class(status::status(code)), code, &words, BASE);
            lint(&text, code, 0);
        }
    }

    #[test]
    fn long_names_are_cut_and_the_rest_still_fits() {
        let module = format!("example.com/{}", vec!["a".repeat(200); 5].join("/"));
        for failure in failures(&module) {
            let code = status::code(&failure);
            let words = words(&failure, BASE, REQUEST);
            let text = text(status::class(status::status(code)), code, &words, BASE);
            lint(&text, code, SUBJECT_BYTES_MAX);
        }
    }

    #[test]
    fn a_text_reads_as_the_catalogue_says() {
        let failure = &failures("github.com/acme/widget")[0];
        let text = text("not found", Code::NoSuchVersion, &words(failure, BASE, REQUEST), BASE);
        assert_eq!(
            text,
            "not found: github.com/acme/widget has no version v1.4.0. [no-such-version]\n\
             Newest: v1.8.2. The source was asked 12 s ago.\n\
             The source says: unknown revision v1.4.0\n\
             Just pushed the tag? Run the same command again in 48 s.\n\
             https://mirror.example/e/no-such-version\n"
        );
    }

    fn told(failure: &Failure) -> String {
        let code = status::code(failure);
        let text = text(status::class(status::status(code)), code, &words(failure, BASE, REQUEST), BASE);
        lint(&text, code, 0);
        text
    }

    #[test]
    fn the_go_commands_own_sentence_is_told_whole_while_there_is_room() {
        let (subject, asked_ago) = (asked_about("github.com/acme/widget"), Duration::from_secs(12));
        for sentence_bytes in [100, 250, 400, 520] {
            let sentence = "github.com/acme/widget@v1.4.0: invalid version: ".to_owned();
            let sentence = format!("{sentence}{}", "x".repeat(sentence_bytes - sentence.len()));
            let failure = Failure::InvalidVersion {
                subject: subject.clone(),
                asked_ago,
                sentence: sentence.clone().into(),
            };
            let whole = format!("not found: {sentence} [no-such-version]\n");
            assert!(told(&failure).starts_with(&whole), "{sentence_bytes}");
        }
        let sentence = format!("begin {} end", "x".repeat(2_000));
        let text = told(&Failure::InvalidVersion { subject, asked_ago, sentence: sentence.into() });
        assert!(
            text.starts_with("not found: begin xx") && text.contains("xx end [no-such-version]\n"),
            "{text}"
        );
    }

    #[test]
    fn a_refused_zip_tells_its_first_flaw_in_the_first_line() {
        let subject = asked_about("github.com/acme/widget");
        let reason = "create zip: aux.go: malformed file path\nb.: trailing dot\nand 7 more";
        assert_eq!(
            told(&Failure::BadContent { subject, reason: reason.into() }),
            "not found: github.com/acme/widget v1.4.0 cannot be a module: create zip: aux.go: malformed file path \
             [bad-content]\n\
             Only the module's author can fix this, with a new version.\n\
             b.: trailing dot\n\
             and 7 more\n\
             https://mirror.example/e/bad-content\n"
        );
    }

    #[test]
    fn rows_stand_in_the_order_of_their_codes_and_have_pages() {
        let mut names = std::collections::BTreeSet::new();
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!(row.code.index(), place, "{}", row.name);
            assert!(names.insert(row.name), "{} stands twice", row.name);
            assert_eq!(Code::named(row.name), Some(row.code));
            assert!(!row.title.is_empty() && !row.page.is_empty(), "{}", row.name);
            assert!(row.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
    }

    #[test]
    fn what_outsiders_write_is_escaped() {
        let words = Words::new("a\u{1b}[31m\r\nb\u{202e}").and("\u{435}xample");
        let text = text("bad request", Code::BadRequest, &words, BASE);
        lint(&text, Code::BadRequest, 0);
        assert!(text.contains("\\u{1b}[31m") && text.contains("\\u{435}xample"), "{text}");
        let json = json(400, Code::BadRequest, &words, BASE, REQUEST);
        assert!(json.contains("\\u001b[31m") && json.is_ascii(), "{json}");
    }

    #[test]
    fn hostile_u8_a_flood_of_words_is_cut() {
        let words = (0..50).fold(Words::new("x".repeat(100)), |words, _| words.and("word ".repeat(100)));
        lint(&text("internal", Code::Internal, &words, BASE), Code::Internal, 100);
    }
}
