//! The rows of `log.sqlite`: `schema.sql` in words of ours.

use std::collections::HashMap;

use modkeep_tlog::{GoSumLines, GoSumRecord, Hash, RecordId, TreeSize};
use rusqlite::{Connection, Row, params};

use crate::clock::{from_micros, to_micros};
use crate::engine::{damaged, execute, failed, get, one, rows, signed, unsigned};
use crate::error::Error;
use crate::log::{LeafChain, LogRecord, LogRow, LogState, NewRecord, RecordSource, StoredHead};

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 2;

/// How many heads of sizes that are no multiple of 256 are kept (C2).
pub(super) const UNALIGNED_MAX: usize = 1000;
/// How many checkpoints with cosignatures are kept: the newest, and some for those who are late.
const COSIGNED_MAX: u32 = 16;

/// The format of an opened database; `None` for an empty file.
pub(super) fn format_of(connection: &Connection) -> Result<Option<u32>, Error> {
    let count = "SELECT count(*) FROM sqlite_schema";
    if one(connection, count, params![], |row| get::<i64>(row, 0))? == Some(0) {
        return Ok(None);
    }
    let sql = "SELECT value FROM log_meta WHERE key = 'format'";
    let text: String = one(connection, sql, params![], |row| get(row, 0))?.unwrap_or_default();
    let found = text.parse().map_err(|_| Error::Ledger { doing: "read the log's format", detail: text })?;
    if found > FORMAT { Err(Error::NewerFormat { found, known: FORMAT }) } else { Ok(Some(found)) }
}

/// Makes the tables, and the salt that this log's key index has for ever.
pub(super) fn create(connection: &Connection, salt: [u8; 32], shards: u32) -> Result<(), Error> {
    let create = failed("create the log");
    let schema = include_str!("schema.sql");
    let transaction = connection.unchecked_transaction().map_err(&create)?;
    transaction.execute_batch(schema).map_err(&create)?;
    execute(&transaction, "INSERT INTO log_meta VALUES ('format', ?1)", params![FORMAT.to_string()])?;
    let sql = "INSERT INTO log_state VALUES (1, 0, 0, 0, ?1, ?2, NULL, NULL, NULL)";
    execute(&transaction, sql, params![salt, shards])?;
    transaction.commit().map_err(create)
}

/// Brings a database of an older format to ours.
pub(super) fn migrate(connection: &Connection, found: u32) -> Result<(), Error> {
    if found == FORMAT {
        return Ok(());
    }
    // Format 1 had no chain. That of the records without a head is unknown until the next ones come.
    let migrate = failed("bring the log to a newer format");
    let transaction = connection.unchecked_transaction().map_err(&migrate)?;
    let sql =
        "ALTER TABLE log_state ADD COLUMN chain_from INTEGER; ALTER TABLE log_state ADD COLUMN chain BLOB";
    transaction.execute_batch(sql).map_err(&migrate)?;
    execute(
        &transaction,
        "UPDATE log_meta SET value = ?1 WHERE key = 'format'",
        params![FORMAT.to_string()],
    )?;
    transaction.commit().map_err(migrate)
}

/// What a key that has signed is kept under; the key follows.
const SIGNER: &str = "signer ";

pub(super) fn remember_key(connection: &Connection, vkey: &str) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO log_meta VALUES (?1, '')";
    execute(connection, sql, params![format!("{SIGNER}{vkey}")]).map(|_| ())
}

pub(super) fn remembered_keys(connection: &Connection) -> Result<Vec<String>, Error> {
    let sql = "SELECT key FROM log_meta WHERE key GLOB ?1 ORDER BY key";
    let keys: Vec<String> = rows(connection, sql, params![format!("{SIGNER}*")], |row| get(row, 0))?;
    Ok(keys.iter().filter_map(|key| key.strip_prefix(SIGNER)).map(str::to_owned).collect())
}

/// What the key index has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyState {
    pub(super) salt: [u8; 32],
    pub(super) shards: u32,
    /// Ids below it are durable in the index; `None`: it is not to be trusted.
    pub(super) mark: Option<u64>,
}

pub(super) fn key_state(connection: &Connection) -> Result<KeyState, Error> {
    let sql = "SELECT keys_salt, keys_shards, keys_mark FROM log_state";
    let read = |row: &Row<'_>| {
        let mark: Option<i64> = get(row, 2)?;
        Ok(KeyState { salt: get(row, 0)?, shards: get(row, 1)?, mark: mark.map(unsigned).transpose()? })
    };
    let state = one(connection, sql, params![], read)?.ok_or_else(|| damaged("no log state"))?;
    if state.shards.is_power_of_two() && state.shards <= 256 {
        Ok(state)
    } else {
        Err(damaged("an impossible number of shards"))
    }
}

