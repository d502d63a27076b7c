//! The summary: which clip, whether it fits, how long it takes at least, and what each phase holds in memory.

use std::fmt::Write;

use zoetrope_runtime::plan::{bytes_text, flops_text};

use super::data::{Report, TogetherReport};
use super::words::{gib_text, seconds_text};

/// A page that somebody can read who wants to make a clip.
pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    write_summary(report, &mut out).expect("writing to a string does not fail");
    out
}

/// The clip and what it is made with, in a line.
pub fn headline(r: &Report) -> String {
    let kept: String = r.weights.iter().map(|kept| format!(" with weights in {kept}")).collect();
    format!("{}: {} ({:.2} s), {}, {}{kept}, {}", r.target, clip(r), r.seconds, r.pipeline, r.dtype, r.model)
}

/// What a run makes.
pub fn clip(r: &Report) -> String {
    match r.width {
        0 => format!("audio of {} frames at {} fps", r.frames, r.fps),
        _ => format!("{}x{}, {} frames at {} fps", r.width, r.height, r.frames, r.fps),
    }
}

fn write_summary(r: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", headline(r))?;
    r.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    let needed = r.peak_bytes + r.reserve_bytes;
    // Plans are counted in 10^9 bytes, cards are sold by 2^30.
    let sold = if r.peak_bytes < 1 << 30 { String::new() } else { format!(" ({})", gib_text(r.peak_bytes)) };
    let (peak, reserve) = (bytes_text(r.peak_bytes), gib_text(r.reserve_bytes));
    let budget = r.vram_bytes.map_or(String::new(), |vram| format!("; made for {}", gib_text(vram)));
    writeln!(out, "needs {peak}{sold} of memory and leaves {reserve} to the driver{budget}\n")?;
    writeln!(out, "{:<10} {:>10}   {:<18} takes at least", "card", "memory", "fits")?;
    for card in &r.cards {
        let fits = match card.fits {
            true => "yes".to_string(),
            false => format!("no, {} short", gib_text(needed.saturating_sub(card.memory_bytes))),
        };
        let (memory, seconds) = (gib_text(card.memory_bytes), seconds_text(card.seconds));
        writeln!(out, "{:<10} {memory:>10}   {fits:<18} {seconds:>14}", card.name)?;
    }
    let without = [
        (r.phases.iter().any(|p| p.image.is_some()), ", no image given"),
        (r.phases.iter().any(|p| p.writes), ", no prompt enhanced"),
    ];
    let without: String = without.into_iter().filter(|(is, _)| *is).map(|(_, text)| text).collect();
    writeln!(out, "(computed from vendors' figures, weights loaded{without}; nothing was measured)\n")?;
    write_footprints(r, out)?;
    let streams = r.phases.iter().any(|p| p.streamed_bytes > 0);
    let titles = ["launches", "work", "weights", "tables", "arena"];
    let wide = r.phases.iter().map(|p| p.name.len()).fold(14, usize::max);
    write!(out, "{:<wide$} {:>8}", "phase", titles[0])?;
    titles[1..].iter().try_for_each(|title| write!(out, " {title:>11}"))?;
    writeln!(out, "{}", if streams { format!(" {:>11}", "streamed") } else { String::new() })?;
    for p in &r.phases {
        write!(out, "{:<wide$} {:>8} {:>11}", p.name, p.executed_launches, flops_text(p.flops))?;
        let sizes = [p.weight_bytes, p.table_bytes, p.arena_bytes];
        sizes.into_iter().try_for_each(|bytes| write!(out, " {:>11}", bytes_text(bytes)))?;
        if streams {
            write!(out, " {:>11}", bytes_text(p.streamed_bytes))?;
        }
        let only = match (p.image, p.writes) {
            (Some(_), _) => "   only with an image",
            (None, true) => "   only to enhance the prompt",
            (None, false) => "",
        };
        writeln!(out, "{only}")?;
    }
    let largest = r.phases.iter().max_by_key(|p| p.peak_bytes()).map_or("", |p| &p.name);
    writeln!(
        out,
        "peak {} bytes ({}): the largest sum of arena, weights and tables of a phase, {largest}",
        r.peak_bytes,
        bytes_text(r.peak_bytes)
    )?;
    r.together.as_ref().map_or(Ok(()), |together| write_together(r, together, out))
}

/// What the plans of a binary take together, and what this one brings behind each of them.
fn write_together(r: &Report, together: &TogetherReport, out: &mut String) -> std::fmt::Result {
    let TogetherReport { plans, vram_bytes, peak_bytes, weight_bytes, shared_weight_bytes, .. } = together;
    let card = vram_bytes.map_or(String::new(), |vram| format!(" on a card of {}", gib_text(vram)));
    writeln!(
        out,
        "\ntogether: {} of memory{card} for {} plans, which have {} of weights, of which {} are shared",
        bytes_text(*peak_bytes),
        plans.len(),
        bytes_text(*weight_bytes),
        bytes_text(*shared_weight_bytes)
    )?;
    let wide = plans.iter().map(|name| name.len()).fold(14, usize::max);
    writeln!(out, "{:<wide$} {:>22}", "behind a run of", format!("{} brings at most", r.target))?;
    let rows = plans.iter().zip(&together.brought_bytes);
    rows.into_iter().try_for_each(|(name, bytes)| writeln!(out, "{name:<wide$} {:>22}", bytes_text(*bytes)))
}

/// The same plan with its weights in everything that they can stay in, and how it fits on cards.
fn write_footprints(r: &Report, out: &mut String) -> std::fmt::Result {
    let Some(first) = r.footprints.first() else { return Ok(()) };
    write!(out, "{:<10} {:>10}  ", "weights in", "peak")?;
    first.sizes.iter().try_for_each(|size| write!(out, " {:>9}", gib_text(size.memory_bytes)))?;
    writeln!(out)?;
    for footprint in &r.footprints {
        write!(out, "{:<10} {:>10}  ", footprint.weights, bytes_text(footprint.peak_bytes))?;
        footprint.sizes.iter().try_for_each(|size| write!(out, " {:>9}", size.fits.name()))?;
        writeln!(out, "{}", if footprint.chosen { "   this plan" } else { "" })?;
    }
    let how = "ZOETROPE_WEIGHTS and ZOETROPE_VRAM build the others";
    writeln!(out, "(whole, or with weights that are streamed; {how}: docs/budgets.md)\n")
}
