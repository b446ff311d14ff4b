//! Made-up reviews, the same on every machine: the items of the examples.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const GOOD: [&str; 6] = ["great", "sturdy", "bright", "quiet", "handy", "lovely"];
const BAD: [&str; 6] = ["poor", "flimsy", "dim", "noisy", "clumsy", "awful"];
const PARTS: [&str; 8] =
    ["battery", "screen", "lid", "handle", "sound", "colour", "cable", "manual"];

/// Words that speak for a thing.
pub fn is_good(word: &str) -> bool {
    GOOD.contains(&word)
}

/// Words that speak against it.
pub fn is_bad(word: &str) -> bool {
    BAD.contains(&word)
}

/// Numbers that look random and are not.
fn draw(id: u64, what: u64, sides: usize) -> usize {
    let mut x = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) % sides as u64) as usize
}

/// The text of a review.
pub fn text(id: u64) -> String {
    let good = draw(id, 1, 100) < 60;
    let word =
        |good: bool, what| if good { GOOD[draw(id, what, 6)] } else { BAD[draw(id, what, 6)] };
    let (part, other) = (PARTS[draw(id, 2, 8)], PARTS[draw(id, 3, 8)]);
    let first = word(good, 4);
    match draw(id, 5, 100) {
        0..72 => format!("Order {id}: the {part} is {first}."),
        72..90 => format!("Order {id}: the {part} is not {first} at all."),
        90..96 => format!("Order {id}: a {first} {part} but the {other} is {}.", word(!good, 6)),
        96..98 => format!("Order {id}: the {part} is {first} and the {other} {}.", word(good, 7)),
        _ => format!("Order {id}: oh {first} again the {part} broke."),
    }
}

/// Writes so many reviews as `id,text` into so many CSV files of one directory: a partition each.
///
/// # Errors
/// When the directory cannot be written.
pub fn write(directory: &Path, items: u64, files: u64) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for file in 0..files {
        let mut rows = String::from("id,text\n");
        for id in items * file / files..items * (file + 1) / files {
            let _ = writeln!(rows, "{id},{}", text(id));
        }
        fs::write(directory.join(format!("reviews-{file:03}.csv")), rows)?;
    }
    Ok(())
}
