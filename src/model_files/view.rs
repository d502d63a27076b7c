//! What a file is, found out from its header: whose tensors it has under which names, and what decodes them.

use std::sync::Arc;

use zoetrope_encodings::{Encoding, Number};
use zoetrope_runtime::files::{Beside, Decoded, FileDtype, Renames, Tensor, TensorFile, View, Viewed};
use zoetrope_runtime::plan::Source;

use super::diffusers::Part;
use super::quantised::Quantised;
use super::{llama, names};

/// The tensor of a single file of Gemma that is its tokenizer.
pub const TOKENIZER_TENSOR: &str = "spiece_model";
/// The architecture of a GGUF file with a language model.
pub const GEMMA: &str = "gemma3";
const ARCHITECTURE: &str = "general.architecture";

/// How the names end of scales that say how to round the inputs of a product.
pub const INPUT_SCALES: [&str; 2] = ["input_scale", "scale_input"];

/// How the names in files that belong together are read.
#[derive(Debug)]
pub enum Names {
    Renamed(Renames),
    Diffusers(Part),
    /// Of a language model in a GGUF file.
    Llama,
}

/// A file as the model's, and what was found out about it.
#[derive(Debug)]
pub struct Seen {
    pub view: View,
    /// What is wrong with it, a line each.
    pub problems: Vec<String>,
    /// What of it is not used, a line each.
    pub notes: Vec<String>,
}

impl Names {
    /// Those of all files that one path or index stands for, given as `source`.
    pub fn of(source: Source, files: &[&TensorFile]) -> Names {
        let all = files.iter().flat_map(|file| file.names());
        let gguf = files.iter().any(|file| file.gguf().is_some());
        match source.file() {
            Source::TextEncoder if gguf => Names::Llama,
            Source::TextEncoder => Names::Renamed(Renames::of(names::TEXT_ENCODER, all)),
            Source::Checkpoint => match Part::of(all.clone()) {
                Some(part) => Names::Diffusers(part),
                None => Names::Renamed(Renames::of(names::CHECKPOINT, all)),
            },
            _ => Names::Renamed(Renames::of(&[], all)),
        }
    }

    /// The official name of a tensor; `None` for one that the model does not have.
    fn official(&self, name: &str) -> Option<String> {
        match self {
            Names::Renamed(renames) => Some(renames.official(name)),
            Names::Diffusers(part) => Some(part.official(name)),
            Names::Llama => llama::official(name),
        }
    }

    /// What is added to a tensor's values.
    fn added(&self, name: &str) -> f32 {
        if matches!(self, Names::Llama) { llama::added(name) } else { 0.0 }
    }
}

/// A file under official names. `whole` is false for one of several files of a model.
pub fn see(source: Source, file: TensorFile, names: &Names, whole: bool) -> Seen {
    let file = Arc::new(file);
    let mut problems = Vec::new();
    if file.gguf().is_some() {
        problems.extend(other_architecture(source, &file));
    }
    let quantised = Quantised::of(&file, whole);
    problems.extend(quantised.problems);
    let mut decoded = quantised.decoded;
    let left = |name: &str| quantised.beside.contains(name) || name == TOKENIZER_TENSOR;
    let mut tensors = Vec::new();
    for stored in file.names().filter(|name| !left(name)) {
        let Some(name) = names.official(stored) else { continue };
        let made = decoded.remove(stored).or_else(|| file.get(stored).and_then(|t| plain(&file, &t, names)));
        tensors.push(Viewed { name, stored: stored.to_string(), decoded: made });
    }
    let path = file.path().display();
    let inputs =
        quantised.beside.iter().filter(|name| INPUT_SCALES.iter().any(|end| name.ends_with(end))).count();
    let inputs = (inputs > 0).then(|| {
        format!(
            "{path}: {inputs} scales of inputs (input_scale) are not used: weights are decoded, and what they are \
             multiplied with is not rounded to 8 bits"
        )
    });
    let problems = problems.into_iter().map(|problem| format!("{path}: {problem}")).collect();
    Seen { view: View { file: Arc::clone(&file), tensors }, problems, notes: inputs.into_iter().collect() }
}

/// What decodes a tensor that stands for itself; `None` for one that is read as it is.
fn plain(file: &Arc<TensorFile>, tensor: &Tensor<'_>, names: &Names) -> Option<Decoded> {
    let add = names.added(tensor.name);
    // The table of tokens may lack rows that the model has, and no prompt reads.
    let may_grow = matches!(names, Names::Llama) && tensor.name == "token_embd.weight";
    let encoding = match tensor.dtype {
        FileDtype::Block(block) => Encoding::Gguf(block),
        _ if add == 0.0 && !may_grow => return None,
        FileDtype::F32 => Encoding::Plain(Number::F32),
        FileDtype::F16 => Encoding::Plain(Number::F16),
        FileDtype::Bf16 => Encoding::Plain(Number::Bf16),
        _ => return None,
    };
    let beside = Beside { add, ..Beside::default() };
    // Blocks lie one after the other, whatever the rows are.
    Decoded::new(file, tensor.name, encoding, [1, tensor.elements()], tensor.shape.to_vec(), beside)
}

/// Why a GGUF file is not what it was given as.
fn other_architecture(source: Source, file: &TensorFile) -> Option<String> {
    let said = file.gguf()?.value(ARCHITECTURE).and_then(|value| value.text());
    let (wanted, fits) = match source.file() {
        // Some writers say nothing, or that of another model: names and shapes decide.
        Source::Checkpoint => ("ltxv", said.is_none_or(|said| ["ltxv", "pig"].contains(&said))),
        Source::TextEncoder => (GEMMA, said == Some(GEMMA)),
        _ => ("a safetensors file", false),
    };
    let said = said.unwrap_or("missing");
    (!fits).then(|| format!("{ARCHITECTURE} is {said}, {wanted} wanted"))
}
