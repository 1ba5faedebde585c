//! Subversion through its program (versions-and-origins 11.3).
