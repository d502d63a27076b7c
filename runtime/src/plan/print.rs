//! The text forms of a plan: its listing (what a person reviews) and the lines of one launch.

use std::fmt::{self, Write};

use super::{Adapter, Base, Fetch, Item, Launch, Loop, Operand, Phase, Plan, Port, Repeat, Role, Schedule};

/// How much of a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every launch, without addresses: the golden listing.
    Listing,
    /// Every launch with addresses.
    Addresses,
}

/// Bytes in the unit a person would use.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| bytes as f64 >= *size).unwrap_or(("B", 1.0));
    if unit == "B" { format!("{bytes} B") } else { format!("{:.2} {unit}", bytes as f64 / size) }
}

/// The memory of a card, in the unit that it is sold by.
pub fn memory_text(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) { format!("{} GiB", bytes >> 30) } else { bytes_text(bytes) }
}

/// Floating-point operations in the unit a person would use.
pub fn flops_text(flops: u64) -> String {
    const UNITS: [(&str, f64); 5] = [("PF", 1e15), ("TF", 1e12), ("GF", 1e9), ("MF", 1e6), ("kF", 1e3)];
    let unit = UNITS.into_iter().find(|(_, size)| flops as f64 >= *size);
    unit.map_or_else(|| format!("{flops} F"), |(unit, size)| format!("{:.2} {unit}", flops as f64 / size))
}

impl Plan {
    /// The plan as text: consequences first, then every launch.
    pub fn text(&self, detail: Detail) -> String {
        let mut out = String::new();
        self.write_text(&mut out, detail).expect("writing to a string does not fail");
        out
    }

    fn write_text(&self, out: &mut String, detail: Detail) -> fmt::Result {
        let f = &self.facts;
        let launches: u64 = self.phases.iter().map(|p| p.launches().count() as u64).sum();
        writeln!(out, "plan {}   {}", self.name, self.made_by)?;
        let kept: String = self.kept().iter().map(|kept| format!(" with weights in {kept}")).collect();
        writeln!(out, "target {}, {}, {}{kept}, {}", f.clip(), f.pipeline, f.dtype.name(), f.model)?;
        f.notes.iter().try_for_each(|note| writeln!(out, "note {note}"))?;
        if f.carried > 0 {
            let step = f.frames.saturating_sub(f.carried);
            writeln!(out, "windows of {} frames, one every {step}   carried over {}", f.frames, f.carried)?;
        }
        writeln!(
            out,
            "launches {launches} of {} kernels   arena {}",
            self.kernels.len(),
            bytes_text(self.arena_bytes)
        )?;
        let budget = match f.vram {
            Some(vram) => format!("of {}", memory_text(vram)),
            None => "without a budget".to_string(),
        };
        let (peak, reserve) = (bytes_text(self.peak_bytes), bytes_text(f.reserve_bytes));
        let chunk = f.decode_chunk.map_or("all".to_string(), |frames| frames.to_string());
        writeln!(
            out,
            "memory {peak} {budget}   beside it {reserve} for the driver   latent frames decoded together: {chunk}"
        )?;
        let listed = |names: Vec<String>| names.join(", ");
        let reads = listed(self.sources().into_iter().map(|source| source.name().to_string()).collect());
        let leaves = listed(self.results().iter().map(Role::to_string).collect());
        writeln!(out, "reads {reads}   leaves {leaves}")?;
        for (i, kernel) in self.kernels.iter().enumerate() {
            let gap = if kernel.attrs_text.is_empty() { "" } else { " " };
            writeln!(out, "kernel {i} {}{gap}{}", kernel.name, kernel.attrs_text)?;
        }
        for phase in self.phases.iter() {
            let waste = phase.arena_bytes as f64 / phase.lower_bound_bytes.max(1) as f64;
            writeln!(
                out,
                "phase {}   weights {}{}   tables {}   arena {} (lower bound {}, ratio {waste:.3})",
                phase.name,
                bytes_text(phase.weight_bytes),
                self.kept_text(phase),
                bytes_text(phase.table_bytes),
                bytes_text(phase.arena_bytes),
                bytes_text(phase.lower_bound_bytes),
            )?;
            if let Some(image) = phase.image {
                writeln!(out, "  only with image {image}")?;
            }
            if let Some(Adapter { slot, strength, rank }) = phase.adapter {
                let rank = rank.map_or("merged".to_string(), |rank| format!("rank {rank}"));
                writeln!(out, "  adapter slot {slot}   {rank}   strength {strength}")?;
            }
            if let Some(Schedule { solver, levels }) = &phase.schedule {
                writeln!(out, "  solver {solver}   levels {levels}")?;
            }
            phase.inputs.iter().try_for_each(|p| writeln!(out, "  in   {}", port_text(p, detail)))?;
            let mut number = phase.first;
            for segment in phase.segments.iter() {
                let times = match segment.repeat {
                    Repeat::Load => "once per load",
                    Repeat::Once => "once",
                    Repeat::Steps => "x steps",
                };
                writeln!(out, "  segment {} {times}", segment.name)?;
                for item in segment.items.iter() {
                    match item {
                        Item::Launch(l) => {
                            self.launch_text(out, number, l, None, detail, "    ")?;
                            number += 1;
                        }
                        Item::Loop(l) => {
                            let streamed = match l.streamed().len() {
                                0 => String::new(),
                                n => format!("   weights of {n} iterations streamed"),
                            };
                            writeln!(out, "    loop {} x{}{streamed}", l.name, l.count)?;
                            for fetch in l.fetches.iter() {
                                let when = match fetch.after {
                                    Fetch::AT_ONCE => "at once".to_string(),
                                    iteration => format!("after iteration {iteration}"),
                                };
                                let (bytes, of) = (bytes_text(fetch.bytes), fetch.iteration);
                                writeln!(out, "      fetch {when}: weights of iteration {of}, {bytes}")?;
                            }
                            for launch in l.body.iter() {
                                self.launch_text(out, number, launch, Some(l), detail, "      ")?;
                                number += 1;
                            }
                        }
                    }
                }
            }
            phase.outputs.iter().try_for_each(|p| writeln!(out, "  out  {}", port_text(p, detail)))?;
        }
        Ok(())
    }

