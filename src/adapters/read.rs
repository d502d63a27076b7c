//! An adapter's file as changes of parameters, every key of it placed and every shape checked.

use std::collections::BTreeMap;

use rayon::prelude::*;
use zoetrope_runtime::files::{FileDtype, Tensor, TensorFile};

use super::change::{Change, Kind, Product};
use super::dora::Dora;
use super::error::{Trouble, shown};
use super::names::{Factor, Layers, Piece, Role, role, unsupported};
use super::references::{Said, said};

/// The embedding of a method of references, which changes no weight.
const REFERENCE_EMBEDDING: &str = "reference_slot_embedding";

/// Elements that are looked at together.
const BLOCK: usize = 1 << 16;

/// What a file changes.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// By the parameters' official names.
    pub of: Vec<(String, Change<'a>)>,
    /// The references that it is for.
    pub references: Vec<Said>,
    /// What is left out, in words.
    pub notes: Vec<String>,
}

/// The keys of one change, by what they hold.
type Group<'a> = BTreeMap<Role, Tensor<'a>>;

/// Reads an adapter for the parameters in `layers`, at a strength.
///
/// # Errors
/// What of it cannot be used.
pub fn changes<'a>(file: &'a TensorFile, strength: f32, layers: &Layers) -> Result<Changes<'a>, Trouble> {
    let mut groups: BTreeMap<(String, bool), Group<'a>> = BTreeMap::new();
    let (mut unplaced, mut lines, mut read) = (Vec::new(), Vec::new(), Changes::default());
    let path = || file.path().to_owned();
    let mut adapter = false;
    for tensor in file.iter() {
        if tensor.name.contains(REFERENCE_EMBEDDING) {
            read.notes.push(format!(
                "{}: {} changes no weight and is not used",
                path().display(),
                tensor.name
            ));
            continue;
        }
        let found = role(tensor.name);
        // Activations of vocoders have an alpha, too.
        adapter |= found.is_some_and(|(_, role)| role != Role::Alpha) || unsupported(tensor.name).is_some();
        if let Some(method) = unsupported(tensor.name) {
            lines.push(format!("{}, of a method that is not supported ({method})", tensor.name));
            continue;
        }
        let place = found.and_then(|(module, role)| Some((layers.parameter(module, role)?, role)));
        let Some((parameter, role)) = place else {
            unplaced.push(tensor.name.to_string());
            continue;
        };
        if !tensor.reads_as(FileDtype::F32) {
            lines.push(format!("{}, which is {}: F32, F16 or BF16 wanted", tensor.name, tensor.dtype));
            continue;
        }
        let alone = matches!(role, Role::Diff | Role::BiasDiff);
        let role = if alone { Role::Diff } else { role };
        if let Some(other) = groups.entry((parameter.to_string(), alone)).or_default().insert(role, tensor) {
            lines.push(format!("{}, which says the same as {}", tensor.name, other.name));
        }
    }
    if !adapter {
        return Err(Trouble::NoAdapter { path: path(), tensors: file.names().count() });
    }
    if groups.is_empty() && lines.is_empty() && !unplaced.is_empty() {
        return Err(Trouble::OtherModel { path: path(), keys: unplaced });
    }
    let mut help = "get the adapter in another form";
    match said(file) {
        Ok(references) => read.references = references,
        Err(wrong) => lines.extend(wrong),
    }
    if !unplaced.is_empty() {
        let (count, all) = (unplaced.len(), file.names().count());
        read.notes.push(format!(
            "{}: {count} of its {all} keys name nothing in the checkpoint and are not used: {}",
            path().display(),
            shown(&unplaced).join(", ")
        ));
    }
    for ((parameter, _), group) in groups {
        let shape = layers.shape(&parameter).unwrap_or_default();
        match change(&group, strength, shape) {
            Ok(change) => read.of.push((parameter, change)),
            Err(problems) => {
                help = "the adapter is for a model of another size, or damaged";
                lines.extend(problems);
            }
        }
    }
    if lines.is_empty() {
        let tensors = read.of.iter().flat_map(|(_, change)| change.kind.tensors()).collect::<Vec<_>>();
        lines = tensors.par_iter().filter_map(not_finite).collect();
        help = "the adapter is damaged: get it again";
    }
    if lines.is_empty() { Ok(read) } else { Err(Trouble::Unusable { path: path(), lines, help }) }
}

