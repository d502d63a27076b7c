//! The build that has a plan for a request, as commands to copy.

use std::fmt;
use std::path::Path;

use zoetrope_model_spec::ltx::config::Enlarges;
use zoetrope_model_spec::ltx::sizes::{SPACE, TIME};
use zoetrope_model_spec::target::{PRESETS, Target};
use zoetrope_runtime::plan::{Facts, Plan};

use crate::media::Footage;
use crate::model_files::upscaler::{enlarges, read_by};

/// Width, height and frames of a clip, and how many it has a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
}

impl Shape {
    /// That of a plan's clip.
    pub fn of_plan(facts: &Facts) -> Shape {
        let [width, height, frames] = [facts.width, facts.height, facts.frames].map(|n| n as usize);
        Shape { width, height, frames, fps: facts.fps }
    }

    /// The nearest one to a file's that a plan may have; `None` where the file does not say it.
    pub fn of_file(path: &Path) -> Option<Shape> {
        let footage = Footage::open(path, 1).ok()?;
        let (width, height) = footage.size();
        Some(Shape { width, height, frames: footage.total()?, fps: footage.fps() }.legal())
    }

    /// With about a second more.
    pub fn longer(self) -> Shape {
        let second = (self.fps / TIME as f64).round().max(1.0) as usize * TIME;
        Shape { frames: self.frames + second, ..self }
    }

    /// The nearest one that a plan may have, with no more frames.
    pub fn legal(self) -> Shape {
        let side = |pixels: usize| ((pixels + SPACE / 2) / SPACE).max(1) * SPACE;
        let frames = self.frames.saturating_sub(1) / TIME * TIME + 1;
        let fps = (self.fps * 1000.0).round() / 1000.0;
        Shape { width: side(self.width), height: side(self.height), frames, fps }
    }
}

/// A build.
#[derive(Clone, Debug)]
pub enum Build {
    /// That of a plan, with an environment variable.
    Again { plan: String, variable: &'static str, value: String },
    /// That of a target file.
    Target(Box<TargetFile>),
}

/// What stands in a target file.
#[derive(Clone, Debug)]
pub struct TargetFile {
    pipeline: String,
    shape: Shape,
    dtype: &'static str,
    model: String,
    /// Further lines.
    more: Vec<String>,
}

/// The size of a clip where a plan has none that could be taken over.
const USUAL: Shape = Shape { width: 768, height: 512, frames: 121, fps: 24.0 };

impl Build {
    /// A plan again, with this environment variable.
    pub fn again(plan: &Plan, variable: &'static str, value: &str) -> Build {
        Build::Again { plan: plan.name.to_string(), variable, value: value.to_string() }
    }

    /// A plan of this pipeline, otherwise like `plan`.
    pub fn like(plan: &Plan, pipeline: &str) -> Build {
        let facts = &plan.facts;
        let of_plan = Shape::of_plan(facts);
        let shape = if of_plan.width == 0 {
            Shape { frames: of_plan.frames, fps: of_plan.fps, ..USUAL }
        } else {
            of_plan
        };
        let more =
            facts.vram.map(|bytes| format!("vram = \"{} GB\"", bytes as f64 / 1e9)).into_iter().collect();
        Build::Target(Box::new(TargetFile {
            pipeline: pipeline.to_string(),
            shape,
            dtype: facts.dtype.name(),
            model: facts.model.to_string(),
            more,
        }))
    }

    /// The same plan in another size.
    pub fn same(plan: &Plan, shape: Shape) -> Build {
        let by = read_by(plan).and_then(enlarges).filter(|by| *by != Enlarges::SpaceX2);
        let build = Build::like(plan, &plan.facts.pipeline).sized(Some(shape));
        by.map(|by| format!("upscaler = \"{}\"", by.name())).into_iter().fold(build, Build::with)
    }

    /// A plan of text to video for the published model.
    pub fn published(width: usize, height: usize, frames: usize) -> Build {
        Build::Target(Box::new(TargetFile {
            pipeline: "distilled".to_string(),
            shape: Shape { width, height, frames, ..USUAL },
            dtype: "bf16",
            model: "ltx-2.3-22b".to_string(),
            more: Vec::new(),
        }))
    }

    /// Of another size, where there is one.
    pub fn sized(mut self, to: Option<Shape>) -> Build {
        if let (Build::Target(file), Some(to)) = (&mut self, to) {
            file.shape = to;
        }
        self
    }

    /// With a further line in the target file.
    pub fn with(mut self, line: String) -> Build {
        if let Build::Target(file) = &mut self {
            file.more.push(line);
        }
        self
    }

    /// What is wrong with its target, in words; nothing where it is legal.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Build::Target(file) => file.target().map_or_else(|problems| problems, |_| Vec::new()),
            Build::Again { .. } => Vec::new(),
        }
    }
}

impl TargetFile {
    fn lines(&self) -> Vec<String> {
        let Shape { width, height, frames, fps } = self.shape;
        let mut lines = vec![
            format!("width = {width}"),
            format!("height = {height}"),
            format!("frames = {frames}"),
            format!("fps = {fps}"),
            format!("pipeline = \"{}\"", self.pipeline),
            format!("dtype = \"{}\"", self.dtype),
            format!("model = \"{}\"", self.built_in().unwrap_or("ltx-2.3-22b")),
        ];
        lines.extend(self.more.iter().cloned());
        lines
    }

    /// The name of its model, unless that is one of files.
    fn built_in(&self) -> Option<&str> {
        ["demo", "ltx-2.3-22b"].into_iter().find(|name| *name == self.model)
    }

    fn target(&self) -> Result<Target, Vec<String>> {
        let target = Target::parse("wanted", &self.lines().join("\n")).map_err(|error| error.problems)?;
        target.check_writable().map_err(|error| error.problems)?;
        Ok(target)
    }

    /// The same, a little larger where the pipeline makes no clip of that size.
    fn fitted(&self) -> TargetFile {
        let larger = |side: usize| (0..8).map(move |i| side + i * SPACE);
        let sizes = larger(self.shape.height).flat_map(|h| larger(self.shape.width).map(move |w| (w, h)));
        let of =
            |(width, height)| TargetFile { shape: Shape { width, height, ..self.shape }, ..self.clone() };
        sizes.map(of).find(|file| file.target().is_ok()).unwrap_or_else(|| self.clone())
    }
}

const HELP: &str = "\n  help  ";

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Build::Again { plan, variable, value } => {
                write!(f, "{HELP}{variable}={value} ")?;
                match PRESETS.iter().any(|(name, _)| name == plan) {
                    true => write!(f, "cargo build --release --features {plan}"),
                    false => {
                        write!(f, "ZOETROPE_TARGET={plan}.toml cargo build --release --features res-custom")
                    }
                }
            }
            Build::Target(file) => {
                let file = file.fitted();
                let Shape { width, height, frames, .. } = file.shape;
                let name = format!("{}-{width}x{height}x{frames}.toml", file.pipeline);
                let lines: Vec<String> = file.lines().iter().map(|line| format!("'{line}'")).collect();
                write!(f, "{HELP}printf '%s\\n' {} >{name}", lines.join(" "))?;
                write!(f, "{HELP}ZOETROPE_TARGET={name} cargo build --release --features res-custom")?;
                match file.built_in() {
                    Some(_) => Ok(()),
                    None => {
                        write!(f, "{HELP}with the model that the target of this plan names: docs/targets.md")
                    }
                }
            }
        }
    }
}
