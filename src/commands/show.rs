//! `zoetropec show`: the levels of a compilation as text.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zoetrope_compiler::frontend::{
    Scope, compile_levels, compile_run, compile_target, dimensions, load_target,
};
use zoetrope_compiler::{Class, Levels, Options, select};
use zoetrope_model_spec::lang::Kept;
use zoetrope_model_spec::ltx::decode::{Pixels, VideoDecoder};
use zoetrope_model_spec::ltx::enhance::Enhance;
use zoetrope_model_spec::target::{Target, parse_vram, parse_weights};
use zoetrope_runtime::plan::{Detail, Plan};

use super::say;
use crate::failure::{Failure, Kind};
use crate::output::{Format, OutputFolder};

/// Show a level of the compilation of a target
#[derive(Args, Debug)]
pub struct Show {
    /// A preset's name or a target file; of several, which have one model, how they share memory
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// The memory of a card, such as 80GiB, in which all targets stay from run to run as far as it goes
    #[arg(long, value_name = "MEMORY", value_parser = parse_vram, conflicts_with_all = ["phase", "chunk", "why", "dump"])]
    together: Option<u64>,
    /// Only one phase, in the shapes of docs/phases.md
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,
    /// Latent frames that the video decoder or encoder takes through all layers together; otherwise a run has as many as fit
    #[arg(long, value_name = "N")]
    chunk: Option<NonZeroUsize>,
    /// The level to print
    #[arg(long, value_enum, default_value_t = Level::Plan)]
    after: Level,
    /// Only lines that contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Which kernels were tried at the calls whose path contains this, and why each lost
    #[arg(long, value_name = "PATH")]
    why: Option<String>,
    /// The memory of the card, such as 24GiB, instead of what the target says
    #[arg(long, value_name = "MEMORY", value_parser = parse_vram)]
    vram: Option<u64>,
    /// What the matrices of blocks and layers stay in, fp8, q8_0 or q4_k, instead of what the target says
    #[arg(long, value_name = "ENCODING", value_parser = parse_weights)]
    weights: Option<Kept>,
    /// With previews, whatever the target says
    #[arg(long)]
    preview: bool,
    /// With room to enhance a prompt, whatever the target says
    #[arg(long)]
    enhance: bool,
    /// With room to enhance a prompt that has an image, whatever the target says
    #[arg(long)]
    enhance_image: bool,
    /// Write every level into this folder instead
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Recipe,
    Graph,
    Fused,
    Schedule,
    Plan,
    Code,
}

/// A preset by name, or a target file; and the folder that the file's paths count from.
///
/// # Errors
/// No such preset or file, or a target that cannot be compiled.
pub fn find_target(name: &str) -> Result<(Target, PathBuf), Failure> {
    match Target::preset(name) {
        Some(target) => Ok((target, PathBuf::new())),
        None => {
            let path = Path::new(name);
            Ok((load_target(path)?, path.parent().unwrap_or(Path::new("")).to_path_buf()))
        }
    }
}

impl Show {
    /// Runs the command.
    ///
    /// # Errors
    /// A target that cannot be compiled, a folder that cannot be written.
    pub fn run(self) -> Result<(), Failure> {
        let name = match &self.targets[..] {
            [name] if self.together.is_none() => name,
            _ => return self.suite(),
        };
        let (target, folder) = self.target(name)?;
        let model = dimensions(&target, &folder)?;
        let part = self.phase.as_deref().map_or(Scope::Run(Pixels::Yuv420), Scope::Phase);
        let options = Options { decode_chunk: self.chunk.map(NonZeroUsize::get), ..Options::default() };
        let levels = match (&self.phase, self.chunk) {
            (None, None) => compile_run(&target, &model)?,
            _ => compile_levels(&target, &model, part, &[], options)?,
        };
        if let Some(path) = &self.why {
            say(&levels.phases.iter().map(|p| p.fused.why(path)).collect::<String>())?;
        } else if let Some(dir) = &self.dump {
            let dir = OutputFolder::open(dir)?;
            for (i, level) in Level::value_variants().iter().enumerate() {
                let name = format!("{}.{level:?}.txt", i + 1).to_lowercase();
                dir.file(&name, Format::Own)?.replace(text(&target, &levels, *level)?.as_bytes())?;
            }
        } else {
            self.say(&text(&target, &levels, self.after)?)?;
        }
        Ok(())
    }

    /// A target, as the options change it, and its folder.
    fn target(&self, name: &str) -> Result<(Target, PathBuf), Failure> {
        let (mut target, folder) = find_target(name)?;
        target.vram = self.vram.or(target.vram);
        target.weights = self.weights.or(target.weights);
        if self.preview {
            target.preview = target.preview.or(Some(VideoDecoder::Vae));
        }
        target.enhance = target.enhance.or(self.enhance.then(Enhance::default));
        if self.enhance_image {
            target.enhance = Some(Enhance { image: true, ..target.enhance.unwrap_or_default() });
        }
        Ok((target, folder))
    }

    /// Prints the lines that are asked for.
    fn say(&self, text: &str) -> Result<(), Failure> {
        let only = self.only.as_deref().unwrap_or_default();
        say(&text.lines().filter(|l| l.contains(only)).map(|l| format!("{l}\n")).collect::<String>())
    }

    /// Prints how the targets share memory.
    fn suite(&self) -> Result<(), Failure> {
        if self.phase.is_some() || self.chunk.is_some() || self.why.is_some() || self.dump.is_some() {
            return Err(Failure::usage(
                "of several targets only the plans are shown, in one memory\n  help  one target shows its levels",
            ));
        }
        let plans = self.targets.iter().map(|name| {
            let (target, folder) = self.target(name)?;
            Ok(compile_target(&target, &folder)?)
        });
        let plans = plans.collect::<Result<Vec<Plan>, Failure>>()?;
        let plans: Vec<&Plan> = plans.iter().collect();
        if let Some(other) = plans.iter().find(|plan| plan.facts.model != plans[0].facts.model) {
            let (first, model) = (plans[0], &other.facts.model);
            return Err(Failure::usage(format!(
                "plans of two models share no memory\n  have  {} for {}, {} for {model}",
                first.name, first.facts.model, other.name
            )));
        }
        let suite = zoetrope_compiler::suite(&plans, self.together);
        let suite = suite.map_err(|e| Failure::new(Kind::Failure, e.to_string()))?;
        self.say(&suite.text(&plans))
    }
}

fn text(target: &Target, levels: &Levels, level: Level) -> Result<String, Failure> {
    Ok(match level {
        Level::Recipe => target.recipe.to_string(),
        Level::Graph => levels.phases.iter().map(|p| p.graph.to_string()).collect(),
        Level::Fused => levels.phases.iter().map(|p| p.fused.to_string()).collect(),
        Level::Schedule => levels.schedule.to_string(),
        Level::Plan => levels.plan.text(Detail::Addresses),
        Level::Code => {
            let text = |class| Ok(select(&levels.plan, class)?.code.text(&levels.plan));
            let texts = Class::ALL.into_iter().map(text).collect::<zoetrope_compiler::Result<String>>();
            texts.map_err(|e| Failure::new(Kind::Failure, e.to_string()))?
        }
    })
}
