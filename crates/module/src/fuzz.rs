//! One function per parser that meets foreign bytes; each must return, whatever it is given.