/// Takes the ids of records without a head back. No mark stands after that, and no chain.
pub(super) fn forget_unbuilt(connection: &Connection, epoch: u64) -> Result<(), Error> {
    let sql = "UPDATE log_state SET seq_size = built_size, keys_mark = NULL, chain_from = NULL, chain = NULL \
        WHERE epoch = ?1";
    if execute(connection, sql, params![signed(epoch)])? != 1 {
        return Err(Error::Fenced);
    }
    for table in ["log_record", "log_provenance"] {
        let sql = format!("DELETE FROM {table} WHERE id >= (SELECT seq_size FROM log_state)");
        execute(connection, &sql, params![])?;
    }
    Ok(())
}

/// Moves the mark, forth by the work of the index, or away.
pub(super) fn set_mark(connection: &Connection, epoch: u64, mark: Option<u64>) -> Result<(), Error> {
    let sql = "UPDATE log_state SET keys_mark = ?1 WHERE epoch = ?2";
    let changed = execute(connection, sql, params![mark.map(signed), signed(epoch)])?;
    if changed == 1 { Ok(()) } else { Err(Error::Fenced) }
}

/// A new writer's epoch.
pub(super) fn take_epoch(connection: &Connection) -> Result<u64, Error> {
    let sql = "UPDATE log_state SET epoch = epoch + 1 RETURNING epoch";
    let taken = one(connection, sql, params![], |row| get::<i64>(row, 0))?;
    unsigned(taken.ok_or_else(|| damaged("no log state"))?)
}

pub(super) fn size_at(row: &Row<'_>, index: usize) -> Result<TreeSize, Error> {
    TreeSize::new(unsigned(get(row, index)?)?).ok_or_else(|| damaged("an impossible size"))
}

pub(super) fn state(connection: &Connection) -> Result<LogState, Error> {
    // One statement, so that size and edge are of one moment.
    let sql = "SELECT s.seq_size, s.built_size, s.epoch, e.hashes FROM log_state s LEFT JOIN log_edge e ORDER BY e.level";
    let mut found: Option<LogState> = None;
    let read = |row: &Row<'_>| {
        let state = match &mut found {
            Some(state) => state,
            None => found.insert(LogState {
                sequenced: size_at(row, 0)?,
                built: size_at(row, 1)?,
                edge: Vec::new(),
                epoch: unsigned(get(row, 2)?)?,
            }),
        };
        state.edge.extend(get::<Option<Vec<u8>>>(row, 3)?);
        Ok(())
    };
    rows(connection, sql, params![], read)?;
    found.ok_or_else(|| damaged("no log state"))
}

pub(super) fn sequenced(connection: &Connection) -> Result<u64, Error> {
    let sql = "SELECT seq_size FROM log_state";
    unsigned(one(connection, sql, params![], |row| get(row, 0))?.ok_or_else(|| damaged("no log state"))?)
}

const RECORD: &str = "SELECT r.id, r.module, r.version, r.zip_h1, r.mod_h1, r.source, s.name, r.sequenced_at \
    FROM log_record r LEFT JOIN log_source s ON s.id = r.source";

fn record_at(row: &Row<'_>) -> Result<LogRecord, Error> {
    let source = match (get::<i64>(row, 5)?, get::<Option<String>>(row, 6)?) {
        (0, _) => RecordSource::Own,
        (_, Some(name)) => RecordSource::Upstream(name.into()),
        (_, None) => return Err(damaged("a record of an unknown source")),
    };
    Ok(LogRecord {
        id: RecordId::new(unsigned(get(row, 0)?)?).ok_or_else(|| damaged("an impossible id"))?,
        record: GoSumRecord {
            module: get(row, 1)?,
            version: get(row, 2)?,
            zip_h1: get(row, 3)?,
            go_mod_h1: get(row, 4)?,
        },
        source,
        sequenced_at: from_micros(get(row, 7)?),
    })
}

pub(super) fn records(connection: &Connection, from: u64, limit: u32) -> Result<Vec<LogRecord>, Error> {
    let sql = format!("{RECORD} WHERE r.id >= ?1 ORDER BY r.id LIMIT ?2");
    rows(connection, &sql, params![signed(from), limit], record_at)
}

pub(super) fn record(connection: &Connection, id: u64) -> Result<Option<LogRecord>, Error> {
    let sql = format!("{RECORD} WHERE r.id = ?1");
    one(connection, &sql, params![signed(id)], record_at)
}

