//! Which frames of its operand an op needs for which frames of its result.

use std::ops::Range;

use zoetrope_model_spec::lang::{Graph, Op, OpStmt, Value};

/// How far an op looks along time, the first axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Frame t is made from frame t.
    Same,
    /// From three frames, the first of which is t − before; the clip's edges are repeated, so often `before` the first
    /// frame and `after` the last one. Causal where `after` is 0.
    Three { before: usize, after: usize },
    /// A frame unfolds into `times`, and the first `drop` of the first ones are left out.
    Unfold { times: usize, drop: usize },
    /// So many frames fold into one, and the first one stands `repeat` more times in front.
    Fold { times: usize, repeat: usize },
}

impl Reach {
    /// What is known of `stmt`; `None` for ops that do not go frame by frame.
    pub fn of(graph: &Graph, stmt: &OpStmt) -> Option<Reach> {
        let shape = |i: usize| stmt.inputs.get(i).map_or(&[][..], |v| graph.info(*v).shape.as_slice());
        match &stmt.op {
            Op::Conv { pads, replicate: true, .. } => {
                // With more behind, frames would be made of what is repeated alone.
                let known = shape(0).len() == 4 && shape(1)[1] == 3 && pads[1] <= 2;
                known.then_some(Reach::Three { before: pads[0], after: pads[1] })
            }
            Op::DepthToSpace { st, drop, .. } => {
                (drop < st).then_some(Reach::Unfold { times: *st, drop: *drop })
            }
            Op::SpaceToDepth { st, repeat, .. } => {
                (repeat < st).then_some(Reach::Fold { times: *st, repeat: *repeat })
            }
            Op::Binary { .. } => {
                (Self::framed(graph, stmt) == 2 || shape(1).len() == 1).then_some(Reach::Same)
            }
            Op::Unary { .. }
            | Op::Affine { .. }
            | Op::Clamp { .. }
            | Op::Cast { .. }
            | Op::RmsNorm { .. }
            | Op::GroupMean { .. }
            | Op::Unpatchify { .. }
            | Op::Yuv420 {} => Some(Reach::Same),
            _ => None,
        }
    }

    /// How many of the first operands of `stmt` have frames that are looked at; the others are weights.
    pub fn framed(graph: &Graph, stmt: &OpStmt) -> usize {
        let shape = |v: &Value| graph.info(*v).shape.as_slice();
        match (&stmt.op, &stmt.inputs[..]) {
            (Op::Binary { .. }, [x, y]) if shape(x) == shape(y) => 2,
            _ => 1,
        }
    }

    /// Frames of the result for some of the operand: `times` for each `folded`, less the first `dropped`.
    pub fn rate(self) -> Rate {
        match self {
            Reach::Same | Reach::Three { .. } => Rate::default(),
            Reach::Unfold { times, drop } => Rate { times, dropped: drop, folded: 1 },
            Reach::Fold { times, .. } => Rate { folded: times, ..Rate::default() },
        }
    }

    /// Frames of the result that can be made from the first `have` of `all` frames.
    pub fn makes(self, have: usize, all: usize) -> usize {
        match self {
            _ if have == 0 => 0,
            Reach::Three { before, after } => {
                (have + before + if have < all { 0 } else { after }).saturating_sub(2)
            }
            Reach::Same => have,
            Reach::Unfold { times, drop } => (times * have).saturating_sub(drop),
            Reach::Fold { times, repeat } => (have + repeat) / times,
        }
    }

    /// The frames of `all` that the frames `out` of the result are made from, at least one.
    pub fn reads(self, out: &Range<usize>, all: usize) -> Range<usize> {
        match self {
            Reach::Same => out.clone(),
            Reach::Three { before, .. } => {
                let end = (out.end + 2).saturating_sub(before).clamp(1, all);
                out.start.saturating_sub(before).min(end - 1)..end
            }
            Reach::Unfold { times, drop } => (out.start + drop) / times..(out.end + drop).div_ceil(times),
            Reach::Fold { times, repeat } => {
                let end = times * out.end - repeat;
                (times * out.start).saturating_sub(repeat)..end
            }
        }
    }

