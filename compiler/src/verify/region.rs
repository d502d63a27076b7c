//! The bytes of an operand in the arena, or the elements of a value in another, exactly: rows, and what lies between
//! them.

use zoetrope_runtime::plan::Operand;

/// Rows of `width` bytes, `pitch` bytes apart, from byte `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub from: u64,
    rows: u64,
    width: u64,
    pitch: u64,
}

impl Region {
    /// What `operand` covers in an iteration of its loop.
    pub fn of(operand: &Operand, iteration: u64) -> Region {
        let size = operand.dtype.bytes();
        let from = operand.offset + operand.step * iteration;
        let (rows, width) = (operand.rows(), operand.cols() * size);
        Region::rows(from, rows, width, u64::from(operand.row_stride) * size)
    }

    /// `rows` rows of `width`, `pitch` apart.
    pub fn rows(from: u64, rows: u64, width: u64, pitch: u64) -> Region {
        if pitch == width || rows <= 1 {
            return Region { from, rows: rows.min(1), width: rows * width, pitch: rows * width };
        }
        Region { from, rows, width, pitch }
    }

    /// One past the last byte.
    pub fn end(&self) -> u64 {
        if self.rows == 0 { self.from } else { self.from + (self.rows - 1) * self.pitch + self.width }
    }

    /// True when a byte belongs to both.
    pub fn meets(&self, other: &Region) -> bool {
        let (from, to) = (self.from.max(other.from), self.end().min(other.end()));
        if from >= to {
            return false;
        }
        if self.pitch == other.pitch {
            // Only rows that lie nearest to each other can meet.
            let near = |a: &Region, b: &Region| {
                let gap = (b.from - a.from) % a.pitch;
                gap < a.width || gap + b.width > a.pitch
            };
            return if self.from <= other.from { near(self, other) } else { near(other, self) };
        }
        let (few, many) = if self.rows <= other.rows { (self, other) } else { (other, self) };
        (0..few.rows).any(|row| {
            let at = few.from + row * few.pitch;
            many.meets_span(at, at + few.width)
        })
    }

    fn meets_span(&self, from: u64, to: u64) -> bool {
        let first = from.saturating_sub(self.from) / self.pitch;
        (first..self.rows.min(first + 2)).any(|row| {
            let at = self.from + row * self.pitch;
            at < to && from < at + self.width
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Region;

    /// Against a map of all bytes.
    #[test]
    fn regions_meet_where_they_share_a_byte() {
        let bytes = |r: &Region| -> Vec<u64> {
            (0..r.rows).flat_map(|row| (0..r.width).map(move |b| r.from + row * r.pitch + b)).collect()
        };
        let mut all = Vec::new();
        for from in [0, 3, 6, 13, 20] {
            for (rows, width, pitch) in
                [(1, 4, 4), (1, 17, 17), (3, 4, 10), (3, 6, 10), (2, 5, 7), (4, 1, 10)]
            {
                all.push(Region { from, rows, width, pitch });
            }
        }
        for a in &all {
            for b in &all {
                let shared = bytes(a).iter().any(|x| bytes(b).contains(x));
                assert_eq!(a.meets(b), shared, "{a:?} {b:?}");
            }
        }
    }
}
