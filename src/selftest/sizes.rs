//! Cases of full size, by their lines in `sizes.txt`.

use zoetrope_kernels::{Kernel, catalog};
use zoetrope_model_spec::lang::{Attr, Dtype, ShapeError};

use super::cases::{Case, Compared};

/// A kind and its numbers in every line; also what PyTorch is timed at.
pub const SIZES: &str = include_str!("sizes.txt");

/// The lines of a text that are cases.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The largest extent that is taken, and the largest product of a line's numbers: sums of bytes and of operations stay
/// far below 2^64.
const LARGEST: usize = 1 << 20;
const MOST: u128 = 1 << 48;

/// Positions of rotary tables, and their frequencies of an axis: those of 1920x1088 with 241 frames.
const POSITIONS: usize = 125;

/// The case of a line, stored as bf16; a few rows or positions of its result are compared.
///
/// # Errors
/// The kind is not known, or does not take these numbers.
pub fn case(line: &str) -> Result<Case, String> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let number = |word: &str| word.parse().ok().filter(|n| (1..=LARGEST).contains(n));
    let numbers: Option<Vec<usize>> = words.map(number).collect();
    let numbers =
        numbers.ok_or_else(|| format!("{line}: behind the kind wanted numbers, from 1 to {LARGEST}"))?;
    if numbers.iter().map(|n| *n as u128).product::<u128>() > MOST {
        return Err(format!("{line}: wanted numbers whose product is at most {MOST}"));
    }
    let (kernel, attrs, shapes): (&str, Option<Vec<Attr>>, Vec<Vec<usize>>) = match (kind, &numbers[..]) {
        ("copy", &[rows, width]) => ("copy", None, vec![vec![rows, width]]),
        ("linear", &[rows, k, n]) => ("linear_bias", None, vec![vec![rows, k], vec![n, k], vec![n]]),
        ("attention", &[queries, keys, heads, head]) => {
            let scale = Attr::Real(1.0 / (head as f32).sqrt());
            let heads_twice = [Attr::Int(heads as i64), Attr::Int(heads as i64)];
            let attrs = heads_twice.into_iter().chain([scale, Attr::Int(0)]).collect();
            let width = heads * head;
            ("attention", Some(attrs), vec![vec![queries, width], vec![keys, width], vec![keys, width]])
        }
        ("conv3d" | "rms_norm_silu_conv3d", &[read, written, frames, height, width]) => {
            let kernel = if kind == "conv3d" { "conv_bias" } else { "rms_norm_silu_conv_bias" };
            let filters = vec![written, 3, 3, 3, read];
            (kernel, None, vec![vec![frames, height, width, read], filters, vec![written]])
        }
        ("rms_norm_modulate", &[rows, width]) => {
            (kind, None, vec![vec![rows, width], vec![2, width], vec![2, width], vec![rows]])
        }
        ("rms_norm_weight", &[rows, width]) => (kind, None, vec![vec![rows, width], vec![width]]),
        ("rope" | "rms_norm_rope", &[rows, width, heads]) => {
            let rope = [Attr::Int(heads as i64), Attr::Int(0)];
            let table = vec![POSITIONS, width / 6];
            let rotary = [table.clone(), table, vec![rows, 3]];
            let x = vec![rows, width];
            if kind == "rope" {
                (kind, Some(rope.to_vec()), [x].into_iter().chain(rotary).collect())
            } else {
                let norm = [Attr::Real(1e-6), Attr::Real(0.0), Attr::Int(1)];
                let attrs = norm.into_iter().chain(rope).collect();
                (kind, Some(attrs), [x, vec![width]].into_iter().chain(rotary).collect())
            }
        }
        _ => return Err(format!("{line}: no kind of case has so many numbers")),
    };
    let catalog = catalog();
    let kernel: &Kernel = catalog.iter().find(|k| k.name == kernel).expect("a declared kernel");
    let meaning = attrs.map_or(Some(kernel.meaning.clone()), |attrs| kernel.meaning.with_attrs(&attrs));
    let meaning = meaning.ok_or_else(|| format!("{line}: numbers that the kernel does not take"))?;
    let compared = if kind.ends_with("conv3d") { Compared::Corner } else { Compared::Rows };
    let of = Case::of(kernel, kernel.sample(meaning, shapes), Dtype::Bf16);
    let of = of.map_err(|ShapeError(why)| format!("{line}: {why}"))?;
    Ok(Case { name: line.to_string(), compared, ..of })
}

#[cfg(test)]
mod tests {
    use super::super::{COPY, PRODUCT};
    use super::*;

    #[test]
    fn every_line_is_a_case_and_the_first_two_are_the_ceilings() {
        let lines: Vec<&str> = lines(SIZES).collect();
        assert_eq!(lines[..2], [COPY, PRODUCT]);
        let cases: Vec<Case> = lines.iter().map(|line| case(line).unwrap()).collect();
        let of = |name: &str| cases.iter().find(|case| case.name == name).expect("a line");
        assert_eq!(of("linear 63240 4096 16384").flops, 2 * 63240 * 4096 * 16384);
        assert_eq!(of("attention 63240 63240 32 128").flops, 4 * 63240 * 63240 * 4096);
        assert_eq!(of("conv3d 512 512 61 136 240").flops, 2 * 27 * 512 * 512 * 61 * 136 * 240);
        assert_eq!(of(COPY).bytes, 2 << 30);
    }

    #[test]
    fn lines_that_are_no_cases_are_refused() {
        for line in [
            "",
            "linear",
            "linear 8 8",
            "linear 8 0 8",
            "linear 8 8 -8",
            "rope 9 25 4",
            "copy 2 9999999",
            "x 1 2",
        ] {
            assert!(case(line).err().is_some_and(|why| why.starts_with(line)), "{line}");
        }
    }

    /// Whatever the numbers are: a case that can be selected, or a refusal in words.
    #[test]
    fn no_line_is_too_odd() {
        let kinds: std::collections::BTreeSet<&str> =
            lines(SIZES).filter_map(|line| line.split(' ').next()).collect();
        let odd = [1, 2, 5, 6, 7, 16, 17, 48, 64, LARGEST];
        for (kind, count) in kinds.iter().flat_map(|kind| (0..=6).map(move |count| (kind, count))) {
            for seed in 0..60usize {
                let number = |i: usize| odd[(seed * 7 + i * (seed / 10 + 3)) % odd.len()];
                let line = (0..count).fold((*kind).to_string(), |line, i| format!("{line} {}", number(i)));
                if let Ok(case) = case(&line) {
                    let plan = super::super::plan(&[case]);
                    let _ = zoetrope_compiler::select(&plan, zoetrope_compiler::Class::Hopper);
                }
            }
        }
    }
}
