//! The published algorithm, against its authors' decisions and figures.

mod authors;
mod decisions;
mod grid;
mod math;
