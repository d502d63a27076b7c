//! References that adapters were trained for: how much smaller than the clip they are, and whether a plan's are
//! (docs/model/pipelines.md 8).

use std::collections::BTreeMap;
use std::path::PathBuf;

use zoetrope_runtime::files::TensorFile;
use zoetrope_runtime::plan::{Plan, Role};

use super::error::Trouble;

/// By how much a reference is smaller than the clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// In width and height.
    Space,
    /// In frames.
    Time,
}

impl Scale {
    pub const ALL: [Scale; 2] = [Scale::Space, Scale::Time];

    /// How its key in an adapter's metadata ends: writers put words of their own before it.
    pub const fn metadata_key(self) -> &'static str {
        match self {
            Scale::Space => "reference_downscale_factor",
            Scale::Time => "reference_temporal_scale_factor",
        }
    }

    /// Its key in a target file.
    pub const fn target_key(self) -> &'static str {
        match self {
            Scale::Space => "downscale",
            Scale::Time => "temporal_scale",
        }
    }
}

/// What one file says of its references.
#[derive(Clone, Debug)]
pub struct Said {
    pub path: PathBuf,
    pub scale: Scale,
    pub factor: u32,
}

/// What a file says of the references that it is for: nothing, or factors of at least 1.
///
/// # Errors
/// Values that are no numbers, a line each.
pub fn said(file: &TensorFile) -> Result<Vec<Said>, Vec<String>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (name, text) in file.metadata() {
        let Some(scale) = Scale::ALL.into_iter().find(|scale| name.ends_with(scale.metadata_key())) else {
            continue;
        };
        match text.trim().parse::<f64>() {
            Ok(factor) if factor.is_finite() => {
                let factor = factor.round().clamp(1.0, 1e6) as u32;
                found.push(Said { path: file.path().to_owned(), scale, factor });
            }
            _ => wrong.push(format!("{name} {text:?} in the metadata, which is no number")),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// What of adapters, the files in `paths`, does not go together, or not with the references of a plan. A file that says
/// nothing, or 1, goes with any other; together they are for the one factor that is left, or 1.
pub fn misfits(paths: &[PathBuf], said: &[Said], plan: &Plan) -> Vec<Trouble> {
    let (mut troubles, mut have) = (Vec::new(), [1; 2]);
    for (scale, have) in Scale::ALL.into_iter().zip(&mut have) {
        let mut larger = said.iter().filter(|said| said.scale == scale && said.factor > 1);
        let Some(first) = larger.next() else { continue };
        *have = first.factor;
        if let Some(other) = larger.find(|other| other.factor != first.factor) {
            let files = [first, other].map(|said| (said.path.clone(), said.factor));
            troubles.push(Trouble::Factors { key: scale.metadata_key(), files });
        }
    }
    let other = of_plan(plan).find(|(_, want)| *want != have);
    if let (Some((number, want)), true, false) = (other, troubles.is_empty(), paths.is_empty()) {
        // Those that say it; where none does, any may be the one.
        let mut paths = paths.to_vec();
        let says = |path: &PathBuf| said.iter().any(|said| said.path == *path);
        if paths.iter().any(says) {
            paths.retain(says);
        }
        troubles.push(Trouble::References { plan: plan.name.to_string(), number, paths, want, have });
    }
    troubles
}

/// The metadata of an adapter for the references of a plan; none where it has none.
pub fn metadata_for(plan: &Plan) -> BTreeMap<&'static str, String> {
    let factors = of_plan(plan).map(|(_, factors)| factors).next();
    let factors = factors.into_iter().flat_map(|factors| Scale::ALL.into_iter().zip(factors));
    factors.map(|(scale, factor)| (scale.metadata_key(), factor.to_string())).collect()
}

/// The numbers of a plan's references, and their factors.
fn of_plan(plan: &Plan) -> impl Iterator<Item = (u32, [u32; 2])> {
    plan.phases.iter().flat_map(|phase| phase.inputs.iter()).filter_map(|port| match port.role {
        Role::Reference { number, downscale, temporal_scale, .. } => {
            Some((number, [downscale, temporal_scale]))
        }
        _ => None,
    })
}
