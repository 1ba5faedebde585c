//! Reading connections, each lent to one caller at a time.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::engine::failed;
use crate::error::Error;

/// How many read at once; more wait their turn. A read takes microseconds, a connection some 100 KiB (R21).
const READERS_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    flags: OpenFlags,
    lent: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, flags: OpenFlags) -> Self {
        Self { path, flags, lent: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `work` on a connection of its own.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let connection = self.borrow()?;
        let outcome = work(&connection);
        self.pool().idle.push(connection);
        self.returned.notify_one();
        outcome
    }

    fn borrow(&self) -> Result<Connection, Error> {
        let mut pool = self.pool();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(connection);
            }
            if pool.open < READERS_MAX {
                break;
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.open += 1;
        drop(pool);
        self.connect().inspect_err(|_| {
            self.pool().open -= 1;
            self.returned.notify_one();
        })
    }

    fn connect(&self) -> Result<Connection, Error> {
        let connection = Connection::open_with_flags(&self.path, self.flags).map_err(failed("open"))?;
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
