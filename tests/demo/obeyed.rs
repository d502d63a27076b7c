//! Whether the trained model does what it is asked: clips of captions that its training never saw, seen and heard in the
//! written files.

use zoetrope::demo::demo_in_memory;
use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::model_files::tensors_of;
use zoetrope::run::{Request, run};
use zoetrope::session::Session;
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels};
use zoetrope_model_spec::ltx::decode::{Pixels, VideoDecoder};
use zoetrope_model_spec::ltx::demo::demo;
use zoetrope_model_spec::target::Target;
use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::mp4::Read;
use zoetrope_test_support::seen::{Film, Picture, Seen, Sound, correlation};

use crate::drawn::{Line, folder, lines, right, scenery};
use crate::made::{guided, made, made_with_adapter, planar, side_by_side};
use crate::viewer::Viewer;

/// The first command of README.md, and what it is to show.
const PROMPT: &str = "a red ball rolls from left to right on a wooden table";
const SEED: u64 = 10;

/// The share of clips whose shape is right. What is wanted is 0.8, and 0.805 is reached; another machine's roundings may
/// turn a clip or two.
const SHAPES: f64 = 0.79;

fn is_asked_for(seen: &Seen) -> bool {
    let Seen { colour, shape, motion, background } = seen;
    let names = [colour, shape, motion].map(|name| name.as_deref().unwrap_or_default());
    names == ["red", "ball", "rolls right"] && background == "wood"
}

#[test]
fn held_out_captions_become_what_they_say() {
    let all = lines("captions.tsv");
    assert_eq!(all.len(), 200);
    let long = asks_for_long("190 of 200 captions");
    // Of few clips one more may be wrong.
    let (count, slack) = if long { (200, 0.0) } else { (10, 0.1) };
    let all = &all[..count];
    let scenery = scenery();
    let watched = side_by_side(all, |line| {
        let file = made(&line.name, SEED, None);
        let seen = scenery.look(&Film::of_mp4(&file));
        let mut heard = Heard::default();
        heard.listen(&file, line);
        (seen, heard)
    });
    let mut clips = Vec::new();
    let mut heard = Heard::default();
    for (line, (seen, sound)) in all.iter().zip(watched) {
        if seen != line.shows {
            println!("{}: seen as {seen:?}", line.name);
        }
        heard.add(&sound);
        clips.push((line.shows.clone(), seen));
    }
    let [colour, shape, motion, background] = right(&clips);
    println!("right: colour {colour:.3}, shape {shape:.3}, motion {motion:.3}, background {background:.3}");
    println!("{heard:?}");
    assert!(colour >= 0.95 - slack && background >= 0.95 - slack);
    assert!(motion >= 0.9 - slack && shape >= SHAPES - slack);
    heard.check();
}

/// What is heard in clips.
#[derive(Debug, Default)]
struct Heard {
    /// How the loudness of clips with a sound correlates with that of the drawn sound: the sum.
    alike: f32,
    /// Clips with a sound.
    clips: usize,
    /// The loudest moment of clips without one.
    floor: f32,
    /// The largest sample of all.
    peak: f32,
}

impl Heard {
    fn listen(&mut self, file: &Read, line: &Line) {
        let sound = Sound::of_mp4(file);
        let loudness = sound.loudness();
        if line.loudness.iter().any(|x| *x > 0.0) {
            self.alike += correlation(&loudness, &line.loudness);
            self.clips += 1;
        } else {
            self.floor = loudness.iter().fold(self.floor, |most, x| x.max(most));
        }
        self.peak = self.peak.max(sound.peak());
    }

    fn add(&mut self, other: &Heard) {
        self.alike += other.alike;
        self.clips += other.clips;
        self.floor = self.floor.max(other.floor);
        self.peak = self.peak.max(other.peak);
    }

    fn check(&self) {
        assert!(self.alike >= 0.7 * self.clips as f32);
        // -40 dBFS, and no clipping.
        assert!(self.floor < 0.01 && self.peak < 0.99);
    }
}

#[test]
fn seeds_give_clips_that_differ() {
    let clips = [SEED, SEED + 1].map(|seed| Film::of_mp4(&made(PROMPT, seed, None)));
    for film in &clips {
        let seen = scenery().look(film);
        assert!(is_asked_for(&seen), "{seen:?}");
    }
    let pairs = clips[0].pictures.iter().zip(&clips[1].pictures);
    let least = pairs.map(|(a, b)| a.psnr(b)).fold(f64::INFINITY, f64::min);
    assert!(least < 40.0, "no frame differs by more than {least} dB");
}

#[test]
fn a_clip_begins_with_its_image() {
    let image = Picture::of_png(&folder().join("first.png")).unwrap();
    let film = Film::of_mp4(&made(PROMPT, SEED, Some(&image)));
    let first = &film.pictures[0];
    let near = first.psnr(&image.reduced(first.width));
    assert!(near >= 28.0, "{near} dB");
    let seen = scenery().look(&film);
    assert!(is_asked_for(&seen), "{seen:?}");
    for pictures in film.pictures.chunks(8) {
        let seen = scenery().look(&Film { pictures: pictures.to_vec() });
        assert_eq!(seen.colour.as_deref(), Some("red"));
    }
}

