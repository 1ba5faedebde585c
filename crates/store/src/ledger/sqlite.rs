//! The ledger in `SQLite`: WAL, every commit synced, one writer, many readers (D4). `schema.sql` is the format.

use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use modkeep_module::info::Timestamp;
use modkeep_module::{H1, ModulePath, ModuleVersion, Version};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::clock::{from_micros, to_micros};
use crate::engine::{
    WRITER_SETTINGS, damaged, execute, failed, get, one, open_at_rest, open_readers, rows, signed, unsigned,
};
use crate::error::Error;
use crate::evidence::{EvidenceKind, KeptEvidence};
use crate::ledger::merge::{self, Differs, Merge};
use crate::ledger::readers::Readers;
use crate::ledger::writer::Writer;
use crate::ledger::{
    Asked, Counts, Doubt, EVIDENCE_MAX, FeedLine, FileFacts, ForeignFile, Kept, Ledger, NewEvidence,
    NewVersion, QUERIES_PER_MODULE_MAX, Quarantined, Question, StoredAnswer, SumFacts, VersionRecord,
    Visibility,
};
use crate::name::{FileKind, Repository, Sha256Sum};
use crate::origins::{OriginCheck, OriginState};
use crate::verdicts::Verdict;
use crate::verify::Basis;

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 4;

/// The ledger of one machine: the file `ledger.sqlite` of the data directory.
#[derive(Debug)]
pub struct SqliteLedger {
    // Declared first, so dropped first: the last connection to close tidies the WAL away, and may write.
    readers: Readers,
    writer: OnceLock<Writer>,
}

/// How connections are opened that may write.
const WRITING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

impl SqliteLedger {
    /// Opens it for reading and writing, making it when it is missing. The caller holds the store's lock.
    ///
    /// A newer format is refused before anything is written (R29).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let writer = writer(path)?;
        Ok(Self { readers: Readers::new(path.to_owned(), WRITING), writer: writer.into() })
    }

    /// Takes writes from now on, if it was opened for reading alone: who calls holds the store's lock since then. After an
    /// error it is as it was.
    pub(crate) fn begin_writing(&self, path: &Path) -> Result<(), Error> {
        if self.writer.get().is_none() {
            let writer = writer(path)?;
            self.readers.reopen(path.to_owned(), WRITING);
            let _ = self.writer.set(writer); // nobody else does this
        }
        Ok(())
    }

    /// Opens it for reading only, beside a writer, at rest, or on a disk that cannot be written (R12).
    pub fn open_read_only(path: &Path) -> Result<Self, Error> {
        Self::reading(open_readers(path, format_of)?)
    }

    /// Opens a copy that nobody writes to, and leaves nothing beside it.
    pub(crate) fn open_at_rest(path: &Path) -> Result<Self, Error> {
        Self::reading(open_at_rest(path, format_of)?)
    }

    fn reading((readers, format): (Readers, Option<u32>)) -> Result<Self, Error> {
        match format {
            None => Err(Error::Ledger { doing: "open", detail: "there is no ledger here yet".to_owned() }),
            Some(_) => Ok(Self { readers, writer: OnceLock::new() }),
        }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match self.writer.get() {
            Some(writer) => writer.run(work),
            None => Err(Error::ReadOnly { reason: "the ledger was opened for reading".into() }),
        }
    }
}

/// The writer of a ledger, which is made when it is missing, and brought to today's format.
fn writer(path: &Path) -> Result<Writer, Error> {
    let connection =
        Connection::open_with_flags(path, WRITING | OpenFlags::SQLITE_OPEN_CREATE).map_err(failed("open"))?;
    let format = format_of(&connection)?;
    connection.execute_batch(WRITER_SETTINGS).map_err(failed("set up the writer"))?;
    connection.set_prepared_statement_cache_capacity(64);
    match format {
        None => create(&connection)?,
        Some(format) => migrate(&connection, format)?,
    }
    Writer::start(connection)
}

/// The format of an opened ledger; `None` for an empty file.
fn format_of(connection: &Connection) -> Result<Option<u32>, Error> {
    let read = failed("read the format");
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&read)?;
    if tables == 0 {
        return Ok(None);
    }
    let text: String = connection
        .query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
        .map_err(&read)?;
    let found = text.parse().map_err(|_| Error::Ledger { doing: "read the format", detail: text })?;
    if found > FORMAT { Err(Error::NewerFormat { found, known: FORMAT }) } else { Ok(Some(found)) }
}

fn create(connection: &Connection) -> Result<(), Error> {
    let schema = include_str!("schema.sql");
    let later = MIGRATIONS.concat();
    let script = format!("BEGIN; {schema} {later} INSERT INTO meta VALUES ('format', '{FORMAT}'); COMMIT;");
    connection.execute_batch(&script).map_err(failed("create"))
}

/// What each format adds to the one before: the first line makes format 2 of format 1. A new ledger goes the same way, so
/// that both are the same.
const MIGRATIONS: [&str; 3] =
    [include_str!("format_2.sql"), include_str!("format_3.sql"), include_str!("format_4.sql")];

