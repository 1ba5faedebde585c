//! Module zips: what may be in one, reading a foreign one, writing our own (module-zip.md).
