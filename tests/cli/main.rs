//! The commands as a user runs them: what they print, which exit code they end with, what they leave behind.

mod batch;
mod given;
mod outputs;
mod printing;
mod prompts;
mod refused;
mod upscaled;
mod ways;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use zoetrope::tensors::{Tensor, load, to_bytes};

fn zoetrope(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zoetrope")).args(args).output().expect("the binary runs")
}

fn zoetropec(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zoetropec")).args(args).output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One clear error: the code, words that must be in it, no panic.
fn refused(output: &Output, code: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// The clip of the prompt `x`, made once.
fn built_in() -> &'static Vec<u8> {
    static CLIP: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        let output = zoetrope(&["generate", "x", "-q", "-o", text(&clip)]);
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(clip).unwrap()
    });
    &CLIP
}

#[test]
fn a_prompt_becomes_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, dump) = (folder.path().join("clip.mp4"), folder.path().join("latents"));
    let args = ["generate", "a red ball", "-o", text(&clip), "--seed", "3", "--dump", text(&dump)];
    let output = zoetrope(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("seed 3") && said.contains("clip.mp4") && said.contains("docs/demo.md"), "{said}");
    assert!(stderr(&output).contains("step 8 of 8"));
    for phase in ["denoise-1", "upscale", "denoise-2"] {
        assert!(dump.join(format!("{phase}.safetensors")).is_file(), "{phase}");
    }
    refused(&zoetrope(&args), 2, &["latents", "denoise-1.safetensors", "another run"]);
    // The same clip from the noise of a file, and the same bytes from the same seed.
    let again = folder.path().join("again.mp4");
    assert!(zoetrope(&["generate", "a red ball", "-q", "-o", text(&again), "--seed", "3"]).status.success());
    assert_eq!(fs::read(&clip).unwrap(), fs::read(&again).unwrap());
    let other = folder.path().join("other.mp4");
    assert!(zoetrope(&["generate", "a red ball", "-q", "-o", text(&other), "--seed", "4"]).status.success());
    assert_ne!(fs::read(&clip).unwrap(), fs::read(&other).unwrap());
}

