//! Version control programs in their jail: git for what this process does not speak, hg, svn and fossil.
