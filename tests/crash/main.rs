//! What is not lost when processes, networks and disks fail.

mod broken;
mod crashes;
mod faults;
mod journal;
mod nights;
mod resume;
