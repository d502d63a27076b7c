//! Clips of the built-in model, made and written as `zoetrope generate` does.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use zoetrope::commands::clip::ClipWriter;
use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Image, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Tensor;
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
    let (plan, files) = &*MODEL;
    let encoded = files.tokenizer().unwrap().encode(prompt).unwrap();
    let image = image.map(|picture| {
        let pixels = move |width: usize, height: usize| planar(&picture.reduced(width), height);
        (0, Image { strength: 1.0, frame: 0, pixels: Box::new(pixels) })
    });
    let images = BTreeMap::from_iter(image);
    let request = Request { prompts: vec![&encoded], seed, images, ..Request::default() };
    let mut session = Session::new(plan, files).unwrap();
    let finished = run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap();

    let clip = ClipWriter::new(plan, &[]).unwrap().finish(&finished).unwrap();
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
