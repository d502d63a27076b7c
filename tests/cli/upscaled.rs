//! `zoetrope upscale` on small clips: what it writes, with which sound.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use zoetrope::commands::{Cli, parse_from};
use zoetrope::media::{Footage, Mp4Writer, Sound};
use zoetrope::tensors::load;
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Plan;

use crate::{stderr, text, zoetropec};

fn fields(upscaler: &str, [width, height, frames, fps]: [usize; 4]) -> String {
    format!(
        "width = {width}\nheight = {height}\nframes = {frames}\nfps = {fps}\npipeline = \"upscale\"\n\
         upscaler = \"{upscaler}\"\ndtype = \"bf16\"\nmodel = \"demo\"\n"
    )
}

fn plan(upscaler: &str, shape: [usize; 4]) -> Plan {
    let target = Target::parse("larger", &fields(upscaler, shape)).unwrap();
    compile_target(&target, "".as_ref()).unwrap()
}

/// Upscales a clip, and leaves its latents in a folder beside it.
fn upscaled(clip: &Path, out: &Path, plan: &Plan) {
    let args = ["zoetrope", "upscale", "-q", "--device", "cpu", "-o"].map(OsString::from);
    let dump = ["--dump".into(), out.with_extension("").into()];
    let args = args.into_iter().chain([out.into(), clip.into()]).chain(dump);
    let cli: Cli = parse_from(args).unwrap_or_else(|error| panic!("{error}"));
    let tiny = zoetrope_generated::PLANS[0];
    // Of two plans it takes the one that enlarges.
    cli.run(&[tiny, plan]).unwrap_or_else(|failure| panic!("{failure}"));
}

/// The sound of a clip is that of another one, of which it has at least so many seconds; but for what the encoder of audio
/// leaves out.
pub fn same_sound(of: &Path, clip: &Path, seconds: f64) {
    let [had, has] = [of, clip].map(|path| Sound::open(path).unwrap());
    assert!(had.rate() == has.rate() && has.seconds() >= seconds, "{}: {} s", clip.display(), has.seconds());
    let power = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
    for (had, has) in had.channels().into_iter().zip(has.channels()) {
        let whole = power(&mut had.iter().zip(has).map(|(a, _)| *a));
        let apart = power(&mut had.iter().zip(has).map(|(a, b)| a - b));
        assert!(whole > 0.0 && apart < 0.01 * whole, "{}: {apart} of {whole}", clip.display());
    }
}

#[test]
fn a_clip_is_enlarged_and_keeps_its_sound() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    // 13 frames of 64x48, 25 a second, with sound.
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media/b-frames.mp4");
    for (upscaler, [width, height, frames, fps]) in [
        ("spatial-x2", [128, 128, 9, 25]),
        ("spatial-x1.5", [96, 96, 9, 25]),
        ("temporal-x2", [64, 64, 17, 50]),
    ] {
        let out = at(&format!("{upscaler}.mp4"));
        upscaled(&clip, &out, &plan(upscaler, [width, height, frames, fps]));
        let footage = Footage::open(&out, 100).unwrap();
        assert_eq!((footage.size(), footage.frames()), ((width, height), frames), "{upscaler}");
        assert!((footage.fps() - fps as f64).abs() < 1e-6);
        same_sound(&clip, &out, frames as f64 / fps as f64 - 1e-3);
    }

    // A clip without sound stays without.
    let mut silent = Mp4Writer::new(64, 64, 25.0, &[]).unwrap();
    (0..9u8).for_each(|i| silent.push_frame(&[60 + 10 * i; 64 * 96]).unwrap());
    let mut bytes = Vec::new();
    silent.finish().unwrap().write(&mut bytes).unwrap();
    fs::write(at("silent.mp4"), bytes).unwrap();
    upscaled(&at("silent.mp4"), &at("large.mp4"), &plan("spatial-x2", [128, 128, 9, 25]));
    assert_eq!(Footage::open(&at("large.mp4"), 100).unwrap().frames(), 9);
    assert!(Sound::open(&at("large.mp4")).unwrap_err().is_missing());

    // The compiler's command makes the same of it, before frames are coded.
    let (target, outputs) = (at("larger.toml"), at("run.safetensors"));
    fs::write(&target, fields("spatial-x1.5", [96, 96, 9, 25])).unwrap();
    let args = ["eval", text(&target), "run", "--video", text(&clip), "--outputs", text(&outputs)];
    let output = zoetropec(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let (run, dump) = (load(&outputs).unwrap(), load(&at("spatial-x1.5/upscale.safetensors")).unwrap());
    assert_eq!(run["video"].shape, [9, 96, 96, 3]);
    assert!(run["upscaled.v.latent"] == dump["upscaled.v.latent"]);
}
