//! Random numbers that are the same on every machine: SplitMix64 on a counter, one stream for each name.

/// A stream of independent values with mean 0 and deviation 1, nearly normal, within 3.5 of 0.
pub struct Stream {
    seed: u64,
    counter: u64,
}

impl Stream {
    /// The stream of a name.
    pub fn named(name: &str) -> Stream {
        // FNV-1a: a name's 64 bits.
        let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Stream { seed, counter: 0 }
    }

    fn bits(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed.wrapping_add(self.counter);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next value: the sum of four uniform ones. Whole numbers until the one division, so no machine differs.
    pub fn next(&mut self) -> f64 {
        const MEAN: i64 = 4 * 65535 / 2;
        /// Deviation of the sum: sqrt(4 (65536^2 - 1) / 12).
        const DEVIATION: f64 = 37_837.227_223_778_55;
        let bits = self.bits();
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
        (sum as i64 - MEAN) as f64 / DEVIATION
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;

    #[test]
    fn the_generator_is_splitmix64() {
        // The published sequence for seed 1234567.
        let mut stream = Stream { seed: 1_234_567, counter: 0 };
        let wanted = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([stream.bits(), stream.bits(), stream.bits()], wanted);
    }

    #[test]
    fn values_are_centred_and_differ_by_name() {
        let values = |name| {
            let mut stream = Stream::named(name);
            (0..10_000).map(|_| stream.next()).collect::<Vec<f64>>()
        };
        let (a, b) = (values("a"), values("b"));
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let squares: Vec<f64> = a.iter().map(|x| x * x).collect();
        let products: Vec<f64> = a.iter().zip(&b).map(|(x, y)| x * y).collect();
        assert!(mean(&a).abs() < 0.03 && (mean(&squares) - 1.0).abs() < 0.05 && mean(&products).abs() < 0.03);
        assert!(a.iter().all(|x| x.abs() < 3.5));
    }
}