/// Brings an older ledger to today's format, each step in a transaction of its own (R29).
fn migrate(connection: &Connection, found: u32) -> Result<(), Error> {
    for (format, script) in (2..).zip(MIGRATIONS) {
        if format > found {
            let step = format!(
                "BEGIN IMMEDIATE; {script} UPDATE meta SET value = '{format}' WHERE key = 'format'; COMMIT;"
            );
            connection.execute_batch(&step).map_err(failed("migrate"))?;
            tracing::info!(event = "start", format, "the ledger has a new format");
        }
    }
    Ok(())
}

const VERSION_COLUMNS: &str = "v.id, m.path, v.version, v.private, v.info_size, v.info_sha256, v.info_bad, v.mod_size, \
    v.mod_sha256, v.mod_h1, v.mod_basis, v.mod_bad, v.zip_size, v.zip_sha256, v.zip_h1, v.zip_basis, v.zip_bad, \
    v.time_secs, v.time_nanos, v.first_seen, v.zip_at, v.source, v.zip_go_mod";

const ALL_VERSIONS: &str =
    "versions v JOIN modules m ON m.id = v.module JOIN repositories r ON r.id = m.repository";

fn sha256_at(row: &Row<'_>, index: usize) -> Result<Sha256Sum, Error> {
    get::<[u8; 32]>(row, index).map(Sha256Sum::from_bytes)
}

fn module_at(row: &Row<'_>, index: usize) -> Result<ModulePath, Error> {
    let text: String = get(row, index)?;
    ModulePath::parse(&text).map_err(|error| damaged(error.to_string()))
}

fn version_at(row: &Row<'_>, index: usize) -> Result<Version, Error> {
    let text: String = get(row, index)?;
    Version::parse(&text).map_err(|error| damaged(error.to_string()))
}

fn info_at(row: &Row<'_>, index: usize) -> Result<Option<FileFacts>, Error> {
    let Some(size) = get::<Option<i64>>(row, index)? else { return Ok(None) };
    let (size, sha256) = (unsigned(size)?, sha256_at(row, index + 1)?);
    Ok(Some(FileFacts { size, sha256, quarantined: get(row, index + 2)? }))
}

fn sums_at(row: &Row<'_>, index: usize) -> Result<Option<SumFacts>, Error> {
    let Some(size) = get::<Option<i64>>(row, index)? else { return Ok(None) };
    let basis: String = get(row, index + 3)?;
    Ok(Some(SumFacts {
        size: unsigned(size)?,
        sha256: sha256_at(row, index + 1)?,
        h1: H1::from_bytes(get(row, index + 2)?),
        basis: Basis::parse(&basis).ok_or_else(|| damaged(format!("unknown basis {basis:?}")))?,
        quarantined: get(row, index + 4)?,
    }))
}

fn version_record(row: &Row<'_>) -> Result<VersionRecord, Error> {
    let secs: Option<i64> = get(row, 17)?;
    let nanos: Option<u32> = get(row, 18)?;
    Ok(VersionRecord {
        id: unsigned(get(row, 0)?)?,
        module: module_at(row, 1)?,
        version: version_at(row, 2)?,
        visibility: if get(row, 3)? { Visibility::Private } else { Visibility::Public },
        info: info_at(row, 4)?,
        go_mod: sums_at(row, 7)?,
        zip: sums_at(row, 12)?,
        time: secs.zip(nanos).map(|(secs, nanos)| Timestamp { secs, nanos }),
        first_seen: from_micros(get(row, 19)?),
        zip_at: get::<Option<i64>>(row, 20)?.map(from_micros),
        source: get(row, 21)?,
        go_mod_in_zip: get::<Option<[u8; 32]>>(row, 22)?.map(H1::from_bytes),
    })
}

fn version_of_repository(row: &Row<'_>) -> Result<(Repository, VersionRecord), Error> {
    Ok((Repository::parse(&get::<String>(row, 23)?)?, version_record(row)?))
}

fn find_version(
    connection: &Connection,
    repository: &Repository,
    version: &ModuleVersion,
) -> Result<Option<VersionRecord>, Error> {
    let sql = format!(
        "SELECT {VERSION_COLUMNS} FROM repositories r JOIN modules m ON m.repository = r.id JOIN versions v \
         ON v.module = m.id WHERE r.name = ?1 AND m.path = ?2 AND v.version = ?3"
    );
    let arguments = params![repository.as_str(), version.path().as_str(), version.version().as_str()];
    one(connection, &sql, arguments, version_record)
}

/// The number of a name, made when it is new.
fn intern(
    connection: &Connection,
    insert: &str,
    select: &str,
    arguments: &[&dyn rusqlite::ToSql],
) -> Result<i64, Error> {
    if let Some(id) = one(connection, select, arguments, |row| get(row, 0))? {
        return Ok(id);
    }
    execute(connection, insert, arguments)?;
    Ok(connection.last_insert_rowid())
}

fn intern_module(
    connection: &Connection,
    repository: &Repository,
    module: &ModulePath,
) -> Result<i64, Error> {
    let repository = intern(
        connection,
        "INSERT INTO repositories (name) VALUES (?1)",
        "SELECT id FROM repositories WHERE name = ?1",
        params![repository.as_str()],
    )?;
    intern(
        connection,
        "INSERT INTO modules (repository, path) VALUES (?1, ?2)",
        "SELECT id FROM modules WHERE repository = ?1 AND path = ?2",
        params![repository, module.as_str()],
    )
}

