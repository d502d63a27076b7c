//! What changed between two reports.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use zoetrope_runtime::plan::flops_text;

use super::data::{BufferReport, PhaseReport, Report};
use super::summary::clip;
use super::words::{change_text, gib_text};

/// Lines of one kind that are written before the rest is only counted.
const SHOWN: usize = 20;

/// What is different in `new`, as text; says so where nothing is.
pub fn diff(old: &Report, new: &Report) -> String {
    let mut out = String::new();
    write_diff(old, new, &mut out).expect("writing to a string does not fail");
    let same = old.hash == new.hash;
    match (out.is_empty(), same) {
        (true, true) => "nothing changed\n".to_string(),
        // The hash also holds names of weights, attributes and the contents of tables.
        (true, false) => format!(
            "no figure changed, but the plan: hash {} -> {}; compare zoetrope plan --launches --addresses\n",
            old.hash, new.hash
        ),
        (false, _) => out,
    }
}

fn write_diff(old: &Report, new: &Report, out: &mut String) -> fmt::Result {
    let facts = |r: &Report| {
        let chunk = r.decode_chunk.map_or("all".to_string(), |frames| frames.to_string());
        [
            ("target", r.target.clone()),
            ("clip", clip(r)),
            ("pipeline", r.pipeline.clone()),
            ("dtype", r.dtype.clone()),
            ("weights", r.weights.join(" ")),
            ("model", r.model.clone()),
            ("made by", r.made_by.clone()),
            ("made for", r.vram_bytes.map_or("any memory".to_string(), gib_text)),
            ("decoder", r.decoder.clone().unwrap_or_else(|| "none".to_string())),
            ("frames decoded together", chunk),
            ("notes", r.notes.join(" ")),
        ]
    };
    for ((what, was), (_, is)) in facts(old).into_iter().zip(facts(new)).filter(|(a, b)| a != b) {
        writeln!(out, "{what}: {was} -> {is}")?;
    }
    let figures = [("peak", old.peak_bytes, new.peak_bytes), ("arena", old.arena_bytes, new.arena_bytes)];
    for (what, was, is) in figures.into_iter().filter(|(_, was, is)| was != is) {
        writeln!(out, "{what}: {}", change_text(was, is))?;
    }
    for phase in &old.phases {
        if !new.phases.iter().any(|p| p.name == phase.name) {
            writeln!(out, "phase {}: gone", phase.name)?;
        }
    }
    for phase in &new.phases {
        let Some(before) = old.phases.iter().find(|p| p.name == phase.name) else {
            writeln!(out, "phase {}: new, {} launches", phase.name, phase.launches)?;
            continue;
        };
        let mut lines = String::new();
        figures_of(before, phase, &mut lines)?;
        launches_of(before, phase, &mut lines)?;
        buffers_of(before, phase, &mut lines)?;
        if !lines.is_empty() {
            write!(out, "phase {}\n{lines}", phase.name)?;
        }
    }
    Ok(())
}

fn figures_of(old: &PhaseReport, new: &PhaseReport, out: &mut String) -> fmt::Result {
    let bytes = |p: &PhaseReport| {
        [
            ("weights", p.weight_bytes),
            ("tables", p.table_bytes),
            ("arena", p.arena_bytes),
            ("lower bound", p.lower_bound_bytes),
            ("traffic", p.bytes),
            ("streamed", p.streamed_bytes),
        ]
    };
    for ((what, was), (_, is)) in bytes(old).into_iter().zip(bytes(new)).filter(|(a, b)| a != b) {
        writeln!(out, "  {what}: {}", change_text(was, is))?;
    }
    if old.flops != new.flops {
        writeln!(out, "  work: {} -> {}", flops_text(old.flops), flops_text(new.flops))?;
    }
    let counts = |p: &PhaseReport| {
        [("launches", p.launches), ("executed launches", p.executed_launches), ("steps", p.steps)]
    };
    for ((what, was), (_, is)) in counts(old).into_iter().zip(counts(new)).filter(|(a, b)| a != b) {
        writeln!(out, "  {what}: {was} -> {is}")?;
    }
    Ok(())
}

/// Launches are known by their kernel and path; their numbers move with every launch before them.
fn launches_of(old: &PhaseReport, new: &PhaseReport, out: &mut String) -> fmt::Result {
    let mut counts: BTreeMap<(&str, &str), [usize; 2]> = BTreeMap::new();
    for (side, phase) in [old, new].into_iter().enumerate() {
        phase.rows.iter().for_each(|r| counts.entry((&r.kernel, &r.path)).or_default()[side] += 1);
    }
    for (sign, from, to) in [("+", 0, 1), ("-", 1, 0)] {
        let changed = counts.iter().filter(|(_, count)| count[to] > count[from]);
        let lines = changed.map(|((kernel, path), count)| {
            format!("  {sign} {} launch {kernel}   {path}\n", count[to] - count[from])
        });
        write_some(lines.collect(), if sign == "+" { "more added" } else { "more removed" }, out)?;
    }
    Ok(())
}

/// Buffers are known by their name; those of one name by their order in time.
fn buffers_of(old: &PhaseReport, new: &PhaseReport, out: &mut String) -> fmt::Result {
    let (old, new) = (by_name(old), by_name(new));
    let mut lines = [const { Vec::new() }; 4];
    for (name, now) in &new {
        let before = old.get(name).map_or(&[][..], Vec::as_slice);
        for (a, b) in before.iter().zip(now) {
            if a.bytes != b.bytes {
                lines[0].push(format!("  buffer {name}: {}\n", change_text(a.bytes, b.bytes)));
            } else if a.offset != b.offset {
                lines[1].push(format!("  buffer {name}: moved from {:#x} to {:#x}\n", a.offset, b.offset));
            }
        }
        lines[2]
            .extend(now.iter().skip(before.len()).map(|b| format!("  + buffer {name}, {} bytes\n", b.bytes)));
    }
    for (name, before) in &old {
        let kept = new.get(name).map_or(0, Vec::len);
        lines[3].extend(before.iter().skip(kept).map(|b| format!("  - buffer {name}, {} bytes\n", b.bytes)));
    }
    for (lines, what) in lines.into_iter().zip(["changed size", "moved", "added", "removed"]) {
        write_some(lines, &format!("more buffers {what}"), out)?;
    }
    Ok(())
}

fn by_name(phase: &PhaseReport) -> BTreeMap<&str, Vec<&BufferReport>> {
    let mut sorted: Vec<_> = phase.buffers.iter().collect();
    sorted.sort_by_key(|b| (b.first, b.last));
    let mut out: BTreeMap<&str, Vec<&BufferReport>> = BTreeMap::new();
    for b in sorted {
        let name = if b.name.is_empty() { "(no name)" } else { &b.name };
        out.entry(name).or_default().push(b);
    }
    out
}

fn write_some(lines: Vec<String>, rest: &str, out: &mut String) -> fmt::Result {
    lines.iter().take(SHOWN).try_for_each(|line| out.write_str(line))?;
    match lines.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} {rest}"),
    }
}
