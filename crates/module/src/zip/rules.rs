//! Which files of a source tree belong in a module zip.
