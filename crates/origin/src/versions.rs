//! From a repository to versions, exactly as the go command (versions-and-origins sections 3 to 10).
