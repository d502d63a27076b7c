//! Which frames of its operand an op needs for which frames of its result.

use std::ops::Range;

use zoetrope_model_spec::lang::{Graph, Op, OpStmt};

/// How far an op looks along time, the first axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Frame t is made from frame t.
    Same,
    /// From the frames t − 1 to t + 1, of which the clip's edges are repeated.
    Neighbours,
    /// A frame unfolds into `times`, and the first `drop` of the first ones are left out.
    Unfold { times: usize, drop: usize },
}

impl Reach {
    /// What is known of `stmt`; `None` for ops that do not go frame by frame.
    pub fn of(graph: &Graph, stmt: &OpStmt) -> Option<Reach> {
        let shape = |i: usize| stmt.inputs.get(i).map_or(&[][..], |v| graph.info(*v).shape.as_slice());
        match &stmt.op {
            Op::Conv { pads, replicate: true, .. } => {
                let same = shape(0).len() == 4 && shape(1)[1] == 3 && pads[..2] == [1, 1];
                same.then_some(Reach::Neighbours)
            }
            Op::DepthToSpace { st, drop, .. } => {
                (drop < st).then_some(Reach::Unfold { times: *st, drop: *drop })
            }
            Op::Binary { .. } => (shape(0) == shape(1)).then_some(Reach::Same),
            Op::Unary { .. }
            | Op::Affine { .. }
            | Op::Clamp { .. }
            | Op::Cast { .. }
            | Op::RmsNorm { .. }
            | Op::Unpatchify { .. }
            | Op::Yuv420 {} => Some(Reach::Same),
            _ => None,
        }
    }

    /// Frames of the result for one frame of the operand, and how many of the first are left out.
    pub fn unfolds(self) -> (usize, usize) {
        match self {
            Reach::Same | Reach::Neighbours => (1, 0),
            Reach::Unfold { times, drop } => (times, drop),
        }
    }

    /// Frames of the result that can be made from the first `have` of `all` frames.
    pub fn makes(self, have: usize, all: usize) -> usize {
        match self {
            Reach::Neighbours if have < all => have.saturating_sub(1),
            Reach::Same | Reach::Neighbours => have,
            Reach::Unfold { times, drop } => (times * have).saturating_sub(drop),
        }
    }

    /// The frames of `all` that the frames `out` of the result are made from.
    pub fn reads(self, out: &Range<usize>, all: usize) -> Range<usize> {
        match self {
            Reach::Same => out.clone(),
            Reach::Neighbours => out.start.saturating_sub(1)..(out.end + 1).min(all),
            Reach::Unfold { times, drop } => (out.start + drop) / times..(out.end + drop).div_ceil(times),
        }
    }

    /// `op` for the frames `out` of `all` frames of its result: only the clip's own edges are repeated or dropped.
    pub fn piece(self, op: &Op, out: &Range<usize>, all: usize) -> Op {
        let mut piece = op.clone();
        match (self, &mut piece) {
            (Reach::Neighbours, Op::Conv { pads, .. }) => {
                pads[0] = usize::from(out.start == 0);
                pads[1] = usize::from(out.end == all);
            }
            (Reach::Unfold { times, drop }, Op::DepthToSpace { drop: first, .. }) => {
                *first = (out.start + drop) % times;
            }
            _ => {}
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frontiers of conv, unfold, conv, unfold, conv for a clip of `all` frames, `seen` of them seen.
    fn frontiers(all: usize, seen: usize) -> Vec<usize> {
        let unfold = Reach::Unfold { times: 2, drop: 1 };
        let chain = [Reach::Neighbours, unfold, Reach::Neighbours, unfold, Reach::Neighbours];
        let mut frames = (seen, all);
        let step = |reach: &Reach| {
            frames = (reach.makes(frames.0, frames.1), reach.makes(frames.1, frames.1));
            frames.0
        };
        chain.iter().map(step).collect()
    }

    #[test]
    fn frontiers_lag_and_close_up_at_the_end() {
        assert_eq!(frontiers(6, 1), [0, 0, 0, 0, 0]);
        assert_eq!(frontiers(6, 2), [1, 1, 0, 0, 0]);
        assert_eq!(frontiers(6, 3), [2, 3, 2, 3, 2]);
        assert_eq!(frontiers(6, 4), [3, 5, 4, 7, 6]);
        // T frames become 2T − 1, and those 2(2T − 1) − 1.
        assert_eq!(frontiers(6, 6), [6, 11, 11, 21, 21]);
    }

    #[test]
    fn pieces_read_what_the_whole_would() {
        let conv = Reach::Neighbours;
        assert_eq!(
            [conv.reads(&(0..2), 6), conv.reads(&(2..5), 6), conv.reads(&(5..6), 6)],
            [0..3, 1..6, 4..6]
        );
        let unfold = Reach::Unfold { times: 2, drop: 1 };
        assert_eq!([unfold.reads(&(0..1), 6), unfold.reads(&(1..5), 6)], [0..1, 1..3]);
        let op = Op::DepthToSpace { st: 2, sh: 2, sw: 2, drop: 1 };
        assert_eq!(unfold.piece(&op, &(0..1), 11), op);
        assert_eq!(unfold.piece(&op, &(1..5), 11), Op::DepthToSpace { st: 2, sh: 2, sw: 2, drop: 0 });
    }
}
