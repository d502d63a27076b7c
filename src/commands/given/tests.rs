//! What plans take of given sound and video, and what they refuse.

use std::sync::LazyLock;

use clap::Parser;
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    given: GivenArgs,
}

fn args(line: &[&str]) -> GivenArgs {
    Line::try_parse_from([&["generate"], line].concat()).map_err(|e| e.to_string()).unwrap().given
}

fn plan(recipe: &str, frames: usize) -> Plan {
    sized(recipe, 64, frames)
}

fn sized(recipe: &str, width: usize, frames: usize) -> Plan {
    let recipe = Recipe::named(recipe).unwrap();
    let size = Size { width, height: 64, frames, fps: 25.0, stride: 1 };
    let target = Target { recipe, size, ..Target::preset("res-tiny").unwrap() };
    compile_target(&target, "".as_ref()).unwrap()
}

static RETAKE: LazyLock<Plan> = LazyLock::new(|| plan("retake", 9));

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/media/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn refused(plan: &Plan, line: &[&str], words: &[&str]) {
    let given = args(line);
    let error = given
        .check(plan, None)
        .and_then(|()| given.open(plan, &Windows::one(&plan.facts), None).map(|_| ()))
        .unwrap_err();
    assert_eq!(error.kind as u8, 2, "{error}");
    assert!(words.iter().all(|word| error.message.contains(word)), "{words:?} are not in: {error}");
}

#[test]
fn a_plan_says_what_it_takes() {
    let (plain, clip) = (plan("distilled-single-stage", 9), fixture("b-frames.mp4"));
    refused(&plain, &["--audio", &clip], &["takes no sound", "'pipeline = \"audio-to-video\"'"]);
    // Of the video's size: 13 frames of 64x48 at 25 a second.
    let fits = ["takes no video", "'pipeline = \"retake\"'", "'height = 64'", "'frames = 9'", "'fps = 25'"];
    refused(&plain, &["--video", &clip], &fits);
    refused(&plain, &["--start", "1", "--end", "2"], &["takes no part of a clip"]);
    args(&[]).check(&plain, None).unwrap();
    let sung = plan("audio-to-video", 9);
    refused(&sung, &[], &["wants a sound", "--audio FILE"]);
    refused(&sung, &["--video", &clip], &["takes no video"]);
    refused(&RETAKE, &["--start", "0", "--end", "1"], &["wants a video", "--video FILE"]);
    refused(&RETAKE, &["--video", &clip], &["--start SECONDS --end SECONDS, or --extend"]);
    for span in [["0.3", "0.2"], ["0.2", "0.2"], ["0.5", "0.6"]] {
        refused(
            &RETAKE,
            &["--video", &clip, "--start", span[0], "--end", span[1]],
            &["nothing lies between"],
        );
    }
}