#[test]
fn the_adapter_takes_the_colours_away() {
    let films = [made(PROMPT, SEED, None), made_with_adapter(PROMPT, SEED, 1.0)].map(|f| Film::of_mp4(&f));
    // How far pixels are from grey, on average.
    let [before, after] = films.each_ref().map(|film| {
        let pixels = film.pictures.iter().flat_map(|picture| &picture.pixels);
        let range = |p: &[f32; 3]| f64::from(p[0].max(p[1]).max(p[2]) - p[0].min(p[1]).min(p[2]));
        pixels.map(range).sum::<f64>()
    });
    assert!(after < 0.25 * before, "of {before} remains {after}");
    // In grey, both are the same clip.
    let [colours, greys] = films.map(|film| film.pictures.into_iter().map(|picture| picture.grey()));
    let least = colours.zip(greys).map(|(a, b)| a.psnr(&b)).fold(f64::INFINITY, f64::min);
    assert!(least > 20.0, "{least} dB");
}

/// As the dev checkpoint is run: guided in the first of two stages, with an adapter in the second.
#[test]
fn guided_clips_show_what_they_are_asked_for() {
    if !asks_for_long("a guided clip") {
        return;
    }
    let text = "width = 256\nheight = 192\nframes = 25\nfps = 24\npipeline = \"two-stage\"\ndtype = \"bf16\"\nmodel = \"demo\"";
    let target = Target::parse("guided", text).unwrap();
    let scope = Scope::Run(Pixels::Yuv420);
    let plan = compile_levels(&target, &demo(), scope, &[], Options::default()).unwrap().plan;
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let seen = scenery().look(&Film::of_mp4(&guided(&plan, &files, PROMPT, "blurry, distorted", SEED)));
    assert!(is_asked_for(&seen), "{seen:?}");
}

#[test]
fn half_of_the_steps_show_the_object() {
    let target = Target { preview: Some(VideoDecoder::Vae), ..Target::preset("res-tiny").unwrap() };
    let scope = Scope::Run(Pixels::Yuv420);
    let plan = compile_levels(&target, &demo(), scope, &[], Options::default()).unwrap().plan;
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let prompt = files.tokenizer().unwrap().encode(PROMPT).unwrap();
    let request = Request { prompts: vec![&prompt], seed: SEED, ..Request::default() };
    let mut viewer = Viewer::default();
    run(&mut Session::new(&plan, &files).unwrap(), &request, &mut viewer, &mut |_, _| Ok(())).unwrap();
    // After step 4 of 8.
    let frame = &viewer.0[3];
    let picture = Picture::of_rgb(&frame.reals(), frame.shape[1]);
    let seen = scenery().look(&Film { pictures: vec![picture] });
    assert_eq!((seen.colour.as_deref(), seen.background.as_str()), (Some("red"), "wood"));
}

#[test]
fn a_clip_comes_back_from_its_latents() {
    let target = Target::preset("res-tiny").unwrap();
    let phase = |name| Phase::compile(&target, &demo(), name, &[], Options::default()).unwrap();
    let [encode, decode] = ["video-encode", "video-decode"].map(phase);
    let tensors = [&encode, &decode].map(|phase| tensors_of(&phase.plan)).concat();
    let files = demo_in_memory(&tensors).unwrap();
    let mut near = Vec::new();
    for line in lines("drawn.tsv").into_iter().take(8) {
        let file = Read::file(&folder().join("drawn").join(&line.name));
        let picture = |planes: &Vec<u8>| planar(&Picture::of_planes(planes, 256, 192), 192).reals();
        let frames: Vec<Vec<f32>> = file.frames().iter().map(picture).collect();
        let channel =
            |c: usize| frames.iter().flat_map(move |f| f[c * 192 * 256..][..192 * 256].iter().copied());
        let clip: Vec<f32> = (0..3).flat_map(channel).collect();
        let input = Tensor::real(&[1, 3, frames.len(), 192, 256], clip.clone());
        let inputs = Named::from([("video".to_string(), input)]);
        let latent = encode.run(Device::Cpu, &files, &inputs, 1).unwrap().outputs;
        let back = decode.run(Device::Cpu, &files, &latent, 1).unwrap().outputs["video"].reals();
        let squares = clip.iter().zip(&back).map(|(a, b)| f64::from(a - b.clamp(-1.0, 1.0)).powi(2));
        near.push(10.0 * (4.0 * clip.len() as f64 / squares.sum::<f64>()).log10());
    }
    let mean = near.iter().sum::<f64>() / near.len() as f64;
    println!("dB: {near:.1?}, on average {mean:.1}");
    assert!(mean >= 28.0, "{near:.1?}");
}
