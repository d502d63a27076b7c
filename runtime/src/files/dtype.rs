//! Element types that a tensor file can hold.

use std::fmt;

use zoetrope_encodings::GgufBlock;

macro_rules! file_dtypes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $bits:literal bits;)*) => {
        /// How one element is stored in a file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FileDtype {
            $($(#[$doc])* $variant,)*
            /// Blocks of a GGUF file.
            Block(GgufBlock),
        }

        impl FileDtype {
            /// Every element type of safetensors files.
            pub const ALL: &[FileDtype] = &[$(FileDtype::$variant,)*];

            /// Bits of one element; of one in a block its share, rounded up.
            pub const fn bits(self) -> usize {
                match self {
                    $(FileDtype::$variant => $bits,)*
                    FileDtype::Block(block) => (block.bytes() * 8).div_ceil(block.elements()),
                }
            }

            /// The name in a file's header.
            pub const fn name(self) -> &'static str {
                match self {
                    $(FileDtype::$variant => $name,)*
                    FileDtype::Block(block) => block.name(),
                }
            }
        }
    };
}

file_dtypes! {
    /// Complex number of two 32-bit floats.
    C64 = "C64", 64 bits;
    /// 64-bit float.
    F64 = "F64", 64 bits;
    /// Signed integer.
    I64 = "I64", 64 bits;
    /// Unsigned integer.
    U64 = "U64", 64 bits;
    /// 32-bit float.
    F32 = "F32", 32 bits;
    /// Signed integer.
    I32 = "I32", 32 bits;
    /// Unsigned integer.
    U32 = "U32", 32 bits;
    /// The upper half of a 32-bit float.
    Bf16 = "BF16", 16 bits;
    /// IEEE half precision.
    F16 = "F16", 16 bits;
    /// Signed integer.
    I16 = "I16", 16 bits;
    /// Unsigned integer.
    U16 = "U16", 16 bits;
    /// 8-bit float with 4 exponent bits, no infinities.
    F8E4M3 = "F8_E4M3", 8 bits;
    /// 8-bit float with 4 exponent bits, no infinities, no negative zero.
    F8E4M3Fnuz = "F8_E4M3FNUZ", 8 bits;
    /// 8-bit float with 5 exponent bits.
    F8E5M2 = "F8_E5M2", 8 bits;
    /// 8-bit float with 5 exponent bits, no infinities, no negative zero.
    F8E5M2Fnuz = "F8_E5M2FNUZ", 8 bits;
    /// Power of two: the scale of a block.
    F8E8M0 = "F8_E8M0", 8 bits;
    /// Signed integer.
    I8 = "I8", 8 bits;
    /// Unsigned integer.
    U8 = "U8", 8 bits;
    /// One byte, zero or one.
    Bool = "BOOL", 8 bits;
    /// 6-bit float with 2 exponent bits.
    F6E2M3 = "F6_E2M3", 6 bits;
    /// 6-bit float with 3 exponent bits.
    F6E3M2 = "F6_E3M2", 6 bits;
    /// 4-bit float.
    F4 = "F4", 4 bits;
}

impl FileDtype {
    /// The inverse of [`FileDtype::name`].
    pub fn from_name(name: &str) -> Option<FileDtype> {
        Self::ALL.iter().copied().find(|dtype| dtype.name() == name)
    }

    /// The type as the format's library calls it; `None` for one that this program does not know.
    pub(super) fn of(dtype: safetensors::Dtype) -> Option<FileDtype> {
        FileDtype::from_name(&dtype.to_string())
    }

    /// Elements that are stored together.
    pub const fn block_elements(self) -> usize {
        match self {
            FileDtype::Block(block) => block.elements(),
            _ => 1,
        }
    }

    /// Bytes of `elements` packed elements, if they fill whole bytes or blocks and the number fits.
    pub fn bytes_of(self, elements: usize) -> Option<usize> {
        if let FileDtype::Block(block) = self {
            let blocks = elements.is_multiple_of(block.elements()).then_some(elements / block.elements());
            return blocks?.checked_mul(block.bytes());
        }
        let bits = elements.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

impl fmt::Display for FileDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::FileDtype;

    #[test]
    fn names_and_sizes() {
        for &dtype in FileDtype::ALL {
            assert_eq!(FileDtype::from_name(dtype.name()), Some(dtype));
        }
        assert_eq!(FileDtype::from_name("bf16"), None);
        assert_eq!(FileDtype::Bf16.bytes_of(3), Some(6));
        assert_eq!(FileDtype::F4.bytes_of(4), Some(2));
        assert_eq!(FileDtype::F4.bytes_of(3), None);
        assert_eq!(FileDtype::F64.bytes_of(usize::MAX / 8), None);
    }
}