fn intern_database(connection: &Connection, database: &str) -> Result<i64, Error> {
    intern(
        connection,
        "INSERT INTO databases (name) VALUES (?1)",
        "SELECT id FROM databases WHERE name = ?1",
        params![database],
    )
}

/// One version's part of a transaction.
fn record_one(connection: &Connection, new: &NewVersion) -> Result<VersionRecord, Error> {
    let old = find_version(connection, &new.repository, &new.version)?;
    let conflict = |kind: FileKind| {
        let version = new.version.clone();
        move |differs: Differs| Error::Conflict {
            version,
            kind,
            recorded: differs.recorded,
            received: differs.received,
        }
    };
    let old_ref = old.as_ref();
    let new_info = new.info.as_ref().map(|(facts, _)| facts);
    let info =
        merge::info(old_ref.and_then(|old| old.info.as_ref()), new_info).map_err(conflict(FileKind::Info))?;
    let go_mod = merge::summed(old_ref.and_then(|old| old.go_mod.as_ref()), new.go_mod.as_ref())
        .map_err(conflict(FileKind::Mod))?;
    let zip = merge::summed(old_ref.and_then(|old| old.zip.as_ref()), new.zip.as_ref())
        .map_err(conflict(FileKind::Zip))?;
    let id = match old_ref {
        Some(old) => signed(old.id),
        None => insert_version(connection, new)?,
    };
    if new.visibility == Visibility::Private {
        execute(connection, "UPDATE versions SET private = 1 WHERE id = ?1 AND private = 0", params![id])?;
    }
    if let Some((facts, time)) = new.info.as_ref().filter(|_| info != Merge::Keep) {
        set_info(connection, id, facts, *time)?;
    }
    for (merge, columns, facts) in [(go_mod, "mod", new.go_mod.as_ref()), (zip, "zip", new.zip.as_ref())] {
        if let Some(facts) = facts.filter(|_| merge != Merge::Keep) {
            set_sums(connection, id, columns, facts)?;
        }
    }
    if zip == Merge::Add {
        zip_became_visible(connection, id, new)?;
    }
    if zip == Merge::Add || go_mod == Merge::Add {
        enqueue_complete(connection, id, new.now)?;
    }
    let added = [
        new_info.filter(|_| info == Merge::Add).map(|facts| facts.size),
        new.go_mod.as_ref().filter(|_| go_mod == Merge::Add).map(|facts| facts.size),
        new.zip.as_ref().filter(|_| zip == Merge::Add).map(|facts| facts.size),
    ];
    let bytes: u64 = added.into_iter().flatten().sum();
    execute(connection, "UPDATE totals SET bytes = bytes + ?1", params![signed(bytes)])?;
    find_version(connection, &new.repository, &new.version)?
        .ok_or_else(|| damaged("the row just written is gone"))
}

fn insert_version(connection: &Connection, new: &NewVersion) -> Result<i64, Error> {
    let module = intern_module(connection, &new.repository, new.version.path())?;
    execute(
        connection,
        "INSERT INTO versions (module, version, private, first_seen, source) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            module,
            new.version.version().as_str(),
            new.visibility == Visibility::Private,
            to_micros(new.now),
            new.source
        ],
    )?;
    let id = connection.last_insert_rowid();
    let sql = "UPDATE totals SET versions = versions + 1, \
        modules = modules + (SELECT versions = 0 FROM modules WHERE id = ?1)";
    execute(connection, sql, params![module])?;
    execute(connection, "UPDATE modules SET versions = versions + 1 WHERE id = ?1", params![module])?;
    Ok(id)
}

fn set_info(
    connection: &Connection,
    id: i64,
    facts: &FileFacts,
    time: Option<Timestamp>,
) -> Result<(), Error> {
    let sql = "UPDATE versions SET info_size = ?2, info_sha256 = ?3, info_bad = 0, time_secs = ?4, time_nanos = ?5 \
        WHERE id = ?1";
    let (secs, nanos) = (time.map(|time| time.secs), time.map(|time| time.nanos));
    execute(connection, sql, params![id, signed(facts.size), facts.sha256.as_bytes(), secs, nanos])
        .map(|_| ())
}

fn set_sums(connection: &Connection, id: i64, columns: &str, facts: &SumFacts) -> Result<(), Error> {
    // A repair keeps the basis of the first acceptance.
    let sql = format!(
        "UPDATE versions SET {columns}_size = ?2, {columns}_sha256 = ?3, {columns}_h1 = ?4, {columns}_bad = 0, \
         {columns}_basis = coalesce({columns}_basis, ?5) WHERE id = ?1"
    );
    let (sha256, h1) = (facts.sha256.as_bytes(), facts.h1.as_bytes());
    execute(connection, &sql, params![id, signed(facts.size), sha256, h1, facts.basis.to_string()])
        .map(|_| ())
}

