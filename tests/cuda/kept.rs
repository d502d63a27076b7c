//! Weights that stay encoded on the card: what the loader copies there and kernels decode gives what the CPU gives.

use zoetrope::session::{Session, Unwatched};
use zoetrope_model_spec::lang::Kept;
use zoetrope_runtime::Executor;
use zoetrope_runtime::plan::Phase;

use crate::phase::{Demo, inputs, plan_keeping};
use crate::standin::StandIn;

/// Of the plans on the stand-in, what one keeps its weights in.
pub const KEPT: Kept = Kept::Q8_0;

const PHASE: &str = "denoise-1";
const SIGMAS: [f32; 2] = [0.9, 0.6];

#[test]
fn kernels_on_the_card_decode_what_the_loader_brought() {
    let Some(_stand_in) = StandIn::open() else { return };
    let demo = Demo::of(plan_keeping(KEPT));
    let phase = demo.plan.phase(PHASE).unwrap();
    let encoded = phase
        .launches()
        .filter(|(launch, _)| demo.plan.kernels[launch.kernel as usize].name.starts_with("decode_"));
    assert!(encoded.count() > 10);
    fn outputs<'a, E: Executor<'a>>(mut session: Session<E>, phase: &Phase) -> Vec<f32> {
        session.run(PHASE, &inputs(phase), &SIGMAS, &mut Unwatched).unwrap();
        phase.outputs.iter().flat_map(|port| session.output(PHASE, &port.name).unwrap().reals()).collect()
    }
    let card = outputs(Session::on(demo.cuda(&demo.plan, &demo.selected.code).unwrap()), phase);
    let cpu = outputs(Session::poisoned(&demo.plan, &demo.files).unwrap(), phase);
    let sum = |of: &dyn Fn(usize) -> f32| (0..cpu.len()).map(|i| f64::from(of(i)).powi(2)).sum::<f64>();
    let off = (sum(&|i| card[i] - cpu[i]) / sum(&|i| cpu[i])).sqrt();
    assert!(off < 2e-2, "{off} from the CPU");
}
