//! How origins are configured.
