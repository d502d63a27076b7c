//! How the next token is drawn (docs/model/text.md 5).

use sha2::{Digest, Sha256};

/// Logits are divided by this.
const TEMPERATURE: f64 = 0.7;
/// Of so many of the likeliest tokens, and those that are as likely as the last of them, one is drawn.
const TOP_K: usize = 50;

/// Draws tokens with a seed: the same logits and the same seed, the same tokens. The official generator is torch's, whose
/// numbers differ between devices; these are others.
#[derive(Clone, Debug)]
pub struct Sampler {
    seed: u64,
    drawn: u64,
}

impl Sampler {
    /// With the request's seed.
    pub fn new(seed: u64) -> Sampler {
        Sampler { seed, drawn: 0 }
    }

    /// The number of the next token.
    pub fn draw(&mut self, logits: &[f32]) -> i32 {
        let share = uniform(self.seed, self.drawn);
        self.drawn += 1;
        chosen(logits, share)
    }
}

/// A number from 0 up to but not including 1, another one for every draw of a seed.
fn uniform(seed: u64, draw: u64) -> f64 {
    let hash = Sha256::digest([seed.to_le_bytes(), draw.to_le_bytes()].concat());
    let word = hash.iter().take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    (word >> 11) as f64 / (1u64 << 53) as f64
}

/// The token whose stretch of 0..1 holds `share`, where the likeliest tokens lie in the order of their numbers, each as long
/// as it is likely.
fn chosen(logits: &[f32], share: f64) -> i32 {
    let mut sorted = logits.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (Some(most), Some(least)) = (sorted.first(), sorted.get(TOP_K - 1).or(sorted.last())) else {
        return 0;
    };
    let weight = |logit: f32| libm::exp((f64::from(logit) - f64::from(*most)) / TEMPERATURE);
    let kept: Vec<(usize, f64)> = logits
        .iter()
        .enumerate()
        .filter(|(_, logit)| **logit >= *least)
        .map(|(token, logit)| (token, weight(*logit)))
        .collect();
    let mut left = share * kept.iter().map(|(_, weight)| weight).sum::<f64>();
    for (token, weight) in &kept {
        left -= weight;
        if left < 0.0 {
            return *token as i32;
        }
    }
    kept.last().map_or(0, |(token, _)| *token as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of three tokens are those of softmax(logits / 0.7), by a formula of its own.
    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let logits = [1.0f32, -0.5, 0.3];
        let powers = logits.map(|x| (f64::from(x) / 0.7).exp());
        let total: f64 = powers.iter().sum();
        let mut sampler = Sampler::new(10);
        let draws = 20_000;
        let mut counts = [0usize; 3];
        (0..draws).for_each(|_| counts[sampler.draw(&logits) as usize] += 1);
        for (count, power) in counts.iter().zip(powers) {
            let (have, want) = (*count as f64 / f64::from(draws), power / total);
            // Four standard deviations.
            assert!(
                (have - want).abs() < 4.0 * (want * (1.0 - want) / f64::from(draws)).sqrt(),
                "{have} {want}"
            );
        }
    }

    #[test]
    fn only_the_fifty_likeliest_are_drawn_and_their_equals() {
        // 60 tokens, from unlikely to likely; the ten in front are out.
        let logits: Vec<f32> = (0..60).map(|i| i as f32 * 1e-3).collect();
        let mut sampler = Sampler::new(3);
        let drawn: Vec<i32> = (0..3000).map(|_| sampler.draw(&logits)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&10), Some(&59)));
        let equal = [0.25; 70];
        assert!((0..3000).map(|_| sampler.draw(&equal)).any(|token| token >= 50));
    }

    #[test]
    fn a_seed_says_which_tokens_are_drawn() {
        let logits: Vec<f32> = (0..200).map(|i| (i as f32 * 0.37).sin()).collect();
        let draw = |seed| {
            let mut sampler = Sampler::new(seed);
            (0..20).map(|_| sampler.draw(&logits)).collect::<Vec<_>>()
        };
        assert_eq!(draw(10), draw(10));
        assert_ne!(draw(10), draw(11));
        assert_eq!(chosen(&logits, 0.0), chosen(&logits, 1e-9));
    }
}