/// The moment of visibility, and for public versions the next place in the feed: its time is now, or a microsecond
/// after the line before when the clock stands or went back (R8).
fn zip_became_visible(connection: &Connection, id: i64, new: &NewVersion) -> Result<(), Error> {
    let last: Option<i64> =
        one(connection, "SELECT max(at_micros) FROM feed", params![], |row| get(row, 0))?.flatten();
    let at = last.map_or(to_micros(new.now), |last| to_micros(new.now).max(last.saturating_add(1)));
    let in_zip = new.go_mod_in_zip.as_ref().map(H1::as_bytes);
    let sql = "UPDATE versions SET zip_at = ?2, zip_go_mod = ?3 WHERE id = ?1";
    execute(connection, sql, params![id, at, in_zip])?;
    execute(connection, "UPDATE totals SET zips = zips + 1", params![])?;
    if new.repository == Repository::main() {
        let sql =
            "INSERT INTO feed (at_micros, version) SELECT ?2, id FROM versions WHERE id = ?1 AND private = 0";
        execute(connection, sql, params![id, at])?;
    }
    Ok(())
}

/// A version of which `.mod` and zip are recorded now is news for the log (order of writes, 2). Called when either was
/// added, so the transaction that completes it is the only one to do so.
fn enqueue_complete(connection: &Connection, id: i64, now: SystemTime) -> Result<(), Error> {
    let sql = "INSERT INTO log_pending (version, enqueued_at) SELECT id, ?2 FROM versions \
        WHERE id = ?1 AND mod_sha256 IS NOT NULL AND zip_sha256 IS NOT NULL";
    execute(connection, sql, params![id, to_micros(now)]).map(|_| ())
}

fn question_key(question: &Question) -> (i64, &str) {
    match question {
        Question::List => (0, ""),
        Question::Latest => (1, ""),
        Question::Query(text) => (2, text),
    }
}

/// One check's part of a transaction; gives it back where its state is news.
fn note_origin(
    connection: &Connection,
    repository: &Repository,
    check: OriginCheck,
) -> Result<Option<OriginCheck>, Error> {
    let sql = "SELECT v.id, o.state FROM repositories r JOIN modules m ON m.repository = r.id \
        JOIN versions v ON v.module = m.id LEFT JOIN origins o ON o.version = v.id \
        WHERE r.name = ?1 AND m.path = ?2 AND v.version = ?3";
    let (module, version) = (check.version.path().as_str(), check.version.version().as_str());
    let read = |row: &Row<'_>| Ok((get::<i64>(row, 0)?, get::<Option<String>>(row, 1)?));
    let found = one(connection, sql, params![repository.as_str(), module, version], read)?;
    let Some((id, before)) = found else { return Ok(None) };
    let sql = "INSERT INTO origins (version, state, checked_at, since, detail) VALUES (?1, ?2, ?3, ?4, ?5) \
        ON CONFLICT (version) DO UPDATE SET \
        since = CASE WHEN state = excluded.state THEN since ELSE excluded.since END, \
        state = excluded.state, checked_at = excluded.checked_at, detail = excluded.detail";
    let (checked_at, since) = (to_micros(check.checked_at), to_micros(check.since));
    execute(connection, sql, params![id, check.state.word(), checked_at, since, check.detail])?;
    let is_news = before.map_or(check.state != OriginState::Stands, |before| before != check.state.word());
    Ok(is_news.then_some(check))
}

fn origin_check(row: &Row<'_>) -> Result<OriginCheck, Error> {
    let state: String = get(row, 2)?;
    let version = ModuleVersion::new(module_at(row, 0)?, version_at(row, 1)?);
    Ok(OriginCheck {
        version: version.map_err(|error| damaged(error.to_string()))?,
        state: OriginState::parse(&state).ok_or_else(|| damaged(format!("unknown state {state:?}")))?,
        checked_at: from_micros(get(row, 3)?),
        since: from_micros(get(row, 4)?),
        detail: get(row, 5)?,
    })
}

impl Ledger for SqliteLedger {
    fn record(&self, versions: Vec<NewVersion>) -> Vec<Result<VersionRecord, Error>> {
        let count = versions.len();
        let outcome = self.write(move |connection| {
            versions
                .iter()
                .map(|new| {
                    connection.execute_batch("SAVEPOINT version").map_err(failed("begin"))?;
                    let outcome = record_one(connection, new);
                    let end = if outcome.is_ok() {
                        "RELEASE version"
                    } else {
                        "ROLLBACK TO version; RELEASE version"
                    };
                    connection.execute_batch(end).map_err(failed("end"))?;
                    // A refusal is an outcome; only an engine that gave up ends the batch.
                    Ok(outcome)
                })
                .collect::<Result<Vec<_>, Error>>()
        });
        outcome.unwrap_or_else(|error| vec![Err(error); count])
    }

    fn version(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
    ) -> Result<Option<VersionRecord>, Error> {
        self.readers.run(|connection| find_version(connection, repository, version))
    }

