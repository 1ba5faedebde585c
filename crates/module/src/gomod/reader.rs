//! What the lines of a go.mod file mean.

use super::lines::{self, Line, Remarks, Visitor};
use super::unquote::unquote;
use super::{
    DIRECTIVES_MAX, Exclude, GO_MOD_BYTES_MAX, GoMod, GoModError, Godebug, Replace, Replacement, Require,
    Retraction,
};
use crate::path;
use crate::semver::{self, Parts};
use crate::unicode;
use crate::version;

/// Whose file it is.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Mode {
    /// The main module's.
    Strict,
    /// A dependency's, perhaps written for a later go.
    Lenient,
}

/// Reads a file.
pub(super) fn read(bytes: &[u8], mode: Mode) -> Result<GoMod, GoModError> {
    if bytes.len() > GO_MOD_BYTES_MAX {
        return Err(GoModError { line: 1, reason: format!("go.mod longer than {GO_MOD_BYTES_MAX} bytes") });
    }
    let mut reader = Reader { mode, found: GoMod::default(), block: Block::default(), directives: 0 };
    lines::visit(bytes, &mut reader)?;
    Ok(reader.found)
}

/// Why one directive is wrong; the line is added outside.
type Verdict = Result<(), String>;

struct Reader<'a> {
    mode: Mode,
    found: GoMod,
    block: Block<'a>,
    directives: usize,
}

/// The block being read.
#[derive(Default)]
struct Block<'a> {
    /// `None` for one whose lines are skipped.
    verb: Option<&'a [u8]>,
    above: Remarks,
}

impl<'a> Visitor<'a> for Reader<'a> {
    fn line(&mut self, line: Line<'a>) -> Result<(), GoModError> {
        let Some((verb, args)) = line.tokens.split_first() else { return Ok(()) };
        let remarks = Comments { line: &line, block: None };
        located(line.at, self.directive(verb, args, remarks))
    }

    fn open(&mut self, block: Line<'a>) -> Result<(), GoModError> {
        const VERBS: [&[u8]; 8] =
            [b"module", b"godebug", b"require", b"exclude", b"replace", b"retract", b"tool", b"ignore"];
        let verb = match block.tokens[..] {
            [verb] if VERBS.contains(&verb) => Some(verb),
            _ => None,
        };
        if verb.is_none() && self.mode == Mode::Strict {
            let name = unicode::lossy(&block.tokens.join(&b' ')).into_owned();
            return located(block.at, Err(format!("unknown block type: {}", unicode::quoted(&name))));
        }
        self.block = Block { verb, above: block.above };
        Ok(())
    }

    fn inner(&mut self, line: Line<'a>) -> Result<(), GoModError> {
        let Some(verb) = self.block.verb else { return Ok(()) };
        let block = std::mem::take(&mut self.block);
        let verdict = self.directive(verb, &line.tokens, Comments { line: &line, block: Some(&block.above) });
        self.block = block;
        located(line.at, verdict)
    }
}

fn located(line: usize, verdict: Verdict) -> Result<(), GoModError> {
    verdict.map_err(|reason| GoModError { line, reason })
}

