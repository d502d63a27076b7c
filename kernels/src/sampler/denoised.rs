//! x0, the prediction of what is without noise: of one pass or of several, and held to what is given.

use zoetrope_model_spec::lang::{Builder, Value};

use super::SOURCE;
use crate::cuda::Cuda;
use crate::{IntRange, Kernel};

/// Predictions, and what holds them.
pub(super) fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("denoised_classes", "x0 = x − v·timestep of each token's class")
            .reads("velocity", &["tokens", "dim"])
            .reads("timesteps", &["classes", "1"])
            .reads_ints("class", &["tokens"], IntRange::RowsOf(1))
            .reads("x", &["tokens", "dim"])
            .or_in_place()
            .case(&[&[5, 19], &[3, 1], &[5], &[5, 19]])
            .means("y", &["tokens", "dim"], |m, [velocity, timesteps, class, x]| {
                denoised(m, x, velocity, timesteps, class)
            })
            .cuda(Cuda::of_units(SOURCE, "denoised_classes")),
        Kernel::named(
            "denoised_classes_held",
            "x0 = x − v·timestep; x0·mask + clean·(1 − mask), both of each token's class",
        )
        .reads("velocity", &["tokens", "dim"])
        .reads("timesteps", &["classes", "1"])
        .reads("clean", &["tokens", "dim"])
        .reads("mask", &["classes", "1"])
        .reads_ints("class", &["tokens"], IntRange::RowsOf(1))
        .reads("x", &["tokens", "dim"])
        .or_in_place()
        .case(&[&[5, 19], &[3, 1], &[5, 19], &[3, 1], &[5], &[5, 19]])
        .means("y", &["tokens", "dim"], |m, [velocity, timesteps, clean, mask, class, x]| {
            held(m, denoised(m, x, velocity, timesteps, class), clean, mask, class)
        })
        .cuda(Cuda::of_units(SOURCE, "denoised_classes_held")),
        Kernel::named("rescaled", "guided·(1 + rescale·(ratio of deviations − 1))")
            .reads("guided", &["..", "dim"])
            .or_in_place()
            .reads("cond_deviation", &["1"])
            .reads("deviation", &["1"])
            .reads("rescale", &["1"])
            .case(&[&[5, 19], &[1], &[1], &[1]])
            .means("y", &["..", "dim"], |m, [guided, cond_deviation, deviation, rescale]| {
                rescaled(m, guided, [cond_deviation, deviation, rescale])
            })
            .cuda(Cuda::of_units(SOURCE, "rescaled")),
        Kernel::named(
            "rescaled_held",
            "x0 = guided·(1 + rescale·(ratio of deviations − 1)); x0·mask + clean·(1 − mask), mask of each token's class",
        )
        .reads("guided", &["tokens", "dim"])
        .or_in_place()
        .reads("cond_deviation", &["1"])
        .reads("deviation", &["1"])
        .reads("rescale", &["1"])
        .reads("clean", &["tokens", "dim"])
        .reads("mask", &["classes", "1"])
        .reads_ints("class", &["tokens"], IntRange::RowsOf(5))
        .case(&[&[5, 19], &[1], &[1], &[1], &[5, 19], &[3, 1], &[5]])
        .means(
            "y",
            &["tokens", "dim"],
            |m, [guided, cond_deviation, deviation, rescale, clean, mask, class]| {
                let x0 = rescaled(m, guided, [cond_deviation, deviation, rescale]);
                held(m, x0, clean, mask, class)
            },
        )
        .cuda(Cuda::of_units(SOURCE, "rescaled_held")),
        Kernel::named("held", "x·mask + clean·(1 − mask), mask of each token's class")
            .reads("x", &["tokens", "dim"])
            .or_in_place()
            .reads("clean", &["tokens", "dim"])
            .reads("mask", &["classes", "1"])
            .reads_ints("class", &["tokens"], IntRange::RowsOf(2))
            .case(&[&[5, 19], &[5, 19], &[3, 1], &[5]])
            .means("y", &["tokens", "dim"], |m, [x, clean, mask, class]| held(m, x, clean, mask, class))
            .cuda(Cuda::of_units(SOURCE, "held")),
    ]
}

fn denoised(m: &Builder, x: Value, velocity: Value, timesteps: Value, class: Value) -> Value {
    m.sub(x, m.mul(velocity, m.gather(timesteps, class)))
}

/// Of deviations of the conditional prediction and of the guided one, and how far the first is to be kept.
pub(super) fn rescaled(m: &Builder, guided: Value, [cond, own, rescale]: [Value; 3]) -> Value {
    let ratio = m.affine(m.div(cond, own), 1.0, -1.0);
    m.mul(guided, m.affine(m.mul(ratio, rescale), 1.0, 1.0))
}

fn held(m: &Builder, x: Value, clean: Value, mask: Value, class: Value) -> Value {
    let mask = m.gather(mask, class);
    m.add(m.mul(x, mask), m.mul(clean, m.affine(mask, -1.0, 1.0)))
}