    fn versions(&self, repository: &Repository, module: &ModulePath) -> Result<Vec<VersionRecord>, Error> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS} FROM repositories r JOIN modules m ON m.repository = r.id JOIN versions v \
             ON v.module = m.id WHERE r.name = ?1 AND m.path = ?2 ORDER BY v.id"
        );
        let arguments = params![repository.as_str(), module.as_str()];
        self.readers.run(|connection| rows(connection, &sql, arguments, version_record))
    }

    fn modules(
        &self,
        repository: &Repository,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ModulePath>, Error> {
        let sql = "SELECT m.path FROM repositories r JOIN modules m ON m.repository = r.id \
            WHERE r.name = ?1 AND m.path > ?2 AND m.versions > 0 ORDER BY m.path LIMIT ?3";
        let arguments = params![repository.as_str(), after.unwrap_or(""), limit];
        self.readers.run(|connection| rows(connection, sql, arguments, |row| module_at(row, 0)))
    }

    fn walk(&self, after: u64, limit: u32) -> Result<Vec<(Repository, VersionRecord)>, Error> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS}, r.name FROM {ALL_VERSIONS} WHERE v.id > ?1 ORDER BY v.id LIMIT ?2"
        );
        let arguments = params![signed(after), limit];
        self.readers.run(|connection| rows(connection, &sql, arguments, version_of_repository))
    }

    fn newest(&self, limit: u32) -> Result<Vec<(Repository, VersionRecord)>, Error> {
        let sql = format!("SELECT {VERSION_COLUMNS}, r.name FROM {ALL_VERSIONS} ORDER BY v.id DESC LIMIT ?1");
        self.readers.run(|connection| rows(connection, &sql, params![limit], version_of_repository))
    }

    fn counts(&self) -> Result<Counts, Error> {
        let sql = "SELECT modules, versions, zips, bytes, evidence, evidence_bytes, evidence_dropped, quarantined \
            FROM totals";
        let read = |row: &Row<'_>| {
            let column = |index| get(row, index).and_then(unsigned);
            Ok(Counts {
                modules: column(0)?,
                versions: column(1)?,
                zips: column(2)?,
                bytes: column(3)?,
                evidence: column(4)?,
                evidence_bytes: column(5)?,
                evidence_dropped: column(6)?,
                quarantined: column(7)?,
            })
        };
        self.readers
            .run(|connection| one(connection, sql, params![], read))?
            .ok_or_else(|| damaged("no totals"))
    }

    fn feed(&self, since_micros: Option<i64>, limit: u32) -> Result<Vec<FeedLine>, Error> {
        let sql = "SELECT m.path, v.version, f.at_micros FROM feed f JOIN versions v ON v.id = f.version \
            JOIN modules m ON m.id = v.module WHERE f.at_micros >= ?1 AND v.private = 0 ORDER BY f.at_micros LIMIT ?2";
        let read = |row: &Row<'_>| {
            Ok(FeedLine { path: module_at(row, 0)?, version: version_at(row, 1)?, at_micros: get(row, 2)? })
        };
        let since = since_micros.unwrap_or(i64::MIN);
        self.readers.run(|connection| rows(connection, sql, params![since, limit], read))
    }

    fn quarantine(&self, what: Quarantined, of: Option<(u64, FileKind)>) -> Result<(), Error> {
        self.write(move |connection| {
            let sql = "INSERT INTO quarantine (name, kept_as, reason, at) VALUES (?1, ?2, ?3, ?4)";
            execute(connection, sql, params![what.name, what.kept_as, what.reason, to_micros(what.at)])?;
            execute(connection, "UPDATE totals SET quarantined = quarantined + 1", params![])?;
            if let Some((id, kind)) = of {
                let sql = format!("UPDATE versions SET {kind}_bad = 1 WHERE id = ?1");
                execute(connection, &sql, params![signed(id)])?;
            }
            Ok(())
        })
    }

    fn note_origins(
        &self,
        repository: &Repository,
        checks: Vec<OriginCheck>,
    ) -> Result<Vec<OriginCheck>, Error> {
        let repository = repository.clone();
        self.write(move |connection| {
            let noted = checks.into_iter().map(|check| note_origin(connection, &repository, check));
            noted.filter_map(Result::transpose).collect()
        })
    }

    fn origin_checks(
        &self,
        repository: &Repository,
        module: Option<&ModulePath>,
    ) -> Result<Vec<OriginCheck>, Error> {
        let sql = "SELECT m.path, v.version, o.state, o.checked_at, o.since, o.detail FROM origins o \
            JOIN versions v ON v.id = o.version JOIN modules m ON m.id = v.module \
            JOIN repositories r ON r.id = m.repository \
            WHERE r.name = ?1 AND (?2 IS NULL OR m.path = ?2) ORDER BY m.path, v.id";
        let arguments = params![repository.as_str(), module.map(ModulePath::as_str)];
        self.readers.run(|connection| rows(connection, sql, arguments, origin_check))
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, Error> {
        let sql = "SELECT name, kept_as, reason, at FROM quarantine ORDER BY id";
        let read = |row: &Row<'_>| {
            let at = from_micros(get(row, 3)?);
            Ok(Quarantined { name: get(row, 0)?, kept_as: get(row, 1)?, reason: get(row, 2)?, at })
        };
        self.readers.run(|connection| rows(connection, sql, params![], read))
    }

    fn answer(&self, asked: Asked<'_>) -> Result<Option<StoredAnswer>, Error> {
        let sql = "SELECT a.body, a.checked_at, a.source, a.validator FROM repositories r \
            JOIN modules m ON m.repository = r.id JOIN answers a ON a.module = m.id \
            WHERE r.name = ?1 AND m.path = ?2 AND a.kind = ?3 AND a.query = ?4";
        let read = |row: &Row<'_>| {
            let checked_at = from_micros(get(row, 1)?);
            Ok(StoredAnswer {
                bytes: get(row, 0)?,
                checked_at,
                source: get(row, 2)?,
                validator: get(row, 3)?,
            })
        };
        let (kind, query) = question_key(asked.question);
        let arguments = params![asked.repository.as_str(), asked.module.as_str(), kind, query];
        self.readers.run(|connection| one(connection, sql, arguments, read))
    }

    fn put_answer(&self, asked: Asked<'_>, answer: StoredAnswer) -> Result<(), Error> {
        let (repository, module, question) =
            (asked.repository.clone(), asked.module.clone(), asked.question.clone());
        self.write(move |connection| {
            let module = intern_module(connection, &repository, &module)?;
            let (kind, query) = question_key(&question);
            let sql = "INSERT INTO answers (module, kind, query, body, checked_at, source, validator) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (module, kind, query) DO UPDATE SET \
                body = excluded.body, checked_at = excluded.checked_at, source = excluded.source, \
                validator = excluded.validator";
            let checked_at = to_micros(answer.checked_at);
            let arguments = params![module, kind, query, answer.bytes, checked_at, answer.source, answer.validator];
            execute(connection, sql, arguments)?;
            let trim = "DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE module = ?1 AND kind = 2 \
                ORDER BY checked_at DESC, id DESC LIMIT -1 OFFSET ?2)";
            if kind == 2 {
                execute(connection, trim, params![module, QUERIES_PER_MODULE_MAX])?;
            }
            Ok(())
        })
    }

    fn head(&self, database: &str) -> Result<Option<Vec<u8>>, Error> {
        let sql = "SELECT head FROM databases WHERE name = ?1";
        let read = |row: &Row<'_>| get::<Option<Vec<u8>>>(row, 0);
        self.readers.run(|connection| one(connection, sql, params![database], read)).map(Option::flatten)
    }

    fn save_head(&self, database: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, Error> {
        let (database, expected, new) = (database.to_owned(), expected.map(<[u8]>::to_vec), new.to_vec());
        self.write(move |connection| {
            let id = intern_database(connection, &database)?;
            let sql = "UPDATE databases SET head = ?2 WHERE id = ?1 AND head IS ?3";
            execute(connection, sql, params![id, new, expected]).map(|changed| changed == 1)
        })
    }

    fn foreign(&self, database: &str, path: &str) -> Result<Option<ForeignFile>, Error> {
        let sql = "SELECT d.name, f.path, f.size, f.sha256 FROM databases d JOIN foreign_files f \
            ON f.database = d.id WHERE d.name = ?1 AND f.path = ?2";
        self.readers.run(|connection| one(connection, sql, params![database, path], foreign_file))
    }

    fn foreign_in(&self, database: &str, folder: &str, limit: u32) -> Result<Vec<ForeignFile>, Error> {
        // All that begins with `folder/`: '0' is the byte after '/', and paths compare as bytes.
        let sql = "SELECT d.name, f.path, f.size, f.sha256 FROM databases d JOIN foreign_files f \
            ON f.database = d.id WHERE d.name = ?1 AND f.path > ?2 || '/' AND f.path < ?2 || '0' \
            ORDER BY f.path LIMIT ?3";
        self.readers.run(|connection| rows(connection, sql, params![database, folder, limit], foreign_file))
    }

    fn put_foreign(&self, files: Vec<ForeignFile>) -> Result<(), Error> {
        self.write(move |connection| {
            let sql = "INSERT INTO foreign_files (database, path, size, sha256) VALUES (?1, ?2, ?3, ?4) \
                ON CONFLICT DO NOTHING";
            for file in &files {
                let database = intern_database(connection, &file.database)?;
                execute(
                    connection,
                    sql,
                    params![database, file.path, signed(file.size), file.sha256.as_bytes()],
                )?;
            }
            Ok(())
        })
    }

    fn forget_foreign(&self, database: &str, path: &str) -> Result<(), Error> {
        let (database, path) = (database.to_owned(), path.to_owned());
        self.write(move |connection| {
            let sql = "DELETE FROM foreign_files WHERE path = ?2 \
                AND database = (SELECT id FROM databases WHERE name = ?1)";
            execute(connection, sql, params![database, path]).map(|_| ())
        })
    }

    fn walk_foreign(&self, after: Option<(&str, &str)>, limit: u32) -> Result<Vec<ForeignFile>, Error> {
        let sql = "SELECT d.name, f.path, f.size, f.sha256 FROM databases d JOIN foreign_files f \
            ON f.database = d.id WHERE (d.name, f.path) > (?1, ?2) ORDER BY d.name, f.path LIMIT ?3";
        let (database, path) = after.unwrap_or(("", ""));
        self.readers.run(|connection| rows(connection, sql, params![database, path, limit], foreign_file))
    }

    fn keep_evidence(&self, new: NewEvidence) -> Result<Kept, Error> {
        self.write(move |connection| keep_evidence(connection, &new))
    }

    fn attach_body(&self, id: u64, name: &str, sha256: Sha256Sum, size: u64) -> Result<(), Error> {
        let name = name.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE evidence SET body = ?2, body_sha256 = ?3 WHERE id = ?1";
            execute(connection, sql, params![signed(id), name, sha256.as_bytes()])?;
            let sql = "UPDATE totals SET evidence_bytes = evidence_bytes + ?1";
            execute(connection, sql, params![signed(size)]).map(|_| ())
        })
    }

    fn evidence(&self, after: u64, limit: u32) -> Result<Vec<KeptEvidence>, Error> {
        let sql = "SELECT id, kind, module, version, recorded, received, source, detail, first_seen, last_seen, \
            count, body, body_sha256 FROM evidence WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.readers.run(|connection| rows(connection, sql, params![signed(after), limit], kept_evidence))
    }

    fn log_pending(&self, after: u64, limit: u32) -> Result<Vec<(Repository, VersionRecord)>, Error> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS}, r.name FROM log_pending p JOIN versions v ON v.id = p.version \
             JOIN modules m ON m.id = v.module JOIN repositories r ON r.id = m.repository \
             WHERE p.version > ?1 ORDER BY p.version LIMIT ?2"
        );
        let arguments = params![signed(after), limit];
        self.readers.run(|connection| rows(connection, &sql, arguments, version_of_repository))
    }

    fn settle_log_pending(&self, ids: &[u64]) -> Result<(), Error> {
        let ids = ids.to_vec();
        self.write(move |connection| {
            let sql = "DELETE FROM log_pending WHERE version = ?1";
            ids.iter().try_for_each(|id| execute(connection, sql, params![signed(*id)]).map(|_| ()))
        })
    }

    fn put_verdict(&self, verdict: Verdict) -> Result<(), Error> {
        let sql = "INSERT INTO verdicts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (log, judge) DO UPDATE SET \
            since = CASE outcome WHEN excluded.outcome THEN since ELSE excluded.since END, \
            outcome = excluded.outcome, size = excluded.size, at = excluded.at, detail = excluded.detail";
        self.write(move |connection| {
            let Verdict { log, judge, outcome, size, at, since, detail } = &verdict;
            let (at, since) = (to_micros(*at), to_micros(*since));
            let row = params![log, judge, outcome, size.map(signed), at, since, detail];
            execute(connection, sql, row).map(|_| ())
        })
    }

    fn verdicts(&self) -> Result<Vec<Verdict>, Error> {
        let sql = "SELECT log, judge, outcome, size, at, since, detail FROM verdicts ORDER BY log, judge";
        let read = |row: &Row<'_>| {
            Ok(Verdict {
                log: get(row, 0)?,
                judge: get(row, 1)?,
                outcome: get(row, 2)?,
                size: get::<Option<i64>>(row, 3)?.map(unsigned).transpose()?,
                at: from_micros(get(row, 4)?),
                since: from_micros(get(row, 5)?),
                detail: get(row, 6)?,
            })
        };
        self.readers.run(|connection| {
            // Who only reads may find an older format.
            if format_of(connection)? < Some(4) {
                Ok(Vec::new())
            } else {
                rows(connection, sql, params![], read)
            }
        })
    }

    fn doubts(&self) -> Result<Vec<Doubt>, Error> {
        self.readers.run(doubts)
    }

    fn commits(&self) -> u64 {
        self.writer.get().map_or(0, Writer::commits)
    }
}

