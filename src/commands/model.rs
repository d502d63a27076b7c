//! Which model files a command uses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_model_spec::ltx::builtin::{self, ltx_2_3_22b};
use zoetrope_model_spec::ltx::config::{Enlarges, ModelConfig};
use zoetrope_model_spec::ltx::demo::demo_with;
use zoetrope_runtime::plan::{Plan, Source};

use crate::demo::demo_in_memory;
use crate::failure::{Failure, Kind};
use crate::model_check::{Report, verify};
use crate::model_files::upscaler::{enlarges, read_by};
use crate::model_files::{Found, ModelFiles, SharedFiles, Wanted, search, tensors_of};
use crate::terminal;

/// Where the model's files are. The official command line's names are accepted too.
#[derive(Args, Clone, Debug, Default)]
pub struct ModelArgs {
    /// A folder that holds the model's files, in whatever folders: each is recognised by its header. What is given by the
    /// options below is not looked for
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The LTX-2.3 checkpoint (ltx-2.3-22b-distilled-1.1.safetensors); several times if it is split
    #[arg(long, value_name = "FILE", alias = "distilled-checkpoint-path")]
    pub checkpoint: Vec<PathBuf>,
    /// The Gemma 3 folder, with config.json, tokenizer.json and weights; or one file of weights, GGUF too
    #[arg(long, value_name = "DIR", alias = "gemma-root")]
    pub text_encoder: Option<PathBuf>,
    /// The upscaler that the plan is for: the spatial x2 one, unless its target says another
    #[arg(long, value_name = "FILE", aliases = ["spatial-upsampler-path", "temporal-upscaler"])]
    pub spatial_upscaler: Option<PathBuf>,
}

/// The dimensions of the built-in model that a plan is for; `None` for those of other files.
pub fn built_in(plan: &Plan) -> Option<ModelConfig> {
    let by = read_by(plan).and_then(enlarges).unwrap_or(Enlarges::SpaceX2);
    match plan.facts.model.as_ref() {
        "demo" => Some(demo_with(by)),
        "ltx-2.3-22b" => Some(ModelConfig { upscaler: builtin::upscaler(by), ..ltx_2_3_22b() }),
        _ => None,
    }
}

