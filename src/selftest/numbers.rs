//! The numbers of an operand: random, the same on every machine, and any piece of them can be made without the rest.

use half::bf16;
use zoetrope_kernels::eval::Data;
use zoetrope_model_spec::lang::Dtype;

use super::cases::{Range, Read};
use crate::demo::random::Stream;

/// Numbers are drawn up to so many and then repeated, because operands of full size are gigabytes. A prime: rows of an
/// operand differ.
const DRAWN: usize = 1_000_003;

/// Elements as they are stored.
pub enum Numbers {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    I32(Vec<i32>),
    U8(Vec<u8>),
}

impl Numbers {
    /// Those of an operand, up to the first that is repeated.
    pub fn drawn(name: &str, read: &Read) -> Numbers {
        let count = read.shape.iter().product::<usize>().min(DRAWN);
        let mut random = Stream::named(name);
        let real = |x: f64| if read.numbers == Range::Positive { x.abs() + 0.25 } else { x };
        if let Range::Ints(ints) = read.numbers {
            return Numbers::I32(ints.draw(count, &[], |n| (random.next().abs() * 1e6) as usize % n));
        }
        if let Range::Encoded(kept, columns) = read.numbers {
            // Whole rows, as many as there are numbers for.
            let bytes = kept.row_bytes(columns).unwrap_or(1);
            let mut rows = vec![0; (count / bytes).max(1) * bytes];
            for row in rows.chunks_exact_mut(bytes) {
                let numbers: Vec<f32> = (0..columns).map(|_| random.next() as f32).collect();
                kept.encode(&numbers, row);
            }
            return Numbers::U8(rows);
        }
        let lowest = |place| match read.numbers {
            Range::Hidden(hidden) => hidden.number(place, *read.shape.last()?, read.dtype),
            _ => None,
        };
        let draws = std::iter::repeat_with(|| random.next()).take(count).enumerate();
        let draws = draws.map(|(place, x)| lowest(place).map_or(real(x), f64::from));
        match read.dtype {
            Dtype::Bf16 => Numbers::Bf16(draws.map(bf16::from_f64).collect()),
            _ => Numbers::F32(draws.map(|x| x as f32).collect()),
        }
    }

    /// The operand's elements in these runs, each the first and how many.
    pub fn runs(&self, runs: &[(usize, usize)]) -> Numbers {
        match self {
            Numbers::F32(list) => Numbers::F32(repeated(list, runs)),
            Numbers::Bf16(list) => Numbers::Bf16(repeated(list, runs)),
            Numbers::I32(list) => Numbers::I32(repeated(list, runs)),
            Numbers::U8(list) => Numbers::U8(repeated(list, runs)),
        }
    }

    /// As a kernel on the CPU reads them.
    pub fn data(&self) -> Data<'_> {
        match self {
            Numbers::F32(list) => Data::F32(list),
            Numbers::Bf16(list) => Data::Bf16(list),
            Numbers::I32(list) => Data::I32(list),
            Numbers::U8(list) => Data::U8(list),
        }
    }

    /// As a card reads them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Numbers::F32(list) => bytemuck::cast_slice(list),
            Numbers::Bf16(list) => bytemuck::cast_slice(list),
            Numbers::I32(list) => bytemuck::cast_slice(list),
            Numbers::U8(list) => list,
        }
    }
}

fn repeated<T: Copy>(list: &[T], runs: &[(usize, usize)]) -> Vec<T> {
    let mut out = Vec::with_capacity(runs.iter().map(|(_, count)| count).sum());
    for (from, count) in runs {
        let (mut from, end) = (from % list.len().max(1), out.len() + count);
        while out.len() < end {
            let piece = (list.len() - from).min(end - out.len());
            out.extend_from_slice(&list[from..from + piece]);
            from = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_what_the_whole_has_there() {
        let list: Vec<u32> = (0..7).collect();
        let whole = repeated(&list, &[(0, 30)]);
        assert_eq!(whole[..9], [0, 1, 2, 3, 4, 5, 6, 0, 1]);
        for (from, count) in [(0, 3), (5, 4), (13, 17), (21, 0)] {
            assert_eq!(repeated(&list, &[(from, count)]), whole[from..from + count]);
        }
        assert_eq!(repeated(&list, &[(6, 2), (1, 1)]), [6, 0, 1]);
    }
}