    /// `op` for the frames `out` of its result, which it makes from as many frames of `all` as [`Reach::reads`] says: only
    /// the clip's own edges are repeated or dropped.
    pub fn piece(self, op: &Op, out: &Range<usize>, all: usize) -> Op {
        let mut piece = op.clone();
        match (self, &mut piece) {
            (Reach::Three { before, .. }, Op::Conv { pads, .. }) => {
                // The last frame of the result sees so many beyond the last one of the clip.
                pads[1] = (out.end + 2).saturating_sub(before + all);
                pads[0] = out.len() + 2 - pads[1] - self.reads(out, all).len();
            }
            (Reach::Unfold { times, drop }, Op::DepthToSpace { drop: first, .. }) => {
                *first = (out.start + drop) % times;
            }
            (Reach::Fold { .. }, Op::SpaceToDepth { repeat, .. }) if out.start > 0 => *repeat = 0,
            _ => {}
        }
        piece
    }
}

/// How many frames of a value there are for some of the clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// For so many frames of the clip..
    pub folded: usize,
    /// ..so many of the value.
    pub times: usize,
    /// Of the first ones, how many are left out.
    pub dropped: usize,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { folded: 1, times: 1, dropped: 0 }
    }
}

impl Rate {
    /// The rate of what is made at the rate `next` from a value of this rate.
    pub fn then(self, next: Rate) -> Rate {
        Rate {
            folded: self.folded * next.folded,
            times: self.times * next.times,
            dropped: self.dropped * next.times + next.dropped,
        }
    }

    /// The frames of the value that `frames` of the clip stand for, wherever they begin; at least one.
    pub fn of(self, frames: usize) -> usize {
        (frames * self.times).div_ceil(self.folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEIGHBOURS: Reach = Reach::Three { before: 1, after: 1 };

    /// Frontiers of conv, unfold, conv, unfold, conv for a clip of `all` frames, `seen` of them seen.
    fn frontiers(all: usize, seen: usize) -> Vec<usize> {
        let unfold = Reach::Unfold { times: 2, drop: 1 };
        frontiers_of(&[NEIGHBOURS, unfold, NEIGHBOURS, unfold, NEIGHBOURS], all, seen)
    }

    fn frontiers_of(chain: &[Reach], all: usize, seen: usize) -> Vec<usize> {
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
        let conv = NEIGHBOURS;
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

    #[test]
    fn what_is_causal_never_lags() {
        let [causal, again] = [2, 3].map(|before| Reach::Three { before, after: 0 });
        let fold = |repeat| Reach::Fold { times: 2, repeat };
        // Beside a convolution that sees the first frame once more, and behind it.
        for chain in [[causal, causal, fold(1)], [causal, again, fold(0)]] {
            for (seen, made) in [(0, 0), (1, 1), (2, 1), (3, 2), (8, 4), (9, 5)] {
                assert_eq!(frontiers_of(&chain, 9, seen)[2], made, "{chain:?} of {seen}");
            }
        }
    }

    #[test]
    fn causal_pieces_repeat_the_first_frame_only() {
        let conv =
            |before| Op::Conv { pads: vec![before, 0, 1, 1, 1, 1], replicate: true, stride: 1, dilation: 1 };
        let piece = |before, out: Range<usize>, all| {
            let reach = Reach::Three { before, after: 0 };
            let Op::Conv { pads, .. } = reach.piece(&conv(before), &out, all) else {
                panic!("a convolution")
            };
            (reach.reads(&out, all), pads[0], pads[1])
        };
        // Result frame t sees t − 2 to t, or t − 3 to t − 1.
        assert_eq!(piece(2, 0..1, 9), (0..1, 2, 0));
        assert_eq!(piece(2, 1..4, 9), (0..4, 1, 0));
        assert_eq!(piece(2, 4..9, 9), (2..9, 0, 0));
        assert_eq!(piece(3, 0..1, 9), (0..1, 2, 0));
        assert_eq!(piece(3, 0..2, 1), (0..1, 3, 0));
        assert_eq!(piece(3, 1..2, 9), (0..1, 2, 0));
        assert_eq!(piece(3, 2..3, 9), (0..2, 1, 0));
        assert_eq!(piece(3, 4..10, 9), (1..9, 0, 0));
        let fold = Reach::Fold { times: 2, repeat: 1 };
        assert_eq!(
            [fold.reads(&(0..1), 9), fold.reads(&(0..2), 9), fold.reads(&(2..5), 9)],
            [0..1, 0..3, 3..9]
        );
    }
}
