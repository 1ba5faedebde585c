//! pkt-lines, the framing of git's protocols (gitprotocol-common).
