//! Blocks of GGUF: codes and their scales together. All are little-endian; sums and products are f32, in the order in which
//! they are written.

mod iq4;
mod k;
mod legacy;

use crate::number::f16_value;

macro_rules! blocks {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $elements:literal in $bytes:literal, $decode:path;)*) => {
        /// A block type by its name in GGUF.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(non_camel_case_types)]
        pub enum GgufBlock {
            $($(#[$doc])* $variant,)*
        }

        impl GgufBlock {
            /// All block types that can be decoded.
            pub const ALL: &[GgufBlock] = &[$(GgufBlock::$variant,)*];

            /// The number of the type in a file.
            pub const fn id(self) -> u32 {
                match self {
                    $(GgufBlock::$variant => $id,)*
                }
            }

            pub const fn name(self) -> &'static str {
                match self {
                    $(GgufBlock::$variant => $name,)*
                }
            }

            /// Elements of a block.
            pub const fn elements(self) -> usize {
                match self {
                    $(GgufBlock::$variant => $elements,)*
                }
            }

            /// Bytes of a block.
            pub const fn bytes(self) -> usize {
                match self {
                    $(GgufBlock::$variant => $bytes,)*
                }
            }

            /// As many whole blocks of `bytes` as `out` has room for.
            #[inline(always)]
            pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
                match self {
                    $(GgufBlock::$variant => {
                        let blocks = bytes.as_chunks::<$bytes>().0.iter();
                        let outs = out.as_chunks_mut::<$elements>().0.iter_mut();
                        blocks.zip(outs).for_each(|(block, out)| $decode(block, out));
                    })*
                }
            }
        }
    };
}

blocks! {
    /// 8-bit codes.
    Q8_0 = 8, "Q8_0", 32 in 34, legacy::q8_0;
    /// 4-bit codes around 8.
    Q4_0 = 2, "Q4_0", 32 in 18, legacy::q4_0;
    /// 4-bit codes from a minimum on.
    Q4_1 = 3, "Q4_1", 32 in 20, legacy::q4_1;
    /// 5-bit codes around 16.
    Q5_0 = 6, "Q5_0", 32 in 22, legacy::q5_0;
    /// 5-bit codes from a minimum on.
    Q5_1 = 7, "Q5_1", 32 in 24, legacy::q5_1;
    /// 2-bit codes; a scale and a minimum for 16.
    Q2_K = 10, "Q2_K", 256 in 84, k::q2;
    /// 3-bit codes; a scale for 16.
    Q3_K = 11, "Q3_K", 256 in 110, k::q3;
    /// 4-bit codes; a scale and a minimum for 32.
    Q4_K = 12, "Q4_K", 256 in 144, k::q4;
    /// 5-bit codes; a scale and a minimum for 32.
    Q5_K = 13, "Q5_K", 256 in 176, k::q5;
    /// 6-bit codes; a scale for 16.
    Q6_K = 14, "Q6_K", 256 in 210, k::q6;
    /// Numbers of a table of 16.
    IQ4_NL = 20, "IQ4_NL", 32 in 18, iq4::nl;
    /// Numbers of a table of 16; a scale for 32.
    IQ4_XS = 23, "IQ4_XS", 256 in 136, iq4::xs;
}

impl GgufBlock {
    /// The block type of this number.
    pub fn from_id(id: u32) -> Option<GgufBlock> {
        Self::ALL.iter().copied().find(|block| block.id() == id)
    }
}

/// The f16 at a place of a block.
#[inline(always)]
fn half(block: &[u8], at: usize) -> f32 {
    f16_value(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Makes 32 values of the codes in 16 bytes: the lower halves of the bytes, then the upper ones. `value` gets the number of
/// a code and the code.
#[inline(always)]
fn nibbles(bytes: &[u8; 16], out: &mut [f32; 32], value: impl Fn(usize, u8) -> f32) {
    for (i, byte) in bytes.iter().enumerate() {
        out[i] = value(i, byte & 15);
    }
    for (i, byte) in bytes.iter().enumerate() {
        out[16 + i] = value(16 + i, byte >> 4);
    }
}

/// So many bytes of a block from a place on.
#[inline(always)]
fn part<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block[at..].first_chunk().unwrap_or(&[0; N])
}
