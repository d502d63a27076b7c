//! The demo on the stand-in, and one phase of it on inputs that mean nothing, for tests of the executor itself.

use std::path::Path;
use std::sync::OnceLock;

use zoetrope::demo::made_up_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::frontend::{compile_target, load_target};
use zoetrope_compiler::{Class, Selected, select};
use zoetrope_model_spec::lang::Kept;
use zoetrope_model_spec::ltx::enhance::Enhance;
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::cuda::{Card, Cuda, Supply};
use zoetrope_runtime::plan::{Code, Dtype, Phase, Plan};
use zoetrope_runtime::{Result, Weights};
use zoetrope_test_support::golden::rel_l2;

use crate::run::ByName;

/// A plan of the demo model, its functions for cards of either class, and its weights.
pub struct Demo {
    pub plan: Plan,
    /// Portable.
    pub selected: Selected,
    pub hopper: Selected,
    pub files: ModelFiles,
}

/// The clip of `small.toml`, made in another way.
pub fn plan_by(recipe: &str) -> Plan {
    plan_of(recipe, target().dtype)
}

/// The same with another type of numbers.
pub fn plan_of(recipe: &str, dtype: zoetrope_model_spec::lang::Dtype) -> Plan {
    let recipe = Recipe::named(recipe).expect("a recipe of this name");
    compile_target(&Target { recipe, dtype, ..target() }, "".as_ref()).unwrap()
}

/// The clip of `small.toml` in one stage, with weights that stay encoded.
pub fn plan_keeping(kept: Kept) -> Plan {
    let recipe = Recipe::named("distilled-single-stage").expect("a recipe of this name");
    compile_target(&Target { recipe, weights: Some(kept), ..target() }, "".as_ref()).unwrap()
}

fn target() -> Target {
    load_target(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/small.toml")).unwrap()
}

/// The plan of `small.toml`, which is also built into the binary that `.ci/run` starts on the stand-in.
pub fn plan() -> Plan {
    compile_target(&target(), "".as_ref()).unwrap()
}

/// The same by another name, of another width, and with room for so many keyframes.
pub fn plan_with(name: &str, width: usize, keyframes: usize) -> Plan {
    let mut target = Target { name: name.into(), ..target() };
    target.size.width = width;
    target.recipe.with_keyframes(keyframes);
    compile_target(&target, "".as_ref()).unwrap()
}

/// The same with phases that enhance a prompt, in a chat of few tokens and, if it shall be, an image.
pub fn plan_that_writes(image: bool) -> Plan {
    compile_target(&Target { enhance: Some(Enhance { tokens: 64, image }), ..target() }, "".as_ref()).unwrap()
}

impl Demo {
    /// Of `small.toml`, once for all tests.
    pub fn shared() -> &'static Demo {
        static SHARED: OnceLock<Demo> = OnceLock::new();
        SHARED.get_or_init(|| Demo::of(plan()))
    }

    pub fn of(plan: Plan) -> Demo {
        let [selected, hopper] = Class::ALL.map(|class| select(&plan, class).unwrap());
        // Made-up weights, whose results are all about equally large: what a trained model makes of nothing, silence, has
        // no relative error.
        let files = made_up_in_memory(&tensors_of(&plan)).unwrap();
        Demo { plan, selected, hopper, files }
    }

    /// An executor of `plan` by `code`.
    pub fn cuda<'a>(&'a self, plan: &'a Plan, code: &'a Code) -> Result<Cuda<'a>> {
        Cuda::new(Card::first()?, plan, code, &ByName, Supply::Files(&self.files))
    }

    /// The same on other weights than those of the demo's files.
    pub fn cuda_with<'a>(&'a self, weights: &'a dyn Weights) -> Result<Cuda<'a>> {
        Cuda::new(Card::first()?, &self.plan, &self.selected.code, &ByName, Supply::Files(weights))
    }

    /// The bits of all outputs of a phase of `plan`.
    pub fn outputs(&self, plan: &Plan, code: &Code, name: &str, sigmas: &[f32]) -> Result<Vec<u32>> {
        let phase = plan.phase(name).expect("a phase of the demo");
        let mut session = Session::on(self.cuda(plan, code)?);
        session.run(name, &inputs(phase), sigmas, &mut Unwatched)?;
        let mut bits = Vec::new();
        for port in phase.outputs.iter() {
            bits.extend(session.output(name, &port.name)?.reals().iter().map(|x| x.to_bits()));
        }
        Ok(bits)
    }

    /// How far the outputs of a phase on the card, by `code`, are from the CPU executor's: the relative L2 distance.
    pub fn error(&self, code: &Code, name: &str, sigmas: &[f32]) -> f64 {
        let have = self.outputs(&self.plan, code, name, sigmas).unwrap();
        let have: Vec<f32> = have.into_iter().map(f32::from_bits).collect();
        let phase = self.plan.phase(name).expect("a phase of the demo");
        let mut session = Session::poisoned(&self.plan, &self.files).unwrap();
        session.run(name, &inputs(phase), sigmas, &mut Unwatched).unwrap();
        let outputs = phase.outputs.iter();
        let want: Vec<f32> =
            outputs.flat_map(|port| session.output(name, &port.name).unwrap().reals().to_vec()).collect();
        rel_l2(&have, &want)
    }
}

/// Small numbers for every port that holds real ones, zeros for the others.
pub fn inputs(phase: &Phase) -> Named {
    let value = |port: &zoetrope_runtime::plan::Port| {
        let shape: Vec<usize> = port.shape.iter().map(|n| *n as usize).collect();
        let count: usize = shape.iter().product();
        match port.dtype {
            Dtype::I32 => Tensor::int(&shape, vec![0; count]),
            _ => Tensor::real(&shape, (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()),
        }
    };
    phase.inputs.iter().map(|port| (port.name.to_string(), value(port))).collect()
}
