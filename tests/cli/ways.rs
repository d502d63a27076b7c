//! docs/ways.md: every command of the page, with the plans of the build before it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use zoetrope::commands::{Cli, parse_from};
use zoetrope::media::Footage;
use zoetrope_compiler::frontend::{compile_target, load_target};
use zoetrope_model_spec::target::{PRESETS, Target};
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::asks_for_long;

use crate::upscaled::same_sound;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A build, and what is run with it, both in words.
struct Way {
    build: Vec<String>,
    commands: Vec<Vec<String>>,
}

/// The words of a line of a shell, of which some stand in quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    assert!(!quoted, "{line}");
    words.push(word);
    words
}

/// What stands in the blocks of the page.
fn ways() -> Vec<Way> {
    let page = fs::read_to_string(root().join("docs/ways.md")).unwrap();
    let blocks = page.split("```").skip(1).step_by(2);
    let of = |block: &str| {
        let mut lines = block.trim().lines().map(words);
        let build = lines.next().unwrap();
        Way { build, commands: lines.collect() }
    };
    blocks.map(of).collect()
}

impl Way {
    /// The targets that the build has plans of, as the build script finds them.
    fn targets(&self) -> Vec<Target> {
        let at = self.build.iter().position(|word| word == "cargo").expect("a build comes first");
        let (environment, cargo) = self.build.split_at(at);
        assert_eq!(cargo[..3], ["cargo", "build", "--release"]);
        let environment: BTreeMap<&str, &str> =
            environment.iter().map(|word| word.split_once('=').expect("NAME=VALUE")).collect();
        let features: Vec<&str> = match &cargo[3..] {
            [] => Vec::new(),
            [option, names] if option == "--features" => names.split(',').collect(),
            other => panic!("{other:?}"),
        };
        let mut targets = vec![Target::preset("res-tiny").unwrap()];
        for feature in features.iter().filter(|feature| **feature != "res-custom") {
            assert!(PRESETS.iter().any(|(name, _)| name == feature), "{feature}");
            targets.push(Target::preset(feature).unwrap());
        }
        if features.contains(&"res-custom") {
            let path = root().join(environment["ZOETROPE_TARGET"]);
            let mut files: Vec<PathBuf> = match path.is_dir() {
                true => fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect(),
                false => vec![path],
            };
            files.sort();
            targets.extend(files.iter().map(|file| load_target(file).unwrap_or_else(|e| panic!("{e}"))));
        }
        if let Some(count) = environment.get("ZOETROPE_KEYFRAMES") {
            targets.iter_mut().for_each(|target| target.recipe.with_keyframes(count.parse().unwrap()));
        }
        let known = ["ZOETROPE_TARGET", "ZOETROPE_KEYFRAMES"];
        assert!(environment.keys().all(|name| known.contains(name)), "{environment:?}");
        targets
    }

    fn plans(&self) -> Vec<Plan> {
        self.targets().iter().map(|target| compile_target(target, "".as_ref()).unwrap()).collect()
    }
}

/// A command with files of clips and sounds in a folder; all others are those of the repository.
fn arguments(command: &[String], folder: &Path) -> Vec<OsString> {
    let place = |word: &String| match word.rsplit_once('.') {
        Some((_, "mp4" | "wav")) => folder.join(word).into_os_string(),
        Some((_, "png")) => root().join(word).into_os_string(),
        Some((_, "txt")) => lines(word, folder).into_os_string(),
        _ => word.into(),
    };
    command.iter().map(place).collect()
}

/// The lines of a batch, with clips in a folder, if one is meant.
fn lines(word: &str, folder: &Path) -> PathBuf {
    let file = root().join(word);
    if folder.as_os_str().is_empty() {
        return file;
    }
    let text = fs::read_to_string(file).unwrap().replace("-o ", &format!("-o {}/", folder.display()));
    let copy = folder.join("lines.txt");
    fs::write(&copy, text).unwrap();
    copy
}

