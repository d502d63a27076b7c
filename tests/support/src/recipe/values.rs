//! The values of one tensor: what its rule makes.

use crate::tensor::Dtype;
use half::bf16;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// How a tensor's values are made. In the recipe a list that starts with the rule's name.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "Vec<Value>")]
pub(super) enum Rule {
    /// `["u", mean, std]`: uniform random values.
    Uniform { mean: f64, std: f64 },
    /// `["lit", name]`: one of the recipe's lists.
    Literal(String),
    /// `["stft", n]`: the windowed discrete Fourier transform over n samples.
    Stft(usize),
    /// `["as", name, rule]`: the rule under another tensor's name, which keys its random values.
    As(String, Box<Rule>),
}

impl TryFrom<Vec<Value>> for Rule {
    type Error = String;

    fn try_from(list: Vec<Value>) -> Result<Rule, String> {
        let rule = match list.as_slice() {
            [Value::String(kind), Value::Number(mean), Value::Number(std)] if kind == "u" => {
                mean.as_f64().zip(std.as_f64()).map(|(mean, std)| Rule::Uniform { mean, std })
            }
            [Value::String(kind), Value::String(name)] if kind == "lit" => Some(Rule::Literal(name.clone())),
            [Value::String(kind), Value::Number(n)] if kind == "stft" => {
                n.as_u64().and_then(|n| usize::try_from(n).ok()).map(Rule::Stft)
            }
            [Value::String(kind), Value::String(name), Value::Array(rule)] if kind == "as" => {
                Some(Rule::As(name.clone(), Box::new(Rule::try_from(rule.clone())?)))
            }
            _ => None,
        };
        rule.ok_or_else(|| format!("no such rule: {}", Value::Array(list)))
    }
}

impl Rule {
    /// The `n` values of the tensor `name`.
    pub(super) fn values(
        &self,
        name: &str,
        n: usize,
        seed: &str,
        literals: &BTreeMap<String, Vec<f64>>,
    ) -> Result<Vec<f32>, String> {
        let values: Vec<f32> = match self {
            Rule::Uniform { mean, std } => {
                let key = format!("{seed}/{name}");
                unit_values(&key, n).map(|x| (mean + std * x) as f32).collect()
            }
            Rule::Literal(list) => {
                let list = literals.get(list).ok_or_else(|| format!("no literal {list}"))?;
                list.iter().map(|x| *x as f32).collect()
            }
            Rule::Stft(n_fft) => stft_forward_basis(*n_fft),
            Rule::As(name, rule) => return rule.values(name, n, seed, literals),
        };
        if values.len() == n { Ok(values) } else { Err(format!("{} values instead of {n}", values.len())) }
    }
}

/// Little-endian elements of a type that the model files have.
pub(super) fn encode(values: &[f32], dtype: Dtype) -> Result<Vec<u8>, String> {
    match dtype {
        Dtype::F32 => Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Dtype::Bf16 => Ok(values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()),
        Dtype::I32 => Err("model files have no I32 tensors".to_owned()),
    }
}

/// Uniform values with mean 0 and variance 1: the SplitMix64 stream keyed by a string.
fn unit_values(key: &str, n: usize) -> impl Iterator<Item = f64> {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let start = u64::from_le_bytes(*digest.first_chunk().expect("a digest has more than 8 bytes"));
    (1..=n as u64).map(move |i| {
        let mut z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let uniform = (z >> 11) as f64 * 2f64.powi(-53);
        (2.0 * uniform - 1.0) * 3f64.sqrt()
    })
}

/// Rows of the discrete Fourier transform, real parts then imaginary parts, times a periodic Hann
/// window: shape [2·(n/2 + 1), 1, n].
fn stft_forward_basis(n: usize) -> Vec<f32> {
    // Implementations of cos and sin differ in the last bit; 30 binary places are the same in all.
    let snap = |x: f64| (x * 2f64.powi(30)).round_ties_even() / 2f64.powi(30);
    let angle = |i: usize| 2.0 * PI * i as f64 / n as f64;
    let cos: Vec<f64> = (0..n).map(|i| snap(libm::cos(angle(i)))).collect();
    let minus_sin: Vec<f64> = (0..n).map(|i| -snap(libm::sin(angle(i)))).collect();
    let window: Vec<f64> = (0..n).map(|i| snap(0.5 - 0.5 * libm::cos(angle(i)))).collect();
    let mut basis = Vec::with_capacity((n + 2) * n);
    for table in [cos, minus_sin] {
        for row in 0..=n / 2 {
            basis.extend((0..n).map(|i| (table[row * i % n] * window[i]) as f32));
        }
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(value: Value) -> Result<Rule, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn rules_are_read_and_others_refused() {
        assert_eq!(rule(json!(["u", 0.0, 0.5])).unwrap(), Rule::Uniform { mean: 0.0, std: 0.5 });
        assert_eq!(rule(json!(["stft", 512])).unwrap(), Rule::Stft(512));
        let inner = Box::new(Rule::Literal("window".to_owned()));
        assert_eq!(rule(json!(["as", "x", ["lit", "window"]])).unwrap(), Rule::As("x".to_owned(), inner));
        let error = rule(json!(["fp8", "x", ["u", 0, 1]])).unwrap_err().to_string();
        assert!(error.contains("no such rule: [\"fp8\""), "{error}");
    }

    #[test]
    fn random_values_are_centred_with_variance_one() {
        let values: Vec<f64> = unit_values("key", 10_000).collect();
        let mean = values.iter().sum::<f64>() / 1e4;
        let variance = values.iter().map(|x| x * x).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert_ne!(values[..3], unit_values("other key", 3).collect::<Vec<_>>()[..]);
    }

    #[test]
    fn a_literal_of_another_size_is_an_error() {
        let literals = BTreeMap::from([("two".to_owned(), vec![1.0, 2.0])]);
        let two = Rule::Literal("two".to_owned());
        assert_eq!(two.values("x", 2, "seed", &literals), Ok(vec![1.0, 2.0]));
        assert_eq!(two.values("x", 3, "seed", &literals), Err("2 values instead of 3".to_owned()));
    }
}
