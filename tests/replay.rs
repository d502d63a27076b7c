//! The replay of the shipped plan: memory sharing changes no bit, dead memory is never read, nothing is allocated; and
//! that plan with previews: they are what the decoder makes of the latents, and change nothing else. The same for guided
//! steps, and that guidance without effect has none. Images are encoded where there are some. Weights that are damaged, or
//! change while a clip is made, end a run.

#[path = "shared/viewer.rs"]
mod viewer;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;

use zoetrope::demo::{TOKENIZER, demo_in_memory, made_up_in_memory, write_demo_model};
use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::failure::{Failure, Kind};
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Finished, Frames, Image, Request, run};
use zoetrope::session::{Session, Unwatched, Watch};
use zoetrope::steps::{Steps, sigmas, work};
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::lang::Dtype;
use zoetrope_model_spec::ltx::decode::{Pixels, VideoDecoder};
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::ltx::recipes::RECIPES;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::files;
use zoetrope_runtime::null::Null;
use zoetrope_runtime::plan::{Origin, Plan, Role, Source};
use zoetrope_runtime::{Cpu, Error, Result, Weights, replay};
use zoetrope_test_support::golden::rel_l2;

use viewer::Viewer;

fn plan(share: bool) -> Plan {
    plan_of(&Target::preset("res-tiny").unwrap(), share)
}

fn plan_of(target: &Target, share: bool) -> Plan {
    let model = dimensions(target, "".as_ref()).unwrap();
    compile_levels(target, &model, Scope::Run(Pixels::Yuv420), &[], Options { share, ..Options::default() })
        .unwrap()
        .plan
}

fn clip(plan: &Plan, files: &ModelFiles, poisoned: bool) -> Finished {
    watched(plan, files, poisoned, &mut Unwatched)
}

fn watched(plan: &Plan, files: &ModelFiles, poisoned: bool, watch: &mut dyn Watch) -> Finished {
    let mut session = if poisoned { Session::poisoned(plan, files) } else { Session::new(plan, files) }
        .expect("the plan fits");
    made(&mut session, watch).expect("the run finishes")
}

fn made(session: &mut Session<Cpu<'_>>, watch: &mut dyn Watch) -> Result<Finished> {
    let tokenizer = Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap();
    let encoded = |prompt: &str| tokenizer.encode(prompt).unwrap();
    // What is there for guided plans is nothing to others.
    let (prompt, negative) = (encoded("a red ball"), encoded("a blue cube"));
    let prompts = vec![&prompt, &negative];
    let request =
        Request { prompts, steps: Steps { count: Some(2), skip: 0 }, seed: 7, ..Request::default() };
    run(session, &request, watch, &mut |_, _| Ok(()))
}

fn recipe(name: &str) -> Recipe {
    Recipe::named(name).expect("a recipe of this name")
}

/// The demo model in one stage, all passes in every step, the last block perturbed.
fn guided() -> Target {
    Target { recipe: recipe("one-stage"), ..Target::preset("res-tiny").unwrap() }
}

#[test]
fn guided_steps_share_memory_without_changing_a_bit() {
    let [shared, private] = [true, false].map(|share| plan_of(&guided(), share));
    let files = demo_in_memory(&tensors_of(&shared)).unwrap();
    let expected = bits(&clip(&private, &files, false));
    assert!(expected.iter().flatten().all(|b| f32::from_bits(*b).is_finite()));
    assert_eq!(bits(&clip(&shared, &files, true)), expected);
}