fn foreign_file(row: &Row<'_>) -> Result<ForeignFile, Error> {
    let (database, path) = (get(row, 0)?, get(row, 1)?);
    Ok(ForeignFile { database, path, size: unsigned(get(row, 2)?)?, sha256: sha256_at(row, 3)? })
}

fn keep_evidence(connection: &Connection, new: &NewEvidence) -> Result<Kept, Error> {
    let key = params![new.kind.as_str(), new.module, new.version, new.recorded, new.received, new.source];
    let sql = "SELECT id FROM evidence WHERE kind = ?1 AND module = ?2 AND version = ?3 AND recorded = ?4 \
        AND received = ?5 AND source = ?6";
    let now = to_micros(new.now);
    if let Some(id) = one(connection, sql, key, |row| get::<i64>(row, 0))? {
        let sql = "UPDATE evidence SET count = count + 1, last_seen = ?2 WHERE id = ?1";
        execute(connection, sql, params![id, now])?;
        return Ok(Kept::Known(unsigned(id)?));
    }
    let known: i64 = one(connection, "SELECT evidence FROM totals", params![], |row| get(row, 0))?
        .ok_or_else(|| damaged("no totals"))?;
    if unsigned(known)? >= EVIDENCE_MAX {
        execute(connection, "UPDATE totals SET evidence_dropped = evidence_dropped + 1", params![])?;
        return Ok(Kept::Dropped);
    }
    let sql = "INSERT INTO evidence (kind, module, version, recorded, received, source, detail, first_seen, last_seen, \
        count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 1)";
    let (kind, detail) = (new.kind.as_str(), &new.detail);
    let arguments =
        params![kind, new.module, new.version, new.recorded, new.received, new.source, detail, now];
    execute(connection, sql, arguments)?;
    let id = connection.last_insert_rowid();
    execute(connection, "UPDATE totals SET evidence = evidence + 1", params![])?;
    Ok(Kept::New(unsigned(id)?))
}

