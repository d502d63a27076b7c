//! Blocks of GGUF: codes and their scales together. All are little-endian; sums and products are f32, in the order in which
//! they are written.

mod iq4;
mod k;
mod legacy;
mod parts;

use parts::{MIDDLE, around, decode, from_minima};

macro_rules! blocks {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $elements:literal in $bytes:literal,
        $run:literal, $parts:path, $values:path;)*) => {
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
                    $(GgufBlock::$variant => decode::<$parts, $elements, $bytes, { $elements / $run }>(
                        bytes,
                        out,
                        // A function that is passed as it is would not be inlined, nor have the machine's instructions.
                        #[inline(always)]
                        |codes, scales, minima, out| $values(codes, scales, minima, out),
                    ),)*
                }
            }
        }
    };
}

blocks! {
    /// 8-bit codes.
    Q8_0 = 8, "Q8_0", 32 in 34, 32, legacy::Q8_0, around::<MIDDLE, 32>;
    /// 4-bit codes around 8.
    Q4_0 = 2, "Q4_0", 32 in 18, 32, legacy::Q4_0, around::<8, 32>;
    /// 4-bit codes from a minimum on.
    Q4_1 = 3, "Q4_1", 32 in 20, 32, legacy::Q4_1, from_minima::<32>;
    /// 5-bit codes around 16.
    Q5_0 = 6, "Q5_0", 32 in 22, 32, legacy::Q5_0, around::<16, 32>;
    /// 5-bit codes from a minimum on.
    Q5_1 = 7, "Q5_1", 32 in 24, 32, legacy::Q5_1, from_minima::<32>;
    /// 2-bit codes; a scale and a minimum for 16.
    Q2_K = 10, "Q2_K", 256 in 84, 16, k::Q2, from_minima::<16>;
    /// 3-bit codes; a scale for 16.
    Q3_K = 11, "Q3_K", 256 in 110, 16, k::Q3, around::<4, 16>;
    /// 4-bit codes; a scale and a minimum for 32.
    Q4_K = 12, "Q4_K", 256 in 144, 32, k::Q4, from_minima::<32>;
    /// 5-bit codes; a scale and a minimum for 32.
    Q5_K = 13, "Q5_K", 256 in 176, 32, k::Q5, from_minima::<32>;
    /// 6-bit codes; a scale for 16.
    Q6_K = 14, "Q6_K", 256 in 210, 16, k::Q6, around::<32, 16>;
    /// Numbers of a table of 16.
    IQ4_NL = 20, "IQ4_NL", 32 in 18, 32, legacy::Iq4Nl, iq4::of_table;
    /// Numbers of a table of 16; a scale for 32.
    IQ4_XS = 23, "IQ4_XS", 256 in 136, 32, iq4::Xs, iq4::of_table;
}

impl GgufBlock {
    /// The block type of this number.
    pub fn from_id(id: u32) -> Option<GgufBlock> {
        Self::ALL.iter().copied().find(|block| block.id() == id)
    }
}