    /// How much of a phase's weights is only kept for a later one.
    fn kept_text(&self, phase: &Phase) -> String {
        match phase.kept.iter().map(|c| self.constants[*c as usize].bytes()).sum() {
            0 => String::new(),
            bytes => format!(" ({} kept)", bytes_text(bytes)),
        }
    }

    fn launch_text(
        &self,
        out: &mut String,
        number: u32,
        launch: &Launch,
        of: Option<&Loop>,
        detail: Detail,
        pad: &str,
    ) -> fmt::Result {
        let waits: Vec<_> = launch.waits.iter().map(u32::to_string).collect();
        let waits = if waits.is_empty() { String::new() } else { format!(" after {}", waits.join(",")) };
        let queue = if launch.queue > 0 { format!("|{} ", launch.queue) } else { String::new() };
        for (i, part) in launch.parts.iter().enumerate() {
            let head = match i {
                0 => format!("{number:>4}  {queue}{}{waits}", self.kernels[launch.kernel as usize].name),
                _ => "   +".to_string(),
            };
            let reads: Vec<_> = part.reads.iter().map(|o| self.operand_text(o, of, detail)).collect();
            let over = part.in_place.map_or(String::new(), |i| format!(" over operand {i}"));
            let cost = if part.flops > 0 { flops_text(part.flops) } else { "-".to_string() };
            writeln!(
                out,
                "{pad}{head:<38} {} -> {}{over}   {} {cost}   {}",
                reads.join(" "),
                self.operand_text(&part.write, of, detail),
                bytes_text(part.bytes),
                part.path,
            )?;
        }
        Ok(())
    }

    fn operand_text(&self, operand: &Operand, of: Option<&Loop>, detail: Detail) -> String {
        let dims: Vec<_> = operand.shape.iter().map(u32::to_string).collect();
        let type_text = format!("{}[{}]", operand.dtype.name(), dims.join(","));
        let name = |i: u32| self.constants[i as usize].name.rsplit('.').take(2).collect::<Vec<_>>();
        let short = |i: u32| name(i).into_iter().rev().collect::<Vec<_>>().join(".");
        let place = match operand.base {
            Base::Arena if detail == Detail::Listing => String::new(),
            Base::Arena => format!("A+{:#x}:", operand.offset),
            Base::Constant(i) => format!("{}:", short(i)),
            Base::Column(c) => {
                let first = of.and_then(|l| l.rows.get(c as usize)).copied();
                first.map_or_else(String::new, |i| format!("{}:", short(i)))
            }
        };
        let step = if operand.step > 0 { format!("+{}*iteration", operand.step) } else { String::new() };
        let stride = u64::from(operand.row_stride);
        let apart =
            if operand.rows() > 1 && stride != operand.cols() { format!("/{stride}") } else { String::new() };
        format!("{place}{type_text}{apart}{step}")
    }
}

fn port_text(port: &Port, detail: Detail) -> String {
    let dims: Vec<_> = port.shape.iter().map(u32::to_string).collect();
    let slot = port.slot.as_ref().map_or(String::new(), |s| format!("   slot {s}"));
    let step = if port.role.per_step() { "every step: " } else { "" };
    let role = if port.slot.is_some() && matches!(port.role, Role::Tensor { .. }) {
        String::new()
    } else {
        format!("   {step}{}", port.role)
    };
    let at = if detail == Detail::Addresses { format!("   A+{:#x}", port.offset) } else { String::new() };
    format!("{} : {}[{}]{at}{role}{slot}", port.name, port.dtype.name(), dims.join(","))
}