#[test]
fn guidance_without_effect_has_none() {
    let guided = Target { dtype: Dtype::F32, text_tokens: 30, ..guided() };
    let plain = Target { recipe: recipe("distilled-single-stage"), ..guided.clone() };
    let model = dimensions(&plain, "".as_ref()).unwrap();
    let [plain, guided] = [&plain, &guided]
        .map(|target| Phase::compile(target, &model, "denoise", &[], Options::default()).unwrap());
    let files = made_up_in_memory(&tensors_of(&guided.plan)).unwrap();
    // Some numbers, other ones for every port.
    let some = |name: &str, shape: &[usize]| {
        let of_name: usize = name.bytes().map(usize::from).sum();
        let number = |i: usize| ((i * 7 + of_name) as f32 * 0.61).sin() * 1.4;
        (name.to_string(), Tensor::real(shape, (0..shape.iter().product()).map(number).collect()))
    };
    let mut inputs = Named::from([("sigmas".to_string(), Tensor::real(&[3], vec![1.0, 0.6, 0.0]))]);
    for port in guided.plan.phases[0].inputs.iter().filter(|port| port.shape.len() == 3) {
        let shape: Vec<usize> = port.shape.iter().map(|n| *n as usize).collect();
        inputs.extend([some(&port.name, &shape)]);
    }
    let mut run = |phase: &Phase, number: fn(&str, f32) -> f32| {
        for port in guided.plan.phases[0].inputs.iter() {
            if let (Role::Tensor { default: Some(scale) }, [1]) = (&port.role, &*port.shape) {
                let value = Tensor::real(&[1], vec![number(&port.name, *scale)]);
                inputs.insert(port.name.to_string(), value);
            }
        }
        phase.run(Device::Cpu, &files, &inputs, 1).unwrap().outputs
    };
    let none = |name: &str, _: f32| if name.contains("stg") || name.contains("rescale") { 0.0 } else { 1.0 };
    let (want, without) = (run(&plain, none), run(&guided, none));
    let with = run(&guided, |_, scale| scale);
    for (name, want) in &want {
        assert_eq!(without[name], *want, "{name}");
        assert!(rel_l2(&with[name].reals(), &want.reals()) > 1e-2, "{name}");
    }
}

