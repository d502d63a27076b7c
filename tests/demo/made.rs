//! Clips of the built-in model, made and written as `zoetrope generate` does.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::commands::AdapterArgs;
use zoetrope::commands::clip::ClipWriter;
use zoetrope::demo::adapters::STYLE;
use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Image, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Tensor;
use zoetrope::windows::Windows;
use zoetrope_runtime::Weights;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::mp4::Read;
use zoetrope_test_support::seen::Picture;

/// The plan of the built-in model, and its weights.
static MODEL: LazyLock<(&Plan, ModelFiles)> = LazyLock::new(|| {
    let plan = zoetrope_generated::plan("res-tiny").unwrap();
    (plan, demo_in_memory(&tensors_of(plan)).unwrap())
});

/// The file of a prompt and a seed, beginning with an image where there is one.
pub fn made(prompt: &str, seed: u64, image: Option<&Picture>) -> Read {
    with_weights(&MODEL.1, prompt, seed, image)
}

/// The file of a prompt and a seed, with the trained adapter at a strength.
pub fn made_with_adapter(prompt: &str, seed: u64, strength: f32) -> Read {
    let (plan, files) = &*MODEL;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(STYLE.file);
    std::fs::write(&path, STYLE.bytes(&tensors_of(plan)).unwrap()).unwrap();
    let adapters = Adapters::open(&[Given { path, strength }], Merge::Exact).unwrap();
    let merged = adapters.over(files, &files.checkpoint, plan).unwrap();
    with_weights(&merged, prompt, seed, None)
}

/// The file that a guided plan makes.
pub fn guided(plan: &Plan, files: &ModelFiles, prompt: &str, negative: &str, seed: u64) -> Read {
    let tokenizer = files.tokenizer().unwrap();
    let [prompt, negative] = [prompt, negative].map(|text| tokenizer.encode(text).unwrap());
    let adapters = AdapterArgs::default().open(plan, Merge::Exact).unwrap();
    let weights = adapters.over(files, &files.checkpoint, plan).unwrap();
    let request = Request { prompts: vec![&prompt, &negative], seed, ..Request::default() };
    written(plan, &weights, &request)
}

fn with_weights(weights: &dyn Weights, prompt: &str, seed: u64, image: Option<&Picture>) -> Read {
    let (plan, files) = &*MODEL;
    let encoded = files.tokenizer().unwrap().encode(prompt).unwrap();
    let image = image.map(|picture| {
        let pixels = move |width: usize, height: usize| planar(&picture.reduced(width), height);
        (0, Image { strength: 1.0, frame: 0, pixels: Box::new(pixels) })
    });
    let images = BTreeMap::from_iter(image);
    written(plan, weights, &Request { prompts: vec![&encoded], seed, images, ..Request::default() })
}

fn written(plan: &Plan, weights: &dyn Weights, request: &Request<'_>) -> Read {
    let mut session = Session::new(plan, weights).unwrap();
    let finished = run(&mut session, request, &mut Unwatched, &mut |_, _| Ok(())).unwrap();

    let mut writer = ClipWriter::new(plan, Windows::one(&plan.facts), &[]).unwrap();
    writer.push(&finished).unwrap();
    let clip = writer.finish(None).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    clip.write(&mut file).unwrap();
    Read::file(file.path())
}

/// A picture as the plan takes it: [3, height, width], -1 to 1.
pub fn planar(picture: &Picture, height: usize) -> Tensor {
    assert_eq!(picture.height(), height);
    let channel = |c: usize| picture.pixels.iter().map(move |pixel| pixel[c] / 127.5 - 1.0);
    Tensor::real(&[3, height, picture.width], (0..3).flat_map(channel).collect())
}

/// What `make` makes of each item, as many at a time as there are cores, each on one: small launches on all cores leave
/// these waiting for each other.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], make: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { return made };
            made.push((number, alone.install(|| make(item))));
        }
    };
    let mut all = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, made)| made).collect()
}
