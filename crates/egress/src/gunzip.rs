//! A gzip stream, undone piece by piece: no step makes more than 64 KiB, whatever went in (H13, D12).

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

/// The most one step puts out.
const PIECE: usize = 64 * 1024;
/// The widest window gzip knows.
const WINDOW_BITS: u8 = 15;

/// Decodes one gzip body.
pub(crate) struct Gunzip {
    inflate: Decompress,
    input: Bytes,
    in_member: bool,
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        Self { inflate: Decompress::new_gzip(WINDOW_BITS), input: Bytes::new(), in_member: true }
    }

    /// Gives the decoder more to read. Call it only when [`Gunzip::piece`] has nothing left.
    pub(crate) fn feed(&mut self, input: Bytes) {
        debug_assert!(self.input.is_empty(), "the last input is not used up");
        self.input = input;
    }

    /// The next decoded piece; `None` when more input is needed.
    pub(crate) fn piece(&mut self) -> Result<Option<Bytes>, &'static str> {
        let mut out = Vec::with_capacity(PIECE);
        while out.is_empty() {
            if self.input.is_empty() && !self.in_member {
                return Ok(None);
            }
            if !self.in_member {
                // Another member follows: gzip files may be glued together.
                self.inflate = Decompress::new_gzip(WINDOW_BITS);
                self.in_member = true;
            }
            let before = self.inflate.total_in();
            let status = self
                .inflate
                .decompress_vec(&self.input, &mut out, FlushDecompress::None)
                .map_err(|_| "not a gzip stream")?;
            let used = usize::try_from(self.inflate.total_in() - before).map_err(|_| "not a gzip stream")?;
            let _read = self.input.split_to(used.min(self.input.len()));
            match status {
                Status::StreamEnd => self.in_member = false,
                Status::Ok | Status::BufError if used == 0 && out.is_empty() => return Ok(None),
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(Some(Bytes::from(out)))
    }

    /// Whether the stream may end here: after a whole member, checksum and all.
    pub(crate) fn is_complete(&self) -> bool {
        !self.in_member && self.input.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, bool), &'static str> {
        let (mut gunzip, mut out) = (Gunzip::new(), Vec::new());
        for part in input.chunks(step) {
            gunzip.feed(Bytes::copy_from_slice(part));
            while let Some(piece) = gunzip.piece()? {
                assert!(piece.len() <= PIECE);
                out.extend_from_slice(&piece);
            }
        }
        Ok((out, gunzip.is_complete()))
    }

    #[test]
    fn whole_streams_decode_in_any_cut() {
        let text = b"v1.0.0\nv1.1.0\n".repeat(5_000);
        let two = [gzip(&text), gzip(b"tail")].concat();
        for step in [1, 2, 17, 4_096, 1 << 20] {
            assert_eq!(decode(&gzip(&text), step).unwrap(), (text.clone(), true), "{step}");
            assert_eq!(decode(&two, step).unwrap(), ([&text[..], b"tail"].concat(), true), "{step}");
            assert_eq!(decode(&gzip(b""), step).unwrap(), (Vec::new(), true), "{step}");
        }
    }

    #[test]
    fn hostile_h13_cut_or_broken_streams_are_never_complete() {
        let good = gzip(b"v1.0.0\n");
        for cut in 0..good.len() {
            assert!(!decode(&good[..cut], 3).unwrap().1, "{cut}");
        }
        let mut bad_sum = good.clone();
        let at = bad_sum.len() - 6;
        bad_sum[at] ^= 1;
        assert!(decode(&bad_sum, 99).is_err());
        assert!(decode(b"plain text", 99).is_err());
        assert!(decode(&[&good[..], b"garbage behind"].concat(), 99).is_err());
    }
}
