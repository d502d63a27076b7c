//! What turns tokens into contexts, beside products and attention.

use zoetrope_model_spec::lang::Op;

use crate::cuda::{Cuda, EXACT, Grid, Source, never};
use crate::{IntRange, Kernel};

const SOURCE: Source = Source { name: "text/text.cu", text: include_str!("text.cu"), includes: None };

/// A thread for every frequency of every number.
fn embedding(entry: &'static str) -> Cuda {
    Cuda {
        source: SOURCE,
        entry,
        tolerance: EXACT,
        bakes: &[],
        multiplies: never,
        launch: |_, part| {
            let frequencies = part.write.rows() * part.write.width() / 2;
            Grid { blocks: frequencies.div_ceil(256), threads: 256, shared: 0 }
        },
    }
}

/// Look-ups, masks, registers, timestep embeddings.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("gather", "rows of a table by index")
            .reads("table", &["rows", ".."])
            .reads_ints("index", &["n"], IntRange::RowsOf(0))
            .case(&[&[7, 16], &[5]])
            .means("y", &["n", ".."], |m, [table, index]| m.gather(table, index))
            .cuda(Cuda::of_units(SOURCE, "gather"))
            .cuda_case("", &[&[7, 3, 5], &[4]])
            .cuda_case("", &[&[9], &[20]]),
        Kernel::named("gather_scale", "rows of a table by index, times one number")
            .reads("table", &["rows", "dim"])
            .reads_ints("index", &["n"], IntRange::RowsOf(0))
            .reads("scale", &["1"])
            .case(&[&[7, 16], &[5], &[1]])
            .means("y", &["n", "dim"], |m, [table, index, scale]| m.mul(m.gather(table, index), scale))
            .cuda(Cuda::of_units(SOURCE, "gather_scale")),
        Kernel::named("mask_rows", "rows with mask 0 become zeros")
            .reads("x", &["n", "dim"])
            .reads_ints("mask", &["n"], IntRange::Below(2))
            .case(&[&[7, 16], &[7]])
            .means("y", &["n", "dim"], |m, [x, mask]| m.op(Op::MaskRows {}, &[x, mask]))
            .cuda(Cuda::of_units(SOURCE, "mask_rows")),
        Kernel::named("place_registers", "valid rows first, registers after them")
            .reads("x", &["n", "dim"])
            .reads_ints("mask", &["n"], IntRange::Below(2))
            .reads("registers", &["registers", "dim"])
            .case(&[&[8, 16], &[8], &[4, 16]])
            .means("y", &["n", "dim"], |m, [x, mask, registers]| {
                m.op(Op::PlaceRegisters {}, &[x, mask, registers])
            })
            .cuda(Cuda {
                launch: |_, part| Grid { blocks: part.write.rows(), threads: 256, shared: 257 * 4 },
                ..Cuda::of_units(SOURCE, "place_registers")
            })
            .cuda_case("", &[&[300, 20], &[300], &[7, 20]]),
        Kernel::named("sinusoid", "cosines and sines of a timestep")
            .reads("t", &["n"])
            .case(&[&[3]])
            .means("y", &["n", "dim"], |m, [t]| m.op(Op::Sinusoid { half: 8 }, &[t]))
            .cuda(embedding("sinusoid")),
        Kernel::named("affine_sinusoid", "cosines and sines of t·scale + offset")
            .reads("t", &["n"])
            .case(&[&[3]])
            .means("y", &["n", "dim"], |m, [t]| m.op(Op::Sinusoid { half: 8 }, &[m.affine(t, 1000.0, 0.0)]))
            .cuda(embedding("affine_sinusoid")),
    ]
}
