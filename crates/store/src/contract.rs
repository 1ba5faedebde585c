//! What any implementation has to do.