impl Reader<'_> {
    fn directive(&mut self, verb: &[u8], args: &[&[u8]], comments: Comments<'_, '_>) -> Verdict {
        const OF_DEPENDENCIES: [&[u8]; 5] = [b"go", b"module", b"retract", b"require", b"ignore"];
        if self.mode == Mode::Lenient && !OF_DEPENDENCIES.contains(&verb) {
            return Ok(());
        }
        self.directives = self.directives.saturating_add(1);
        if self.directives > DIRECTIVES_MAX {
            return Err(format!("more than {DIRECTIVES_MAX} directives"));
        }
        match verb {
            b"go" => self.go(args),
            b"toolchain" => self.toolchain(args),
            b"module" => self.module(args, comments),
            b"godebug" => self.godebug(args),
            b"require" => {
                let (path, version) = requirement("require", args)?;
                self.found.require.push(Require { path, version, indirect: comments.says_indirect() });
                Ok(())
            }
            b"exclude" => {
                let (path, version) = requirement("exclude", args)?;
                self.found.exclude.push(Exclude { path, version });
                Ok(())
            }
            b"replace" => {
                self.found.replace.push(replacement(args)?);
                Ok(())
            }
            b"retract" => self.retract(args, comments),
            b"tool" => {
                self.found.tool.push(only_argument("tool", args)?);
                Ok(())
            }
            b"ignore" => {
                self.found.ignore.push(only_argument("ignore", args)?);
                Ok(())
            }
            _ => Err(format!("unknown directive: {}", unicode::quoted(&unicode::lossy(verb)))),
        }
    }

    fn go(&mut self, args: &[&[u8]]) -> Verdict {
        let text = once(self.found.go.as_ref(), "go", args)?;
        let version = if is_go_version(&text) {
            text
        } else {
            let lenient = (self.mode == Mode::Lenient).then(|| language_version(&text)).flatten();
            lenient.ok_or_else(|| {
                format!("invalid go version {}: must match format 1.23.0", unicode::quoted(&text))
            })?
        };
        self.found.go = Some(version);
        Ok(())
    }

    fn toolchain(&mut self, args: &[&[u8]]) -> Verdict {
        let name = once(self.found.toolchain.as_ref(), "toolchain", args)?;
        if !(name == "default" || name == "go1" || name.starts_with("go1.")) {
            let name = unicode::quoted(&name);
            return Err(format!("invalid toolchain version {name}: must match format go1.23.0 or default"));
        }
        self.found.toolchain = Some(name);
        Ok(())
    }

    fn module(&mut self, args: &[&[u8]], comments: Comments<'_, '_>) -> Verdict {
        if self.found.module.is_some() {
            return Err("repeated module statement".into());
        }
        let [path] = args else { return Err("usage: module module/path".into()) };
        self.found.module = Some(string(path)?);
        self.found.deprecated = deprecation(&comments.text());
        Ok(())
    }

    fn godebug(&mut self, args: &[&[u8]]) -> Verdict {
        let setting = match args {
            [setting] if !setting.iter().any(|b| b"\"`',".contains(b)) => unicode::lossy(setting),
            _ => return Err("usage: godebug key=value".into()),
        };
        let (key, value) = setting.split_once('=').ok_or("usage: godebug key=value")?;
        self.found.godebug.push(Godebug { key: key.into(), value: value.into() });
        Ok(())
    }

    /// A dependency's interval that does not read is skipped: later releases may know more forms.
    fn retract(&mut self, args: &[&[u8]], comments: Comments<'_, '_>) -> Verdict {
        let (low, high, rest) = match interval(args) {
            Ok(found) => found,
            Err(reason) if self.mode == Mode::Strict => return Err(reason),
            Err(_) => return Ok(()),
        };
        if let (Some(extra), Mode::Strict) = (rest.first(), self.mode) {
            return Err(format!(
                "unexpected token after version: {}",
                unicode::quoted(&unicode::lossy(extra))
            ));
        }
        self.found.retract.push(Retraction { low, high, rationale: comments.text() });
        Ok(())
    }
}

/// The comments that belong to a directive.
#[derive(Clone, Copy)]
struct Comments<'l, 'a> {
    line: &'l Line<'a>,
    block: Option<&'l Remarks>,
}

impl Comments<'_, '_> {
    /// Those of the line, above and behind it; a line without any has its block's.
    fn text(self) -> String {
        match self.block {
            Some(block) if !self.line.above.any && self.line.behind.is_empty() => block.text.clone(),
            _ => {
                let mut all = self.line.above.clone();
                self.line.behind.iter().for_each(|comment| all.push(comment));
                all.text
            }
        }
    }

    /// `// indirect` or `// indirect; and more`
    fn says_indirect(self) -> bool {
        let Some(comment) = self.line.behind.first() else { return false };
        let text = unicode::lossy(comment);
        let mut words = text.strip_prefix("//").unwrap_or(&text).split_whitespace();
        match words.next() {
            Some("indirect") => words.next().is_none(),
            Some("indirect;") => words.next().is_some(),
            _ => false,
        }
    }
}

/// The message of the first paragraph that starts `Deprecated:` (V-83).
fn deprecation(text: &str) -> Option<String> {
    const MARK: &str = "Deprecated:";
    let after = text.strip_prefix(MARK).or_else(|| {
        let paragraph = text.find("\n\nDeprecated:")?;
        text.get(paragraph..)?.trim_start_matches('\n').strip_prefix(MARK)
    })?;
    let message = after.trim_start_matches(' ').split("\n\n").next().unwrap_or_default();
    (!message.is_empty()).then(|| message.to_owned())
}

/// The one argument of a directive that may stand once.
fn once(found: Option<&String>, verb: &str, args: &[&[u8]]) -> Result<String, String> {
    if found.is_some() {
        return Err(format!("repeated {verb} statement"));
    }
    let [text] = args else { return Err(format!("{verb} directive expects exactly one argument")) };
    Ok(unicode::lossy(text).into_owned())
}

fn only_argument(verb: &str, args: &[&[u8]]) -> Result<String, String> {
    let [text] = args else { return Err(format!("{verb} directive expects exactly one argument")) };
    string(text)
}

/// A word, or a string in double quotes. Other quotes are reserved.
fn string(token: &[u8]) -> Result<String, String> {
    let text = unicode::lossy(token);
    if text.starts_with('"') {
        return unquote(&text).ok_or_else(|| "invalid quoted string: invalid syntax".into());
    }
    if text.contains(['"', '\'', '`']) {
        return Err("invalid quoted string: unquoted string cannot contain quote".into());
    }
    Ok(text.into_owned())
}

