//! Fossil through its program (versions-and-origins 11.4).
