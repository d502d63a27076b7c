//! Prompts and seeds as users give them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{refused, stderr, text, zoetrope};

#[test]
fn a_prompt_begins_with_a_dash_or_comes_from_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let prompt = "-5 degrees, snow \u{2744}";
    let made = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zoetrope"));
        command.args(["generate", "-q"]).args(args).args(["-o", text(&clip)]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who reads no prompt from it may be gone by now.
        let _ = writeln!(child.stdin.take().unwrap(), "{prompt}");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(&clip).unwrap()
    };
    let said = made(&[prompt]);
    assert!(said.windows(prompt.len()).any(|part| part == prompt.as_bytes()), "it is stored");
    assert!(said == made(&["--prompt-file", "-"]));
}

#[test]
fn what_is_no_prompt_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty.txt"), "\n \n").unwrap();
    fs::write(at("bytes.txt"), b"caf\xe9").unwrap();
    fs::write(at("long.txt"), "x".repeat((1 << 20) + 1)).unwrap();
    let clip = at("clip.mp4");
    for (file, words) in
        [("empty.txt", "no text"), ("bytes.txt", "UTF-8"), ("long.txt", "longer"), ("none.txt", "none.txt")]
    {
        let output = zoetrope(&["generate", "--prompt-file", text(&at(file)), "-o", text(&clip)]);
        refused(&output, 2, &[file, words]);
    }
    // Misspelt options stay mistakes.
    for args in [&["--sede", "3", "x"][..], &["--sede=3 4", "x"], &["x", "-z"]] {
        refused(&zoetrope(&[&["generate", "-o", text(&clip)], args].concat()), 2, &["unexpected argument"]);
    }
    assert!(!clip.exists());
}

#[test]
fn a_random_seed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let run = |seed: &str| {
        let output = zoetrope(&["generate", "x", "-q", "-o", text(&clip), "--seed", seed]);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        let (_, seed) = said.split_once("seed ").unwrap();
        (seed.split(',').next().unwrap().to_string(), fs::read(&clip).unwrap())
    };
    let (seed, bytes) = run("-1");
    let mark = format!("seed {seed}");
    assert!(bytes.windows(mark.len()).any(|part| part == mark.as_bytes()), "it is stored");
    assert!(run(&seed) == (seed.clone(), bytes), "it makes the clip again");
    for wrong in ["-2", "1.5", "x", "18446744073709551616"] {
        refused(&zoetrope(&["generate", "x", "-o", text(&clip), "--seed", wrong]), 2, &["--seed", "-1"]);
    }
}