#[test]
fn files_of_the_demo_model_give_the_clip_of_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    assert!(zoetrope(&["demo-model", text(&model)]).status.success());
    let files = [
        ("--distilled-checkpoint-path", model.join("ltx-2.3-demo.safetensors")),
        ("--gemma-root", model.join("gemma-3-demo")),
        ("--spatial-upsampler-path", model.join("ltx-2.3-demo-spatial-upscaler-x2.safetensors")),
    ];
    let mut args: Vec<&str> = vec!["verify"];
    files.iter().for_each(|(flag, path)| args.extend([*flag, text(path)]));
    let args: Vec<&str> = args.into_iter().collect();
    let output = zoetrope(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let clip = folder.path().join("from-files.mp4");
    let mut args = vec!["generate", "x", "-q", "--output-path", text(&clip)];
    files.iter().for_each(|(flag, path)| args.extend([*flag, text(path)]));
    // An index says which file counts, and what does not is said.
    let gemma = &files[1].1;
    let index = r#"{"weight_map": {"language_model.model.norm.weight": "model.safetensors"}}"#;
    fs::write(gemma.join("model.safetensors.index.json"), index).unwrap();
    for stale in ["old.safetensors", "._model.safetensors"] {
        fs::write(gemma.join(stale), b"").unwrap();
    }
    let output = zoetrope(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("old.safetensors is not read: "), "{}", stderr(&output));
    assert!(!stderr(&output).contains("._model"));
    assert!(fs::read(&clip).unwrap() == *built_in());

    // One byte less is said before anything runs, and leaves nothing.
    let bytes = fs::read(&files[0].1).unwrap();
    fs::write(&files[0].1, &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(&clip).unwrap();
    refused(&zoetrope(&args), 3, &["truncated", "ltx-2.3-demo.safetensors"]);
    assert!(!clip.exists());
}

#[test]
fn bad_requests_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    refused(&zoetrope(&["generate"]), 2, &["PROMPT"]);
    refused(&zoetrope(&["generate", "x", "-o", text(&folder.path().join("none/clip.mp4"))]), 2, &["none"]);
    refused(&zoetrope(&["generate", "x", "-o", text(folder.path())]), 2, &["is a folder"]);
    refused(
        &zoetrope(&["generate", "x", "-o", text(&clip), "--checkpoint", "none.safetensors"]),
        3,
        &["none.safetensors"],
    );
    refused(&zoetrope(&["generate", "x", "-o", text(&clip), "--checkpoint", text(folder.path())]), 3, &[]);
    refused(
        &zoetrope(&["generate", "x", "-o", text(&clip), "--noise", "none.safetensors"]),
        2,
        &["none.safetensors"],
    );
    for adapter in [&["--lora", "none.safetensors:0.5"][..], &["--lora", "none.safetensors", "0.5"]] {
        let args = [&["generate", "x", "-o", text(&clip)], adapter].concat();
        refused(&zoetrope(&args), 3, &["adapter none.safetensors: cannot be read"]);
    }
    let seconds = |seconds: &str| zoetrope(&["generate", "x", "-o", text(&clip), "--seconds", seconds]);
    refused(&seconds("30"), 2, &["makes no clip of 30 s", "want  1.04 s, 25 frames", "carried = N"]);
    refused(&seconds("-1"), 2, &["wanted seconds above 0"]);
    // Of a misspelt folder nothing else is said than that it is not there.
    let output = zoetrope(&["verify", "--text-encoder", text(&folder.path().join("gema"))]);
    refused(&output, 3, &["gema: cannot be read"]);
    assert!(!stderr(&output).contains("config.json"), "{}", stderr(&output));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn previews_want_a_plan_that_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let output = zoetrope(&["generate", "a red ball", "-o", text(&clip), "--preview", "now.png"]);
    refused(&output, 2, &["makes no previews", "ZOETROPE_PREVIEW=1"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_plan_is_chosen_by_name_or_size() {
    for command in [&["plan"][..], &["verify"], &["generate", "x", "-o", "clip.mp4"]] {
        let with = |more: &[&str]| zoetrope(&[command, more].concat());
        refused(
            &with(&["--preset", "res-9"]),
            2,
            &["called res-9", "res-tiny 256x192x25", "--features NAME"],
        );
        refused(&with(&["--preset", "res-4k"]), 2, &["res-tiny 256x192x25", "--features res-4k"]);
        refused(&with(&["--size", "640x384x9"]), 2, &["of size 640x384x9", "res-tiny", "ZOETROPE_TARGET"]);
        refused(&with(&["--size", "640x384"]), 2, &["--size", "1920x1088x241"]);
    }
    for choice in [&["--preset", "res-tiny"], &["--size", "256x192x25"]] {
        let output = zoetrope(&[&["plan"][..], choice].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_prompt_that_is_not_text_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let output = Command::new(env!("CARGO_BIN_EXE_zoetrope"))
        .args(["generate", "-o", "clip.mp4"])
        .arg(OsStr::from_bytes(b"caf\xe9"))
        .output()
        .expect("the binary runs");
    refused(&output, 2, &["UTF-8"]);
}

#[test]
fn hostile_model_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("short", vec![1, 2, 3]),
        ("endless", u64::MAX.to_le_bytes().to_vec()),
        ("not json", header("{{{{")),
        ("list", header("[1,2]")),
        ("beyond", header(r#"{"a":{"dtype":"F32","shape":[9999999999999999999],"data_offsets":[0,4]}}"#)),
        (
            "overlap",
            [header(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#), vec![0; 6]].concat(),
        ),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(format!("{name}.safetensors"));
        fs::write(&path, bytes).unwrap();
        let output = zoetrope(&["generate", "x", "-o", text(&clip), "--checkpoint", text(&path)]);
        refused(&output, 3, &[name]);
    }
    assert!(!clip.exists());
}

#[test]
fn a_plan_is_read_without_a_model() {
    let output = zoetrope(&["plan"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("denoise-2") && said.contains("peak"), "{said}");
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.contains(&said), "the README shows another plan than this:\n{said}");
    let launches = String::from_utf8_lossy(&zoetrope(&["plan", "--launches"]).stdout).into_owned();
    assert!(launches.contains("loop transformer_blocks x3"), "{launches}");
    let why = zoetropec(&["show", "res-tiny", "--why", "transformer_blocks.*.attn1"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("chosen"));
}

#[test]
fn eval_says_what_a_phase_wants() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let eval = |phase: &str, more: &[&str]| {
        let mut args = vec!["eval", "res-tiny", phase, "--outputs", text(&out)];
        args.extend(more);
        zoetropec(&args)
    };
    refused(&eval("velocity", &[]), 2, &["v.latent", "a.context", "docs/phases.md"]);
    refused(&eval("velocty", &[]), 2, &["velocity", "denoise"]);
    refused(&eval("vocode", &["--tap", "nothing"]), 2, &["waveform16k"]);
    refused(&eval("tokenize", &[]), 2, &["--prompt"]);
    refused(&zoetropec(&["eval", "none.toml", "velocity", "--outputs", text(&out)]), 2, &["none.toml"]);
    assert!(!out.exists());
    assert!(eval("tokenize", &["--prompt", "a red ball"]).status.success());
    let hidden = folder.path().join("hidden.safetensors");
    let args = ["eval", "res-tiny", "text-encode", "--inputs", text(&out), "--outputs", text(&hidden)];
    assert!(zoetropec(&args).status.success());
}

#[test]
fn parts_of_a_step_are_phases() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let fields = "width = 32\nheight = 32\nframes = 17\nfps = 25\npipeline = \"one-stage\"\ndtype = \"f32\"\n\
                  model = \"demo\"\n";
    let file = |name: &str, more: &str| {
        fs::write(at(name), format!("{fields}{more}")).unwrap();
        at(name)
    };
    let (target, out, given) = (file("plain.toml", ""), at("out.safetensors"), at("given.safetensors"));
    let eval = |target: &Path, phase: &str, more: &[&str]| {
        zoetropec(&[&["eval", text(target), phase, "--outputs", text(&out)], more].concat())
    };
    let made = |output: &Output| {
        assert!(output.status.success(), "{}", stderr(output));
        load(&out).unwrap()
    };
    refused(&eval(&target, "guide", &[]), 2, &["cond [1, 3, 128]", "mod [1, 3, 128]", "docs/phases.md"]);
    refused(&eval(&target, "step", &[]), 2, &["sigmas [steps + 1]", "denoised [1, 3, 128]"]);
    refused(&eval(&target, "guide", &["--steps", "2"]), 2, &["--steps is for whole runs"]);
    let some = |of: f32| Tensor::real(&[1, 3, 128], (0..384).map(|i| (i as f32 * of).sin()).collect());
    let tensors = [
        ("sample", some(0.7)),
        ("denoised", some(0.3)),
        ("sigmas", Tensor::real(&[2], vec![0.5, 0.25])),
        ("mask", Tensor::real(&[1, 3, 1], vec![1.0, 0.0, 1.0])),
    ];
    let tensors = tensors.map(|(name, tensor)| (name.to_string(), tensor));
    fs::write(&given, to_bytes(&tensors.into())).unwrap();
    // Half the way to x0, and to zeros where nothing else is given to be held to.
    let step = made(&eval(&target, "step", &["--inputs", text(&given)]));
    let half =
        |i: usize| (some(0.7).reals()[i] + if i / 128 == 1 { 0.0 } else { some(0.3).reals()[i] }) / 2.0;
    assert!(step["next"].reals().iter().enumerate().all(|(i, x)| (x - half(i)).abs() < 1e-6));
    assert_eq!(made(&eval(&target, "sigmas", &["--steps", "4"]))["stage1.sigmas"].shape, [5]);
    refused(&eval(Path::new("res-tiny"), "sigmas", &["--steps", "4"]), 2, &["list of noise levels"]);
    assert_eq!(made(&eval(&target, "conditioning", &[]))["v.positions"].shape, [1, 3, 3, 2]);
    fs::remove_file(&out).unwrap();
    for (more, words) in [
        ("skip = { v2a = [9] }\n", "skip has 9; the model's blocks are 0 to"),
        ("skip = { text = [0] }\n", "text"),
        ("guidance = { stg_blocks = [9] }\n", "stg_blocks has 9; the model's blocks are 0 to"),
        ("stage = [{ eta = 0.5 }]\n", "has no eta"),
        ("stage = [{ solver = \"res_2s\", eta = 2.0 }]\n", "eta is 2; wanted 0 to 1"),
    ] {
        refused(&eval(&file("wrong.toml", more), "velocity", &[]), 2, &[words]);
    }
    assert!(!out.exists());
}

#[test]
fn guided_runs_take_what_guides_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let clip = at("clip.mp4");
    let output = zoetrope(&["generate", "x", "-o", text(&clip), "--steps", "3"]);
    refused(&output, 2, &["--steps", "plan res-tiny (distilled) is not guided", "two-stage"]);
    assert!(!clip.exists());

    let fields = "width = 64\nheight = 32\nframes = 9\nfps = 25\npipeline = \"one-stage\"\ndtype = \"f32\"\n\
                  model = \"demo\"\n";
    let (target, less) = (at("guided.toml"), at("less.toml"));
    fs::write(&target, format!("{fields}guidance = {{ stg_blocks = [1] }}\n")).unwrap();
    fs::write(&less, format!("{fields}guidance = {{ stg_blocks = [], uncond = false }}\n")).unwrap();
    let noise = at("noise.safetensors");
    let numbers = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
    let tensors = [("stage1.v.noise", [1, 4, 128]), ("stage1.a.noise", [1, 9, 128])]
        .map(|(name, shape)| (name.to_string(), Tensor::real(&shape, numbers(shape.iter().product()))));
    fs::write(&noise, to_bytes(&tensors.into())).unwrap();
    let run = |target: &Path, out: &str, more: &[&str]| {
        let out = at(out);
        let args =
            ["eval", text(target), "run", "--prompt", "a red ball", "--inputs", text(&noise), "--outputs"];
        (zoetropec(&[&args[..], &[text(&out)], more].concat()), out)
    };
    let clip = |more: &[&str]| {
        let (output, out) = run(&target, "out.safetensors", more);
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(out).unwrap()
    };
    let usual = clip(&["--steps", "2"]);
    assert_eq!(usual, clip(&["--steps", "2", "--video-cfg-guidance-scale", "3"]), "3 is the default");
    for other in [["--negative-prompt", "a blue cube"], ["--v2a-guidance-scale", "2"]] {
        assert!(usual != clip(&[&["--steps", "2"], &other[..]].concat()), "{other:?}");
    }
    let says = |target: &Path, more: &[&str], words: &[&str]| {
        let (output, out) = run(target, "none.safetensors", more);
        refused(&output, 2, words);
        assert!(!out.exists());
    };
    says(&less, &["--negative-prompt", "x"], &["has no pass for --negative-prompt"]);
    says(&less, &["--audio-stg-guidance-scale", "1"], &["has no pass for --audio-stg-guidance-scale"]);
    says(&target, &["--video-stg-guidance-scale", "0"], &["perturbs both streams"]);
    says(&target, &["--steps", "0"], &["--steps"]);
    says(&target, &["--video-rescale-scale", "inf"], &["--video-rescale-scale"]);
    let one = zoetropec(&["eval", text(&target), "denoise", "--outputs", text(&noise), "--steps", "2"]);
    refused(&one, 2, &["--steps is for whole runs", "phase denoise", "docs/phases.md"]);
}