fn kept_evidence(row: &Row<'_>) -> Result<KeptEvidence, Error> {
    let kind: String = get(row, 1)?;
    let body: Option<String> = get(row, 11)?;
    let sha256: Option<[u8; 32]> = get(row, 12)?;
    Ok(KeptEvidence {
        id: unsigned(get(row, 0)?)?,
        kind: EvidenceKind::parse(&kind)
            .ok_or_else(|| damaged(format!("unknown kind of evidence {kind:?}")))?,
        module: get(row, 2)?,
        version: get(row, 3)?,
        recorded: get(row, 4)?,
        received: get(row, 5)?,
        source: get(row, 6)?,
        detail: get(row, 7)?,
        first_seen: from_micros(get(row, 8)?),
        last_seen: from_micros(get(row, 9)?),
        count: unsigned(get(row, 10)?)?,
        body: body.zip(sha256.map(Sha256Sum::from_bytes)),
    })
}

/// Each names a promise and counts the rows that break it; the first column of its rows says which.
const DOUBTS: [(&str, &str, &str); 9] = [
    ("R9", "a row points nowhere", "SELECT \"table\" || ' row ' || rowid FROM pragma_foreign_key_check"),
    (
        "R8",
        "the feed's time does not grow",
        "SELECT position FROM (SELECT position, at_micros, lag(at_micros) OVER (ORDER BY position) AS before FROM feed) \
         WHERE at_micros <= before",
    ),
    (
        "R8",
        "the feed names a version without a zip",
        "SELECT position FROM feed f LEFT JOIN versions v ON v.id = f.version WHERE v.zip_sha256 IS NULL",
    ),
    (
        "R8",
        "the feed's time is not the version's",
        "SELECT position FROM feed f JOIN versions v ON v.id = f.version WHERE v.zip_at IS NOT f.at_micros",
    ),
    (
        "R8",
        "a public version with a zip is missing from the feed",
        "SELECT m.path || '@' || v.version FROM versions v JOIN modules m ON m.id = v.module \
         JOIN repositories r ON r.id = m.repository \
         WHERE r.name = 'main' AND v.private = 0 AND v.zip_sha256 IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM feed f WHERE f.version = v.id)",
    ),
    (
        "D14",
        "the feed names a version of another repository",
        "SELECT position FROM feed f JOIN versions v ON v.id = f.version JOIN modules m ON m.id = v.module \
         JOIN repositories r ON r.id = m.repository WHERE r.name <> 'main'",
    ),
    (
        "R7",
        "a version is recorded twice",
        "SELECT m.path || '@' || v.version FROM versions v JOIN modules m ON m.id = v.module GROUP BY v.module, v.version \
         HAVING count(*) > 1",
    ),
    (
        "R9",
        "the totals are not the sums of the rows",
        "SELECT 'totals' FROM totals t WHERE t.versions <> (SELECT count(*) FROM versions) \
         OR t.zips <> (SELECT count(*) FROM versions WHERE zip_sha256 IS NOT NULL) \
         OR t.modules <> (SELECT count(DISTINCT module) FROM versions) \
         OR t.bytes <> (SELECT coalesce(sum(coalesce(info_size, 0) + coalesce(mod_size, 0) + coalesce(zip_size, 0)), 0) \
            FROM versions) \
         OR t.evidence <> (SELECT count(*) FROM evidence) OR t.quarantined <> (SELECT count(*) FROM quarantine)",
    ),
    (
        "R9",
        "a module's count of versions is wrong",
        "SELECT m.path FROM modules m WHERE m.versions <> (SELECT count(*) FROM versions v WHERE v.module = m.id)",
    ),
];

