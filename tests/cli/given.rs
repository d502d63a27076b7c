//! Files of sound and video on the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use zoetrope::tensors::load;

use crate::{refused, stderr, text};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media").join(name)
}

/// `zoetropec eval res-tiny` with programs of one folder alone.
fn eval(phase: &str, option: &str, file: &Path, outputs: &Path, programs: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zoetropec"));
    command.args(["eval", "res-tiny", phase, option, text(file), "--outputs", text(outputs)]);
    command.env("PATH", programs).output().expect("the binary runs")
}

/// A program of this name and script in a folder.
#[cfg(unix)]
fn program(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("ffmpeg");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn sound_and_video_become_what_encoders_take() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("out.safetensors");
    let made = |phase: &str, option: &str| {
        let output = eval(phase, option, &fixture("b-frames.mp4"), &outputs, folder.path());
        assert!(output.status.success(), "{}", stderr(&output));
        load(&outputs).unwrap()
    };
    assert_eq!(made("footage", "--video")["video"].shape, [1, 3, 25, 192, 256]);
    assert_eq!(made("sound", "--audio")["mel"].shape, [1, 2, 101, 64]);
}

#[cfg(unix)]
#[test]
fn another_program_reads_what_this_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (programs, outputs) = (folder.path().join("bin"), folder.path().join("out.safetensors"));
    fs::create_dir(&programs).unwrap();
    let odd = folder.path().join("-odd.ogg");
    fs::write(&odd, b"OggS and more").unwrap();
    let without = eval("sound", "--audio", &odd, &outputs, &programs);
    refused(&without, 2, &["-odd.ogg cannot be read", "want  WAV, FLAC", "with ffmpeg on the PATH"]);
    assert!(!outputs.exists());

    // It is asked for a path as a path, and says samples.
    let (said, wav) = (folder.path().join("said"), folder.path().join("a.wav"));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
    (0..9000).for_each(|i| writer.write_sample((i % 50 * 300) as i16).unwrap());
    writer.finalize().unwrap();
    program(&programs, &format!("echo \"$@\" > {}; exec /bin/cat {}", text(&said), text(&wav)));
    let output = eval("sound", "--audio", &odd, &outputs, &programs);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("-odd.ogg: it is read by ffmpeg"), "{}", stderr(&output));
    assert_eq!(load(&outputs).unwrap()["mel"].shape, [1, 2, 101, 64]);
    assert!(fs::read_to_string(&said).unwrap().contains(&format!("-i file:{} ", text(&odd))));

    program(&programs, "printf 'YUV4MPEG2 W2 H2 F25:1 C444\\nFRAME\\nabcdefghijkl'");
    let output = eval("footage", "--video", &fixture("hevc.mp4"), &outputs, &programs);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("read by ffmpeg: it is not coded as H.264"), "{}", stderr(&output));

    program(&programs, "echo 'odd.ogg: it is no good.' >&2; exit 3");
    let failed = eval("sound", "--audio", &odd, &outputs, &programs);
    refused(&failed, 2, &["-odd.ogg cannot be read", "and ffmpeg: odd.ogg: it is no good"]);
    program(&programs, "echo nonsense");
    refused(&eval("footage", "--video", &odd, &outputs, &programs), 2, &["no YUV4MPEG2 stream"]);
}

#[test]
fn plans_without_room_for_files_say_so() {
    let zoetrope = |more: &[&str]| {
        let args = [&["generate", "x", "-o", "-"], more].concat();
        Command::new(env!("CARGO_BIN_EXE_zoetrope")).args(args).output().expect("the binary runs")
    };
    let clip = fixture("b-frames.mp4");
    refused(
        &zoetrope(&["--audio", text(&clip)]),
        2,
        &["plan res-tiny (distilled) takes no sound", "audio-to-video"],
    );
    refused(&zoetrope(&["--video", text(&clip)]), 2, &["takes no video", "\"retake\""]);
    refused(&zoetrope(&["--start", "-1"]), 2, &["seconds from 0 on"]);
    refused(&zoetrope(&["--extend", "after", "--end", "1"]), 2, &["cannot be used with"]);
}