/// `module/path v1.2.3`
fn requirement(verb: &str, args: &[&[u8]]) -> Result<(String, String), String> {
    let [path, version] = args else { return Err(format!("usage: {verb} module/path v1.2.3")) };
    let (path, version) = (string(path)?, canonical(version)?);
    check_suffix(&path, Some(&version))?;
    Ok((path, version))
}

/// A version in canonical form; short forms are filled.
fn canonical(token: &[u8]) -> Result<String, String> {
    let text = string(token)?;
    semver::module_canonical(&text)
        .ok_or_else(|| format!("version {} invalid: must be of the form v1.2.3", unicode::quoted(&text)))
}

/// The path's suffix must be a possible one, and the version must fit it.
fn check_suffix(path: &str, version: Option<&str>) -> Verdict {
    let (_, suffix) = path::split_path_major(path).ok_or("invalid module path")?;
    let misfit = version.and_then(|version| Some((version, version::misfit(version, suffix)?)));
    match misfit {
        Some((version, expected)) => Err(format!(
            "version {} invalid: should be {expected}, not {}",
            unicode::quoted(version),
            semver::major(version)
        )),
        None => Ok(()),
    }
}

/// `path [version] => path version` or `path [version] => ../directory`
fn replacement(args: &[&[u8]]) -> Result<Replace, String> {
    let (old, new) = match args {
        [path, b"=>", new @ ..] => ((path, None), new),
        [path, version, b"=>", new @ ..] => ((path, Some(version)), new),
        _ => return Err(REPLACE_USAGE.into()),
    };
    let path = string(old.0)?;
    check_suffix(&path, None)?;
    let version = old.1.map(|version| canonical(version)).transpose()?;
    check_suffix(&path, version.as_deref())?;
    let by = match new {
        [directory] => directory_replacement(string(directory)?)?,
        [path, version] => module_replacement(string(path)?, canonical(version)?)?,
        _ => return Err(REPLACE_USAGE.into()),
    };
    Ok(Replace { path, version, by })
}

const REPLACE_USAGE: &str = "usage: replace module/path [v1.2.3] => other/module v1.4 or replace module/path [v1.2.3] => ../local/directory";

fn directory_replacement(directory: String) -> Result<Replacement, String> {
    if !is_directory(&directory) {
        return Err(if directory.contains('@') {
            "replacement module must match format 'path version', not 'path@version'".into()
        } else {
            "replacement module without version must be directory path (rooted or starting with . or ..)"
                .into()
        });
    }
    if directory.contains('\\') {
        return Err("replacement directory appears to be Windows path (on a non-windows system)".into());
    }
    Ok(Replacement::Directory(directory))
}

fn module_replacement(path: String, version: String) -> Result<Replacement, String> {
    if is_directory(&path) {
        return Err(format!(
            "replacement module directory path {} cannot have version",
            unicode::quoted(&path)
        ));
    }
    Ok(Replacement::Module { path, version })
}

/// Rooted, or beginning with `.` or `..`, in the spelling of any system.
fn is_directory(text: &str) -> bool {
    let dots = text.strip_prefix("..").or_else(|| text.strip_prefix('.'));
    let below = |rest: &str| rest.is_empty() || rest.starts_with(['/', '\\']);
    let drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    text.starts_with(['/', '\\']) || drive || dots.is_some_and(below)
}

/// `v1.2.3` or `[v1.2.3, v1.3.0]`, and what follows.
fn interval<'t, 'a>(args: &'t [&'a [u8]]) -> Result<(String, String, &'t [&'a [u8]]), String> {
    match args {
        [b"[", low, b",", high, b"]", rest @ ..] => Ok((string(low)?, string(high)?, rest)),
        [b"[", ..] => Err("expected '[version, version]'".into()),
        [] | [b"(", ..] => Err("expected '[' or version".into()),
        [version, rest @ ..] => {
            let version = string(version)?;
            Ok((version.clone(), version, rest))
        }
    }
}

/// `1.21`, `1.21.3`, `1.21rc1`: numbers without leading zeros, then perhaps letters and digits.
fn is_go_version(text: &str) -> bool {
    let numbers_end = text.find(|c: char| c.is_ascii_lowercase()).unwrap_or(text.len());
    let (numbers, kind) = text.split_at(numbers_end);
    let suffix = kind.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let suffix_ok = kind.is_empty() || !suffix.is_empty() && suffix.bytes().all(|b| b.is_ascii_digit());
    let numbers_ok = Parts::parse(&format!("v{numbers}")).is_some_and(|parts| {
        parts.minor.is_some() && parts.major != "0" && parts.prerelease.is_empty() && parts.build.is_empty()
    });
    suffix_ok && numbers_ok
}

/// `1.21` of `v1.21.x-custom`: what is left of a `go` value that a later release invented.
fn language_version(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let dot = text.find('.')?;
    let minor = text.get(dot + 1..)?;
    let end = dot + 1 + minor.find(|c: char| !c.is_ascii_digit())?;
    text.get(..end).filter(|version| is_go_version(version)).map(str::to_owned)
}
