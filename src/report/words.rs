//! Figures in the units that a person would use.

use zoetrope_runtime::plan::bytes_text;

/// A time, with two or three digits that say something.
pub fn seconds_text(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 120.0 => (s / 60.0, "min"),
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let digits = if value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {unit}")
}

/// Memory as cards are sold: in GiB.
pub fn gib_text(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// What a figure in bytes became, or the figure where it stayed.
pub fn change_text(old: u64, new: u64) -> String {
    let sign = if new >= old { '+' } else { '-' };
    format!("{} -> {} ({sign}{})", bytes_text(old), bytes_text(new), bytes_text(new.abs_diff(old)))
}
