//! The change that one adapter makes to one parameter, and its rows in f32.

use std::ops::Range;
use std::sync::LazyLock;

use half::bf16;
use rayon::prelude::*;
use zoetrope_kernels::Meaning;
use zoetrope_kernels::eval::{Data, DataMut, EvalError, Operand, Tensor as View, TensorMut, evaluate};
use zoetrope_model_spec::lang::{Builder, Dtype, Op};
use zoetrope_runtime::files::{FileDtype, FileError, Tensor};

use super::dora::{Dora, Lengths, Norms};
use super::read::misshapen;

/// What is added to a parameter: `factor` times what its kind says.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub factor: f32,
    pub kind: Kind<'a>,
    /// What follows the addition; the strength is then not part of the factor.
    pub dora: Option<Dora<'a>>,
}

impl<'a> Change<'a> {
    /// Factor, B and A of a change of low rank.
    pub fn low(&self) -> Option<Low<'_, 'a>> {
        match &self.kind {
            Kind::LowRank(Product { left, right: Some(right) }) if self.dora.is_none() => {
                Some((self.factor, left, right))
            }
            _ => None,
        }
    }

    /// Its rank, if that is low.
    pub fn rank(&self) -> Option<usize> {
        self.low().map(|(_, _, right)| right.shape[0])
    }
}

/// How changes are added to a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Merge {
    /// In f32, rounded once, to what the plan stores; DoRA by the norms of the original weights, as in ComfyUI
    #[default]
    Exact,
    /// The same, with DoRA by the norms of the changed weights, as in PEFT
    Peft,
    /// With the official code's roundings: the changes' sum to bf16 after each, and the weight with it to bf16
    Official,
}

/// How a change is stored.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// The product of B [out, rank] and A [rank, in].
    LowRank(Product<'a>),
    /// The change itself, of the parameter's shape.
    Diff(Tensor<'a>),
    /// The Kronecker product of two matrices: every element of the first is a block.
    Kronecker(Product<'a>, Product<'a>),
    /// The elementwise product of two matrices.
    Hadamard(Product<'a>, Product<'a>),
}

/// A matrix, whole or as a product of two.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    pub left: Tensor<'a>,
    pub right: Option<Tensor<'a>>,
}

impl<'a> Product<'a> {
    /// Rows and columns, of tensors that are matrices.
    fn size(&self) -> Option<(usize, usize)> {
        let matrix = |tensor: &Tensor<'a>| <[usize; 2]>::try_from(tensor.shape).ok();
        let [rows, inner] = matrix(&self.left)?;
        let Some(right) = &self.right else { return Some((rows, inner)) };
        let [rank, columns] = matrix(right)?;
        (rank == inner).then_some((rows, columns))
    }

    fn tensors(&self) -> impl Iterator<Item = Tensor<'a>> {
        [Some(self.left), self.right].into_iter().flatten()
    }

    /// Rows of the matrix.
    fn rows(&self, rows: Range<usize>) -> Result<Vec<f32>, FileError> {
        let Some(right) = &self.right else { return read_rows(&self.left, rows) };
        let left = read_rows(&self.left, rows.clone())?;
        let mut out = vec![0.0; rows.len() * right.shape[1]];
        add_product(&left, &transposed(right)?, right.shape[0], &mut out);
        Ok(out)
    }
}

impl<'a> Kind<'a> {
    /// What it is made of.
    pub fn tensors(&self) -> Vec<Tensor<'a>> {
        match self {
            Kind::Diff(tensor) => vec![*tensor],
            Kind::LowRank(product) => product.tensors().collect(),
            Kind::Kronecker(a, b) | Kind::Hadamard(a, b) => a.tensors().chain(b.tensors()).collect(),
        }
    }

    /// What of it does not fit a matrix [out, inner], in words.
    pub fn misfits(&self, out: usize, inner: usize) -> Vec<String> {
        let fits = match self {
            Kind::Diff(tensor) => tensor.shape == [out, inner],
            Kind::LowRank(product) => product.size() == Some((out, inner)),
            Kind::Kronecker(a, b) => {
                a.size().zip(b.size()).is_some_and(|((rows, columns), (height, width))| {
                    (rows.checked_mul(height), columns.checked_mul(width)) == (Some(out), Some(inner))
                })
            }
            Kind::Hadamard(a, b) => [a, b].iter().all(|product| product.size() == Some((out, inner))),
        };
        match self {
            _ if fits => Vec::new(),
            // The two sides that the layer decides; the rank is the adapter's.
            Kind::LowRank(Product { left, right: Some(right) }) => {
                let rank = right.shape.first().copied().unwrap_or(0);
                let wanted = [(left, [out, rank]), (right, [rank, inner])];
                let odd = wanted.iter().filter(|(tensor, want)| tensor.shape != want);
                // What they make, if their ranks agree.
                let made = Product { left: *left, right: Some(*right) }.size();
                let made = made.map_or(String::new(), |(rows, columns)| {
                    format!(": the pair makes [{rows}, {columns}], [{out}, {inner}] wanted")
                });
                odd.map(|(tensor, want)| misshapen(tensor, want) + &made).collect()
            }
            _ => {
                let names =
                    self.tensors().iter().map(|t| format!("{} {:?}", t.name, t.shape)).collect::<Vec<_>>();
                vec![format!("{}, which make no matrix of [{out}, {inner}]", names.join(" and "))]
            }
        }
    }
}

