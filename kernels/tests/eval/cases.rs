//! Random inputs, and the comparison of the evaluator with the naive ops.

use half::bf16;
use zoetrope_kernels::eval::{Data, DataMut, EvalError, Operand, Tensor, TensorMut, evaluate, pack};
use zoetrope_kernels::{Meaning, MeaningOp, Ref};
use zoetrope_model_spec::lang::Op;

use crate::naive::{self, Array};

/// A small generator of numbers; the tests need the same ones every time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    pub fn real(&mut self, lo: f64, hi: f64) -> f64 {
        // As a bf16, so that every storage holds the same number.
        let x = lo + (hi - lo) * self.below(1 << 20) as f64 / f64::from(1 << 20);
        bf16::from_f64(x).to_f64()
    }

    pub fn reals(&mut self, shape: &[usize], lo: f64, hi: f64) -> Array {
        let n = shape.iter().product();
        Array::new(shape, (0..n).map(|_| self.real(lo, hi)).collect())
    }

    pub fn ints(&mut self, shape: &[usize], below: usize) -> Array {
        let n = shape.iter().product();
        Array { ints: true, ..Array::new(shape, (0..n).map(|_| self.below(below) as f64).collect()) }
    }
}

/// How a case's real numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Storage {
    F32,
    Bf16,
}

/// Elements that a [`Tensor`] can point to.
pub enum Stored {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    I32(Vec<i32>),
    U8(Vec<u8>),
}

impl Stored {
    /// `array` with `gap` unused elements after every row.
    pub fn new(array: &Array, storage: Storage, gap: usize) -> Stored {
        let spread: Vec<f64> =
            array.data.chunks(array.cols()).flat_map(|row| [row, &vec![777.0; gap]].concat()).collect();
        match (array.ints, storage) {
            (true, _) if array.bytes => Stored::U8(spread.iter().map(|x| *x as u8).collect()),
            (true, _) => Stored::I32(spread.iter().map(|x| *x as i32).collect()),
            (false, Storage::F32) => Stored::F32(spread.iter().map(|x| *x as f32).collect()),
            (false, Storage::Bf16) => Stored::Bf16(spread.iter().map(|x| bf16::from_f64(*x)).collect()),
        }
    }

    pub fn data(&self) -> Data<'_> {
        match self {
            Stored::F32(d) => Data::F32(d),
            Stored::Bf16(d) => Data::Bf16(d),
            Stored::I32(d) => Data::I32(d),
            Stored::U8(d) => Data::U8(d),
        }
    }

    pub fn data_mut(&mut self) -> DataMut<'_> {
        match self {
            Stored::F32(d) => DataMut::F32(d),
            Stored::Bf16(d) => DataMut::Bf16(d),
            Stored::I32(d) => DataMut::I32(d),
            Stored::U8(d) => DataMut::U8(d),
        }
    }

    pub fn values(&self) -> Vec<f64> {
        match self {
            Stored::F32(d) => d.iter().map(|x| f64::from(*x)).collect(),
            Stored::Bf16(d) => d.iter().map(|x| x.to_f64()).collect(),
            Stored::I32(d) => d.iter().map(|x| f64::from(*x)).collect(),
            Stored::U8(d) => d.iter().map(|x| f64::from(*x)).collect(),
        }
    }

    /// Equality of bits.
    pub fn same(&self, other: &Stored) -> bool {
        match (self, other) {
            (Stored::F32(a), Stored::F32(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
            }
            (Stored::Bf16(a), Stored::Bf16(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
            }
            (Stored::I32(a), Stored::I32(b)) => a == b,
            _ => false,
        }
    }
}

/// The meaning of one op.
pub fn single(op: &Op, inputs: usize) -> Meaning {
    Meaning { ops: vec![MeaningOp { op: op.clone(), inputs: (0..inputs).map(Ref::Operand).collect() }] }
}

/// Evaluates a meaning. `gap` spreads the rows of all operands; operand `in_place` lies in the result; `packs` hands
/// in weights packed beforehand.
pub fn run(
    meaning: &Meaning,
    inputs: &[Array],
    result: &Array,
    storage: Storage,
    (gap, in_place, packs): (usize, Option<usize>, bool),
) -> Result<Stored, EvalError> {
    let stored: Vec<Stored> = inputs.iter().map(|a| Stored::new(a, storage, gap)).collect();
    let start = in_place.map_or(result, |i| &inputs[i]);
    let start = Array { ints: result.ints, ..start.clone() };
    let mut out = Stored::new(&start, storage, 0);
    let tensors: Vec<Tensor<'_>> = inputs
        .iter()
        .zip(&stored)
        .map(|(a, s)| Tensor { data: s.data(), shape: &a.shape, row_stride: a.cols() + gap })
        .collect();
    let operands: Vec<Operand<'_>> = tensors
        .iter()
        .enumerate()
        .map(|(i, t)| if in_place == Some(i) { Operand::InPlace } else { Operand::Tensor(*t) })
        .collect();
    let packed: Vec<_> = (0..inputs.len())
        .map(|i| {
            let reads = |op: &&MeaningOp| op.inputs.contains(&Ref::Operand(i));
            let op = meaning.ops.iter().find(reads).filter(|_| packs)?;
            pack(&op.op, op.inputs.iter().position(|r| *r == Ref::Operand(i))?, &tensors[i])
        })
        .collect();
    let packed: Vec<_> = packed.iter().map(Option::as_ref).collect();
    evaluate(meaning, &operands, &packed, TensorMut { data: out.data_mut(), shape: &result.shape })?;
    Ok(out)
}

/// Compares with a tolerance relative to the largest element, and to bf16 where the result is stored so.
pub fn close(what: &str, got: &Stored, want: &Array, storage: Storage, tolerance: f64) {
    let largest = want.data.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    for (i, (got, want)) in got.values().iter().zip(&want.data).enumerate() {
        let rounding = if storage == Storage::Bf16 && !want.is_nan() { want.abs() / 256.0 } else { 0.0 };
        let allowed = tolerance * (largest + want.abs()) + rounding;
        assert!((got - want).abs() <= allowed, "{what}, element {i}: {got} for {want}");
    }
}

/// One op against the naive one, in every storage and arrangement.
pub fn check(op: &Op, inputs: &[Array], tolerance: f64) {
    let want = naive::evaluate(op, inputs);
    let meaning = single(op, inputs.len());
    for storage in [Storage::F32, Storage::Bf16] {
        let mut first: Option<Stored> = None;
        let same_shape = |i: &usize| inputs[*i].shape == want.shape && inputs[*i].ints == want.ints;
        let overwritten = (0..inputs.len()).filter(same_shape).map(Some);
        for in_place in std::iter::once(None).chain(overwritten) {
            for (gap, packs) in [(0, false), (3, false), (0, true), (5, true)] {
                let what = format!("{} {storage:?} in place {in_place:?} gap {gap}", op.name());
                let got = run(&meaning, inputs, &want, storage, (gap, in_place, packs));
                let got = got.unwrap_or_else(|e| panic!("{what}: {e}"));
                close(&what, &got, &want, storage, tolerance);
                let first = first
                    .get_or_insert_with(|| run(&meaning, inputs, &want, storage, (0, None, false)).unwrap());
                assert!(got.same(first), "{what}: the arrangement changes bits");
            }
        }
    }
}
