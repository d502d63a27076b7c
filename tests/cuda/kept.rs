//! Weights that stay encoded on the card: what the loader copies there and kernels decode gives what the CPU gives.

use zoetrope_model_spec::lang::Kept;

use crate::phase::{Demo, plan_keeping};
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
    let error = demo.error(&demo.selected.code, PHASE, &SIGMAS);
    // Written so that a NaN fails.
    assert!(error < 2e-2, "{error} from the CPU");
}
