//! What a file says of a quantised layer: in its metadata, or in a tensor beside the weight.

use serde_json::{Map, Value};
use zoetrope_runtime::files::TensorFile;

use super::super::names::TRANSFORMER;
use super::{METADATA, has_weight};

/// A longer marker is none.
const MAX_MARKER_BYTES: usize = 1 << 16;
const DEFAULT_GROUP: u64 = 256;

/// How a layer's weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    E4m3,
    E5m2,
    Mxfp8,
    Nvfp4,
    Int8,
}

const FORMATS: [(&str, Format); 5] = [
    ("float8_e4m3fn", Format::E4m3),
    ("float8_e5m2", Format::E5m2),
    ("mxfp8", Format::Mxfp8),
    ("nvfp4", Format::Nvfp4),
    ("int8_tensorwise", Format::Int8),
];

/// Formats that exist and are not read.
const REFUSED: [&str; 3] = ["convrot_w4a4", "asym_w4a8_int8", "awq_w4a16"];

impl Format {
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// What is said of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub format: Format,
    /// Columns that were rotated together.
    pub rotated: Option<u64>,
}

impl Marker {
    pub fn of(format: Format) -> Marker {
        Marker { format, rotated: None }
    }

    /// Reads an object, or the bare name of a format.
    fn read(module: &str, value: &Value) -> Result<Marker, String> {
        if let Value::String(name) = value {
            return Ok(Marker::of(format(module, name)?));
        }
        let object =
            value.as_object().ok_or_else(|| format!("module {module}: {value}, an object wanted"))?;
        let name = object.get("format").and_then(Value::as_str);
        let name = name.ok_or_else(|| format!("module {module}: format is missing; {}", known()))?;
        let rotated = field(object, "convrot").and_then(Value::as_bool).unwrap_or(false);
        let group = match field(object, "convrot_groupsize") {
            None => DEFAULT_GROUP,
            Some(value) => value.as_u64().ok_or_else(|| {
                format!("module {module}: convrot_groupsize is {value}, a power of 4 wanted")
            })?,
        };
        Ok(Marker { format: format(module, name)?, rotated: rotated.then_some(group) })
    }
}

/// A field of a marker; some writers put it into an object `params`.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.get("params")?.get(name))
}

fn format(module: &str, name: &str) -> Result<Format, String> {
    if REFUSED.contains(&name) {
        return Err(format!("module {module}: the format {name} is not read; {}", known()));
    }
    let found = FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
    found.ok_or_else(|| format!("module {module}: the format {name:?} is unknown; {}", known()))
}

fn known() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
    format!("known formats are {}", names.join(", "))
}

/// The markers in a file's metadata, by the names that the modules have in the file. Their names in the text may have the
/// transformer's prefix or not, whatever the tensors have.
pub fn listed(text: &str, file: &TensorFile, whole: bool) -> Result<Vec<(String, Marker)>, Vec<String>> {
    let root: Value =
        serde_json::from_str(text).map_err(|error| vec![format!("{METADATA} is no JSON: {error}")])?;
    let layers = root.get("layers").and_then(Value::as_object);
    let layers = layers.ok_or_else(|| vec![format!("{METADATA} has no object layers")])?;
    let (mut markers, mut problems) = (Vec::new(), Vec::new());
    for (listed, value) in layers {
        let bare = listed.strip_prefix(TRANSFORMER).unwrap_or(listed);
        let names = [listed.clone(), format!("{TRANSFORMER}{listed}"), bare.to_string()];
        match names.into_iter().find(|module| has_weight(file, module)) {
            Some(module) => match Marker::read(&module, value) {
                Ok(marker) => markers.push((module, marker)),
                Err(problem) => problems.push(problem),
            },
            None if whole => {
                problems
                    .push(format!("tensor {listed}.weight is missing, and {METADATA} says {value} of it"));
            }
            None => {}
        }
    }
    if problems.is_empty() { Ok(markers) } else { Err(problems) }
}

/// The marker in a tensor.
pub fn tensor(file: &TensorFile, name: &str) -> Result<Marker, String> {
    let bytes = file.get(name).map(|tensor| tensor.bytes).unwrap_or_default();
    let module = name.strip_suffix(".comfy_quant").unwrap_or(name);
    if bytes.len() > MAX_MARKER_BYTES {
        return Err(format!("tensor {name} has {} bytes, a short text wanted", bytes.len()));
    }
    // A private copy: the parser relies on text that it has checked.
    let text = bytes.to_vec();
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| format!("tensor {name} is no JSON: {error}"))?;
    Marker::read(module, &value)
}
