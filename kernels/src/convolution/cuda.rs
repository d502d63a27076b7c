//! Grids of convolutions: tiles of positions and channels.

use zoetrope_model_spec::lang::{Dtype, Op, infer};

use crate::Meaning;
use crate::cuda::{Cuda, Grid, Part, ROUNDED, Source, View, two_factors};

/// Tiles of the convolution's own result, whatever it unfolds into. Taps are compiled in.
pub(super) fn product(source: Source, entry: &'static str) -> Cuda {
    Cuda { source, entry, tolerance: ROUNDED, bakes: &[1], multiplies: two_factors, launch: product_grid }
}

fn product_grid(meaning: &Meaning, part: &Part) -> Grid {
    let (x, w) = (&part.reads[0], &part.reads[1]);
    let conv = meaning.ops.iter().map(|op| &op.op).find(|op| matches!(op, Op::Conv { .. }));
    let inputs = [(Dtype::F32, x.shape.as_slice()), (Dtype::F32, w.shape.as_slice())];
    let shape = conv.and_then(|conv| infer(conv, &inputs).ok()).map_or(Vec::new(), |(_, shape)| shape);
    let result = View { shape, ..part.write.clone() };
    let normed = meaning.ops.iter().any(|op| matches!(op.op, Op::RmsNorm { .. }));
    let tensor = x.dtype == Dtype::Bf16 && w.dtype == Dtype::Bf16;
    let near = conv.is_some_and(|conv| matches!(conv, Op::Conv { stride: 1, dilation: 1, .. }));
    if let (true, Some(halo)) = (tensor && near, halo(w)) {
        return halo.grid(&result, normed);
    }
    let grid = Grid::of_tiles(x, w, &result);
    // Where each row of a tile is; behind a norm also a factor for each row and tap.
    let taps: usize = if normed { w.shape[1..w.shape.len() - 1].iter().product() } else { 0 };
    let rows = if tensor { 128 } else { 64 };
    Grid { shared: grid.shared + rows * (12 + 4 * taps), ..grid }
}

/// Taps of filters that `halo.cu` takes.
struct Halo {
    time: usize,
    down: usize,
    across: usize,
    out: usize,
}

/// `takes_halo` of `halo.cu`, as far as filters decide it.
fn halo(w: &View) -> Option<Halo> {
    let (out, time, down, across, channels) = match w.shape[..] {
        [out, time, down, across, channels] => (out, time, down, across, channels),
        [out, down, across, channels] => (out, 1, down, across, channels),
        _ => return None,
    };
    let near = time.max(down).max(across) <= 3 && down * across > 1;
    (near && channels.is_multiple_of(8)).then_some(Halo { time, down, across, out })
}

impl Halo {
    /// Positions along both sides of a block's patch.
    const SIDE: usize = 16;

    fn grid(&self, result: &View, normed: bool) -> Grid {
        let columns = if self.out <= 64 { 64 } else { 128 };
        let positions = (Self::SIDE + self.down - 1) * (Self::SIDE + self.across - 1);
        let factors = if normed { self.time * positions * 4 } else { 0 };
        // Two patches and four stages of filters, 32 channels of each.
        let shared = (2 * positions + 4 * columns) * 32 * 2 + factors;
        let [leading @ .., height, width, _] = result.shape.as_slice() else {
            return Grid { blocks: 0, threads: 256, shared };
        };
        let tiles =
            leading.iter().product::<usize>() * height.div_ceil(Self::SIDE) * width.div_ceil(Self::SIDE);
        Grid { blocks: tiles * self.out.div_ceil(columns), threads: 256, shared }
    }
}

/// A thread for a unit of what unfolds.
pub(super) fn unfold_grid(_: &Meaning, part: &Part) -> Grid {
    Grid::of_units(&part.reads[0])
}

/// Tiles of samples of one phase, for every phase.
pub(super) fn transposed(source: Source) -> Cuda {
    let launch = |meaning: &Meaning, part: &Part| {
        let stride = match meaning.ops[0].op {
            Op::ConvTranspose { stride, .. } => stride,
            _ => 1,
        };
        let samples = part.write.rows() / stride + 2;
        let phase = View { shape: vec![samples, part.write.width()], ..part.write.clone() };
        let grid = Grid::of_tiles(&part.reads[0], &part.reads[1], &phase);
        Grid { blocks: grid.blocks * stride, ..grid }
    };
    Cuda {
        source,
        entry: "conv_transpose_bias",
        tolerance: ROUNDED,
        bakes: &[],
        multiplies: two_factors,
        launch,
    }
}
