//! Model files as a user gives them to the commands.

use std::fs;
use std::process::{Command, Output};

use zoetrope_runtime::files::{FileDtype, TensorFile, write_tensors};

use crate::deep::rewrite;
use crate::kinds::written;
use crate::on_disk;

fn zoetrope(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zoetrope")).args(args).output().expect("the binary runs")
}

#[test]
fn the_command_reads_weights_only_when_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let upscaler = paths.upscaler.unwrap();
    rewrite(&upscaler, &folder.path().join("nan"), |name, bytes| {
        if name == "final_conv.weight" {
            bytes[..2].copy_from_slice(&[0xff, 0xff]);
        }
    });
    fs::rename(folder.path().join("nan"), &upscaler).unwrap();
    let [checkpoint, encoder, upscaler] =
        [&paths.checkpoint[0], &paths.text_encoder, &upscaler].map(|path| path.to_str().unwrap());
    let args =
        ["verify", "--checkpoint", checkpoint, "--text-encoder", encoder, "--spatial-upscaler", upscaler];
    assert!(zoetrope(&args).status.success());
    let output = zoetrope(&[&args[..], &["--deep"]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("final_conv.weight has 1 values that are no numbers"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.safetensors");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    for args in [
        &["verify", "--checkpoint", pipe][..],
        &["verify", "--text-encoder", folder.path().to_str().unwrap()],
        &["generate", "x", "-o", "clip.mp4", "--noise", pipe],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zoetrope"))
            .args(args)
            .current_dir(folder.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let waited = (0..200).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            child.try_wait().unwrap()
        });
        child.kill().ok();
        let text = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
        assert!(waited.is_some_and(|status| matches!(status.code(), Some(2 | 3))), "{args:?}: {text}");
        assert!(text.contains("not a regular file"), "{text}");
    }
}

#[test]
fn a_target_may_name_the_files_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let whole = TensorFile::open(&paths.checkpoint[0]).unwrap();
    let write = |name: &str, metadata: &[(&str, &str)]| {
        fs::write(folder.path().join(name), write_tensors(metadata, &[])).unwrap();
    };
    write("a.safetensors", &[("license", "free")]);
    write("b.safetensors", &[("config", &whole.metadata()["config"])]);
    let target = folder.path().join("my.toml");
    let show = |checkpoint: &str| {
        // With a byte order mark, as some editors write it.
        let text = format!(
            "\u{feff}width = 64\nheight = 64\nframes = 9\nfps = 24\npipeline = \"distilled\"\ndtype = \"f32\"\n\
             model = {{ checkpoint = {checkpoint}, text_encoder = \"gemma-3-demo\", \
             spatial_upscaler = \"ltx-2.3-demo-spatial-upscaler-x2.safetensors\" }}\n"
        );
        fs::write(&target, text).unwrap();
        let args = ["show", target.to_str().unwrap(), "--only", "phase denoise"];
        Command::new(env!("CARGO_BIN_EXE_zoetropec")).args(args).output().expect("the binary runs")
    };
    let one = show("\"ltx-2.3-demo.safetensors\"");
    assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
    let two = show("[\"a.safetensors\", \"b.safetensors\"]");
    assert_eq!(one.stdout, two.stdout, "{}", String::from_utf8_lossy(&two.stderr));
    let none = show("[\"a.safetensors\", \"c.safetensors\"]");
    assert_eq!(none.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&none.stderr).contains("c.safetensors: cannot be read"));
}

/// The demo checkpoint with some layers as fp8, scaled.
fn quantised(from: &std::path::Path) -> TensorFile {
    let whole = TensorFile::open(from).unwrap();
    let mut parts = Vec::new();
    for tensor in whole.iter() {
        let Some(module) = tensor.name.strip_suffix(".attn1.to_q.weight") else {
            parts.push((tensor.name.to_string(), tensor.dtype, tensor.shape.to_vec(), tensor.bytes.to_vec()));
            continue;
        };
        let name = |what: &str| format!("{module}.attn1.to_q.{what}");
        parts.push((name("weight"), FileDtype::F8E4M3, tensor.shape.to_vec(), vec![0x38; tensor.elements()]));
        parts.push((name("weight_scale"), FileDtype::F32, vec![1], 0.01f32.to_le_bytes().to_vec()));
        parts.push((name("input_scale"), FileDtype::F32, vec![1], 0.02f32.to_le_bytes().to_vec()));
    }
    let metadata: Vec<(&str, &str)> =
        whole.metadata().iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    written(&metadata, &parts)
}

#[test]
fn what_is_done_with_each_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let checkpoint = &paths.checkpoint[0];
    fs::write(checkpoint, quantised(checkpoint).contents()).unwrap();
    // Each file is found by what it is, the LoRAs beside them are not taken.
    let verify = || zoetrope(&["verify", "--model", folder.path().to_str().unwrap()]);
    let output = verify();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let row = |component: &str| text.lines().find(|line| line.starts_with(component)).unwrap_or_default();
    let transformer = row("transformer ");
    let words = [
        "demo.safetensors",
        "3 e4m3 with a scale for the tensor",
        "bf16",
        "decoded",
        "3 input scales not used",
    ];
    assert!(words.iter().all(|word| transformer.contains(word)), "{text}");
    assert!(row("upscaler ").contains("read as it is"), "{text}");
    assert!(text.contains("black-and-white-lora.safetensors is ignored: it is a LoRA"), "{text}");
    // A component that no file has, and one that two have.
    let second = folder.path().join("second.safetensors");
    fs::write(&second, fs::read(checkpoint).unwrap()).unwrap();
    fs::remove_file(paths.upscaler.unwrap()).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(3));
    let [table, text] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let both = [checkpoint, &second].map(|path| path.file_name().unwrap().to_str().unwrap());
    assert!(text.contains("stand in") && both.iter().all(|name| text.contains(name)), "{text}");
    assert!(table.lines().any(|line| line.starts_with("upscaler ") && line.contains("missing: ")), "{table}");
}
