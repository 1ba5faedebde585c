//! git through its program (versions-and-origins 11.1).
