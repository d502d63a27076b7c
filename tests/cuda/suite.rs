//! Plans that share a card's memory: what one has brought, another one does not bring again, and results are those of plans
//! alone.

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::demo::adapters::STYLE;
use zoetrope::demo::made_up_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::session::{Session, Unwatched};
use zoetrope_compiler::{Class, Selected, select, suite};
use zoetrope_runtime::Weights;
use zoetrope_runtime::cuda::{Card, Cuda, Supply};
use zoetrope_runtime::plan::{Code, Constant, Placed, Plan};
use zoetrope_test_support::asks_for_long;

use crate::phase::{inputs, plan, plan_with};
use crate::run::ByName;
use crate::standin::StandIn;

/// A phase that is quick.
const QUICK: &str = "upscale";
/// One with weights that adapters change; a step of it.
const STEP: &str = "denoise-1";
const SIGMAS: [f32; 2] = [0.9, 0.6];

/// Text to video, the same in another size, and with a keyframe.
pub fn plans() -> [Plan; 3] {
    [plan(), plan_with("wide", 128, 0), plan_with("keyframe", 64, 1)]
}

/// The bits of the outputs of a phase.
fn bits(session: &mut Session<Cuda<'_>>, name: &str) -> Vec<u32> {
    let phase = session.plan().phase(name).unwrap();
    session.run(name, &inputs(phase), &SIGMAS, &mut Unwatched).unwrap();
    let outputs = phase.outputs.iter();
    outputs.flat_map(|port| session.output(name, &port.name).unwrap().reals()).map(f32::to_bits).collect()
}

/// Makes the weights of all phases resident that every run has, one after the other, or of all that there are.
fn load(session: &mut Session<Cuda<'_>>, all: bool) {
    let plan = session.plan();
    for phase in plan.phases.iter().filter(|phase| all || !phase.is_optional()) {
        session.load(&phase.name).unwrap();
    }
}

/// Plans, their code and weights.
struct Shared {
    plans: [Plan; 3],
    codes: Vec<Selected>,
    files: ModelFiles,
}

impl Shared {
    fn new() -> Shared {
        let plans = plans();
        let codes = plans.iter().map(|plan| select(plan, Class::Portable).unwrap()).collect();
        let files = files(&plans.iter().collect::<Vec<_>>());
        Shared { plans, codes, files }
    }

    fn begun<'a>(&'a self, placed: &'a [Placed], member: usize) -> Session<Cuda<'a>> {
        let (code, supply) = (&self.codes[member].code, Supply::Files(&self.files));
        Session::on(Cuda::in_suite(Card::first().unwrap(), &placed[member], code, &ByName, supply).unwrap())
    }

    fn changed<'a>(
        &'a self,
        placed: &'a [Placed],
        before: Session<Cuda<'a>>,
        member: usize,
    ) -> Session<Cuda<'a>> {
        let (code, supply) = (&self.codes[member].code, Supply::Files(&self.files));
        Session::on(before.into_executor().changed(&placed[member], code, &ByName, supply).unwrap())
    }

    /// What a run of a member brings behind one of another.
    fn brought(&self, placed: &[Placed], [from, to]: [usize; 2]) -> u64 {
        let mut first = self.begun(placed, from);
        load(&mut first, false);
        let before = first.executor_ref().brought_bytes();
        let mut second = self.changed(placed, first, to);
        load(&mut second, true);
        second.executor_ref().brought_bytes() - before
    }
}

/// Bytes of a plan's constants that a run without images of a plan with the same weights leaves to be brought: those that only
/// images need, and where `another` says that it is another plan, tables.
fn left(plan: &Plan, another: bool) -> u64 {
    let read = |c: u32| plan.phases.iter().any(|phase| !phase.is_optional() && phase.place(c).is_some());
    let counts = |(c, constant): &(u32, &Constant)| !read(*c) || another && constant.identity().is_none();
    (0..).zip(plan.constants.iter()).filter(counts).map(|(_, constant)| constant.bytes()).sum()
}

