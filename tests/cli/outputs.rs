//! What the commands write, and where: everything that can be refused is refused before the work, with code 2.

use std::fs;
use std::path::Path;

use super::{refused, stderr, text, zoetrope, zoetropec};

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file of every kind that the commands write, at a place that cannot be written.
fn refused_everywhere(path: &Path, words: &[&str]) {
    let with = |ending: &str| path.with_extension(ending);
    refused(&zoetrope(&["generate", "x", "-o", text(&with("mp4"))]), 2, words);
    refused(&zoetrope(&["plan", "--html", text(&with("html"))]), 2, words);
    let eval = ["eval", "res-tiny", "tokenize", "--prompt", "x", "--outputs"];
    refused(&zoetropec(&[&eval[..], &[text(&with("safetensors"))]].concat()), 2, words);
}

#[test]
fn a_place_that_takes_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["a.mp4", "a.html", "a.safetensors"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("file"), "").unwrap();
    refused_everywhere(&at("a"), &["is a folder"]);
    refused_everywhere(&at("none/deep/a"), &["there is no folder", "none\n", "have", text(folder.path())]);
    refused_everywhere(&at("file/a"), &["file is not a folder"]);
    refused_everywhere(&at(&"a".repeat(300)), &["name too long"]);
    for (command, dir) in
        [(&["generate", "x", "-o", "clip.mp4", "--dump"][..], "no/latents"), (&["demo-model"], "no/model")]
    {
        refused(&zoetrope(&[command, &[text(&at(dir))]].concat()), 2, &["there is no folder", "no\n"]);
    }
    refused(
        &zoetropec(&["show", "res-tiny", "--phase", "upscale", "--dump", text(&at("file"))]),
        2,
        &["file is not a folder"],
    );
    assert_eq!(names(folder.path()), ["a.html", "a.mp4", "a.safetensors", "file"]);
}

#[test]
fn a_name_says_what_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["clip.mov", "clip.mkv", "clip.webm", "clip.gif", "clip"] {
        refused(
            &zoetrope(&["generate", "x", "-o", text(&at(name))]),
            2,
            &[name, "NAME.mp4 or NAME.m4v", "have"],
        );
    }
    refused(&zoetrope(&["plan", "--html", text(&at("plan.json"))]), 2, &["HTML", ".json"]);
    let out = at("out.npz");
    let eval = ["eval", "res-tiny", "tokenize", "--prompt", "x", "--outputs", text(&out)];
    refused(&zoetropec(&eval), 2, &["safetensors", ".npz"]);
    assert!(names(folder.path()).is_empty());
    assert!(zoetrope(&["plan", "--html", text(&at("PLAN.HTM"))]).status.success());
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_circles_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for ending in ["mp4", "html", "safetensors"] {
        let made = std::process::Command::new("mkfifo").arg(at(&format!("pipe.{ending}"))).status().unwrap();
        assert!(made.success());
        symlink("/dev/null", at(&format!("null.{ending}"))).unwrap();
        symlink(format!("round.{ending}"), at(&format!("round.{ending}"))).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(at(&format!("socket.{ending}"))).unwrap();
        drop(socket);
    }
    refused_everywhere(&at("pipe"), &["is a pipe", "name - instead"]);
    refused_everywhere(&at("null"), &["is a device"]);
    refused_everywhere(&at("socket"), &["is a socket"]);
    refused_everywhere(&at("round"), &["circle"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_modes_are_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/old.html"), "old").unwrap();
    fs::set_permissions(at("real/old.html"), fs::Permissions::from_mode(0o640)).unwrap();
    // Only the superuser gives files away.
    let given = std::os::unix::fs::chown(at("real/old.html"), Some(1234), Some(1234)).is_ok();
    symlink("real/old.html", at("to-old.html")).unwrap();
    symlink("real/new.html", at("to-new.html")).unwrap();
    for (link, file) in [("to-old.html", "real/old.html"), ("to-new.html", "real/new.html")] {
        let output = zoetrope(&["plan", "--html", text(&at(link))]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        assert!(fs::read_to_string(at(file)).unwrap().contains("res-tiny"), "{file}");
    }
    let old = fs::metadata(at("real/old.html")).unwrap();
    assert_eq!(old.mode() & 0o777, 0o640);
    assert!(!given || (old.uid(), old.gid()) == (1234, 1234));
    fs::write(at("plain"), "").unwrap();
    assert_eq!(fs::metadata(at("real/new.html")).unwrap().mode(), fs::metadata(at("plain")).unwrap().mode());
    assert_eq!(names(&at("real")), ["new.html", "old.html"]);
}

#[test]
fn what_is_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let gemma = at("gemma");
    fs::create_dir(&gemma).unwrap();
    let files = [
        "part.safetensors",
        "gemma/model.safetensors",
        "upscaler.safetensors",
        "noise.safetensors",
        "prompt.txt",
    ];
    for (i, file) in files.into_iter().enumerate() {
        fs::write(at(file), file).unwrap();
        fs::hard_link(at(file), at(&format!("{i}.mp4"))).unwrap();
    }
    let options: [(&str, &Path); 5] = [
        ("--checkpoint", &at(files[0])),
        ("--text-encoder", &gemma),
        ("--spatial-upscaler", &at(files[2])),
        ("--noise", &at(files[3])),
        ("--prompt-file", &at(files[4])),
    ];
    for (i, (option, path)) in options.into_iter().enumerate() {
        let mut args = vec![option, text(path)];
        if option != "--prompt-file" {
            args.push("x");
        }
        let clip = at(&format!("{i}.mp4"));
        refused(
            &zoetrope(&[&["generate", "-o", text(&clip)][..], &args].concat()),
            2,
            &["is read", "another name"],
        );
        assert_eq!(fs::read_to_string(at(files[i])).unwrap(), files[i]);
    }
    let inputs = at("noise.safetensors");
    let eval = ["eval", "res-tiny", "upscale", "--inputs", text(&inputs), "--outputs", text(&inputs)];
    refused(&zoetropec(&eval), 2, &["is read"]);
}

#[cfg(unix)]
#[test]
fn a_file_larger_than_allowed_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -f 10; exec \"$0\" generate x -o \"$1\"",
            env!("CARGO_BIN_EXE_zoetrope"),
            text(&clip),
        ])
        .output()
        .unwrap();
    refused(&output, 2, &["clip.mp4 would be larger than a file may be here", "ulimit"]);
    assert!(names(folder.path()).is_empty());
}