/// Adds to `values`, rows of a parameter with so many columns, what the changes say. `lengths` are those of columns, for
/// DoRA by them.
///
/// # Errors
/// A file that was changed since it was opened.
pub fn add_rows(
    merge: Merge,
    changes: &[Change<'_>],
    lengths: &Lengths,
    rows: Range<usize>,
    columns: usize,
    values: &mut [f32],
) -> Result<(), FileError> {
    let norms = match merge {
        Merge::Exact => Norms::Original,
        Merge::Peft => Norms::Changed,
        Merge::Official => return add_rounded(changes, rows, columns, values),
    };
    let mut place = 0;
    for run in changes.chunk_by(|one, next| one.dora.is_none() && next.dora.is_none()) {
        let of_columns = lengths.of_columns.get(&place);
        place += run.len();
        let [Change { dora: Some(dora), factor, kind }] = run else {
            add_exactly(run, rows.clone(), columns, values)?;
            continue;
        };
        let mut changed = values.to_vec();
        let plain = Change { factor: *factor, kind: *kind, dora: None };
        add_exactly(&[plain], rows.clone(), columns, &mut changed)?;
        match of_columns {
            Some(lengths) => dora.apply_to_columns(lengths, values, &changed)?,
            None => dora.apply(norms, rows.clone(), columns, values, &changed)?,
        }
    }
    Ok(())
}

/// As the official code adds changes, which knows no DoRA.
fn add_rounded(
    changes: &[Change<'_>],
    rows: Range<usize>,
    columns: usize,
    values: &mut [f32],
) -> Result<(), FileError> {
    let mut sum = vec![0.0; values.len()];
    for (place, change) in changes.iter().enumerate() {
        match change.low() {
            // The first one's B is rounded with its factor, the products of further ones are scaled.
            Some(low) if place == 0 => {
                let rank = low.2.shape[0];
                let mut up = joined_up(&[low], rows.clone(), rank)?;
                round(&mut up);
                add_product(&up, &transposed(low.2)?, rank, &mut sum);
            }
            _ => {
                let added = dense(&change.kind, rows.clone(), columns)?;
                sum.iter_mut().zip(added).for_each(|(sum, added)| *sum += change.factor * added);
            }
        }
        round(&mut sum);
    }
    values.par_iter_mut().zip(&sum).for_each(|(value, sum)| *value += sum);
    round(values);
    Ok(())
}

fn round(values: &mut [f32]) {
    values.par_iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32());
}

/// All changes but for DoRA in f32, all products of low rank as one.
///
/// # Errors
/// As [`add_rows`].
pub fn add_exactly(
    changes: &[Change<'_>],
    rows: Range<usize>,
    columns: usize,
    values: &mut [f32],
) -> Result<(), FileError> {
    let (mut low, mut other) = (Vec::new(), Vec::new());
    for change in changes {
        match change.low() {
            Some(product) => low.push(product),
            None => other.push(change),
        }
    }
    for change in other {
        let added = dense(&change.kind, rows.clone(), columns)?;
        values.iter_mut().zip(added).for_each(|(value, added)| *value += change.factor * added);
    }
    let rank = low.iter().map(|(_, _, right)| right.shape[0]).sum();
    if rank == 0 {
        return Ok(());
    }
    let (up, down) = (joined_up(&low, rows, rank)?, joined_down(&low, columns, rank)?);
    add_product(&up, &down, rank, values);
    Ok(())
}

/// Factor, B and A of a change of low rank.
pub type Low<'c, 'a> = (f32, &'c Tensor<'a>, &'c Tensor<'a>);

/// Rows of all B side by side, each times its factor, then zeros: [rows, rank].
pub fn joined_up(low: &[Low<'_, '_>], rows: Range<usize>, rank: usize) -> Result<Vec<f32>, FileError> {
    let mut out = vec![0.0; rows.len() * rank];
    let mut at = 0;
    for (factor, left, _) in low {
        let own = left.shape[1];
        let read = read_rows(left, rows.clone())?;
        for (out, read) in out.chunks_exact_mut(rank).zip(read.chunks_exact(own.max(1))) {
            out[at..at + own].iter_mut().zip(read).for_each(|(out, value)| *out = factor * value);
        }
        at += own;
    }
    Ok(out)
}

/// All A one below the other, transposed: [columns, rank].
fn joined_down(low: &[Low<'_, '_>], columns: usize, rank: usize) -> Result<Vec<f32>, FileError> {
    let parts: Vec<Vec<f32>> =
        low.iter().map(|(_, _, right)| read_rows(right, 0..right.shape[0])).collect::<Result<_, _>>()?;
    let mut out = vec![0.0; columns * rank];
    out.par_chunks_exact_mut(rank).enumerate().for_each(|(column, out)| {
        let elements = parts.iter().flat_map(|part| part[column..].iter().step_by(columns));
        out.iter_mut().zip(elements).for_each(|(out, element)| *out = *element);
    });
    Ok(out)
}

/// A matrix [n, columns] as [columns, n].
fn transposed(matrix: &Tensor<'_>) -> Result<Vec<f32>, FileError> {
    joined_down(&[(1.0, matrix, matrix)], matrix.shape[1], matrix.shape[0])
}

/// Rows of a change that is no plain product.
fn dense(kind: &Kind<'_>, rows: Range<usize>, columns: usize) -> Result<Vec<f32>, FileError> {
    match kind {
        Kind::LowRank(product) => product.rows(rows),
        Kind::Diff(tensor) => read_rows(tensor, rows),
        Kind::Hadamard(a, b) => {
            let (mut a, b) = (a.rows(rows.clone())?, b.rows(rows)?);
            a.iter_mut().zip(b).for_each(|(a, b)| *a *= b);
            Ok(a)
        }
        Kind::Kronecker(a, b) => {
            let (Some((count, across)), Some((height, width))) = (a.size(), b.size()) else {
                return Ok(Vec::new());
            };
            let (a, b) = (a.rows(0..count)?, b.rows(0..height)?);
            let element = |row: usize, column: usize| {
                a[row / height * across + column / width] * b[row % height * width + column % width]
            };
            Ok(rows
                .flat_map(|row| (0..columns).map(move |column| (row, column)))
                .map(|(r, c)| element(r, c))
                .collect())
        }
    }
}

/// Rows of a tensor; one without axes is one row.
pub fn read_rows(tensor: &Tensor<'_>, rows: Range<usize>) -> Result<Vec<f32>, FileError> {
    let columns: usize = tensor.shape.iter().skip(1).product();
    let mut out = vec![0f32; rows.len() * columns];
    let share = (SHARE / columns.max(1)).max(1) * columns.max(1);
    let shares = out.par_chunks_mut(share).enumerate();
    shares.try_for_each(|(i, out)| {
        let first = rows.start * columns + i * share;
        tensor.read_range(FileDtype::F32, first, bytemuck::cast_slice_mut(out))
    })?;
    Ok(out)
}

/// Elements that one thread converts at a time.
const SHARE: usize = 1 << 18;

/// `out += left·rightᵀ`, with left [rows, rank] and right [columns, rank], on all cores: one sum in f32 for each element.
fn add_product(left: &[f32], right: &[f32], rank: usize, out: &mut [f32]) {
    static MEANING: LazyLock<Meaning> = LazyLock::new(|| {
        let b = Builder::new("add_product", Dtype::F32);
        let [x, w, y] = ["x", "w", "y"].map(|name| b.input(name, Dtype::F32, &[1, 1]));
        b.output("sum", b.add(y, b.op(Op::Linear {}, &[x, w])));
        Meaning::of(&b.finish().expect("a product of matrices of one element"))
    });
    if rank == 0 || out.is_empty() {
        return;
    }
    let (rows, columns) = (left.len() / rank, right.len() / rank);
    let operand = |data, shape| Operand::Tensor(View { data: Data::F32(data), shape, row_stride: rank });
    let (x, w) = ([rows, rank], [columns, rank]);
    let operands = [operand(left, &x), operand(right, &w), Operand::InPlace];
    let out = TensorMut { data: DataMut::F32(out), shape: &[rows, columns] };
    let done: Result<(), EvalError> = evaluate(&MEANING, &operands, &[], out);
    done.expect("matrices of these sizes");
}
