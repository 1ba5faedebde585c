//! Mercurial through its program (versions-and-origins 11.2).