fn bits(finished: &Finished) -> Vec<Vec<u32>> {
    let all = finished.latents.values().chain(&finished.video).chain(&finished.waveform);
    all.map(|t| t.reals().iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn sharing_memory_changes_no_bit_and_dead_memory_is_not_read() {
    let shared = plan(true);
    let private = plan(false);
    assert!(private.arena_bytes > 4 * shared.arena_bytes, "the yardstick shares nothing");
    let files = demo_in_memory(&tensors_of(&shared)).unwrap();
    let expected = bits(&clip(&private, &files, false));
    assert!(expected.iter().flatten().all(|b| f32::from_bits(*b).is_finite()));
    assert_eq!(bits(&clip(&shared, &files, true)), expected);
}

#[test]
fn the_demo_run_stays_small() {
    let plan = plan(true);
    let phases = plan.phases.iter().filter(|phase| phase.image.is_none());
    let flops: u64 = phases.map(|phase| work(phase, Steps::default()).1).sum();
    assert!(flops < 40_000_000_000, "{flops}");
}

#[test]
fn a_session_enters_every_phase_once_and_does_its_work() {
    let plan = plan(true);
    let mut session = Session::on(Null::new(&plan));
    for phase in plan.phases.iter() {
        session.run(&phase.name, &Named::new(), &sigmas(phase, Steps::default()), &mut Unwatched).unwrap();
    }
    let (launches, flops) = plan
        .phases
        .iter()
        .map(|p| work(p, Steps::default()))
        .fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let null = session.executor();
    assert_eq!((null.entered, null.launches, null.flops), (plan.phases.len() as u64, launches, flops));
}

/// An image of waves, in any size.
fn waves<'a>(strength: f32) -> Image<'a> {
    let pixels = |width: usize, height: usize| {
        let values = (0..3 * height * width).map(|i| (i as f32 * 0.013).sin());
        Tensor::real(&[3, height, width], values.collect())
    };
    Image { strength, frame: 0, pixels: Box::new(pixels) }
}

fn given<'a>() -> Request<'a> {
    let grey = |shape: &[usize]| Tensor::real(shape, vec![0.5; shape.iter().product()]);
    let reference: Frames<'a> = Box::new(move |frames, w, h| grey(&[3, frames, h, w]));
    Request {
        references: BTreeMap::from([(1, reference)]),
        footage: Some(Box::new(move |w, h| grey(&[3, small().size.frames, h, w]))),
        spectrogram: Some(Box::new(move |rows| grey(&[2, rows, 64]))),
        ..Request::default()
    }
}

/// Every recipe, with the demo model: what phases of images would launch is launched for requests with an image alone.
#[test]
fn without_an_image_nothing_is_encoded() {
    for (name, ..) in RECIPES {
        // References of half the size of half a clip.
        let size = Size { width: 128, height: 128, ..small().size };
        let plan = plan_of(&Target { recipe: recipe(name), size, ..small() }, true);
        let prompt = Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap().encode("a red ball").unwrap();
        let counted = |images: BTreeMap<u32, Image<'_>>| {
            let mut session = Session::on(Null::new(&plan));
            let request = Request { prompts: vec![&prompt], images, ..given() };
            run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap();
            let null = session.executor();
            (null.entered, null.launches, null.flops)
        };
        let work_of = |images: bool| {
            let phases = plan.phases.iter().filter(|phase| images || phase.image.is_none());
            phases
                .map(|phase| work(phase, Steps::default()))
                .fold((0, 0, 0), |sum, of| (sum.0 + 1, sum.1 + of.0, sum.2 + of.1))
        };
        let all = plan.phases.iter().filter_map(|phase| Some((phase.image?, waves(1.0)))).collect();
        let (without, with) = (counted(BTreeMap::new()), counted(all));
        assert_eq!((without, with), (work_of(false), work_of(true)), "{name}");
        let takes_images = plan.phases.iter().any(|phase| phase.image.is_some());
        assert_eq!(without.0 < with.0, takes_images, "{name}");
        let held = recipe(name).stages.iter().any(|stage| stage.items.iter().any(|i| !i.images().is_empty()));
        assert_eq!(takes_images, held, "{name}");
    }
}

/// A plan of audio alone runs, and reads nothing that only a video needs.
#[test]
fn audio_alone_reads_no_weights_of_a_video() {
    let plan = plan_of(&Target { recipe: recipe("text-to-audio"), ..small() }, true);
    let video = |name: &str| {
        let parts = ["vae.", "audio_to_video", "video_to_audio", "av_ca_", "video_embeddings_connector"];
        let transformer = "model.diffusion_model.";
        let block = |name: &str| name.contains("transformer_blocks") && !name.contains(".audio_");
        let stem = ["patchify_proj", "proj_out", "adaln_single"].map(|stem| format!("{transformer}{stem}"));
        name.starts_with(parts[0])
            || parts[1..].iter().any(|part| name.contains(part))
            || stem.iter().any(|stem| name.starts_with(stem))
            || (name.starts_with(transformer) && block(name))
    };
    let read: Vec<String> = tensors_of(&plan).into_iter().map(|wanted| wanted.tensor).collect();
    let odd: Vec<&String> = read.iter().filter(|name| video(name)).collect();
    assert!(odd.is_empty() && read.iter().any(|name| name.contains("audio_attn1")), "{odd:?}");

    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let encoded = Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap().encode("a red ball").unwrap();
    let steps = Steps { count: Some(2), skip: 0 };
    let request = Request { prompts: vec![&encoded, &encoded], seed: 7, steps, ..Request::default() };
    let mut session = Session::poisoned(&plan, &files).unwrap();
    let done = run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap();
    assert!(done.video.is_none() && done.latents.keys().eq(["stage1.a.latent"]));
    assert_eq!(done.waveform.unwrap().shape[0], 2);
}

#[test]
fn an_image_of_full_strength_is_the_first_frame() {
    let plan = plan_of(&Target { recipe: recipe("distilled-single-stage"), ..small() }, true);
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let mut session = Session::poisoned(&plan, &files).unwrap();
    let prompt = Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap().encode("a red ball").unwrap();
    let images = BTreeMap::from([(0, waves(1.0))]);
    let request = Request { prompts: vec![&prompt], images, seed: 7, ..Request::default() };
    let latent =
        &run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap().latents["stage1.v.latent"];

    let phase = plan.phases.iter().find(|phase| phase.image == Some(0)).unwrap();
    let [.., height, width] = phase.inputs[0].shape[..] else { panic!("an image has two sides") };
    let Tensor { values, .. } = (waves(1.0).pixels)(width as usize, height as usize);
    let shape = phase.inputs[0].shape.iter().map(|n| *n as usize).collect();
    let inputs = Named::from([(phase.inputs[0].name.to_string(), Tensor { shape, values })]);
    session.run(&phase.name, &inputs, &[], &mut Unwatched).unwrap();
    let encoded = session.output(&phase.name, &phase.outputs[0].name).unwrap();
    let [_, channels, frames, rows, columns] = latent.shape[..] else { panic!("{:?}", latent.shape) };
    assert!(frames > 1 && encoded.shape == [1, channels, 1, rows, columns]);
    let (all, cells) = (latent.reals(), rows * columns);
    let frame = |number: usize| -> Vec<f32> {
        (0..channels).flat_map(|c| &all[(c * frames + number) * cells..][..cells]).copied().collect()
    };
    assert_eq!(frame(0), encoded.reals());
    assert!(rel_l2(&frame(1), &encoded.reals()) > 0.1, "only the first frame is held");
}

#[test]
fn a_replay_allocates_nothing() {
    let plan = plan(true);
    let mut null = Null::new(&plan);
    let measured = allocation_counter::measure(|| {
        for phase in plan.phases.iter() {
            replay(&mut null, phase, true, &mut zoetrope_runtime::Silent).unwrap();
        }
    });
    assert!(null.launches > 0);
    assert_eq!(measured.count_total, 0);
}

/// What the decoder makes, by a plan of its own, of latent frame `frame` of `latent` [1, channels, frames, rows, columns]:
/// RGB in 0..1.
fn decoded_alone(target: &Target, files: &ModelFiles, latent: &Tensor, frame: usize) -> Vec<f32> {
    let [_, channels, frames, rows, columns] = latent.shape[..] else { panic!("{:?}", latent.shape) };
    let size = Size { width: 32 * columns, height: 32 * rows, frames: 1, ..target.size };
    let still = Target { size, ..target.clone() };
    let model = dimensions(&still, "".as_ref()).unwrap();
    let phase = Phase::compile(&still, &model, "video-decode", &[], Options::default()).unwrap();
    let all = latent.reals();
    let cells = rows * columns;
    let of_frame = (0..channels).flat_map(|c| &all[(c * frames + frame) * cells..][..cells]).copied();
    let input = Tensor::real(&[1, channels, 1, rows, columns], of_frame.collect());
    let inputs = Named::from([("v.latent".to_string(), input)]);
    let done = phase.run(Device::Cpu, files, &inputs, 1).unwrap();
    let (planar, pixels) = (done.outputs["video"].reals(), size.width * size.height);
    let of_pixel = |i: usize| [0, 1, 2].map(|c| ((planar[c * pixels + i] + 1.0) * 0.5).clamp(0.0, 1.0));
    (0..pixels).flat_map(of_pixel).collect()
}

#[test]
fn previews_are_what_the_decoder_makes_of_a_frame_and_change_nothing_else() {
    let without = Target { dtype: Dtype::F32, ..Target::preset("res-tiny").unwrap() };
    let with = Target { preview: Some(VideoDecoder::Vae), ..without.clone() };
    let [without, plan] = [&without, &with].map(|target| plan_of(target, true));
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let mut viewer = Viewer::default();
    let finished = watched(&plan, &files, true, &mut viewer);
    assert_eq!(bits(&finished), bits(&clip(&without, &files, false)));

    assert_eq!(viewer.0.len(), 8 + 3, "a preview a step");
    assert!(viewer.0.windows(2).all(|pair| pair[0] != pair[1]), "every step changes the frame");
    // The last step of a stage ends at noise level 0, so that its x0 is the stage's latent.
    for (number, stage, size) in [(7, "stage1", [96, 128]), (10, "stage2", [192, 256])] {
        let (preview, latent) = (&viewer.0[number], &finished.latents[&format!("{stage}.v.latent")]);
        assert_eq!(preview.shape, [size[0], size[1], 3]);
        let want = decoded_alone(&with, &files, latent, latent.shape[2] / 2);
        let apart = rel_l2(&preview.reals(), &want);
        assert!(apart < 1e-5, "{stage}: {apart}");
    }
    // Nobody who does not ask gets any.
    assert_eq!(bits(&clip(&plan, &files, true)), bits(&finished));
}

/// A clip of several latent frames.
fn small() -> Target {
    let size = Size { width: 64, height: 64, frames: 9, fps: 24.0 };
    Target { size, ..Target::preset("res-tiny").unwrap() }
}

/// The smallest clip: one stage, one frame.
fn smallest() -> Target {
    let size = Size { width: 64, height: 64, frames: 1, ..Target::preset("res-tiny").unwrap().size };
    Target { size, recipe: recipe("distilled-single-stage"), ..Target::preset("res-tiny").unwrap() }
}

/// Weights, one of which is not what the files have.
struct Planted<'f> {
    files: &'f ModelFiles,
    source: Source,
    name: String,
    bytes: Vec<u8>,
}

