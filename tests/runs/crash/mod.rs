//! What is not lost when processes, networks and disks fail.

mod broken;
mod busy;
mod crashes;
mod database;
mod faults;
mod journal;
mod nights;
mod resume;
