//! Windows of a long clip: a window is a clip of its own but for what it holds of the one before, and that stays what it
//! is, to the bit.

use std::collections::BTreeMap;

use zoetrope::demo::{TOKENIZER, demo_in_memory, made_up_in_memory};
use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::model_files::tensors_of;
use zoetrope::run::{Finished, Frames, Request, Rows, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::steps::Steps;
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Tokenizer;
use zoetrope::windows::{Given, PerWindow, Windows, make};
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::lang::Dtype;
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::ltx::recipe::{Item, Recipe, StreamRole};
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::Error;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::asks_for_long;

/// Four latent frames, of which one is carried over; 25 audio tokens, of which 8 are.
const SIZE: Size = Size { width: 64, height: 64, frames: 25, fps: 25.0, stride: 1 };
const CARRIED: usize = 9;

fn target(recipe: &str, carried: usize) -> Target {
    let mut recipe = Recipe::named(recipe).unwrap();
    recipe.with_carried(carried);
    // What windows hold has nothing to do with adapters.
    recipe.stages.iter_mut().for_each(|stage| stage.adapter = None);
    // A reference is smaller than its stage.
    let follows = recipe.stages.iter().any(|stage| stage.references().next().is_some());
    let size = if follows { Size { width: 128, height: 128, ..SIZE } } else { SIZE };
    Target { recipe, size, dtype: Dtype::F32, ..Target::preset("res-tiny").unwrap() }
}

fn plan(target: &Target) -> Plan {
    let model = dimensions(target, "".as_ref()).unwrap();
    compile_levels(target, &model, Scope::Run(Pixels::Yuv420), &[], Options::default()).unwrap().plan
}

/// Positions in time of a latent [1, channels, time, ..] from `first` on.
fn part(latent: &Tensor, first: usize, count: usize) -> Vec<u32> {
    let time = latent.shape[2];
    let inner: usize = latent.shape[3..].iter().product();
    let values = latent.reals();
    let channels = values.chunks_exact(time * inner);
    channels.flat_map(|channel| &channel[first * inner..][..count * inner]).map(|x| x.to_bits()).collect()
}

#[test]
fn a_window_holds_the_last_latents_of_the_one_before() {
    let recipes = ["distilled", "one-stage", "audio-to-video", "ic-lora"];
    let count = if asks_for_long("windows of other plans") { recipes.len() } else { 1 };
    let tokenizer = Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap();
    let [first, second] = ["a red ball", "a blue ball"].map(|prompt| tokenizer.encode(prompt).unwrap());
    // Another sound for every window, where a plan takes one.
    let sound = |window: usize| -> Option<Rows<'_>> {
        let wave = move |i: usize| ((i * (window + 3)) as f32 * 0.01).sin();
        Some(Box::new(move |rows| Tensor::real(&[2, rows, 64], (0..2 * rows * 64).map(wave).collect())))
    };
    // And another video to follow.
    let seen = |window: usize| -> BTreeMap<u32, Frames<'_>> {
        let wave = move |i: usize| ((i * (window + 2)) as f32 * 0.003).sin();
        let frames = move |frames: usize, width: usize, height: usize| {
            let shape = [3, frames, height, width];
            Tensor::real(&shape, (0..shape.iter().product()).map(wave).collect())
        };
        BTreeMap::from([(1, Box::new(frames) as Frames<'_>)])
    };
    for recipe in &recipes[..count] {
        let (plain, long) = (plan(&target(recipe, 0)), plan(&target(recipe, CARRIED)));
        let files = demo_in_memory(&tensors_of(&long)).unwrap();
        let steps = Steps { count: Some(2), skip: 0 };
        let shared = || Request { seed: 7, steps, ..Request::default() };

        let windows = Windows::covering(&long.facts, 40).unwrap();
        assert_eq!(windows.count, 2);
        let prompts = [&first, &second].map(|prompt| vec![prompt, &first]).to_vec();
        let per_window = PerWindow {
            prompts,
            given: &|window| Given { sound: sound(window), references: seen(window), ..Given::default() },
        };
        let mut latents = [Named::new(), Named::new()];
        let mut done: Vec<Finished> = Vec::new();
        let mut session = Session::poisoned(&long, &files).unwrap();
        make(
            &mut session,
            &windows,
            shared(),
            &per_window,
            &mut Unwatched,
            &mut |window, _, left| {
                latents[window].extend(left.clone());
                Ok(())
            },
            &mut |finished| {
                done.push(finished);
                Ok::<(), Error>(())
            },
        )
        .unwrap();

        // The first one is the clip that a plan without windows makes.
        let request =
            Request { prompts: vec![&first, &first], spectrogram: sound(0), references: seen(0), ..shared() };
        let mut session = Session::new(&plain, &files).unwrap();
        let alone = run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap();
        assert_eq!(alone.latents, latents[0], "{recipe}");
        assert_eq!((&alone.video, &alone.waveform), (&done[0].video, &done[0].waveform), "{recipe}");
        assert!(alone.carried.is_empty());

        for (name, now) in latents[1].iter().filter(|(name, _)| name.starts_with("stage")) {
            let before = &latents[0][name];
            // The first cell is another kind. What is behind those that are held is made.
            let (held, after) = if name.ends_with("v.latent") { (1, 2) } else { (8, 16) };
            let time = now.shape[2];
            assert_eq!(part(now, 1, held), part(before, time - held, held), "{recipe}: {name}");
            assert_ne!(part(now, 1 + held, after), part(before, 1 + held, after), "{recipe}: {name}");
        }
    }
}

/// Video that is held as a window's beginning, and as what lies outside of a part that is made anew, which is compared with
/// the official code elsewhere.
#[test]
fn carrying_is_making_the_rest_anew() {
    let alone = |items: Vec<Item>| {
        let mut target = Target { text_tokens: 30, ..target("distilled-single-stage", 0) };
        target.recipe.stages[0].roles.audio = StreamRole::Absent;
        target.recipe.stages[0].items = items;
        let model = dimensions(&target, "".as_ref()).unwrap();
        Phase::compile(&target, &model, "denoise", &[], Options::default()).unwrap()
    };
    let (window, region) = (alone(vec![Item::FirstFrame, Item::Carried(CARRIED)]), alone(vec![Item::Region]));
    let files = made_up_in_memory(&tensors_of(&window.plan)).unwrap();
    let some = |phase: f32, shape: &[usize]| {
        let number = |i: usize| (i as f32 * 0.61 + phase).sin() * 1.4;
        Tensor::real(shape, (0..shape.iter().product()).map(number).collect())
    };
    let port = |name: &str| {
        let port = region.plan.phases[0].inputs.iter().find(|port| port.name == name).unwrap();
        port.shape.iter().map(|n| *n as usize).collect::<Vec<_>>()
    };
    let initial = some(0.3, &port("v.initial"));
    let [_, channels, time, rows, cols] = initial.shape[..] else { panic!("{:?}", initial.shape) };
    let cut = |first: usize, count: usize| {
        let bits = part(&initial, first, count);
        Tensor::real(&[1, channels, count, rows, cols], bits.into_iter().map(f32::from_bits).collect())
    };
    let number = |x: f32| Tensor::real(&[1], vec![x]);
    let mut inputs = Named::from([
        ("sigmas".to_string(), Tensor::real(&[4], vec![1.0, 0.8, 0.4, 0.0])),
        ("v.noise".to_string(), some(0.1, &port("v.noise"))),
        ("v.context".to_string(), some(0.2, &port("v.context"))),
    ]);
    let mut made = |phase: &Phase, more: &[(&str, Tensor)]| {
        inputs.extend(more.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())));
        phase.run(Device::Cpu, &files, &inputs, 1).unwrap().outputs
    };
    let window =
        made(&window, &[("v.image", cut(0, 1)), ("v.carried", cut(1, 1)), ("v.continues", number(1.0))]);
    // Cells begin at frames 0, 1, 9 and 17.
    let ends = [("v.region_start", number(9.0 / 25.0)), ("v.region_end", number(1.0))];
    let region = made(&region, &[&[("v.initial", initial.clone())], &ends[..]].concat());
    assert_eq!(window["v.latent"], region["v.latent"]);
    assert_eq!(part(&window["v.latent"], 0, 2), part(&initial, 0, 2));
    assert_eq!(window["v.carried"].reals(), {
        let bits = part(&window["v.latent"], time - 1, 1);
        bits.into_iter().map(f32::from_bits).collect::<Vec<_>>()
    });
}