impl ModelArgs {
    /// The files and folders that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let more = [&self.model, &self.text_encoder, &self.spatial_upscaler];
        self.checkpoint.iter().chain(more.into_iter().flatten()).map(PathBuf::as_path)
    }

    fn given(&self) -> bool {
        self.model.is_some()
            || !self.checkpoint.is_empty()
            || self.text_encoder.is_some()
            || self.spatial_upscaler.is_some()
    }

    /// Where the files are that are given and that a search finds, of upscalers the one that is read; and what it says of
    /// others.
    fn found(&self, upscaler: Option<Source>) -> Result<Found, Failure> {
        let upscaler = upscaler.unwrap_or(Source::SpatialUpscaler);
        let unwanted = |source: Source| match source.name() {
            name if self.gives(source) => Some(format!("another {name} is given")),
            name if source.is_upscaler() && source != upscaler => {
                Some(format!("it is the {name}, which is not read"))
            }
            _ => None,
        };
        let mut found = match &self.model {
            Some(folder) => {
                search(folder, unwanted).map_err(|message| Failure::new(Kind::ModelFiles, message))?
            }
            None => Found::default(),
        };
        found.paths.checkpoint.extend(self.checkpoint.iter().cloned());
        if let Some(folder) = &self.text_encoder {
            found.paths.text_encoder.clone_from(folder);
        }
        found.paths.upscaler = found.paths.upscaler.or_else(|| self.spatial_upscaler.clone());
        Ok(found)
    }

    fn gives(&self, source: Source) -> bool {
        match source {
            Source::Checkpoint => !self.checkpoint.is_empty(),
            Source::TextEncoder => self.text_encoder.is_some(),
            upscaler => upscaler.is_upscaler() && self.spatial_upscaler.is_some(),
        }
    }

    /// Opens the files given, or makes the demo model where the plan is for it, and compares them with what `plan`
    /// reads. Files of sources that it does not read are not asked for.
    ///
    /// # Errors
    /// A search finds nothing that is clear. The demo model cannot be made: a mistake in this program.
    pub fn check(
        &self,
        plan: &Plan,
        built_for: Option<&ModelConfig>,
    ) -> Result<(ModelFiles, Report), Failure> {
        let tensors = tensors_of(plan);
        let files = self.files(plan.facts.model == "demo", &tensors, read_by(plan))?;
        let report = verify(&tensors, &files, built_for);
        Ok((files, report))
    }

    /// The files given that have these tensors, of upscalers the one that is read; or the demo model where `demo` says that
    /// it is meant.
    fn files(&self, demo: bool, tensors: &[Wanted], upscaler: Option<Source>) -> Result<ModelFiles, Failure> {
        if !self.given() && demo {
            return Ok(demo_in_memory(tensors)?);
        }
        let Found { paths, notes } = self.found(upscaler)?;
        let mut files = ModelFiles::open(&paths);
        // What cannot be read was meant as what is read.
        let unknown = files.unreadable.iter_mut().filter(|file| file.source.is_upscaler());
        unknown.for_each(|file| file.source = upscaler.unwrap_or(file.source));
        files.notes.extend(notes);
        // What was not given is said as that, not as a file that cannot be read.
        let given = |source| match source {
            Source::Checkpoint => !paths.checkpoint.is_empty(),
            Source::TextEncoder => !paths.text_encoder.as_os_str().is_empty(),
            upscaler => upscaler.is_upscaler() && paths.upscaler.is_some(),
        };
        let reads = |source| tensors.iter().any(|t| t.source == source);
        files.unreadable.retain(|file| given(file.source) && reads(file.source));
        files.fit(tensors);
        Ok(files)
    }

    /// The files of several plans, each opened once, and compared with what every plan reads. Says what of them is not read.
    ///
    /// # Errors
    /// Plans of two models; everything that keeps one of the plans from running on the files.
    pub fn open_for(&self, plans: &[&Plan]) -> Result<SharedFiles, Failure> {
        let first = plans.first().ok_or_else(|| Failure::usage("there is no plan to open files for"))?;
        let model = &first.facts.model;
        if let Some(other) = plans.iter().find(|plan| plan.facts.model != *model) {
            return Err(Failure::usage(format!(
                "the plans are for two models, and files are given once\n  have  {} for {model}, {} for {}\n  help  a run \
                 for each model",
                first.name, other.name, other.facts.model
            )));
        }
        let mut opened = Vec::new();
        for upscaler in SharedFiles::upscalers(plans) {
            let with = |plan: &&&Plan| read_by(plan).is_none_or(|read| Some(read) == upscaler);
            let tensors: BTreeSet<Wanted> =
                plans.iter().filter(with).flat_map(|plan| tensors_of(plan)).collect();
            let tensors: Vec<Wanted> = tensors.into_iter().collect();
            let files = self.files(model == "demo", &tensors, upscaler)?;
            let mut said: Vec<String> = Vec::new();
            for plan in plans.iter().filter(with) {
                let report = verify(&tensors_of(plan), &files, built_in(plan).as_ref());
                if !report.is_good() {
                    return Err(Failure::new(Kind::ModelFiles, report.text(false).trim_end()));
                }
                let new: Vec<String> = report.notes.into_iter().filter(|note| !said.contains(note)).collect();
                said.extend(new);
            }
            said.iter().for_each(terminal::note);
            opened.push((upscaler, files));
        }
        let mut opened = opened.into_iter();
        let first = opened.next().ok_or_else(|| Failure::usage("there are no files to open"))?;
        Ok(SharedFiles::of(first, opened.collect()))
    }

    /// As [`ModelArgs::check`], refusing files that do not fit and saying what of them is not read.
    ///
    /// # Errors
    /// Everything that keeps the plan from running on the files.
    pub fn open(&self, plan: &Plan, built_for: Option<&ModelConfig>) -> Result<ModelFiles, Failure> {
        let (files, report) = self.check(plan, built_for)?;
        if report.is_good() {
            report.notes.iter().for_each(terminal::note);
            Ok(files)
        } else {
            Err(Failure::new(Kind::ModelFiles, report.text(false).trim_end()))
        }
    }
}
