//! What the sampler does to latents between steps (docs/model/sampling.md).

mod denoised;

use zoetrope_model_spec::lang::{Op, Value};

use crate::Kernel;
use crate::cuda::{Cuda, Grid, Source};

const SOURCE: Source =
    Source { name: "sampler/sampler.cu", text: include_str!("sampler.cu"), includes: None };

/// The block that goes over a whole tensor.
const BLOCK: Grid = Grid { blocks: 1, threads: 1024, shared: 1024 / 32 * 8 };

/// A kernel of one such block.
fn of_block(entry: &'static str) -> Cuda {
    Cuda { launch: |_, _| BLOCK, ..Cuda::of_units(SOURCE, entry) }
}

/// Noise, mixing, guidance, steps.
pub fn declare() -> Vec<Kernel> {
    let combined = [
        combine::<4>("combine_2", "x·of_x + a·of_a"),
        combine::<6>("combine_3", "x·of_x + a·of_a + b·of_b"),
        combine::<8>("combine_4", "x·of_x + a·of_a + b·of_b + c·of_c"),
        combine::<10>("combine_5", "x·of_x + a·of_a + b·of_b + c·of_c + d·of_d"),
    ];
    random().into_iter().chain(steps()).chain(denoised::declare()).chain(combined).collect()
}

/// Noise and statistics.
fn random() -> Vec<Kernel> {
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
        Kernel::named("deviation", "the standard deviation of all elements")
            .reads("x", &["..", "dim"])
            .case(&[&[37, 19]])
            .means("y", &["1"], |m, [x]| m.op(Op::Deviation {}, &[x]))
            .cuda(of_block("deviation"))
            .cuda_case("", &[&[1100, 24]]),
        Kernel::named("deviation_visible", "the standard deviation of all elements of visible rows")
            .reads("x", &["tokens", "dim"])
            .reads("visible", &["tokens"])
            .case(&[&[37, 19], &[37]])
            .means("y", &["1"], |m, inputs: [Value; 2]| m.op(Op::Deviation {}, &inputs))
            .cuda(of_block("deviation_visible"))
            .cuda_case("", &[&[1100, 24], &[1100]]),
        Kernel::named("standardize", "x less its mean, over its standard deviation")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[37, 19]])
            .means("y", &["..", "dim"], |m, [x]| m.op(Op::Standardize {}, &[x]))
            .cuda(of_block("standardize"))
            .cuda_case("", &[&[1100, 24]]),
        Kernel::named("standardize_visible", "x less its mean, over its deviation, both of visible rows")
            .reads("x", &["tokens", "dim"])
            .or_in_place()
            .reads("visible", &["tokens"])
            .case(&[&[37, 19], &[37]])
            .means("y", &["tokens", "dim"], |m, inputs: [Value; 2]| m.op(Op::Standardize {}, &inputs))
            .cuda(of_block("standardize_visible"))
            .cuda_case("", &[&[1100, 24], &[1100]]),
    ]
}

fn steps() -> Vec<Kernel> {
    vec![
        Kernel::named("mix", "start + (noise − start)·scale")
            .reads("start", &["..", "dim"])
            .reads("noise", &["..", "dim"])
            .reads("scale", &["1"])
            .case(&[&[5, 19], &[5, 19], &[1]])
            .means("y", &["..", "dim"], |m, [start, noise, scale]| {
                m.add(start, m.mul(m.sub(noise, start), scale))
            })
            .cuda(Cuda::of_units(SOURCE, "mix")),
        Kernel::named("denoised", "x0 = x − v·sigma")
            .reads("velocity", &["..", "dim"])
            .reads("sigma", &["1"])
            .reads("x", &["..", "dim"])
            .case(&[&[5, 19], &[1], &[5, 19]])
            .means("y", &["..", "dim"], |m, [velocity, sigma, x]| m.sub(x, m.mul(velocity, sigma)))
            .cuda(Cuda::of_units(SOURCE, "denoised")),
        Kernel::named(
            "guide",
            "guided + (cond − other)·(scale + offset): one pass more in a guided prediction",
        )
        .reads("guided", &["..", "dim"])
        .or_in_place()
        .reads("cond", &["..", "dim"])
        .reads("other", &["..", "dim"])
        .reads("scale", &["1"])
        .case(&[&[5, 19], &[5, 19], &[5, 19], &[1]])
        .means("y", &["..", "dim"], |m, [guided, cond, other, scale]| {
            m.add(guided, m.mul(m.sub(cond, other), m.affine(scale, 1.0, -1.0)))
        })
        .cuda(Cuda::of_units(SOURCE, "guide")),
    ]
}

/// Operands of a sum and their coefficients.
const TERMS: [[&str; 2]; 5] = [["x", "of_x"], ["a", "of_a"], ["b", "of_b"], ["c", "of_c"], ["d", "of_d"]];

/// A sum of operands, each times a coefficient: a solver's next state. `OPERANDS` counts both.
fn combine<const OPERANDS: usize>(name: &'static str, doc: &'static str) -> Kernel {
    let (mut draft, mut shapes): (_, Vec<&[usize]>) = (Kernel::named(name, doc), Vec::new());
    for [operand, coefficient] in &TERMS[..OPERANDS / 2] {
        draft = draft.reads(operand, &["..", "dim"]);
        if shapes.is_empty() {
            draft = draft.or_in_place();
        }
        draft = draft.reads(coefficient, &["1"]);
        shapes.push(&[5, 19]);
        shapes.push(&[1]);
    }
    draft
        .case(&shapes)
        .means("sum", &["..", "dim"], |m, operands: [Value; OPERANDS]| {
            let terms = operands.chunks(2).map(|term| m.mul(term[0], term[1]));
            terms.reduce(|sum, term| m.add(sum, term)).expect("a sum has terms")
        })
        .cuda(Cuda::of_units(SOURCE, name))
}