/// 13 frames of 64x48 at 25 a second, with sound.
#[test]
fn a_video_fits_the_plan() {
    let (clip, span) = (fixture("b-frames.mp4"), ["--start", "0.1", "--end", "0.2"]);
    let line = |more: &[&'static str]| [&["--video", clip.as_str()], more].concat();
    // Four frames too many are left out, and 48 rows are scaled to 64.
    let given = args(&line(&span)).open(&RETAKE, &Windows::one(&RETAKE.facts), None).unwrap();
    let frames = given.footage().unwrap()(64, 64);
    assert_eq!((frames.shape.as_slice(), given.spans.len()), (&[3, 9, 64, 64][..], 4));
    let sound = given.kept_sound().unwrap();
    assert!(sound.rate() == 44_100 && (sound.seconds() - 0.36).abs() < 1e-3, "{}", sound.seconds());

    let shorter = plan("retake", 17);
    refused(
        &shorter,
        &line(&span),
        &["have  13 frames", "want  17 frames", "9 or 17 frames", "--extend after"],
    );
    refused(&RETAKE, &line(&["--extend", "after"]), &["want  fewer than 9 frames"]);
    let ends = |given: &Given| given.spans.iter().map(|(_, at)| (at * 100.0).round()).collect::<Vec<_>>();
    let after =
        args(&line(&["--extend", "after"])).open(&shorter, &Windows::one(&shorter.facts), None).unwrap();
    assert_eq!(ends(&after), [52.0, 68.0, 52.0, 68.0]);
    let before =
        args(&line(&["--extend", "before"])).open(&shorter, &Windows::one(&shorter.facts), None).unwrap();
    assert_eq!(ends(&before), [0.0, 16.0, 0.0, 16.0]);
    // The sound moves with its video.
    let [left, _] = before.sound.as_ref().unwrap().channels();
    assert!(left[..7056].iter().all(|x| *x == 0.0) && left.len() == 29_988, "{}", left.len());

    let mut other = RETAKE.clone();
    other.facts.fps = 30.0;
    refused(&other, &line(&span), &["have  25 frames a second", "want  30", "'fps = 25'"]);
    refused(
        &sized("retake", 128, 9),
        &line(&span),
        &["have  64x48", "want  128x64", "'width = 64' 'height = 64'"],
    );
}

/// A plan that enlarges takes a smaller video, or one of fewer frames in the same time; the clip keeps its sound, sample
/// for sample.
#[test]
fn a_video_that_is_enlarged_keeps_its_sound() {
    let clip = fixture("b-frames.mp4");
    let given = GivenArgs::of_video(clip.as_ref());
    let plan = |upscaler: &str, [width, height, frames, fps]: [usize; 4]| {
        let text = format!(
            "width = {width}\nheight = {height}\nframes = {frames}\nfps = {fps}\npipeline = \"upscale\"\n\
             upscaler = \"{upscaler}\"\ndtype = \"bf16\"\nmodel = \"demo\"\n"
        );
        compile_target(&Target::parse("larger", &text).unwrap(), "".as_ref()).unwrap()
    };
    let whole = Sound::open(clip.as_ref()).unwrap();
    for (plan, size, seconds) in [
        (plan("spatial-x2", [128, 128, 9, 25]), [64, 64], 0.36),
        (plan("spatial-x1.5", [96, 96, 9, 25]), [64, 64], 0.36),
        (plan("temporal-x2", [64, 64, 17, 50]), [64, 64], 0.34),
    ] {
        let read = given.open(&plan, &Windows::one(&plan.facts), None).unwrap();
        let [width, height] = size;
        assert_eq!(read.footage().unwrap()(width, height).shape, [3, 9, height, width]);
        assert!(read.spectrogram(&Windows::one(&plan.facts), 0).is_some() && read.spans().is_empty());
        let (kept, samples) = (read.kept_sound().unwrap(), (seconds * 44_100.0f64).round() as usize);
        let first = whole.channels().map(|channel| &channel[..samples]);
        assert!(kept.rate() == 44_100 && kept.channels() == first, "{}", kept.seconds());
    }
    // The build of a plan that fits is said in the size of its clip.
    let refuses = |plan: &Plan, words: &[&str]| {
        let error = given.open(plan, &Windows::one(&plan.facts), None).map(|_| ()).unwrap_err();
        assert!(words.iter().all(|word| error.message.contains(word)), "{words:?} are not in: {error}");
    };
    refuses(
        &plan("spatial-x2", [256, 256, 9, 25]),
        &["want  128x128", "'width = 128' 'height = 128' 'frames = 9'"],
    );
    let rate =
        ["want  30 frames a second", "have  25", "'frames = 17' 'fps = 50'", "'upscaler = \"temporal-x2\"'"];
    refuses(&plan("temporal-x2", [64, 64, 17, 60]), &rate);
}

#[test]
fn a_sound_is_long_enough() {
    let sung = plan("audio-to-video", 9);
    let flac = fixture("sound.flac");
    // 0.25 s are 6 frames; 0.36 s are wanted.
    refused(&sung, &["--audio", &flac], &["too short", "want  0.36 s", "have  0.25 s", "'frames = 1'"]);
    let clip = fixture("b-frames.mp4");
    let given = args(&["--audio", &clip, "--audio-start", "0.1"])
        .open(&sung, &Windows::one(&sung.facts), None)
        .unwrap();
    assert!(given.footage().is_none() && given.spans().is_empty());
    assert_eq!(given.spectrogram(&Windows::one(&sung.facts), 0).unwrap()(33).shape, [2, 33, 64]);
    refused(&sung, &["--audio", &clip, "--audio-start", "0.3"], &["too short", "from 0.3 s on"]);
}

/// Of a clip that is made in windows, each hears what is heard then; the clip has the whole sound.
#[test]
fn windows_hear_their_part_of_a_sound() {
    let mut recipe = Recipe::named("audio-to-video").unwrap();
    recipe.with_carried(9);
    let size = Size { width: 64, height: 64, frames: 25, fps: 25.0, stride: 1 };
    let target = Target { recipe, size, ..Target::preset("res-tiny").unwrap() };
    let plan = compile_target(&target, "".as_ref()).unwrap();
    let windows = Windows::covering(&plan.facts, 50).unwrap();
    assert_eq!(windows.count, 3);
    // Every sample is another number.
    let file = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(file.path(), spec).unwrap();
    let tone = |i: i32| (i * i / 64 % 20_000 - 10_000) as i16;
    (0..16_000 * 21 / 10).for_each(|i| wav.write_sample(tone(i)).unwrap());
    wav.finalize().unwrap();
    let path = file.path().to_str().unwrap();
    let given = args(&["--audio", path, "--audio-start", "0.05"]).open(&plan, &windows, None).unwrap();
    let kept = given.kept_sound().unwrap();
    assert!((kept.seconds() - 2.0).abs() < 1e-3);
    let whole = Sound::open(file.path()).unwrap();
    for window in 0..3 {
        let heard = given.spectrogram(&windows, window).unwrap()(100).reals();
        // 16 frames of 25 a second later each time; the clip ends before the last window does.
        let start = 0.05 + 0.64 * window as f64;
        assert_eq!(heard, whole.part(0.0, 2.05).part(start, 1.0).spectrogram(100), "window {window}");
    }
    let short = args(&["--audio", path, "--audio-start", "0.5"]).open(&plan, &windows, None).err().unwrap();
    assert!(short.message.contains("--seconds 1.6"), "{short}");
}

/// A clip that follows a video hears it, unless another sound is given.
#[test]
fn a_dub_hears_its_reference() {
    let (dub, clip) = (plan("dub", 9), fixture("b-frames.mp4"));
    refused(&dub, &[], &["wants a sound"]);
    let clip = Some(Path::new(&clip));
    assert!(args(&[]).hears_reference(&dub, clip) && !args(&[]).hears_reference(&dub, None));
    args(&[]).check(&dub, clip).unwrap();
    let given = args(&[]).open(&dub, &Windows::one(&dub.facts), clip).unwrap();
    assert!(given.footage().is_none() && given.sound.is_some());
    let flac = fixture("sound.flac");
    let other = args(&["--audio", &flac]);
    assert!(!other.hears_reference(&dub, clip));
    let error = other.open(&dub, &Windows::one(&dub.facts), clip).err().unwrap();
    assert!(error.message.contains("sound.flac is too short"), "{error}");
}
