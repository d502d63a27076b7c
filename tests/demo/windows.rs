//! Long clips of the demo model, made in windows and written as `zoetrope generate --seconds` does (docs/long-clips.md).

use std::sync::LazyLock;

use zoetrope::commands::clip::ClipWriter;
use zoetrope::demo::demo_in_memory;
use zoetrope::failure::Failure;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Finished, Request};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Values;
use zoetrope::tokenize::Encoded;
use zoetrope::windows::{Given, PerWindow, Windows, make};
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::mp4::Read;
use zoetrope_test_support::seen::Picture;

use crate::made::side_by_side;

const CARRIED: usize = 9;
/// Frames, and tokens of sound, from one window to the next.
const APART: usize = 16;
const FPS: f64 = 25.0;
/// Samples of a token of sound.
const TOKEN: usize = 1920;

struct Model {
    plan: Plan,
    files: ModelFiles,
}

/// What windows left, and the file that they became.
struct Made {
    file: Read,
    /// Of every window: planes of its frames, and its left channel.
    windows: Vec<(Vec<u8>, Vec<f32>)>,
}

impl Model {
    /// Two stages, windows of 25 frames.
    fn of(width: usize, height: usize) -> Model {
        let mut target = Target::preset("res-tiny").unwrap();
        target.size = Size { width, height, frames: 25, fps: FPS, stride: 1 };
        target.recipe.with_carried(CARRIED);
        let plan = compile_target(&target, "".as_ref()).unwrap();
        let files = demo_in_memory(&tensors_of(&plan)).unwrap();
        Model { plan, files }
    }

    /// A clip of so many frames. `look` hears of every window.
    fn made(&self, prompts: &[&str], frames: usize, look: &mut dyn FnMut(&Finished)) -> Read {
        let tokenizer = self.files.tokenizer().unwrap();
        let encoded: Vec<Encoded> = prompts.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect();
        let windows = Windows::covering(&self.plan.facts, frames).unwrap();
        let per_window = PerWindow {
            prompts: encoded.iter().map(|prompt| vec![prompt]).collect(),
            given: &|_| Given::default(),
        };
        let request = Request { seed: 10, ..Request::default() };
        let mut writer = ClipWriter::new(&self.plan, windows, &[]).unwrap();
        let mut session = Session::new(&self.plan, &self.files).unwrap();
        let mut take = |finished: Finished| {
            look(&finished);
            writer.push(&finished)
        };
        let keep = &mut |_: usize, _: &str, _: &_| Ok(());
        make::<_, Failure>(&mut session, &windows, request, &per_window, &mut Unwatched, keep, &mut take)
            .unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writer.finish(None).unwrap().write(&mut file).unwrap();
        Read::file(file.path())
    }

    fn with_windows(&self, prompts: &[&str], frames: usize) -> Made {
        let mut windows = Vec::new();
        let file = self.made(prompts, frames, &mut |finished| windows.push(parts(finished)));
        Made { file, windows }
    }
}

fn parts(finished: &Finished) -> (Vec<u8>, Vec<f32>) {
    let Some(Values::Byte(planes)) = finished.video.as_ref().map(|video| &video.values) else {
        panic!("no planes");
    };
    let sound = finished.waveform.as_ref().unwrap().reals();
    (planes.clone(), sound[..sound.len() / 2].to_vec())
}

/// Samples of a side that a player plays of a file.
fn samples(file: &Read) -> u64 {
    let edits = file.audio().trak(&file.mp4).edts.as_ref().and_then(|edits| edits.elst.as_ref());
    edits.and_then(|edits| edits.entries.first()).unwrap().segment_duration
}

#[test]
fn windows_become_one_clip() {
    let (model, prompts) = (Model::of(64, 64), ["a red ball bounces on the grass", "a blue ball rises"]);
    let made = model.with_windows(&prompts, 50);
    // The last of three windows is cut where the clip ends.
    assert_eq!((made.windows.len(), made.file.frames().len(), samples(&made.file)), (3, 50, 96_000));
    // A shorter clip of the same seed has the same windows.
    let shorter = model.with_windows(&prompts, 41);
    assert!(shorter.windows[..] == made.windows[..2]);
    assert_eq!((shorter.file.frames().len(), samples(&shorter.file)), (41, 30_720 + 46_560));
}

/// Memory beside the arena, which is a number of the plan, does not grow with the length.
#[test]
fn memory_does_not_grow_with_the_length() {
    if !asks_for_long("clips of two windows and of six, measured") {
        return;
    }
    let model = Model::of(64, 64);
    let measured = |windows: usize| {
        let mut file = None;
        let measured = allocation_counter::measure(|| {
            file = Some(model.made(&[PROMPT], 25 + 16 * (windows - 1), &mut |_| {}));
        });
        (measured.bytes_max, file.unwrap().bytes)
    };
    let ((few, file), (again, same), (many, _)) = (measured(2), measured(2), measured(6));
    println!("bytes at the peak: {few} and {again} with 2 windows, {many} with 6");
    assert!(file == same, "the same seed made other bytes");
    // A copy of a window's frames alone is 150 kB.
    assert!(many < few.max(again) + 50_000);
}

