//! Elements moved, not changed. Joining is no kernel: what is joined is made in its place.

use zoetrope_model_spec::lang::{Op, Value};

use crate::cuda::{Cuda, EXACT, Grid, Part, Source, UNIT, View, never};
use crate::{IntRange, Kernel, Meaning};

const SOURCE: Source =
    Source { name: "movement/movement.cu", text: include_str!("movement.cu"), includes: None };

/// Squares of two axes are turned in shared memory; `SQUARE` in the source.
const SQUARE: usize = 32;

/// Units of rows where the last axis stays the last, else squares of the two axes that are the last of x and of y.
fn permute_grid(meaning: &Meaning, part: &Part) -> Grid {
    let (x, y): (&View, &View) = (&part.reads[0], &part.write);
    let stays = matches!(&meaning.ops[0].op, Op::Permute { axes } if axes.last() == Some(&(axes.len() - 1)));
    if stays {
        return Grid::of_units(y);
    }
    let others = x.shape.iter().product::<usize>() / (x.width() * y.width()).max(1);
    let blocks = y.width().div_ceil(SQUARE) * x.width().div_ceil(SQUARE) * others;
    Grid { blocks, threads: 256, shared: SQUARE * (SQUARE + 1) * x.dtype.bytes() }
}

/// Copies, orders of axes, rows put into a stack.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("copy", "x, in a place of its own")
            .reads("x", &[".."])
            .case(&[&[5, 19]])
            .means("y", &[".."], |m, [x]| m.op(Op::Copy {}, &[x]))
            .cuda(Cuda::of_units(SOURCE, "copy")),
        Kernel::named("permute", "axes in another order")
            .reads("x", &[".."])
            .case(&[&[2, 3, 5]])
            .means("y", &[".."], |m, [x]| m.permute(x, &[2, 0, 1]))
            .cuda(Cuda {
                source: SOURCE,
                entry: "permute",
                tolerance: EXACT,
                bakes: &[],
                multiplies: never,
                launch: permute_grid,
            })
            .cuda_case("4 0 2 1 3", &[&[2, 3, 4, 5]])
            .cuda_case("3 1 2 0", &[&[3, 40, 70]])
            .cuda_case("5 4 3 0 1 2", &[&[2, 3, 4, 5, 35]])
            .cuda_case("5 4 1 2 3 0", &[&[34, 2, 3, 4, 5]])
            .cuda_case("2 1 0", &[&[45, 2]]),
        Kernel::named("put_row", "a stack with one row of one entry replaced")
            .reads("x", &["entries", "rows", "dim"])
            .or_in_place()
            .reads("y", &["1", "dim"])
            .reads_ints("entry", &["1"], IntRange::RowsOf(0))
            .reads_ints("row", &["1"], IntRange::Along(0, 1))
            .case(&[&[4, 3, 19], &[1, 19], &[1], &[1]])
            .means("z", &["entries", "rows", "dim"], |m, inputs: [Value; 4]| m.op(Op::PutRow {}, &inputs))
            .cuda(Cuda {
                // Threads for the row; where the stack moves too, each of them goes through it in strides.
                launch: |_, part| {
                    let blocks = part.write.width().div_ceil(UNIT).div_ceil(256);
                    Grid { blocks, threads: 256, shared: 0 }
                },
                ..Cuda::of_units(SOURCE, "put_row")
            })
            .cuda_case("", &[&[2, 7, 4100], &[1, 4100], &[1], &[1]]),
        Kernel::named("upsample", "nearest, twice the height and width")
            .reads("x", &["height", "width", "channels"])
            .case(&[&[3, 4, 5]])
            .means("y", &["rows", "columns", "channels"], |m, [x]| m.op(Op::Upsample {}, &[x]))
            .cuda(Cuda::of_units(SOURCE, "upsample")),
    ]
}
