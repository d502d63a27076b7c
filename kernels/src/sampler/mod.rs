//! What the sampler does to latents between evaluations (docs/model/sampling.md).

use zoetrope_model_spec::lang::Op;

use crate::Kernel;
use crate::cuda::{Cuda, Grid, Source};

const SOURCE: Source =
    Source { name: "sampler/sampler.cu", text: include_str!("sampler.cu"), includes: None };

/// Noise, mixing, steps.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("normal", "standard normal numbers of a counter-based generator")
            .reads_ints("seed", &["2"], crate::IntRange::Below(1 << 30))
            .case(&[&[2]])
            .means("y", &[".."], |m, [seed]| m.op(Op::Normal { stream: 1, shape: vec![5, 19] }, &[seed]))
            .cuda(Cuda {
                launch: |_, part| {
                    let fours = (part.write.rows() * part.write.width()).div_ceil(4);
                    Grid { blocks: fours.div_ceil(256), threads: 256, shared: 0 }
                },
                ..Cuda::of_units(SOURCE, "normal")
            })
            .cuda_case("3 3 2 17 30", &[&[2]]),
        Kernel::named("mix", "start + (noise − start)·scale")
            .reads("start", &["..", "dim"])
            .reads("noise", &["..", "dim"])
            .reads("scale", &["1"])
            .case(&[&[5, 19], &[5, 19], &[1]])
            .means("y", &["..", "dim"], |m, [start, noise, scale]| {
                m.add(start, m.mul(m.sub(noise, start), scale))
            })
            .cuda(Cuda::of_units(SOURCE, "mix")),
        Kernel::named("euler_step", "x0 = x − v·sigma; x + (x − x0)/sigma·Δsigma")
            .reads("velocity", &["..", "dim"])
            .reads("sigma", &["1"])
            .reads("d_sigma", &["1"])
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[5, 19], &[1], &[1], &[5, 19]])
            .means("y", &["..", "dim"], |m, [velocity, sigma, d_sigma, x]| {
                let x0 = m.sub(x, m.mul(velocity, sigma));
                m.add(x, m.mul(m.div(m.sub(x, x0), sigma), d_sigma))
            })
            .cuda(Cuda::of_units(SOURCE, "euler_step")),
    ]
}