impl Weights for Planted<'_> {
    fn tensor(&self, source: Source, name: &str) -> Option<files::Tensor<'_>> {
        let found = self.files.tensor(source, name)?;
        let planted = source == self.source && name == self.name;
        Some(if planted { files::Tensor { bytes: &self.bytes, ..found } } else { found })
    }
}

#[test]
fn damaged_weights_end_the_phase_that_reads_them() {
    let plan = plan_of(&smallest(), true);
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    for name in ["text-encode", "denoise-1", "video-decode", "vocode"] {
        let phase = plan.phase(name).unwrap();
        let constants = phase.constants.iter().map(|c| &plan.constants[*c as usize]);
        // Of an embedding not all rows are read; a bias is read whole.
        let (source, tensor) = constants
            .filter(|c| c.shape.len() == 1)
            .find_map(|c| match &c.origin {
                Origin::Weight { source, tensors, .. } => Some((*source, tensors[0].0.to_string())),
                Origin::Table { .. } => None,
            })
            .unwrap();
        let mut bytes = files.tensor(source, &tensor).unwrap().bytes.to_vec();
        // A NaN, as bf16 and as f32.
        bytes[..4].fill(0xff);
        let planted = Planted { files: &files, source, name: tensor, bytes };
        let mut session = Session::new(&plan, &planted).unwrap();
        let failure = Failure::from(made(&mut session, &mut Unwatched).map(|_| ()).unwrap_err());
        assert_eq!(failure.kind, Kind::Failure);
        let text = failure.to_string();
        let output = phase.outputs.first().unwrap();
        println!("{} planted: {text}", planted.name);
        assert!(text.starts_with(&format!("{} of phase {name} is not finite", output.name)), "{text}");
        assert!(text.contains(" of ") && text.contains("verify --deep"), "{text}");
    }

    // A single phase leaves what it makes, with a note: it may be what is looked for.
    let (target, model) = (smallest(), dimensions(&smallest(), "".as_ref()).unwrap());
    let phase = Phase::compile(&target, &model, "audio-decode", &[], Options::default()).unwrap();
    let files = demo_in_memory(&tensors_of(&phase.plan)).unwrap();
    let port = &phase.plan.phases[0].inputs[0];
    let shape: Vec<usize> = port.shape.iter().map(|n| *n as usize).collect();
    let nan = Tensor::real(&shape, vec![f32::NAN; shape.iter().product()]);
    let done = phase.run(Device::Cpu, &files, &Named::from([(port.name.to_string(), nan)]), 1).unwrap();
    let count = done.outputs["mel"].elements();
    assert_eq!(done.notes, [format!("mel: {count} of {count} values are NaN or infinite")]);
}

