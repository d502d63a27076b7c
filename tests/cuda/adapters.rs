//! Adapters that are merged while weights go to the card, those that stay and those that are fetched: the bits of files
//! that hold the merged weights.

use std::fs;
use std::path::Path;

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::demo::adapters::{DISTILLED, STYLE};
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::session::{Session, Unwatched};
use zoetrope_runtime::Weights;
use zoetrope_runtime::cuda::{Card, Cuda, Supply};
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;

use crate::budget::resident_and_streamed;
use crate::phase::{Demo, inputs};
use crate::run::ByName;
use crate::standin::StandIn;

const PHASE: &str = "denoise-1";
/// One step, after which the weights for the next one are fetched.
const SIGMAS: [f32; 2] = [0.9, 0.6];

/// The checkpoint of `files` as `weights` have it, in bf16, in a file.
fn written(files: &ModelFiles, weights: &dyn Weights, path: &Path) -> ModelFiles {
    let read = |(name, tensor): (&str, zoetrope_runtime::files::Tensor<'_>)| {
        let mut bytes = vec![0; 2 * tensor.elements()];
        let merged = weights.tensor(Source::Checkpoint, name).unwrap();
        merged.read_into(FileDtype::Bf16, &mut bytes).unwrap();
        (name.to_string(), tensor.shape.to_vec(), bytes)
    };
    let read: Vec<_> = files.checkpoint.iter().map(read).collect();
    let tensors: Vec<NewTensor<'_>> = read
        .iter()
        .map(|(name, shape, bytes)| NewTensor { name, dtype: FileDtype::Bf16, shape, bytes })
        .collect();
    fs::write(path, write_tensors(&[], &tensors)).unwrap();
    ModelFiles::of(vec![TensorFile::open(path).unwrap()], Vec::new(), Vec::new())
}

/// How many KiB of a mapped file are in this process's memory, as Linux says.
fn resident(path: &Path) -> Option<u64> {
    let maps = fs::read_to_string("/proc/self/smaps").ok()?;
    let (_, map) = maps.split_once(path.to_str()?)?;
    map.lines().find_map(|line| line.strip_prefix("Rss:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn merged_weights_on_the_card_are_those_of_a_merged_file() {
    let Some(_stand_in) = StandIn::open() else { return };
    let [_, streamed] = resident_and_streamed();
    let demo = Demo::of(streamed);
    let plan = &demo.plan;
    let folder = tempfile::tempdir().unwrap();
    let given = [(DISTILLED, 1.0), (STYLE, -0.5)].map(|(adapter, strength)| {
        let path = folder.path().join(adapter.file);
        fs::write(&path, adapter.bytes(&tensors_of(plan)).unwrap()).unwrap();
        Given { path, strength }
    });
    let adapters = Adapters::open(&given, Merge::Exact).unwrap();
    let merged = adapters.over(&demo.files, &demo.files.checkpoint, plan).unwrap();
    let phase = plan.phase(PHASE).unwrap();
    let bits = |weights: &dyn Weights| -> Vec<u32> {
        let code = &demo.selected.code;
        let cuda = Cuda::new(Card::first().unwrap(), plan, code, &ByName, Supply::Files(weights)).unwrap();
        let mut session = Session::on(cuda);
        session.run(PHASE, &inputs(phase), &SIGMAS, &mut Unwatched).unwrap();
        let outputs = phase.outputs.iter();
        outputs.flat_map(|p| session.output(PHASE, &p.name).unwrap().reals()).map(f32::to_bits).collect()
    };
    let path = folder.path().join("merged.safetensors");
    let written = written(&demo.files, &merged, &path);
    assert!(bits(&merged) == bits(&written));
    // What is on the card does not lie in the host's memory, too.
    if let Some(resident) = resident(&path) {
        let all = fs::metadata(&path).unwrap().len() / 1024;
        assert!(resident < all / 8, "{resident} of {all} KiB");
    }
}
