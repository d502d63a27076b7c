//! The model files of several plans, opened once: plans differ in the upscaler that they read, and in nothing else.

use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileError, Tensor};
use zoetrope_runtime::plan::{Plan, Source};

use super::ModelFiles;
use super::upscaler::read_by;
use crate::tokenize::{TokenizeError, Tokenizer};

/// Files by the upscaler among them.
pub struct SharedFiles {
    first: (Option<Source>, ModelFiles),
    others: Vec<(Option<Source>, ModelFiles)>,
}

impl SharedFiles {
    /// Those that plans with these upscalers read.
    pub fn of(first: (Option<Source>, ModelFiles), others: Vec<(Option<Source>, ModelFiles)>) -> SharedFiles {
        SharedFiles { first, others }
    }

    /// The upscalers of plans, each once: the files of a plan that reads none are those of any other one.
    pub fn upscalers(plans: &[&Plan]) -> Vec<Option<Source>> {
        let mut upscalers: Vec<Option<Source>> = plans.iter().map(|plan| read_by(plan)).collect();
        upscalers.sort_unstable();
        upscalers.dedup();
        if upscalers.len() > 1 {
            upscalers.retain(Option::is_some);
        }
        upscalers
    }

    fn all(&self) -> impl Iterator<Item = &(Option<Source>, ModelFiles)> {
        [&self.first].into_iter().chain(&self.others)
    }

    /// The files that one of the plans reads.
    pub fn of_plan(&self, plan: &Plan) -> &ModelFiles {
        let wanted = read_by(plan);
        let reads = |(of, _): &&(Option<Source>, ModelFiles)| wanted.is_some() && *of == wanted;
        &self.all().find(reads).unwrap_or(&self.first).1
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// None was given.
    pub fn tokenizer(&self) -> Result<&Tokenizer, TokenizeError> {
        self.first.1.tokenizer()
    }
}

impl Weights for SharedFiles {
    fn tensor(&self, source: Source, name: &str) -> Option<Tensor<'_>> {
        self.all().find_map(|(_, files)| files.tensor(source, name))
    }

    fn unchanged(&self) -> Result<(), FileError> {
        self.all().try_for_each(|(_, files)| files.unchanged())
    }
}