static DEMO: LazyLock<Model> = LazyLock::new(|| Model::of(256, 192));

/// A motion that comes back to where it was, so that it goes on for a minute. What bounces knocks, what circles hums.
const PROMPT: &str = "a red ball bounces on the grass";
const CIRCLE: &str = "a yellow ball moves in a circle on white snow";

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1);
    values.sum::<f64>() / count as f64
}

/// How much changes from each frame to the next: the mean difference of luma.
fn steps_of_frames(frames: &[Vec<u8>], pixels: usize) -> Vec<f64> {
    let step = |pair: &[Vec<u8>]| {
        let differences = pair[0][..pixels].iter().zip(&pair[1][..pixels]).map(|(a, b)| a.abs_diff(*b));
        differences.map(f64::from).sum::<f64>() / pixels as f64
    };
    frames.windows(2).map(step).collect()
}

/// How much changes from sample to sample, in the mean over every 10 ms.
fn steps_of_sound(sound: &[f32]) -> Vec<f64> {
    let step = |block: &[f32]| mean(block.windows(2).map(|pair| f64::from((pair[1] - pair[0]).abs())));
    sound.chunks_exact(480).map(step).collect()
}

/// Steps where two windows overlap over those of the same number behind it, in the mean of all seams; and the largest of
/// the former over the largest of all others. `apart` and `overlap` are in steps.
fn seams(steps: &[f64], apart: usize, overlap: usize) -> [f64; 2] {
    let at_seam = |step: &usize| *step >= apart && step % apart < overlap;
    let (seam, inside): (Vec<usize>, Vec<usize>) = (0..steps.len()).partition(at_seam);
    let [seam, inside] =
        [seam, inside].map(|all| all.into_iter().map(|step| steps[step]).collect::<Vec<_>>());
    let largest = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    [mean(seam.iter().copied()) / mean(inside.iter().copied()), largest(&seam) / largest(&inside)]
}

/// What two windows made of the same latents: how near frames are, in decibels, and the share of the power of each token
/// of sound in which they differ.
fn agreement(windows: &[(Vec<u8>, Vec<f32>)]) -> (Vec<f64>, Vec<f64>) {
    let bytes = 256 * 192 * 3 / 2;
    let picture =
        |planes: &[u8], frame: usize| Picture::of_planes(&planes[frame * bytes..][..bytes], 256, 192);
    let pairs: Vec<_> = windows.windows(2).collect();
    let psnr = |frame: usize| {
        let of = |pair: &&[(Vec<u8>, Vec<f32>)]| {
            picture(&pair[0].0, APART + frame).psnr(&picture(&pair[1].0, frame))
        };
        mean(pairs.iter().map(of))
    };
    let share = |token: usize| {
        let both = pairs.iter().flat_map(|pair| {
            let (old, new) = (&pair[0].1[(APART + token) * TOKEN..], &pair[1].1[token * TOKEN..]);
            old.iter().zip(new).take(TOKEN).map(|(old, new)| (f64::from(*old), f64::from(*new)))
        });
        let [error, power] = both.fold([0.0, 0.0], |[error, power], (old, new)| {
            [error + (old - new).powi(2), power + old.powi(2)]
        });
        error / power.max(1e-12)
    };
    ((0..CARRIED).map(psnr).collect(), (0..8).map(share).collect())
}

#[test]
fn seams_are_not_seen_and_not_heard() {
    if !asks_for_long("clips of 30 and 60 seconds") {
        return;
    }
    // The longer one first.
    let measured = side_by_side(&[(60.0, CIRCLE), (30.0, PROMPT)], |&(seconds, prompt)| {
        let made = DEMO.with_windows(&[prompt], (seconds * FPS) as usize);
        let frames = made.file.frames();
        assert_eq!(frames.len(), (seconds * FPS) as usize);
        let [left, _] = made.file.sound();
        let picture = seams(&steps_of_frames(&frames, 256 * 192), APART, CARRIED);
        let sound = seams(&steps_of_sound(&left), 4 * APART, 33);
        let (psnr, shares) = agreement(&made.windows);
        println!("{prompt}: {seconds} s, {} windows", made.windows.len());
        println!("  steps at seams over others, mean and largest: frames {picture:.3?}, sound {sound:.3?}");
        println!("  frames of two windows, dB: {psnr:.1?}");
        println!("  tokens of sound of two windows, share of the power that differs: {shares:.3?}");
        (picture, sound, psnr, shares)
    });
    for (picture, sound, psnr, _) in &measured {
        assert!(picture.iter().all(|ratio| *ratio < 1.3), "{picture:?}");
        // A click would be more than 1.
        assert!(sound.iter().all(|ratio| *ratio < 1.3), "{sound:?}");
        // Of latents that are the same, the decoder itself reaches 28 dB (docs/demo.md).
        assert!(psnr.iter().all(|psnr| *psnr > 28.0), "{psnr:?}");
    }
    // Of a hum, which is everywhere; knocks fall where the ball meets the ground, which is not at seams.
    let (_, sound, _, shares) = &measured[0];
    assert!(sound[0] > 0.5, "{sound:?}");
    // Where one window goes over into the other.
    assert!(shares[3..5].iter().all(|share| *share < 0.2), "{shares:?}");
}
