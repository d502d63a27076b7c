//! What the keys of a LoRA file mean, in every dialect: which parameter they change, and what of the change they hold.

use std::collections::BTreeMap;

use zoetrope_runtime::files::TensorSet;

use crate::model_files::diffusers;

/// What a tensor of an adapter is to the change of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A of B·A, [rank, in].
    Down,
    /// B of B·A, [out, rank].
    Up,
    /// What, divided by the rank, scales the change.
    Alpha,
    /// The lengths that the rows of a weight get.
    Magnitude,
    /// The change of a weight, or of any parameter by its full name.
    Diff,
    /// The change of a bias.
    BiasDiff,
    /// A factor of a Kronecker product: the first or the second, whole or as a product of two.
    Kronecker(Factor, Piece),
    /// A product of two of an elementwise product of two.
    Hadamard(Factor, Piece),
}

/// Which of two factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    First,
    Second,
}

/// What of a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    Whole,
    /// The left one of a product.
    A,
    /// The right one of a product.
    B,
}

/// How keys end. Of two endings that fit, the longer stands first.
const ENDINGS: [(&str, Role); 31] = [
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    (".lora_A", Role::Down),
    (".lora_B", Role::Up),
    (".alpha", Role::Alpha),
    (".dora_scale", Role::Magnitude),
    (".lora_magnitude_vector.default.weight", Role::Magnitude),
    (".lora_magnitude_vector.weight", Role::Magnitude),
    (".lora_magnitude_vector", Role::Magnitude),
    (".diff_b", Role::BiasDiff),
    (".diff", Role::Diff),
    (".lokr_w1_a", Role::Kronecker(Factor::First, Piece::A)),
    (".lokr_w1_b", Role::Kronecker(Factor::First, Piece::B)),
    (".lokr_w1", Role::Kronecker(Factor::First, Piece::Whole)),
    (".lokr_w2_a", Role::Kronecker(Factor::Second, Piece::A)),
    (".lokr_w2_b", Role::Kronecker(Factor::Second, Piece::B)),
    (".lokr_w2", Role::Kronecker(Factor::Second, Piece::Whole)),
    (".hada_w1_a", Role::Hadamard(Factor::First, Piece::A)),
    (".hada_w1_b", Role::Hadamard(Factor::First, Piece::B)),
    (".hada_w2_a", Role::Hadamard(Factor::Second, Piece::A)),
    (".hada_w2_b", Role::Hadamard(Factor::Second, Piece::B)),
];

/// Words in keys of changes that are known and not read.
const UNSUPPORTED: [(&str, &str); 14] = [
    (".lora_mid.", "Tucker"),
    (".lokr_t2", "Tucker"),
    (".hada_t1", "Tucker"),
    (".hada_t2", "Tucker"),
    (".w_norm", "norm"),
    (".b_norm", "norm"),
    (".set_weight", "set_weight"),
    (".reshape_weight", "reshape_weight"),
    (".a1.weight", "GLoRA"),
    (".a2.weight", "GLoRA"),
    (".b1.weight", "GLoRA"),
    (".b2.weight", "GLoRA"),
    (".oft_", "OFT"),
    (".boft_", "BOFT"),
];

const PREFIXES: [&str; 6] = [
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "connectors.",
    "model.",
];
/// Before names whose dots are underscores.
const FLAT_PREFIX: &str = "lora_unet_";
const TRANSFORMER: &str = "model.diffusion_model.";
const PROJECTION: &str = "text_embedding_projection.";

/// The module that a key names, and what the key holds; `None` for a key that is none of a LoRA.
pub fn role(key: &str) -> Option<(&str, Role)> {
    ENDINGS.iter().find_map(|(ending, role)| Some((key.strip_suffix(ending)?, *role)))
}

/// The method that a key belongs to, if it is one that changes weights in a way that is not read.
pub fn unsupported(key: &str) -> Option<&'static str> {
    UNSUPPORTED.iter().find(|(word, _)| key.contains(word)).map(|(_, method)| *method)
}

/// The parameters that an adapter may change: transformer, connectors and text projections of a checkpoint.
#[derive(Default)]
pub struct Layers {
    /// Shapes, by the official names.
    shapes: BTreeMap<String, Vec<usize>>,
    /// Modules by their names with underscores for dots.
    flat: BTreeMap<String, String>,
}

impl Layers {
    pub fn of(checkpoint: &TensorSet) -> Layers {
        let inside = |name: &&str| name.starts_with(TRANSFORMER) || name.starts_with(PROJECTION);
        let shapes: BTreeMap<String, Vec<usize>> = checkpoint
            .iter()
            .filter(|(name, _)| inside(name))
            .map(|(name, tensor)| (name.to_string(), tensor.shape.to_vec()))
            .collect();
        let mut flat = BTreeMap::new();
        for name in shapes.keys() {
            let module = name.strip_suffix(".weight").unwrap_or(name);
            let short = module.strip_prefix(TRANSFORMER).unwrap_or(module);
            flat.insert(short.replace('.', "_"), module.to_string());
            if let Some(shorter) = short.strip_suffix(".to_out.0") {
                flat.insert(format!("{}_to_out", shorter.replace('.', "_")), module.to_string());
            }
        }
        Layers { shapes, flat }
    }

    /// The shape of a parameter by its official name.
    pub fn shape(&self, parameter: &str) -> Option<&[usize]> {
        self.shapes.get(parameter).map(Vec::as_slice)
    }

    /// The official name of the parameter that `role` of the module changes, as a file calls the module.
    pub fn parameter(&self, module: &str, role: Role) -> Option<&str> {
        let named = |name: String| self.shapes.get_key_value(&name).map(|(name, _)| name.as_str());
        self.modules(module).into_iter().find_map(|module| match role {
            Role::BiasDiff => named(format!("{module}.bias")),
            Role::Diff => named(format!("{module}.weight")).or_else(|| named(module)),
            _ => named(format!("{module}.weight")),
        })
    }

    /// Official names that may be meant.
    fn modules(&self, given: &str) -> Vec<String> {
        let mut module = given;
        // PEFT puts its prefix before that of the model that it wrapped.
        for _ in 0..2 {
            let first = PREFIXES.iter().find_map(|prefix| Some((*prefix, module.strip_prefix(prefix)?)));
            let Some((prefix, rest)) = first else { break };
            module = rest;
            if prefix != PREFIXES[0] {
                break;
            }
        }
        if let Some(flat) = module.strip_prefix(FLAT_PREFIX) {
            return self.flat.get(flat).cloned().into_iter().collect();
        }
        let official = diffusers::path(module);
        let spellings =
            [module.to_string(), format!("{module}.0"), official.clone(), format!("{official}.0")];
        spellings.into_iter().flat_map(|name| [format!("{TRANSFORMER}{name}"), name]).collect()
    }
}