/// The same of what came with format 3: who only reads may find an older one.
const DOUBTS_3: [(&str, &str, &str); 1] = [(
    "R9",
    "the log is to learn of a version that is not complete",
    "SELECT m.path || '@' || v.version FROM log_pending p JOIN versions v ON v.id = p.version \
     JOIN modules m ON m.id = v.module WHERE v.mod_sha256 IS NULL OR v.zip_sha256 IS NULL",
)];

/// How many rows one doubt names; more say nothing new.
const NAMED_MAX: usize = 20;

fn doubts(connection: &Connection) -> Result<Vec<Doubt>, Error> {
    let mut found = Vec::new();
    for text in rows(connection, "PRAGMA integrity_check", params![], |row| get::<String>(row, 0))? {
        if text != "ok" {
            found.push(Doubt { id: "R1", text: format!("the engine's own check: {text}") });
        }
    }
    let has_pending = format_of(connection)? >= Some(3);
    for &(id, what, sql) in DOUBTS.iter().chain(DOUBTS_3.iter().filter(|_| has_pending)) {
        let named = rows(connection, sql, params![], |row| get::<Value>(row, 0))?;
        for value in named.iter().take(NAMED_MAX) {
            let which = match value {
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => text.clone(),
                other => format!("{other:?}"),
            };
            found.push(Doubt { id, text: format!("{what}: {which}") });
        }
    }
    Ok(found)
}
