//! From a module path to the place where it lives (versions-and-origins sections 1 and 2).
