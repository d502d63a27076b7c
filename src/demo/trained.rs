//! The trained tensors of the demo model: embedded once, in 8 bits, compressed.
//!
//! A part of the model is one file, `weights/PART.bin`, as `tools/demo-model/export.py` writes it: a safetensors file
//! inside a zlib stream. A tensor stands there under its official name, as F32 or BF16, or as I8 with a scale for every
//! row of its first axis under `NAME.row_scale`. What no part has, and what has another shape than the plan wants, is
//! made by the rules.

use std::io::Read;

use flate2::read::ZlibDecoder;
use zoetrope_runtime::files::{FileDtype, TensorFile};
use zoetrope_runtime::plan::Source;

use super::DemoError;
use crate::model_files::Wanted;

const PARTS: [(Source, &str, &[u8]); 5] = [
    (Source::Checkpoint, "transformer", include_bytes!("weights/transformer.bin")),
    (Source::Checkpoint, "video", include_bytes!("weights/video.bin")),
    (Source::Checkpoint, "audio", include_bytes!("weights/audio.bin")),
    (Source::SpatialUpscaler, "upscaler", include_bytes!("weights/upscaler.bin")),
    (Source::Adapter(0), "adapter", include_bytes!("weights/adapter.bin")),
];

/// No part becomes larger: a stream that does is damaged.
const MAX_BYTES: u64 = 64 << 20;

const SCALES: &str = ".row_scale";

/// A tensor's element type and its bytes, little-endian.
pub type Values = (FileDtype, Vec<u8>);

/// The trained tensors of one of the model's files.
#[derive(Default)]
pub struct Trained {
    parts: Vec<Part>,
}

impl Trained {
    /// What this program has of a file.
    ///
    /// # Errors
    /// A damaged part.
    pub fn of(source: Source) -> Result<Trained, DemoError> {
        let parts = PARTS.iter().filter(|(of, ..)| *of == source);
        Ok(Trained {
            parts: parts.map(|(_, name, packed)| Part::unpack(name, packed)).collect::<Result<_, _>>()?,
        })
    }

    /// A tensor's values; `None` where it was not trained in this shape.
    ///
    /// # Errors
    /// A damaged part.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Option<Values>, DemoError> {
        self.parts.iter().find_map(|part| part.values(name, shape).transpose()).transpose()
    }
}

/// Every tensor that was trained, by part, with the shape that it has.
///
/// # Errors
/// A damaged part.
pub fn trained_tensors() -> Result<Vec<(&'static str, Wanted)>, DemoError> {
    let mut tensors = Vec::new();
    for (source, name, packed) in PARTS {
        let Part { file, .. } = Part::unpack(name, packed)?;
        let trained = file.iter().filter(|tensor| !tensor.name.ends_with(SCALES));
        tensors.extend(trained.map(|tensor| {
            (
                name,
                Wanted { source, tensor: tensor.name.to_string(), shape: tensor.shape.to_vec(), kept: None },
            )
        }));
    }
    Ok(tensors)
}

/// One part, unpacked.
struct Part {
    name: &'static str,
    file: TensorFile,
}

impl Part {
    fn unpack(name: &'static str, packed: &[u8]) -> Result<Part, DemoError> {
        let damaged = |why: String| DemoError::Damaged { part: name, why };
        let mut bytes = Vec::new();
        let mut stream = ZlibDecoder::new(packed).take(MAX_BYTES + 1);
        stream.read_to_end(&mut bytes).map_err(|why| damaged(why.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("it holds more than {MAX_BYTES} bytes")));
        }
        let file = TensorFile::from_bytes(name, bytes).map_err(|why| damaged(why.to_string()))?;
        Ok(Part { name, file })
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Option<Values>, DemoError> {
        let Some(tensor) = self.file.get(name).filter(|tensor| tensor.shape == shape) else {
            return Ok(None);
        };
        if matches!(tensor.dtype, FileDtype::F32 | FileDtype::Bf16) {
            return Ok(Some((tensor.dtype, tensor.bytes.to_vec())));
        }
        let scales = self.file.get(&format!("{name}{SCALES}"));
        let scales = scales.ok_or_else(|| format!("tensor {name} is {} and has no scales", tensor.dtype));
        let bytes = scales.and_then(|scales| tensor.dequantised(&scales));
        let bytes = bytes.map_err(|why| DemoError::Damaged { part: self.name, why })?;
        Ok(Some((FileDtype::Bf16, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use zoetrope_runtime::files::{NewTensor, write_tensors};

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A part with `w` in 8 bits, its scales under a name, and `b`.
    fn part(scales: &str) -> Vec<u8> {
        let (w, b) = ([2, 0xfe, 4, 0], 1.5f32.to_le_bytes());
        let s: Vec<u8> = [0.25f32, 3.0].iter().flat_map(|s| s.to_le_bytes()).collect();
        let tensors = [
            NewTensor { name: "w", dtype: FileDtype::I8, shape: &[2, 2], bytes: &w },
            NewTensor { name: scales, dtype: FileDtype::F32, shape: &[2], bytes: &s },
            NewTensor { name: "b", dtype: FileDtype::F32, shape: &[1], bytes: &b },
        ];
        pack(&write_tensors(&[], &tensors))
    }

    #[test]
    fn a_part_gives_what_it_holds() {
        let part = Part::unpack("new", &part("w.row_scale")).unwrap();
        let trained = Trained { parts: vec![part] };
        let values = |name, shape: &[usize]| trained.values(name, shape).unwrap();
        let w: Vec<u8> = [0x3f00u16, 0xbf00, 0x4140, 0].iter().flat_map(|b| b.to_le_bytes()).collect();
        assert_eq!(values("w", &[2, 2]), Some((FileDtype::Bf16, w)));
        assert_eq!(values("b", &[1]), Some((FileDtype::F32, 1.5f32.to_le_bytes().to_vec())));
        assert_eq!(values("w", &[4]), None, "another shape");
        assert_eq!(values("v", &[1]), None);
    }

    #[test]
    fn a_damaged_part_is_said_to_be_damaged() {
        let good = part("w.row_scale");
        let said = |packed: &[u8]| {
            let opened = Part::unpack("new", packed);
            opened.and_then(|part| part.values("w", &[2, 2])).unwrap_err().to_string()
        };
        // Any byte, and any length.
        for i in 0..good.len() {
            let mut flipped = good.clone();
            flipped[i] ^= 0x10;
            assert!(said(&flipped).contains("the demo model's part new is damaged"), "byte {i}");
            assert!(said(&good[..i]).contains("part new is damaged"), "{i} bytes");
        }
        let no_scales = said(&part("w.scale"));
        assert!(no_scales.contains("tensor w is I8 and has no scales"), "{no_scales}");
        let large = said(&pack(&vec![0; MAX_BYTES as usize + 1]));
        assert!(large.contains("more than 67108864 bytes"), "{large}");
    }
}