/// The `h1` of a zip and of its go.mod.
pub(super) type Sums = ([u8; 32], [u8; 32]);

/// The sums of a record, if it is the one of this module version.
pub(super) fn sums_if(
    connection: &Connection,
    id: u64,
    module: &str,
    version: &str,
) -> Result<Option<Sums>, Error> {
    let sql = "SELECT zip_h1, mod_h1 FROM log_record WHERE id = ?1 AND module = ?2 AND version = ?3";
    let arguments = params![signed(id), module, version];
    one(connection, sql, arguments, |row| Ok((get(row, 0)?, get(row, 1)?)))
}

/// The record of a module version among those from an id on. Reads all of them.
pub(super) fn find_from(
    connection: &Connection,
    from: u64,
    module: &str,
    version: &str,
) -> Result<Option<u64>, Error> {
    let sql = "SELECT id FROM log_record WHERE id >= ?1 AND module = ?2 AND version = ?3";
    let found = one(connection, sql, params![signed(from), module, version], |row| get::<i64>(row, 0))?;
    found.map(unsigned).transpose()
}

/// Lends the names of records with their ids, at most `limit` from an id on; says where to go on, if there were any.
pub(super) fn each_name(
    connection: &Connection,
    from: u64,
    limit: u32,
    mut meet: impl FnMut(u64, &str, &str) -> Result<(), Error>,
) -> Result<Option<u64>, Error> {
    let sql = "SELECT id, module, version FROM log_record WHERE id >= ?1 ORDER BY id LIMIT ?2";
    let mut next = None;
    let read = |row: &Row<'_>| {
        let id = unsigned(get(row, 0)?)?;
        next = Some(id + 1);
        meet(id, text_in(row, 1)?, text_in(row, 2)?)
    };
    rows(connection, sql, params![signed(from), limit], read)?;
    Ok(next)
}

/// Lends records in order, at most `limit` from an id on.
pub(super) fn each_record(
    connection: &Connection,
    from: u64,
    limit: u32,
    mut meet: impl FnMut(LogRow<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let sql = "SELECT id, module, version, zip_h1, mod_h1, source FROM log_record WHERE id >= ?1 ORDER BY id LIMIT ?2";
    let read = |row: &Row<'_>| {
        let id = RecordId::new(unsigned(get(row, 0)?)?).ok_or_else(|| damaged("an impossible id"))?;
        let (module, version) = (text_in(row, 1)?, text_in(row, 2)?);
        let lines = GoSumLines { module, version, zip_h1: sum_in(row, 3)?, go_mod_h1: sum_in(row, 4)? };
        meet(LogRow { id, lines, source: get(row, 5)? })
    };
    rows(connection, sql, params![signed(from), limit], read).map(drop)
}

fn text_in<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a str, Error> {
    let value = row.get_ref(index).map_err(failed("read a row"))?;
    value.as_str().map_err(|_| damaged("a name that is no text"))
}

fn sum_in<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a [u8; 32], Error> {
    let value = row.get_ref(index).map_err(failed("read a row"))?;
    value
        .as_blob()
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| damaged("a sum of another length"))
}

/// The sources of records by the numbers that stand for them in rows. There are as many as databases that vouch.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<Box<str>, i64>);

impl Sources {
    fn number(&mut self, connection: &Connection, source: &RecordSource) -> Result<i64, Error> {
        let RecordSource::Upstream(name) = source else { return Ok(0) };
        if let Some(number) = self.0.get(name) {
            return Ok(*number);
        }
        let sql = "INSERT INTO log_source (name) VALUES (?1) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id";
        let number = one(connection, sql, params![&**name], |row| get::<i64>(row, 0))?;
        let number = number.ok_or_else(|| damaged("no number for a source"))?;
        self.0.insert(name.clone(), number);
        Ok(number)
    }

    /// After a transaction that was undone its numbers are nobody's.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

pub(super) fn insert<'a>(
    connection: &Connection,
    sources: &mut Sources,
    first: u64,
    records: impl Iterator<Item = &'a NewRecord>,
    micros: i64,
) -> Result<(), Error> {
    let sql = "INSERT INTO log_record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = connection.prepare_cached(sql).map_err(failed("prepare"))?;
    for (id, new) in (first..).zip(records) {
        let (id, source) = (signed(id), sources.number(connection, &new.source)?);
        let GoSumRecord { module, version, zip_h1, go_mod_h1 } = &new.record;
        let row = params![id, module, version, zip_h1, go_mod_h1, source, micros];
        statement.execute(row).map_err(failed("write a record"))?;
        if let Some(proof) = &new.provenance {
            execute(connection, "INSERT INTO log_provenance VALUES (?1, ?2)", params![id, proof])?;
        }
    }
    Ok(())
}

