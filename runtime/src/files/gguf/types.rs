//! The numbers of element types in GGUF files.

use zoetrope_encodings::GgufBlock;

use super::FileDtype;

/// The number of a type.
#[derive(Clone, Copy, Debug)]
pub struct TypeId(pub u32);

/// What is known of a type.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    Read(FileDtype),
    NotRead(&'static str),
    Removed(&'static str),
    Unknown,
}

const PLAIN: [(u32, FileDtype); 8] = [
    (0, FileDtype::F32),
    (1, FileDtype::F16),
    (24, FileDtype::I8),
    (25, FileDtype::I16),
    (26, FileDtype::I32),
    (27, FileDtype::I64),
    (28, FileDtype::F64),
    (30, FileDtype::Bf16),
];

const NOT_READ: [(u32, &str); 13] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

const REMOVED: [(u32, &str); 8] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

impl TypeId {
    pub fn known(self) -> Type {
        let plain = PLAIN.iter().find(|(id, _)| *id == self.0).map(|(_, dtype)| *dtype);
        let read = plain.or_else(|| GgufBlock::from_id(self.0).map(FileDtype::Block));
        let named =
            |list: &[(u32, &'static str)]| list.iter().find(|(id, _)| *id == self.0).map(|(_, name)| *name);
        let read = read.map(Type::Read);
        let not_read = || named(&NOT_READ).map(Type::NotRead);
        let removed = || named(&REMOVED).map(Type::Removed);
        read.or_else(not_read).or_else(removed).unwrap_or(Type::Unknown)
    }
}
