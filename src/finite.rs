//! Outputs of phases that hold no numbers: what damaged weights end in.

use zoetrope_runtime::plan::{Dtype, Phase, Port};
use zoetrope_runtime::{Error, Result};

/// The lowest luma of limited range. Planes are made of RGB in 0..1, so luma of numbers is 16 to 235; what was no number is
/// cast to 0 (`Op::Yuv420` and `Op::Cast` of the evaluator, `rgb_to_yuv420` on a card).
const BLACK: u8 = 16;

/// How many elements of an output are NaN or infinite. Of planes of 4:2:0, the only bytes that a phase leaves: how many
/// pixels were NaN; what was infinite has become black or white there.
pub fn count(port: &Port, bytes: &[u8]) -> usize {
    match port.dtype {
        Dtype::F32 => exponents(bytes, |word: [u8; 4]| !f32::from_le_bytes(word).is_finite()),
        // All bits of the exponent.
        Dtype::Bf16 => exponents(bytes, |word: [u8; 2]| u16::from_le_bytes(word) & 0x7f80 == 0x7f80),
        Dtype::I32 => 0,
        Dtype::U8 => pixels(port, bytes).map(|luma| luma.iter().filter(|y| **y < BLACK).count()).sum(),
    }
}

/// Checks that an output of a phase holds finite numbers only.
///
/// # Errors
/// It does not: which one, and how many there are.
pub fn check(phase: &Phase, port: &Port, bytes: &[u8]) -> Result<()> {
    match count(port, bytes) {
        0 => Ok(()),
        count => Err(Error::NotFinite {
            phase: phase.name.to_string(),
            output: port.name.to_string(),
            count,
            elements: elements(port, bytes),
        }),
    }
}

/// How many elements [`count`] looks at.
pub fn elements(port: &Port, bytes: &[u8]) -> usize {
    match port.dtype {
        Dtype::U8 => pixels(port, bytes).map(<[u8]>::len).sum(),
        dtype => bytes.len() / dtype.bytes() as usize,
    }
}

fn exponents<const N: usize>(bytes: &[u8], wrong: impl Fn([u8; N]) -> bool) -> usize {
    bytes.as_chunks().0.iter().filter(|word| wrong(**word)).count()
}

/// The luma of every frame of [frames, 3·height/2, width].
fn pixels<'b>(port: &Port, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let frame = port.shape.iter().skip(1).map(|n| *n as usize).product::<usize>().max(1);
    bytes.chunks_exact(frame).map(move |planes| &planes[..frame / 3 * 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoetrope_runtime::plan::Role;

    fn port(dtype: Dtype, shape: &[u32]) -> Port {
        let shape = shape.to_vec().into();
        Port { name: "out".into(), offset: 0, dtype, shape, role: Role::Tensor { default: None }, slot: None }
    }

    #[test]
    fn every_kind_of_element_is_counted() {
        let wrong = [f32::NAN, 1.0, f32::INFINITY, -f32::MAX, f32::NEG_INFINITY, 0.0, -f32::NAN];
        let words: Vec<u8> = wrong.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(count(&port(Dtype::F32, &[7]), &words), 4);
        let halves: Vec<u8> = wrong.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect();
        // The largest f32 is no bf16.
        assert_eq!(count(&port(Dtype::Bf16, &[7]), &halves), 5);
        assert_eq!(count(&port(Dtype::I32, &[7]), &words), 0);
        // Two frames of 2x2 pixels: chroma may be anything.
        let planes = [16, 235, 15, 100, 0, 255, 16, 16, 0, 16, 3, 4];
        let port = port(Dtype::U8, &[2, 3, 2]);
        assert_eq!((count(&port, &planes), elements(&port, &planes)), (2, 8));
    }
}