/// What transaction A makes of the one row of state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) old: u64,
    pub(super) new: u64,
    pub(super) mark: u64,
    pub(super) chain: Option<LeafChain>,
}

/// Moves the number of sequenced records; the writer of this epoch only.
pub(super) fn set_sequenced(connection: &Connection, epoch: u64, growth: Growth) -> Result<(), Error> {
    let sql = "UPDATE log_state SET seq_size = ?3, keys_mark = ?4, chain_from = ?5, chain = ?6 \
        WHERE epoch = ?1 AND seq_size = ?2";
    let Growth { old, new, mark, chain } = growth;
    let (from, hash) = (chain.map(|chain| signed(chain.from().get())), chain.map(|chain| *chain.hash()));
    let arguments = params![signed(epoch), signed(old), signed(new), signed(mark), from, hash];
    if execute(connection, sql, arguments)? == 1 { Ok(()) } else { Err(Error::Fenced) }
}

/// The chain over the leaf hashes, and the size where it ends.
pub(super) fn chain(connection: &Connection) -> Result<Option<(LeafChain, TreeSize)>, Error> {
    let sql = "SELECT chain_from, chain, seq_size FROM log_state WHERE chain_from IS NOT NULL AND chain IS NOT NULL";
    one(connection, sql, params![], |row| {
        let from = RecordId::new(unsigned(get(row, 0)?)?).ok_or_else(|| damaged("an impossible id"))?;
        Ok((LeafChain::stored(from, get(row, 1)?), size_at(row, 2)?))
    })
}

/// Moves the built size by compare-and-set, the writer of this epoch only.
pub(super) fn set_built(
    connection: &Connection,
    epoch: u64,
    old: TreeSize,
    new: TreeSize,
) -> Result<(), Error> {
    let sql = "UPDATE log_state SET built_size = ?3 WHERE epoch = ?1 AND built_size = ?2 AND seq_size >= ?3";
    let arguments = params![signed(epoch), signed(old.get()), signed(new.get())];
    if execute(connection, sql, arguments)? == 1 {
        return Ok(());
    }
    let found = state(connection)?;
    if found.epoch != epoch {
        return Err(Error::Fenced);
    }
    let what = format!(
        "a head of size {new} over {old} built records does not fit {} built and {} sequenced ones",
        found.built, found.sequenced
    );
    Err(Error::LogConflict { what })
}

pub(super) fn insert_head(connection: &Connection, head: &StoredHead) -> Result<(), Error> {
    let size = signed(head.size.get());
    let sql = "SELECT root FROM log_head WHERE size = ?1";
    let known: Option<[u8; 32]> = one(connection, sql, params![size], |row| get(row, 0))?;
    if let Some(root) = known.map(Hash).filter(|root| *root != head.root) {
        let what = format!("the head of size {} has root {root}, not {}", head.size, head.root);
        return Err(Error::LogConflict { what });
    }
    let sql = "INSERT OR REPLACE INTO log_head VALUES (?1, ?2, ?3, ?4, ?5)";
    let signed_at = to_micros(head.signed_at);
    execute(connection, sql, params![size, head.root.0, head.note, head.checkpoint, signed_at]).map(|_| ())
}

pub(super) fn forget_head(connection: &Connection, size: u64) -> Result<(), Error> {
    execute(connection, "DELETE FROM log_head WHERE size = ?1", params![signed(size)]).map(|_| ())
}

/// The sizes of heads that will be forgotten one day, smallest first.
pub(super) fn unaligned(connection: &Connection) -> Result<Vec<u64>, Error> {
    let sql = "SELECT size FROM log_head WHERE size % 256 <> 0 ORDER BY size";
    rows(connection, sql, params![], |row| unsigned(get(row, 0)?))
}

/// Writes the levels of an edge that differ from what is there.
pub(super) fn set_edge(connection: &Connection, old: &[Vec<u8>], new: &[Vec<u8>]) -> Result<(), Error> {
    let put = "INSERT OR REPLACE INTO log_edge VALUES (?1, ?2)";
    for (level, hashes) in (0_i64..).zip(new) {
        if usize::try_from(level).ok().and_then(|level| old.get(level)) != Some(hashes) {
            execute(connection, put, params![level, hashes])?;
        }
    }
    if new.len() < old.len() {
        let sql = "DELETE FROM log_edge WHERE level >= ?1";
        execute(connection, sql, params![signed(new.len() as u64)])?;
    }
    Ok(())
}