/// Cuts a file short when a phase begins.
struct Cutter<'f> {
    phase: &'static str,
    file: &'f File,
    done: Cell<bool>,
}

impl Watch for Cutter<'_> {
    fn boundary(&mut self, phase: &str, _segment: &str, _turn: u32, _turns: u32) -> Result<()> {
        if phase == self.phase && !self.done.replace(true) {
            self.file.set_len(1000).unwrap();
        }
        Ok(())
    }
}

#[test]
fn a_model_file_that_is_cut_short_in_the_midst_of_a_run_is_named() {
    let plan = plan_of(&smallest(), true);
    let folder = tempfile::tempdir().unwrap();
    let paths = write_demo_model(folder.path(), &tensors_of(&plan)).unwrap();
    let files = ModelFiles::open(&paths);
    let file = File::options().write(true).open(&paths.checkpoint[0]).unwrap();
    let mut session = Session::new(&plan, &files).unwrap();
    let mut cutter = Cutter { phase: "denoise-1", file: &file, done: Cell::new(false) };
    let error = made(&mut session, &mut cutter).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::File(_)), "{error}");
    let failure = Failure::from(error);
    assert_eq!(failure.kind, Kind::ModelFiles);
    let text = failure.to_string();
    assert!(text.contains(paths.checkpoint[0].to_str().unwrap()), "{text}");
    assert!(text.contains("when it was opened, and now has 1000"), "{text}");
}