/// As somebody who is not the superuser, who may do everything; skipped where tests are run by others.
#[cfg(unix)]
#[test]
fn files_of_others_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(folder.path(), 0o755);
    for (dir, mode) in [("locked", 0o755), ("sticky", 0o1777), ("open", 0o777)] {
        fs::create_dir(at(dir)).unwrap();
        set(&at(dir), mode);
    }
    for (file, mode) in [("sticky/a.html", 0o666), ("open/a.html", 0o444)] {
        fs::write(at(file), "old").unwrap();
        set(&at(file), mode);
    }
    let nobody = |path: &Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_zoetrope"));
        command.args(["plan", "--html", text(path)]).uid(65_534).output().ok()
    };
    let superuser = fs::metadata(folder.path()).unwrap().uid() == 0;
    let Some(output) = Some(nobody(&at("locked/a.html"))).filter(|_| superuser).flatten() else {
        eprintln!("skipped: only the superuser can be somebody else");
        return;
    };
    refused(&output, 2, &["locked/a.html", "denied"]);
    refused(&nobody(&at("sticky/a.html")).unwrap(), 2, &["cannot replace", "another user"]);
    refused(&nobody(&at("open/a.html")).unwrap(), 2, &["cannot replace", "write-protected"]);
    for file in ["sticky/a.html", "open/a.html"] {
        assert_eq!(fs::read(at(file)).unwrap(), b"old");
    }
    assert!(nobody(&at("sticky/b.html")).unwrap().status.success());
}

#[test]
fn targets_whose_clips_cannot_be_written_do_not_compile() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("large.toml");
    let rest = "frames = 9\npipeline = \"distilled-single-stage\"\ndtype = \"f32\"\nmodel = \"demo\"\n";
    fs::write(&target, format!("width = 4096\nheight = 2176\nfps = 120\n{rest}")).unwrap();
    let out = folder.path().join("out.safetensors");
    let eval = ["eval", text(&target), "run", "--prompt", "x", "--outputs", text(&out)];
    for output in [zoetropec(&["show", text(&target)]), zoetropec(&eval)] {
        refused(&output, 2, &["large", "4096x2176", "3840x2160 or 2160x3840", "fps is 120", "1 to 60"]);
    }
    // A phase alone writes no clip.
    let phase = zoetropec(&["show", text(&target), "--phase", "connect", "--only", "phase "]);
    assert!(phase.status.success(), "{}", stderr(&phase));
}
