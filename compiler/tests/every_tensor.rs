//! The full-size run and the encoders of what is given claim every tensor of the published files that they need: once, in its
//! shape. What they do not claim is listed here, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, compile_target};
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Origin, Plan, Source};

/// Every component of the three model files: the file, the inventory of its tensors, and how many those are.
const COMPONENTS: [(Source, &str, usize); 17] = [
    (Source::Checkpoint, "transformer", 4186),
    (Source::Checkpoint, "text_projections", 4),
    (Source::Checkpoint, "video_connector", 129),
    (Source::Checkpoint, "audio_connector", 129),
    (Source::Checkpoint, "video_statistics", 2),
    (Source::Checkpoint, "video_decoder", 84),
    (Source::Checkpoint, "video_encoder", 84),
    (Source::Checkpoint, "audio_statistics", 2),
    (Source::Checkpoint, "audio_decoder", 56),
    (Source::Checkpoint, "audio_encoder", 44),
    (Source::Checkpoint, "vocoder", 667),
    (Source::Checkpoint, "vocoder_bwe", 557),
    (Source::Checkpoint, "vocoder_mel_stft", 3),
    (Source::TextEncoder, "gemma", 626),
    (Source::TextEncoder, "gemma_vision", 437),
    (Source::TextEncoder, "gemma_projector", 2),
    (Source::SpatialUpscaler, "spatial_upscaler", 72),
];

/// Tensors in the files, as published (docs/model/checkpoint.md).
const IN_FILES: [(Source, usize); 3] =
    [(Source::Checkpoint, 5947), (Source::TextEncoder, 1065), (Source::SpatialUpscaler, 72)];

/// What no run reads: a component, what the names begin with, and why.
const UNUSED: [(&str, &str, &str); 1] = [(
    "vocoder_mel_stft",
    "vocoder.mel_stft.stft_fn.inverse_basis",
    "the vocoder goes from a spectrum to a wave by its generator, not by the inverse transform",
)];

type Tensor = (Source, String);

/// Shapes of a component's tensors.
fn published(source: Source, component: &str) -> BTreeMap<Tensor, Vec<u32>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model-spec/tests/inventory");
    let text = std::fs::read_to_string(folder.join(format!("{component}.txt"))).expect("an inventory");
    let row = |line: &str| {
        let [name, _, shape] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        ((source, name.to_string()), shape.split(',').map(|n| n.parse().expect("an extent")).collect())
    };
    text.lines().map(row).collect()
}

/// What a plan reads of the files: every tensor of every constant, with the shape of its rows there.
fn claims(plan: &Plan) -> Vec<(Tensor, Vec<u32>)> {
    let mut out = Vec::new();
    for constant in plan.constants.iter() {
        let Origin::Weight { source, tensors, .. } = &constant.origin else { continue };
        out.extend(
            tensors.iter().map(|(name, rows)| ((*source, name.to_string()), constant.file_shape(*rows))),
        );
    }
    out
}

#[test]
fn every_tensor_is_claimed_once() {
    let target = Target::preset("res-1080p").unwrap();
    let run = compile_target(&target, "".as_ref()).unwrap();
    let encoder = |name| {
        compile_levels(&target, &ltx_2_3_22b(), Scope::Phase(name), &[], Options::default()).unwrap().plan
    };
    let mut claimed = BTreeMap::new();
    let mut problems = Vec::new();
    for plan in [run, encoder("video-encode"), encoder("audio-encode"), encoder("enhance-see")] {
        let mut once = BTreeSet::new();
        for (tensor, shape) in claims(&plan) {
            if !once.insert(tensor.clone()) {
                problems.push(format!("{tensor:?} is claimed twice"));
            }
            claimed.insert(tensor, shape);
        }
    }
    let mut in_files: BTreeMap<Source, usize> = BTreeMap::new();
    for (source, component, count) in COMPONENTS {
        let tensors = published(source, component);
        assert_eq!(tensors.len(), count, "{component}");
        *in_files.entry(source).or_default() += count;
        let unused: Vec<_> = UNUSED.iter().filter(|(of, ..)| *of == component).collect();
        let needless = |name: &str| unused.iter().any(|(_, prefix, _)| name.starts_with(prefix));
        for (tensor, shape) in tensors {
            match (claimed.remove(&tensor), needless(&tensor.1)) {
                (None, false) => problems.push(format!("{tensor:?} of {component} is not claimed")),
                (Some(_), true) => problems.push(format!("{tensor:?} of {component} is claimed")),
                (Some(have), false) if have != shape => {
                    problems.push(format!("{tensor:?} is {shape:?}, claimed as {have:?}"));
                }
                _ => {}
            }
        }
    }
    problems.extend(claimed.keys().map(|tensor| format!("{tensor:?} is in no file")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(in_files, BTreeMap::from(IN_FILES));
}

/// A constant that no phase reads would claim a tensor for nothing.
#[test]
fn every_constant_is_read() {
    let plan = compile_target(&Target::preset("res-1080p").unwrap(), "".as_ref()).unwrap();
    let read: BTreeSet<u32> = plan.phases.iter().flat_map(|p| p.constants.iter().copied()).collect();
    assert_eq!(read.len(), plan.constants.len());
}

#[test]
fn every_reason_is_needed() {
    for (component, prefix, reason) in UNUSED {
        let (source, ..) = COMPONENTS.iter().find(|(_, name, _)| *name == component).expect(component);
        let tensors = published(*source, component);
        assert!(tensors.keys().any(|(_, name)| name.starts_with(prefix)), "{component}: {reason}");
    }
}