const HEAD: &str = "SELECT size, root, note, checkpoint, signed_at FROM log_head";

fn head_at(row: &Row<'_>) -> Result<StoredHead, Error> {
    Ok(StoredHead {
        size: size_at(row, 0)?,
        root: Hash(get(row, 1)?),
        note: get(row, 2)?,
        checkpoint: get(row, 3)?,
        signed_at: from_micros(get(row, 4)?),
    })
}

pub(super) fn newest_head(connection: &Connection) -> Result<Option<StoredHead>, Error> {
    one(connection, &format!("{HEAD} ORDER BY size DESC LIMIT 1"), params![], head_at)
}

pub(super) fn newest_aligned_head(connection: &Connection) -> Result<Option<StoredHead>, Error> {
    // Among the newest 1,001 rows there is one, or there is none.
    let sql = format!("{HEAD} WHERE size % 256 = 0 AND size > 0 ORDER BY size DESC LIMIT 1");
    one(connection, &sql, params![], head_at)
}

pub(super) fn head_at_least(connection: &Connection, size: TreeSize) -> Result<Option<StoredHead>, Error> {
    let sql = format!("{HEAD} WHERE size >= ?1 ORDER BY size LIMIT 1");
    one(connection, &sql, params![signed(size.get())], head_at)
}

pub(super) fn heads(
    connection: &Connection,
    before: Option<TreeSize>,
    limit: u32,
) -> Result<Vec<StoredHead>, Error> {
    let sql = format!("{HEAD} WHERE size < ?1 ORDER BY size DESC LIMIT ?2");
    let before = before.map_or(i64::MAX, |size| signed(size.get()));
    rows(connection, &sql, params![before, limit], head_at)
}

pub(super) fn provenance(connection: &Connection, id: RecordId) -> Result<Option<Vec<u8>>, Error> {
    let sql = "SELECT proof FROM log_provenance WHERE id = ?1";
    one(connection, sql, params![signed(id.get())], |row| get(row, 0))
}

/// The names of the databases that vouch, by the numbers that stand for them in rows.
pub(super) fn sources(connection: &Connection) -> Result<HashMap<i64, String>, Error> {
    let read = |row: &Row<'_>| Ok((get(row, 0)?, get(row, 1)?));
    rows(connection, "SELECT id, name FROM log_source", params![], read).map(HashMap::from_iter)
}

pub(super) fn source(connection: &Connection, number: i64) -> Result<Option<String>, Error> {
    one(connection, "SELECT name FROM log_source WHERE id = ?1", params![number], |row| get(row, 0))
}

/// The ids of proofs among so many records from one on, in order.
pub(super) fn proofs(connection: &Connection, from: u64, count: u64) -> Result<Vec<u64>, Error> {
    let sql = "SELECT id FROM log_provenance WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let ids = params![signed(from), signed(from.saturating_add(count))];
    rows(connection, sql, ids, |row| unsigned(get(row, 0)?))
}

/// Ids in one of the two tables that no sequenced record has.
pub(super) fn beyond(connection: &Connection, table: &str, limit: u32) -> Result<Vec<i64>, Error> {
    let mut found = Vec::new();
    // Each by the primary key; size and rows are of one moment.
    for where_to in ["id < 0", "id >= (SELECT seq_size FROM log_state)"] {
        let sql = format!("SELECT id FROM {table} WHERE {where_to} ORDER BY id LIMIT ?1");
        found.extend(rows(connection, &sql, params![limit], |row| get::<i64>(row, 0))?);
    }
    Ok(found)
}

pub(super) fn put_cosigned(connection: &Connection, size: TreeSize, checkpoint: &[u8]) -> Result<(), Error> {
    let sql = "INSERT OR REPLACE INTO log_cosigned VALUES (?1, ?2)";
    execute(connection, sql, params![signed(size.get()), checkpoint])?;
    let trim = "DELETE FROM log_cosigned WHERE size NOT IN (SELECT size FROM log_cosigned ORDER BY size DESC LIMIT ?1)";
    execute(connection, trim, params![COSIGNED_MAX]).map(|_| ())
}

pub(super) fn cosigned(connection: &Connection) -> Result<Option<(TreeSize, Vec<u8>)>, Error> {
    let sql = "SELECT size, checkpoint FROM log_cosigned ORDER BY size DESC LIMIT 1";
    one(connection, sql, params![], |row| Ok((size_at(row, 0)?, get(row, 1)?)))
}
