//! A case on the CPU: whole, or as much of it as tells whether a card is right.

use zoetrope_kernels::eval::{EvalError, Operand, Tensor, evaluate_unrounded};

use super::cases::{Case, Compared, Read};
use super::numbers::Numbers;

/// Rows of a result that are compared, where a few are.
const ROWS: usize = 8;
/// Positions of every axis of a corner.
const CORNER: usize = 6;

/// A piece of a case that can be computed for itself: its operands, and where its result lies in the whole one.
pub struct Sample<'c> {
    case: &'c Case,
    /// The shape of the piece's result.
    shape: Vec<usize>,
    /// Rows of the piece that are rows of the whole: the first in the whole, the first in the piece, and how many.
    pub rows: Vec<(usize, usize, usize)>,
}

impl<'c> Sample<'c> {
    pub fn of(case: &'c Case) -> Sample<'c> {
        let (shape, all) = (&case.write, rows(&case.write));
        match case.compared {
            Compared::Whole => Sample { case, shape: shape.clone(), rows: vec![(0, 0, all)] },
            Compared::Rows => {
                let count = all.min(ROWS);
                let row = |i: usize| (i * (all - 1) / (count - 1).max(1), i, 1);
                let shape = vec![count, width(shape)];
                Sample { case, shape, rows: (0..count).map(row).collect() }
            }
            Compared::Corner => {
                let all = &shape[..shape.len() - 1];
                let piece: Vec<usize> = all.iter().map(|n| CORNER.min(*n)).collect();
                // The first position of an axis has a neighbour outside of the piece.
                let inner = each(&piece).filter(|at| at.iter().all(|i| *i > 0));
                let rows =
                    inner.map(|at| (row_of(all, &piece, &at), row_of(&piece, &piece, &at), 1)).collect();
                Sample { case, shape: piece.into_iter().chain([width(shape)]).collect(), rows }
            }
        }
    }

    /// What of an operand the piece reads: its shape, and the runs of elements that it is.
    fn extract(&self, read: &Read) -> (Vec<usize>, Vec<(usize, usize)>) {
        let (shape, width) = (&read.shape, width(&read.shape));
        match self.case.compared {
            Compared::Rows if read.by_row => {
                // A list has one element of a row.
                let width = if shape.len() == 1 { 1 } else { width };
                let runs = self.rows.iter().map(|(row, ..)| (row * width, width)).collect();
                let rows = self.rows.len();
                (if shape.len() == 1 { vec![rows] } else { vec![rows, width] }, runs)
            }
            Compared::Corner if read.by_row => {
                let (all, piece) = (&shape[..shape.len() - 1], &self.shape[..self.shape.len() - 1]);
                let runs = each(piece).map(|at| (row_of(all, piece, &at) * width, width)).collect();
                (piece.iter().copied().chain([width]).collect(), runs)
            }
            _ => (shape.clone(), vec![(0, shape.iter().product())]),
        }
    }

    /// The rows of the result that are compared, by the kernel's meaning.
    ///
    /// # Errors
    /// The operands do not fit it.
    pub fn evaluate(&self, numbers: &[Numbers]) -> Result<Vec<f32>, EvalError> {
        let extracts: Vec<_> = self.case.reads.iter().map(|read| self.extract(read)).collect();
        let pieces: Vec<Numbers> = numbers.iter().zip(&extracts).map(|(n, (_, runs))| n.runs(runs)).collect();
        let mut operands = Vec::new();
        for (piece, (shape, _)) in pieces.iter().zip(&extracts) {
            operands.push(Operand::Tensor(Tensor { data: piece.data(), shape, row_stride: width(shape) }));
        }
        let result = evaluate_unrounded(&self.case.meaning, &operands, &self.shape)?;
        let width = width(&self.shape);
        let rows = self.rows.iter().map(|(_, row, count)| &result[row * width..(row + count) * width]);
        Ok(rows.flatten().copied().collect())
    }
}

/// The last extent.
pub fn width(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

fn rows(shape: &[usize]) -> usize {
    shape[..shape.len().max(1) - 1].iter().product()
}

/// All positions of some axes, in order.
fn each(extents: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let position = |mut i: usize| {
        let mut at: Vec<usize> = extents.iter().rev().map(|n| (i % n, i /= n).0).collect();
        at.reverse();
        at
    };
    (0..extents.iter().product()).map(position)
}

/// The row of a position in the last `piece` of every axis.
fn row_of(extents: &[usize], piece: &[usize], at: &[usize]) -> usize {
    extents.iter().zip(piece).zip(at).fold(0, |row, ((n, piece), at)| row * n + (n - piece) + at)
}
