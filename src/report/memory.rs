//! The arena in characters: addresses upwards, launches to the right, a letter per large buffer.

use std::fmt::{self, Write};

use zoetrope_runtime::plan::bytes_text;

use super::data::{BufferReport, PhaseReport, Report};
use super::summary::headline;

/// No line is longer, in characters.
const WIDTH: usize = 100;
/// Characters of the label of a row, and the bar behind it.
const LABEL: usize = 12;
const COLUMNS: usize = WIDTH - LABEL;
const ROWS: usize = 16;
/// The buffers that get letters.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOP";
const SMALL: char = '+';
const FREE: char = '.';

/// A picture and a legend for every phase.
pub fn memory(report: &Report) -> String {
    let mut out = format!("{}\n", headline(report));
    out += "addresses upwards, launches to the right; a loop's body is drawn once\n";
    for phase in &report.phases {
        draw(phase, &mut out).expect("writing to a string does not fail");
    }
    out
}

/// A picture's scales: from characters to bytes and launches.
struct Grid {
    columns: usize,
    first: u64,
    launches: u64,
    bytes: u64,
}

impl Grid {
    /// Launches of a column; every column has one at least.
    fn launches(&self, column: usize) -> (u64, u64) {
        let at = |c: usize| self.first + c as u64 * self.launches / self.columns as u64;
        let from = at(column);
        (from, at(column + 1).max(from + 1))
    }

    /// Bytes of a row, counted from below.
    fn bytes(&self, row: usize) -> (u64, u64) {
        let at = |r: usize| (u128::from(self.bytes) * r as u128 / ROWS as u128) as u64;
        (at(row), at(row + 1))
    }

    /// How much of a character a buffer fills: launches times bytes.
    fn share(&self, column: usize, row: usize, b: &BufferReport) -> u128 {
        let overlap =
            |(from, to): (u64, u64), start: u64, end: u64| to.min(end).saturating_sub(from.max(start));
        let time = overlap(self.launches(column), u64::from(b.first), u64::from(b.last) + 1);
        u128::from(time) * u128::from(overlap(self.bytes(row), b.offset, b.offset + b.bytes))
    }

    /// The character of what fills most, free memory included.
    fn letter(&self, column: usize, row: usize, buffers: &[&BufferReport]) -> char {
        let shares = buffers.iter().map(|b| self.share(column, row, b));
        let (at, most) =
            shares.clone().enumerate().max_by_key(|(i, share)| (*share, usize::MAX - i)).unwrap_or((0, 0));
        let ((from, to), (low, high)) = (self.launches(column), self.bytes(row));
        let free = (u128::from(to - from) * u128::from(high - low)).saturating_sub(shares.sum());
        match LETTERS.get(at) {
            _ if most == 0 || free > most => FREE,
            Some(letter) => char::from(*letter),
            None => SMALL,
        }
    }
}

fn draw(phase: &PhaseReport, out: &mut String) -> fmt::Result {
    let arena = bytes_text(phase.arena_bytes);
    let lower = bytes_text(phase.lower_bound_bytes);
    writeln!(out, "\nphase {}   arena {arena}   lower bound {lower}", phase.name)?;
    let launches = phase.launches.max(1);
    // A phase of few launches is drawn wider, every launch alike.
    let columns =
        if launches < COLUMNS as u64 { COLUMNS / launches as usize * launches as usize } else { COLUMNS };
    let grid = Grid { columns, first: u64::from(phase.first), launches, bytes: phase.arena_bytes };
    let mut buffers: Vec<&BufferReport> = phase.buffers.iter().collect();
    buffers.sort_by_key(|b| (u64::MAX - b.bytes, b.first, b.offset));
    for row in (0..ROWS).rev() {
        let label = if row % 4 == 3 { bytes_text(grid.bytes(row).1) } else { String::new() };
        let line: String = (0..columns).map(|column| grid.letter(column, row, &buffers)).collect();
        writeln!(out, "{label:>10} |{line}")?;
    }
    let in_loop = |(from, to): (u64, u64)| {
        phase.loops.iter().any(|l| u64::from(l.first) < to && from <= u64::from(l.last))
    };
    let axis: String = (0..columns).map(|c| if in_loop(grid.launches(c)) { '=' } else { '-' }).collect();
    writeln!(out, "{:>10} +{axis}", "0 B")?;
    let (first, last) = (phase.first.to_string(), phase.last().to_string());
    let gap = columns.saturating_sub(first.len());
    writeln!(out, "{:>12}{first}{last:>gap$}", "")?;
    for (letter, b) in LETTERS.iter().zip(&buffers) {
        let line = format!(
            "  {} {:>11} at {:#011x}  {:>11}  {:<7}  ",
            char::from(*letter),
            bytes_text(b.bytes),
            b.offset,
            format!("{}-{}", b.first, b.last),
            b.lifetime
        );
        let text = format!("{} {}", b.name, maker(phase, b));
        writeln!(out, "{line}{}", tail(text.trim(), WIDTH - line.chars().count().min(WIDTH)))?;
    }
    let rest = buffers.len().saturating_sub(LETTERS.len());
    let rest = if rest > 0 { format!("{SMALL} one of {rest} smaller buffers   ") } else { String::new() };
    writeln!(out, "  {rest}{FREE} free   = a loop")
}

/// The kernel that makes a buffer, where it is one of the phase: not every buffer has a name.
fn maker(phase: &PhaseReport, b: &BufferReport) -> String {
    let row = b.made_by.and_then(|number| phase.rows.iter().find(|r| r.number == number));
    row.map_or(String::new(), |r| format!("({})", r.kernel))
}

/// The end of a name, which tells more than its beginning.
fn tail(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_string();
    }
    let kept: String = name.chars().skip(length + 2 - room.min(length)).collect();
    format!("..{kept}")
}
