//! Pure mathematics of the certificates: no I/O, no clock, no entropy.
