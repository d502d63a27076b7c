//! Whoever reads what is printed may go away, or have no room: no run ends by that.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};

use super::{built_in, refused, stderr, text, zoetrope};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zoetrope"));
    command.args(args);
    command
}

#[cfg(target_os = "linux")]
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_run_outlives_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let args = ["generate", "x", "-o", text(&clip)];
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // After the first line of progress, both are gone.
    child.stderr.take().unwrap().read_exact(&mut [0]).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(fs::read(&clip).unwrap() == *built_in());
    #[cfg(target_os = "linux")]
    {
        let status = command(&args).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(fs::read(&clip).unwrap() == *built_in());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_asked_for_and_has_no_room_is_a_failure() {
    for args in [
        &["plan"][..],
        &["plan", "--launches"],
        &["plan", "--json"],
        &["--help"],
        &["generate", "--help"],
        &["--version"],
    ] {
        let output = command(args).stdout(full()).output().unwrap();
        refused(&output, 1, &["cannot write to standard output"]);
        assert_eq!(command(args).stdout(full()).stderr(full()).status().unwrap().code(), Some(1));
    }
    let show = ["show", "res-tiny", "--phase", "upscale"];
    let output = Command::new(env!("CARGO_BIN_EXE_zoetropec")).args(show).stdout(full()).output().unwrap();
    refused(&output, 1, &["cannot write to standard output"]);
    // What is wrong is said by the code, too.
    assert_eq!(command(&["generate"]).stderr(full()).status().unwrap().code(), Some(2));
    assert_eq!(command(&["verify", "--preset", "none"]).stderr(full()).status().unwrap().code(), Some(2));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    for args in [
        &["plan"][..],
        &["plan", "--launches"],
        &["plan", "--json"],
        &["plan", "--html", "-"],
        &["--help"],
        &["generate", "--help"],
    ] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_clip_goes_to_standard_output() {
    let streamed = zoetrope(&["generate", "x", "-q", "-o", "-"]);
    assert!(streamed.status.success(), "{}", stderr(&streamed));
    assert!(streamed.stdout == *built_in(), "the clip and nothing else");
    assert!(stderr(&streamed).contains("seed 10"));

    // A reader that goes away too early has no clip: it is kept.
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(&["generate", "x", "-q", "-o", "-"]);
    let mut child =
        child.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    refused(&output, 1, &["standard output", "the finished file is"]);
    let kept = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    assert!(stderr(&output).contains(text(&kept)));
    assert!(fs::read(kept).unwrap() == streamed.stdout);
}
