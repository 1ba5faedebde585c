//! Reading connections, each lent to one caller at a time.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::engine::failed;
use crate::error::Error;

/// How many read at once; more wait their turn. A read takes microseconds, a connection some 100 KiB (R21).
const READERS_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Readers {
    lent: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    flags: OpenFlags,
    idle: Vec<Connection>,
    /// Connections there are, lent ones included.
    open: usize,
    /// How often they were opened anew. Connections of before are not lent again.
    age: u64,
    /// Connections of before that are still lent.
    old: usize,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, flags: OpenFlags) -> Self {
        let pool = Pool { path, flags, idle: Vec::new(), open: 0, age: 0, old: 0 };
        Self { lent: Mutex::new(pool), returned: Condvar::new() }
    }

    /// Runs `work` on a connection of its own.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let (connection, age) = self.borrow()?;
        let outcome = work(&connection);
        let mut pool = self.pool();
        if pool.age == age {
            pool.idle.push(connection);
            drop(pool);
            self.returned.notify_one();
        } else {
            drop(connection);
            pool.old -= 1;
            drop(pool);
            self.returned.notify_all();
        }
        outcome
    }

    /// Opens connections in another way from now on; returns when none is left that was opened before.
    pub(crate) fn reopen(&self, path: PathBuf, flags: OpenFlags) {
        let mut pool = self.pool();
        pool.old += pool.open - pool.idle.len();
        (pool.path, pool.flags, pool.open) = (path, flags, 0);
        pool.idle.clear();
        pool.age += 1;
        self.returned.notify_all();
        while pool.old > 0 {
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn borrow(&self) -> Result<(Connection, u64), Error> {
        let mut pool = self.pool();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok((connection, pool.age));
            }
            if pool.open < READERS_MAX {
                break;
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.open += 1;
        let (path, flags, age) = (pool.path.clone(), pool.flags, pool.age);
        drop(pool);
        match Self::connect(&path, flags) {
            Ok(connection) => Ok((connection, age)),
            Err(error) => {
                let mut pool = self.pool();
                if pool.age == age {
                    pool.open -= 1;
                } else {
                    pool.old -= 1;
                }
                drop(pool);
                self.returned.notify_all();
                Err(error)
            }
        }
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
        let connection = Connection::open_with_flags(path, flags).map_err(failed("open"))?;
        connection.execute_batch(READER_SETTINGS).map_err(failed("set up a reader"))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 KiB of page cache each: point reads touch a handful of pages, and the operating system caches the file.
const READER_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA cache_size = -256;
    PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;";
