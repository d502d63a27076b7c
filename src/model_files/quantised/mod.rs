//! Quantised weights of safetensors files: which layers say that they are, and what decodes them (docs/model-files.md).

mod layer;
mod marker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zoetrope_encodings::{Encoding, Number};
use zoetrope_runtime::files::{Beside, Decoded, FileDtype, TensorFile};

use marker::{Format, Marker};

/// How names end that stand beside a weight, after that of its module.
pub const BESIDE: [&str; 7] = [
    ".weight_scale",
    ".weight_scale_2",
    ".input_scale",
    ".pre_quant_scale",
    ".comfy_quant",
    ".scale_weight",
    ".scale_input",
];
/// The older mark of a whole file.
const LEGACY: &str = "scaled_fp8";
const METADATA: &str = "_quantization_metadata";

/// Dialects whose weights are not read, by what is in names.
const REFUSED: [(&str, &str); 6] = [
    (".torchao_nvfp4", "torchao"),
    (".weight._data", "quanto"),
    (".quant_state.bitsandbytes", "bitsandbytes"),
    (".absmax", "bitsandbytes"),
    (".qweight", "nunchaku or AWQ"),
    (".wscales", "nunchaku"),
];

/// What a file says of its quantised weights.
#[derive(Debug, Default)]
pub struct Quantised {
    /// What decodes a tensor, by its name in the file.
    pub decoded: BTreeMap<String, Decoded>,
    /// Tensors that say how others are stored.
    pub beside: BTreeSet<String>,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
}

impl Quantised {
    /// Looks at the names, types and small tensors of a file. `whole` is false for one of several files of a model, whose
    /// metadata may speak of the others.
    pub fn of(file: &Arc<TensorFile>, whole: bool) -> Quantised {
        let mut found = Quantised::default();
        let refused = |name: &str| {
            let (_, dialect) = REFUSED.iter().find(|(sign, _)| name.contains(sign))?;
            Some(format!(
                "tensor {name}: weights of {dialect} are not read: fp8, int8, mxfp8, nvfp4 or GGUF wanted"
            ))
        };
        if let Some(problem) = file.names().find_map(refused) {
            found.problems.push(problem);
            return found;
        }
        let module_of = |name: &str| BESIDE.iter().find_map(|end| name.strip_suffix(end)).map(str::to_string);
        for name in file.names() {
            let of_weight = module_of(name).is_some_and(|module| has_weight(file, &module));
            if of_weight || name == LEGACY || name.ends_with(&format!(".{LEGACY}")) {
                found.beside.insert(name.to_string());
            }
        }
        let mut markers = BTreeMap::new();
        if let Some(text) = file.metadata().get(METADATA) {
            match marker::listed(text, file, whole) {
                Ok(listed) => markers.extend(listed),
                Err(problems) => found.problems.extend(problems),
            }
        }
        for name in file.names() {
            let Some(module) = name.strip_suffix(".comfy_quant") else { continue };
            if !has_weight(file, module) {
                found
                    .problems
                    .push(format!("tensor {module}.weight is missing, and {name} says how it is stored"));
                continue;
            }
            match marker::tensor(file, name) {
                Ok(marker) => drop(markers.entry(module.to_string()).or_insert(marker)),
                Err(problem) => found.problems.push(problem),
            }
        }
        for name in file.names() {
            let module = name.strip_suffix(".weight");
            let made = match module.and_then(|module| Some((module, markers.remove(module)?))) {
                Some((module, marker)) => layer::decoded(file, module, &marker).map(Some),
                None => unmarked(file, name),
            };
            match made {
                Ok(Some(decoded)) => drop(found.decoded.insert(name.to_string(), decoded)),
                Ok(None) => {}
                Err(problem) => found.problems.push(problem),
            }
        }
        found
    }
}

fn has_weight(file: &TensorFile, module: &str) -> bool {
    file.get(&format!("{module}.weight")).is_some()
}

/// What decodes a tensor that nothing speaks of: its type and what stands beside it decide.
fn unmarked(file: &Arc<TensorFile>, name: &str) -> Result<Option<Decoded>, String> {
    let Some(tensor) = file.get(name) else { return Ok(None) };
    let number = match tensor.dtype {
        FileDtype::F8E4M3 => Some(Number::E4m3),
        FileDtype::F8E5M2 => Some(Number::E5m2),
        _ => None,
    };
    let module = name.strip_suffix(".weight");
    let beside = |end: &str| module.is_some_and(|module| file.get(&format!("{module}{end}")).is_some());
    let scaled = beside(".weight_scale") || beside(".scale_weight");
    let format = match (tensor.dtype, number) {
        (FileDtype::F8E4M3, _) if scaled => Some(Format::E4m3),
        (FileDtype::F8E5M2, _) if scaled => Some(Format::E5m2),
        (FileDtype::U8, _) if beside(".weight_scale") || beside(".weight_scale_2") => Some(Format::Nvfp4),
        _ => None,
    };
    match (module, format, number) {
        (Some(module), Some(format), _) => layer::decoded(file, module, &Marker::of(format)).map(Some),
        // The number itself, of weights and of all else.
        (_, _, Some(number)) => {
            let (shape, stored) = (tensor.shape.to_vec(), [1, tensor.elements()]);
            let decoded = Decoded::new(file, name, Encoding::Plain(number), stored, shape, Beside::default());
            Ok(decoded)
        }
        _ => Ok(None),
    }
}