fn parsed(command: &[String], folder: &Path) -> Cli {
    assert_eq!(command[0], "target/release/zoetrope");
    let quiet = arguments(command, folder).into_iter().chain(["-q".into(), "--device".into(), "cpu".into()]);
    parse_from(quiet).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The file that a command writes; of a batch, that of its last line.
fn written(command: &[String], folder: &Path) -> PathBuf {
    let last = |file: &String| words(fs::read_to_string(root().join(file)).unwrap().lines().last().unwrap());
    let command = if command[1] == "batch" { last(&command[2]) } else { command.to_vec() };
    let at = command.iter().position(|word| word == "-o").expect("every command writes a file");
    folder.join(&command[at + 1])
}

/// Width, height and frames of a clip, and how many there are in a second.
fn shape(clip: &Path) -> ((usize, usize), usize, f64) {
    let footage = Footage::open(clip, 1000).unwrap();
    (footage.size(), footage.frames(), footage.fps().round())
}

/// Runs the commands whose output is one of those that are `wanted`, or all.
fn run(folder: &Path, wanted: Option<&[&str]>) -> Vec<String> {
    let mut made = Vec::new();
    for way in ways() {
        let asked = |command: &&Vec<String>| {
            let name = written(command, folder).file_name().unwrap().to_string_lossy().into_owned();
            wanted.is_none_or(|wanted| wanted.contains(&name.as_str()))
        };
        let commands: Vec<_> = way.commands.iter().filter(asked).collect();
        if commands.is_empty() {
            continue;
        }
        let plans = way.plans();
        let plans: Vec<&Plan> = plans.iter().collect();
        for command in commands {
            parsed(command, folder).run(&plans).unwrap_or_else(|failure| panic!("{command:?}: {failure}"));
            let file = written(command, folder);
            assert!(fs::metadata(&file).unwrap().len() > 1000, "{command:?}");
            made.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    made
}

/// Every command is one, every build has its targets, and every target file is one that the page shows.
#[test]
fn the_page_of_all_ways_holds() {
    let mut files = Vec::new();
    for way in ways() {
        assert!(!way.targets().is_empty());
        way.commands.iter().for_each(|command| drop(parsed(command, Path::new(""))));
        let target = way.build.iter().find_map(|word| word.strip_prefix("ZOETROPE_TARGET="));
        files.extend(target.map(str::to_string).filter(|_| !way.commands.is_empty()));
    }
    files.sort();
    let there = fs::read_dir(root().join("targets")).unwrap();
    let mut there: Vec<String> =
        there.map(|entry| format!("targets/{}", entry.unwrap().file_name().to_string_lossy())).collect();
    there.sort();
    assert_eq!(files, there);

    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), Some(&["sound.wav"])), ["sound.wav"]);
}

#[test]
fn every_command_of_the_page_makes_its_clip() {
    if !asks_for_long("every command of docs/ways.md") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), None);
    assert_eq!(made.len(), ways().iter().map(|way| way.commands.len()).sum::<usize>());
    let of = |name: &str| shape(&folder.path().join(name));
    for (name, size, frames, fps) in [
        ("large.mp4", (256, 192), 25, 24.0),
        ("larger.mp4", (384, 288), 25, 24.0),
        ("smooth.mp4", (256, 192), 49, 48.0),
        ("two-thirds.mp4", (384, 288), 25, 24.0),
        ("half-the-frames.mp4", (256, 192), 49, 24.0),
        ("longer.mp4", (256, 192), 49, 24.0),
        ("long.mp4", (256, 192), 100, 25.0),
        ("after.mp4", (256, 256), 25, 24.0),
    ] {
        assert_eq!(of(name), (size, frames, fps), "{name}");
    }
    let at = |name: &str| folder.path().join(name);
    for name in ["larger.mp4", "smooth.mp4", "heard.mp4", "again-video.mp4"] {
        same_sound(&at("clip.mp4"), &at(name), 1.0);
    }
    same_sound(&at("small.mp4"), &at("large.mp4"), 1.0);
}
