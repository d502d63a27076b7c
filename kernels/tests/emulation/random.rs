//! Numbers that are the same in every run.

/// A linear congruential generator.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    /// A number that every storage holds exactly.
    pub fn real(&mut self, lo: f64, hi: f64) -> f32 {
        let x = lo + (hi - lo) * self.below(1 << 20) as f64 / f64::from(1 << 20);
        half::bf16::from_f64(x).to_f32()
    }
}