#[test]
fn another_plan_finds_what_is_there() {
    let Some(_stand_in) = StandIn::open() else { return };
    let shared = Shared::new();
    let plans: Vec<&Plan> = shared.plans.iter().collect();
    let long = asks_for_long("every change of plan");
    // In what the largest takes alone, and on a card that has room for all.
    for vram in [None, Some(8 << 30)] {
        let suite = suite(&plans, vram).unwrap();
        let placed: Vec<Placed> = plans.iter().map(|plan| suite.placed(plan).unwrap()).collect();
        let changes = [[0, 2], [1, 0], [0, 1], [2, 1], [1, 1]];
        for [from, to] in changes.into_iter().take(if long { 5 } else { 1 }) {
            let names = (&plans[from].name, &plans[to].name);
            let brought = shared.brought(&placed, [from, to]);
            assert_eq!(brought, suite.brought_bytes(from, to), "{names:?}");
            match vram {
                None => {
                    let mut fresh = shared.begun(&placed, to);
                    load(&mut fresh, true);
                    let alone = fresh.executor_ref().brought_bytes();
                    assert!(brought < alone, "{names:?}: {brought} of {alone} bytes");
                }
                Some(_) => assert_eq!(brought, left(plans[to], from != to), "{names:?}"),
            }
        }
        // Behind a run of another plan, the bits of the plan alone.
        for [from, to] in [[1, 0], [0, 1], [0, 2]].into_iter().take(if long { 3 } else { 1 }) {
            let phase = if long { STEP } else { QUICK };
            let alone = || {
                let (code, supply) = (&shared.codes[to].code, Supply::Files(&shared.files));
                let cuda = Cuda::new(Card::first().unwrap(), plans[to], code, &ByName, supply).unwrap();
                bits(&mut Session::on(cuda), phase)
            };
            let mut first = shared.begun(&placed, from);
            load(&mut first, true);
            if long {
                bits(&mut first, STEP);
            }
            assert!(bits(&mut shared.changed(&placed, first, to), phase) == alone(), "{to} behind {from}");
        }
    }
}

/// The made-up weights of all plans.
fn files(plans: &[&Plan]) -> ModelFiles {
    let mut tensors: Vec<_> = plans.iter().flat_map(|plan| tensors_of(plan)).collect();
    tensors.sort();
    tensors.dedup();
    made_up_in_memory(&tensors).unwrap()
}

/// Weights with other adapters are other weights, also where they would lie at the same place.
#[test]
fn other_adapters_are_brought_anew() {
    let Some(_stand_in) = StandIn::open() else { return };
    let plan = plan();
    let (code, placed, files) =
        (select(&plan, Class::Portable).unwrap(), Placed::alone(&plan), files(&[&plan]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("style.safetensors");
    std::fs::write(&path, STYLE.for_plan(&plan).unwrap()).unwrap();
    let adapters = Adapters::open(&[Given { path, strength: 4.0 }], Merge::Exact).unwrap();
    let merged = adapters.over(&files, &files.checkpoint, &plan).unwrap();
    let code: &Code = &code.code;
    let made = |weights: &dyn Weights| {
        let cuda = Cuda::new(Card::first().unwrap(), &plan, code, &ByName, Supply::Files(weights)).unwrap();
        bits(&mut Session::on(cuda), STEP)
    };
    let first =
        Cuda::in_suite(Card::first().unwrap(), &placed, code, &ByName, Supply::Files(&files)).unwrap();
    let mut session = Session::on(first);
    let plain = bits(&mut session, STEP);
    let all = session.executor_ref().brought_bytes();
    let (session, styled, brought) = changed(session, (&placed, code), &merged);
    assert!(styled == made(&merged) && styled != plain);
    assert!(0 < brought && brought < all, "{brought} of {all} bytes");
    if asks_for_long("adapters that come and go") {
        let (session, again, none) = changed(session, (&placed, code), &merged);
        assert!(again == styled && none == 0);
        let (_, back, anew) = changed(session, (&placed, code), &files);
        assert!(back == plain && anew == brought);
    }
}

/// The same executor with other weights: the bits that it makes, and how much it brings.
fn changed<'a>(
    session: Session<Cuda<'a>>,
    (placed, code): (&'a Placed, &'a Code),
    weights: &'a dyn Weights,
) -> (Session<Cuda<'a>>, Vec<u32>, u64) {
    let before = session.executor_ref().brought_bytes();
    let cuda = session.into_executor().changed(placed, code, &ByName, Supply::Files(weights)).unwrap();
    let mut session = Session::on(cuda);
    let bits = bits(&mut session, STEP);
    let brought = session.executor_ref().brought_bytes() - before;
    (session, bits, brought)
}