/// The change of a parameter of this shape.
fn change<'a>(group: &Group<'a>, strength: f32, shape: &[usize]) -> Result<Change<'a>, Vec<String>> {
    let any = group.values().next().map_or("", |tensor| tensor.name);
    if let Some(diff) = group.get(&Role::Diff) {
        return match diff.shape == shape {
            true => Ok(Change { factor: strength, kind: Kind::Diff(*diff), dora: None }),
            false => Err(vec![misshapen(diff, shape)]),
        };
    }
    let &[out, inner] = shape else {
        return Err(vec![format!("{any}, whose parameter is no matrix: it has shape {shape:?}")]);
    };
    let (kind, rank) = kind(group, any)?;
    let mut problems = kind.misfits(out, inner);
    let scale = match group.get(&Role::Alpha) {
        None => 1.0,
        Some(alpha) => match number(alpha) {
            Ok(alpha) => rank.map_or(1.0, |rank| f64::from(alpha) / rank.max(1) as f64),
            Err(problem) => {
                problems.push(problem);
                1.0
            }
        },
    };
    let dora = group.get(&Role::Magnitude).and_then(|magnitude| {
        let made = Dora::new(*magnitude, strength, [out, inner]);
        problems.extend(made.is_none().then(|| misshapen(magnitude, &[out, 1])));
        made
    });
    if problems.is_empty() {
        let strength = if dora.is_some() { 1.0 } else { strength };
        Ok(Change { factor: (f64::from(strength) * scale) as f32, kind, dora })
    } else {
        Err(problems)
    }
}

/// What a group's tensors make together, and the rank that its alpha is divided by.
fn kind<'a>(group: &Group<'a>, any: &str) -> Result<(Kind<'a>, Option<usize>), Vec<String>> {
    let get = |role: Role| group.get(&role).copied();
    let product =
        |role: fn(Factor, Piece) -> Role, factor| match [Piece::A, Piece::B].map(|p| get(role(factor, p))) {
            [Some(left), Some(right)] => Some(Product { left, right: Some(right) }),
            _ => get(role(factor, Piece::Whole)).map(|left| Product { left, right: None }),
        };
    let rank = |product: &Product<'_>| product.right.and_then(|right| right.shape.first().copied());
    let (kind, rank) = if let (Some(right), Some(left)) = (get(Role::Down), get(Role::Up)) {
        (Kind::LowRank(Product { left, right: Some(right) }), right.shape.first().copied())
    } else if let (Some(a), Some(b)) =
        (product(Role::Kronecker, Factor::First), product(Role::Kronecker, Factor::Second))
    {
        (Kind::Kronecker(a, b), rank(&a).or(rank(&b)))
    } else if let (Some(a), Some(b)) =
        (product(Role::Hadamard, Factor::First), product(Role::Hadamard, Factor::Second))
    {
        (Kind::Hadamard(a, b), rank(&a))
    } else {
        let wanted = counterpart(any).map_or(String::new(), |other| format!(": {other} wanted"));
        return Err(vec![format!("{any}, whose counterpart is missing{wanted}")]);
    };
    // What is there beyond what was taken.
    let beside = [Role::Alpha, Role::Magnitude].map(get);
    let taken = kind.tensors().len() + beside.iter().flatten().count();
    let spare = || {
        let all = kind.tensors().into_iter().chain(beside.into_iter().flatten()).collect::<Vec<_>>();
        group.values().filter(move |tensor| !all.iter().any(|taken| taken.name == tensor.name))
    };
    match group.len() == taken {
        true => Ok((kind, rank)),
        false => Err(spare()
            .map(|tensor| format!("{}, which has no part in the change of its layer", tensor.name))
            .collect()),
    }
}

/// The key of the other factor of a pair.
fn counterpart(key: &str) -> Option<String> {
    const PAIRS: [(&str, &str); 4] =
        [(".lora_A", ".lora_B"), (".lora_down", ".lora_up"), (".down.", ".up."), ("_w1", "_w2")];
    PAIRS.iter().find_map(|(one, other)| match (key.contains(one), key.contains(other)) {
        (true, _) => Some(key.replace(one, other)),
        (_, true) => Some(key.replace(other, one)),
        _ => None,
    })
}

/// The first value of a tensor that is no number, in words.
fn not_finite(tensor: &Tensor<'_>) -> Option<String> {
    let mut bytes = vec![0; tensor.elements().min(BLOCK) * 4];
    (0..tensor.elements()).step_by(BLOCK).find_map(|first| {
        let bytes = &mut bytes[..(tensor.elements() - first).min(BLOCK) * 4];
        tensor.read_range(FileDtype::F32, first, bytes).ok()?;
        let mut values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).enumerate();
        let (i, value) = values.find(|(_, value)| !value.is_finite())?;
        let value = format!("{value:?}").to_lowercase();
        Some(format!("{}, whose element {} is {value}", tensor.name, first + i))
    })
}

/// The one number that a tensor holds.
fn number(tensor: &Tensor<'_>) -> Result<f32, String> {
    let mut bytes = [0; 4];
    let read = if tensor.elements() == 1 { tensor.read_into(FileDtype::F32, &mut bytes).ok() } else { None };
    let value = read.map(|()| f32::from_le_bytes(bytes)).filter(|value| value.is_finite());
    value.ok_or_else(|| format!("{} {:?}, which is not one finite number", tensor.name, tensor.shape))
}

/// A tensor that has another shape than it is to have.
pub fn misshapen(tensor: &Tensor<'_>, want: &[usize]) -> String {
    format!("{} has shape {:?}, {want:?} wanted", tensor.name, tensor.shape)
}
