//! The figures of a plan as plain data: what `--json` writes and `--diff` reads. docs/plan-json.md explains the fields.

use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

/// The version of the format; it grows when a field changes its meaning or goes away.
pub const VERSION: u64 = 4;

/// A plan in figures. Operations, bytes and seconds are those of a whole run: loop iterations and denoising steps
/// count. Those of a phase that encodes an image are of a run with that image, totals of one without images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u64,
    pub target: String,
    /// Of everything in the plan, as in the first line of its listing.
    #[serde(default)]
    pub hash: String,
    pub made_by: String,
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub fps: f64,
    /// The clip's length.
    pub seconds: f64,
    pub pipeline: String,
    pub dtype: String,
    /// What weights stay encoded in.
    #[serde(default)]
    pub weights: Vec<String>,
    pub model: String,
    /// Sentences that whoever runs the plan should know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The memory of a card that the plan was made for, where it has a budget.
    #[serde(default)]
    pub vram_bytes: Option<u64>,
    /// What makes the clip's frames; `None` where there are none.
    #[serde(default)]
    pub decoder: Option<String>,
    /// Latent frames that the video decoder takes together, where not all.
    #[serde(default)]
    pub decode_chunk: Option<u32>,
    pub peak_bytes: u64,
    pub arena_bytes: u64,
    pub reserve_bytes: u64,
    pub cards: Vec<CardReport>,
    /// With the weights in everything that they can stay in; empty where nobody asked.
    #[serde(default)]
    pub footprints: Vec<FootprintReport>,
    pub phases: Vec<PhaseReport>,
    /// With the other plans of the binary in one memory, where it is not alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<TogetherReport>,
}

/// A plan with others of its model in one memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TogetherReport {
    /// All of them, in the order of the binary.
    pub plans: Vec<String>,
    /// The memory of the card that they were placed for, if that was said.
    pub vram_bytes: Option<u64>,
    pub peak_bytes: u64,
    /// Of all plans, each weight once.
    pub weight_bytes: u64,
    /// Those of them that several plans have.
    pub shared_weight_bytes: u64,
    /// What a run of this plan brings at most behind a run of each of the plans, in their order: bytes of constants that are
    /// not streamed.
    pub brought_bytes: Vec<u64>,
}

/// A named card, and what the plan would be on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardReport {
    pub name: String,
    pub memory_bytes: u64,
    pub bf16_flops_per_second: f64,
    pub f32_flops_per_second: f64,
    pub bytes_per_second: f64,
    pub host_bytes_per_second: f64,
    pub source: String,
    /// Whether the peak and the reserve have room.
    pub fits: bool,
    /// The floor of a run without images.
    pub seconds: f64,
}

/// What the plan would take with its weights in some encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FootprintReport {
    /// What the weights stay in: the plan's dtype, or an encoding.
    pub weights: String,
    /// Whether it is what the plan's own weights are in.
    pub chosen: bool,
    pub peak_bytes: u64,
    /// The smallest memory of a card for which there is a plan.
    pub least_memory_bytes: u64,
    pub sizes: Vec<SizeReport>,
}

/// Cards with so much memory, and a plan on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeReport {
    pub memory_bytes: u64,
    pub fits: Fits,
}

/// How a plan fits on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fits {
    /// All of it.
    Whole,
    /// With weights that are streamed.
    Streamed,
    No,
}

impl Fits {
    pub const fn name(self) -> &'static str {
        match self {
            Fits::Whole => "whole",
            Fits::Streamed => "streamed",
            Fits::No => "no",
        }
    }
}

/// A phase of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    pub name: String,
    /// Number of its first launch.
    pub first: u32,
    /// The image of a request without which it does not run.
    #[serde(default)]
    pub image: Option<u32>,
    /// Whether it runs only for requests of a better prompt. Its turns are then as many as there can be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writes: bool,
    /// How often its segment of steps runs; 0 without one.
    pub steps: u64,
    pub weight_bytes: u64,
    pub table_bytes: u64,
    pub arena_bytes: u64,
    pub lower_bound_bytes: u64,
    /// Rows of the plan, a loop's body once.
    pub launches: u64,
    pub executed_launches: u64,
    pub flops: u64,
    pub bytes: u64,
    /// Weights that come from the host while it runs.
    pub streamed_bytes: u64,
    pub streamed_bytes_per_step: u64,
    /// The floor on each card, in the order of [`Report::cards`].
    pub seconds: Vec<f64>,
    pub loops: Vec<LoopReport>,
    pub rows: Vec<LaunchReport>,
    pub buffers: Vec<BufferReport>,
}

/// A loop of a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopReport {
    pub name: String,
    pub first: u32,
    pub last: u32,
    /// Iterations each time the loop runs.
    pub count: u64,
    /// How often it runs: once in each turn of its segment.
    pub turns: u64,
    /// Weights that come from the host each time it runs.
    pub streamed_bytes: u64,
}

/// A launch, with all its executions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchReport {
    pub number: u32,
    pub kernel: String,
    pub queue: u8,
    pub segment: String,
    #[serde(rename = "loop")]
    pub of: Option<String>,
    /// How often it is executed.
    pub count: u64,
    pub flops: u64,
    pub bytes: u64,
    pub path: String,
    /// Paths of its further parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_paths: Vec<String>,
    pub seconds: Vec<f64>,
}

/// A placed buffer that is alive in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BufferReport {
    pub name: String,
    pub offset: u64,
    pub bytes: u64,
    /// The launches of the plan between which it is alive, both included; they may lie in other phases.
    pub first: u32,
    pub last: u32,
    pub lifetime: String,
    /// The first launch that writes it; none where the host does.
    pub made_by: Option<u32>,
}

/// Why an earlier report cannot be used.
#[derive(Debug, ThisError)]
pub enum ReadError {
    #[error("it is not JSON, or cut off: {0}")]
    Json(serde_json::Error),
    #[error("it has no version; wanted what zoetrope plan --json writes")]
    NoVersion,
    #[error("it has version {0}; this program reads version {VERSION}")]
    Version(serde_json::Value),
    #[error("a field is missing or of another kind: {0}")]
    Shape(serde_json::Error),
}

/// Reads what `--json` wrote.
///
/// # Errors
/// No JSON, another version, or fields that do not belong to this one.
pub fn read(text: &str) -> Result<Report, ReadError> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(ReadError::Json)?;
    match value.get("version") {
        None => Err(ReadError::NoVersion),
        Some(version) if version.as_u64() != Some(VERSION) => Err(ReadError::Version(version.clone())),
        Some(_) => serde_json::from_value(value).map_err(ReadError::Shape),
    }
}

impl Report {
    /// The report as JSON, for people to look into: indented, fields in a fixed order.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text and finite numbers are JSON") + "\n"
    }
}

impl PhaseReport {
    /// Whether it is part of every run, also of those without images and better prompts.
    pub fn always_runs(&self) -> bool {
        self.image.is_none() && !self.writes
    }

    /// Number of the last launch; of a phase without launches, that of the one before.
    pub fn last(&self) -> u32 {
        (u64::from(self.first) + self.launches).saturating_sub(1) as u32
    }

    /// Arena, weights and tables while the phase runs.
    pub fn peak_bytes(&self) -> u64 {
        self.arena_bytes + self.weight_bytes + self.table_bytes
    }
}
