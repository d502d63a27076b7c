//! `zoetrope batch`: what is refused before anything is loaded, and what is made of good lines and others.

use std::fs;
use std::path::{Path, PathBuf};

use zoetrope::commands::{Cli, parse_from};
use zoetrope::demo::adapters::STYLE;
use zoetrope::failure::Failure;
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::ltx::recipe::{Recipe, StageLevels};
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::asks_for_long;

use crate::{built_in, refused, stderr, text, zoetrope, zoetropec};

/// A plan of the demo model whose stages have one step.
fn plan(name: &str, width: usize, keyframes: usize) -> Plan {
    let mut recipe = Recipe::named("distilled").unwrap();
    recipe.with_keyframes(keyframes);
    recipe.stages.iter_mut().for_each(|stage| stage.levels = StageLevels::List(vec![0.5, 0.0]));
    let size = Size { width, height: 64, frames: 9, fps: 24.0, stride: 1 };
    let target = Target { name: name.into(), recipe, size, ..Target::preset("res-tiny").unwrap() };
    compile_target(&target, "".as_ref()).unwrap()
}

/// Runs a command of a binary with these plans.
fn run(plans: &[&Plan], args: &[&str]) -> Result<(), Failure> {
    let args = [&["zoetrope"], args, &["-q", "--device", "cpu"]].concat();
    let cli: Cli =
        parse_from(args.iter().map(Into::into)).unwrap_or_else(|error| panic!("{args:?}: {error}"));
    cli.run(plans)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder with a file of lines, in which `DIR` stands for the folder.
fn batch(lines: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clips.txt");
    fs::write(&file, lines.replace("DIR", text(folder.path()))).unwrap();
    (folder, file)
}

#[test]
fn lines_that_cannot_be_made_are_all_named_before_anything_is_loaded() {
    let (folder, file) = batch(
        "# bad ones\nx -o DIR/a.mp4\nx -o DIR/none/b.mp4\nx -o DIR/c.mp4 --image DIR/no.png\nx -o DIR/d.mp4 --steps 3\n\
         x -o DIR/e.mp4 --preset res-9",
    );
    let output = zoetrope(&["batch", text(&file)]);
    let at = |number: usize, words: &str| format!("clips.txt:{number}: {words}");
    refused(
        &output,
        2,
        &[
            &at(3, "cannot write"),
            &at(4, "cannot read image"),
            &at(5, "--steps is for guided plans"),
            &at(6, "this binary holds no plan"),
            "no.png",
        ],
    );
    assert_eq!(names(folder.path()), ["clips.txt"], "nothing is left behind");
    refused(&zoetrope(&["batch", "no/such.txt"]), 2, &["cannot read the batch from no/such.txt"]);

    for (lines, words) in [
        ("x -o DIR/a.mp4\n\nx -o DIR/./a.mp4", ":3: ", "would be written twice"),
        ("x -o DIR/a.mp4 --dump DIR/l\nx -o DIR/b.mp4 --dump DIR/l", ":2: ", "line 1 writes it, too"),
        ("x -o DIR/clips.txt.mp4\nx -o DIR/b.mp4 --noise DIR/clips.txt.mp4", ":2: ", "clips.txt.mp4"),
    ]
    .map(|(lines, at, words)| (lines, [at, words]))
    {
        let (folder, file) = batch(lines);
        refused(&zoetrope(&["batch", text(&file)]), 2, &words);
        assert_eq!(names(folder.path()), ["clips.txt"]);
    }
    // What one line reads no other one writes.
    let (folder, file) = batch("x -o DIR/a.mp4\n--prompt-file DIR/a.mp4 -o DIR/b.mp4");
    fs::write(folder.path().join("a.mp4"), "words").unwrap();
    refused(&zoetrope(&["batch", text(&file)]), 2, &["clips.txt:1: ", "is read and cannot be written"]);
    // Model files are looked at before the first line begins, too.
    let (folder, file) = batch("x -o DIR/a.mp4\nx -o DIR/b.mp4 --lora none.safetensors");
    refused(&zoetrope(&["batch", text(&file)]), 3, &["clips.txt:2: adapter none.safetensors"]);
    refused(&zoetrope(&["batch", text(&file), "--checkpoint", "none.safetensors"]), 3, &["none.safetensors"]);
    assert_eq!(names(folder.path()), ["clips.txt"]);
}

#[test]
fn a_line_that_fails_costs_no_other_one() {
    let plans = [plan("small", 64, 0), plan("wide", 128, 1)];
    let plans: Vec<&Plan> = plans.iter().collect();
    let (folder, file) = batch(
        "\"a red ball\" --preset small -o DIR/first.mp4\n\
         \"a red ball\" --preset small -o DIR/spoilt.mp4 --lora DIR/style.safetensors 1e38\n\
         \"a blue cube\" --preset wide --image DIR/image.png 8 -o DIR/wide.mp4 --seed 4\n\
         \"a red ball\" --preset small -o DIR/styled.mp4 --lora DIR/style.safetensors\n\
         \"a red ball\" --preset small -o DIR/again.mp4\n",
    );
    let at = |name: &str| folder.path().join(name);
    fs::write(at("style.safetensors"), STYLE.for_plan(plans[0]).unwrap()).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/first.png"), at("image.png")).unwrap();
    let failure = run(&plans, &["batch", text(&file)]).unwrap_err();
    assert_eq!(failure.kind as u8, 1, "{failure}");
    for words in ["clips.txt: 4 of 5 clips made", "line 2 failed"] {
        assert!(failure.message.contains(words), "{failure}");
    }
    let made = ["again.mp4", "first.mp4", "styled.mp4", "wide.mp4"];
    assert_eq!(
        names(folder.path()),
        [&made[..1], &["clips.txt"], &made[1..2], &["image.png", "style.safetensors"], &made[2..]].concat()
    );

    // Each is the clip that it is alone.
    let alone = |args: &[&str]| {
        let clip = at("alone.mp4");
        run(&plans, &[&["generate", "-o", text(&clip)], args].concat()).unwrap();
        fs::read(clip).unwrap()
    };
    let clip = |name: &str| fs::read(at(name)).unwrap();
    let red = alone(&["a red ball", "--preset", "small"]);
    assert!(clip("first.mp4") == red && clip("again.mp4") == red);
    let image = format!("{}:8", text(&at("image.png")));
    assert!(
        clip("wide.mp4") == alone(&["a blue cube", "--preset", "wide", "--image", &image, "--seed", "4"])
    );
    let styled = alone(&["a red ball", "--preset", "small", "--lora", text(&at("style.safetensors"))]);
    assert!(clip("styled.mp4") == styled && styled != red);
}

/// A plan that is made with another upscaler reads another file, and all else from the same ones.
#[test]
fn plans_with_different_upscalers_run_in_one_batch() {
    let text_of = "width = 96\nheight = 96\nframes = 9\nfps = 24\npipeline = \"distilled\"\nupscaler = \"spatial-x1.5\"\n\
                   dtype = \"bf16\"\nmodel = \"demo\"\nstage = [{ sigmas = [0.5, 0.0] }, { sigmas = [0.5, 0.0] }]\n";
    let thirds = compile_target(&Target::parse("thirds", text_of).unwrap(), "".as_ref()).unwrap();
    let small = plan("small", 64, 0);
    let (folder, file) = batch(
        "x --preset thirds -o DIR/thirds.mp4\nx --preset small -o DIR/small.mp4\nx --preset thirds -o DIR/again.mp4\n",
    );
    run(&[&small, &thirds], &["batch", text(&file)]).unwrap();
    let clip = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let alone = folder.path().join("alone.mp4");
    for (preset, names) in [("thirds", &["thirds.mp4", "again.mp4"][..]), ("small", &["small.mp4"])] {
        run(&[&small, &thirds], &["generate", "x", "--preset", preset, "-o", text(&alone)]).unwrap();
        assert!(names.iter().all(|name| clip(name) == clip("alone.mp4")), "{preset}");
    }
}

/// Files are given once, so all plans are for one model.
#[test]
fn plans_of_two_models_are_refused() {
    let small = plan("small", 64, 0);
    let mut other = plan("other", 128, 0);
    other.facts.model = "another".into();
    let (folder, file) = batch("x --preset small -o DIR/a.mp4\nx --preset other -o DIR/b.mp4\n");
    let failure = run(&[&small, &other], &["batch", text(&file)]).unwrap_err();
    assert_eq!(failure.kind as u8, 2);
    for words in ["two models", "small for demo, other for another"] {
        assert!(failure.message.contains(words), "{failure}");
    }
    assert_eq!(names(folder.path()), ["clips.txt"]);
}

#[test]
fn targets_that_share_memory_are_shown_together() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("wide.toml");
    let fields =
        "width = 128\nheight = 64\nframes = 9\nfps = 24\npipeline = \"distilled\"\ndtype = \"bf16\"\n";
    fs::write(&target, format!("{fields}model = \"demo\"\n")).unwrap();
    let shown = zoetropec(&["show", "res-tiny", text(&target), "--together", "24GiB", "--only", "behind"]);
    let said = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success(), "{}", stderr(&shown));
    for (words, count) in [
        ("wide behind res-tiny   brings ", 1),
        ("wide behind wide   brings 4.41 MB at most", 1),
        ("behind", 4),
    ] {
        assert_eq!(said.matches(words).count(), count, "{said}");
    }
    refused(
        &zoetropec(&["show", "res-tiny", text(&target), "--phase", "upscale"]),
        2,
        &["one target shows its levels"],
    );
    refused(&zoetropec(&["show", "res-tiny", "none.toml"]), 2, &["none.toml"]);
}

#[cfg(unix)]
#[test]
fn a_batch_that_is_stopped_keeps_what_is_finished() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    if !asks_for_long("a batch that is stopped") {
        return;
    }
    let (folder, file) = batch("x -o DIR/a.mp4\nx -o DIR/b.mp4 --seed 3\nx -o DIR/c.mp4 --seed 4\n");
    let first = folder.path().join("a.mp4");
    let child = Command::new(env!("CARGO_BIN_EXE_zoetrope"))
        .args(["batch", text(&file), "--device", "cpu"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !first.exists() && begun.elapsed() < Duration::from_secs(600) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    refused(
        &output,
        1,
        &["1 of 3: ", "clips.txt:2: ", "1 of 3 clips made", "line 2 failed", "line 3 not begun"],
    );
    assert_eq!(names(folder.path()), ["a.mp4", "clips.txt"]);
    assert!(fs::read(first).unwrap() == *built_in());
}
