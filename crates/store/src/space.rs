//! How much room is left, and how much of it is ours to use (R11).

/// Room on the disk that holds the data directory, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Space {
    /// Free for this process.
    pub free: u64,
    /// The size of the file system.
    pub total: u64,
}

/// How much space stays free: below it new content is refused, what is stored is served on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MinFree {
    /// 5 GiB or 5 % of the disk, whichever is less.
    #[default]
    Auto,
    /// This many bytes; 0 uses the disk to the last block.
    Bytes(u64),
}

/// The cap of [`MinFree::Auto`]: enough for ten of the largest zips (500 MiB each).
const AUTO_BYTES_MAX: u64 = 5 << 30;

/// The least that a commit needs, in bytes: a few small files and their folders, and the ledger's page in the WAL.
/// With less free the store says that it is full, whatever the reserve.
pub(crate) const COMMIT_MIN: u64 = 64 << 10;

/// What of the reserve the log may use to finish the step that it is in, in bytes (C4, "Disk full"; R11).
pub(crate) const LOG_RESERVE: u64 = 64 << 20;

impl MinFree {
    /// The reserve in bytes on a disk of this size.
    pub fn reserve(self, total: u64) -> u64 {
        match self {
            Self::Auto => AUTO_BYTES_MAX.min(total / 20),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_lesser_of_five_gib_and_five_percent() {
        for (total, reserve) in
            [(0, 0), (100 << 30, 5 << 30), (1 << 40, 5 << 30), (10 << 30, (10_u64 << 30) / 20)]
        {
            assert_eq!(MinFree::Auto.reserve(total), reserve);
        }
        assert_eq!(MinFree::Bytes(7).reserve(1 << 40), 7);
    }
}
