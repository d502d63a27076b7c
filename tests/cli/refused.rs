//! Requests that no plan of the binary can do: each is refused with the commands that build one, before anything is loaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use zoetrope_compiler::frontend::{compile_target, load_target};
use zoetrope_model_spec::ltx::decode::VideoDecoder;
use zoetrope_model_spec::ltx::enhance::Enhance;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Plan, Role};

use crate::{refused, stderr, text, zoetrope};

/// What a build after a `help` of a refusal holds, beside res-tiny: the target file is written as the refusal says.
#[cfg(unix)]
fn built(said: &str, folder: &Path) -> Target {
    let helps: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  help  ")).collect();
    let build =
        helps.iter().find(|line| line.contains("cargo build --release")).unwrap_or_else(|| panic!("{said}"));
    if let Some(write) = helps.iter().find(|line| line.starts_with("printf ")) {
        assert!(
            Command::new("sh").args(["-c", write]).current_dir(folder).status().unwrap().success(),
            "{write}"
        );
    }
    let words: Vec<&str> = build.split(' ').collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(&format!("{name}=")));
    let feature = words.iter().position(|word| *word == "--features").map(|at| words[at + 1]).unwrap();
    let mut target = match value("ZOETROPE_TARGET") {
        Some(file) => load_target(&folder.join(file)).unwrap_or_else(|e| panic!("{e}")),
        None => Target::preset(feature).unwrap(),
    };
    if let Some(count) = value("ZOETROPE_KEYFRAMES") {
        target.recipe.with_keyframes(count.parse().unwrap());
    }
    if value("ZOETROPE_PREVIEW") == Some("1") {
        target.preview = Some(VideoDecoder::Vae);
    }
    if let Some(said) = value("ZOETROPE_ENHANCE") {
        target.enhance = Some(Enhance { image: said == "image", ..Enhance::default() });
    }
    target
}

/// Whether an input of a plan is for the host to write as this.
fn takes(plan: &Plan, role: &Role) -> bool {
    plan.phases.iter().any(|phase| phase.inputs.iter().any(|port| port.role == *role))
}

#[cfg(unix)]
#[test]
fn what_no_plan_does_is_refused_with_the_build_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media/b-frames.mp4");
    let (clip, image) = (text(&clip), "tests/demo/first.png");
    let footage = Role::Footage;
    let start = Role::RegionStart { stream: "v".into() };
    let reference = |number| Role::Reference { number, downscale: 2, temporal_scale: 1, every: 1 };
    // A request, words that its refusal has, and what the built plan takes.
    let cases: [(&[&str], &[&str], Role); 12] = [
        (&["--audio", clip], &["takes no sound"], Role::Spectrogram),
        // The size is that of the video: 13 frames of 64x48, 25 a second.
        (
            &["--video", clip],
            &["takes no video", "'height = 64'", "'frames = 9'", "'fps = 25'"],
            footage.clone(),
        ),
        (
            &["--video", clip, "--extend", "after"],
            &["takes no video", "'frames = 33'", "'fps = 25'"],
            footage.clone(),
        ),
        (&["--start", "0.1", "--end", "0.2"], &["takes no part of a clip"], start),
        (&["--enhance-prompt"], &["no phases that enhance a prompt"], Role::Chat),
        (
            &["--enhance-prompt", "--image", image],
            &["no phases that enhance a prompt", "ZOETROPE_ENHANCE=image"],
            Role::ChatImage,
        ),
        (&["--reference", clip], &["takes no reference"], reference(1)),
        (&["--reference", clip, "--reference", clip], &["takes no reference"], reference(2)),
        (
            &["--attention-strength", "0.5"],
            &["have no attention strength"],
            Role::ReferenceAttention { number: 1 },
        ),
        (
            &["--image", image, "--image", "tests/demo/first.png:8", "--image", "tests/demo/first.png:16"],
            &["has room for 0 keyframes", "have  2"],
            Role::Image { number: 2 },
        ),
        (
            &["--steps", "3"],
            &["--steps is for guided plans", "res-tiny (distilled) is not guided"],
            Role::Tokens { prompt: 1 },
        ),
        (&["--negative-prompt", "x"], &["--negative-prompt is for guided plans"], Role::Tokens { prompt: 1 }),
    ];
    for (asked, words, role) in cases {
        let output = zoetrope(&[&["generate", "x", "-o", "-"], asked].concat());
        refused(&output, 2, words);
        let target = built(&stderr(&output), folder.path());
        let plan = compile_target(&target, "".as_ref()).unwrap_or_else(|e| panic!("{asked:?}: {e}"));
        assert!(takes(&plan, &role), "{asked:?}: {role}");
        assert_eq!(plan.facts.model, "demo");
    }
    let output = zoetrope(&["generate", "x", "-o", "-", "--preview", "now.png"]);
    refused(&output, 2, &["plan res-tiny (distilled) makes no previews", "ZOETROPE_PREVIEW=1"]);
    let plan = compile_target(&built(&stderr(&output), folder.path()), "".as_ref()).unwrap();
    assert!(plan.name == "res-tiny" && plan.results().contains(&Role::Preview));

    let output = zoetrope(&["generate", "x", "-o", "-", "--decoder", "tiny"]);
    refused(&output, 2, &["plan res-tiny (distilled) has no tiny decoder", "'decoder = \"tiny\"'"]);
    let plan = compile_target(&built(&stderr(&output), folder.path()), "".as_ref()).unwrap();
    assert_eq!(plan.facts.decoder.as_deref(), Some("tiny"));

    let output = zoetrope(&["generate", "x", "-o", "-", "--seconds", "2"]);
    refused(&output, 2, &["plan res-tiny makes no clip of 2 s", "have  48 frames", "'carried = 9'"]);
    let plan = compile_target(&built(&stderr(&output), folder.path()), "".as_ref()).unwrap();
    assert_eq!((plan.facts.frames, plan.facts.carried, plan.facts.fps), (33, 9, 24.0));

    let output = zoetrope(&["upscale", clip, "-o", "-"]);
    refused(&output, 2, &["plan res-tiny (distilled) upscales no clip"]);
    let plan = compile_target(&built(&stderr(&output), folder.path()), "".as_ref()).unwrap();
    assert!(takes(&plan, &footage) && plan.results() == [Role::Video]);
    assert_eq!((plan.facts.width, plan.facts.height, plan.facts.frames, plan.facts.fps), (128, 128, 9, 25.0));

    let output = zoetrope(&["generate", "x", "-o", "-", "--size", "640x384x9"]);
    refused(&output, 2, &["no plan of size 640x384x9", "have  res-tiny 256x192x25"]);
    let target = built(&stderr(&output), folder.path());
    assert_eq!((target.size.width, target.size.height, target.size.frames), (640, 384, 9));
    refused(
        &zoetrope(&["plan", "--size", "640x400x9"]),
        2,
        &["of size 640x400x9", "the nearest are 384 and 448"],
    );
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    assert!(files.into_iter().all(|path| path.extension().is_some_and(|ending| ending == "toml")));
}
