//! The files of a model in a folder that holds it and perhaps more: what each is says its header.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zoetrope_runtime::files::{FileError, TensorFile, tensor_files};
use zoetrope_runtime::plan::Source;

use super::ModelPaths;
use super::diffusers::MODEL_INDEX;
use super::upscaler;
use super::view::GEMMA;
use crate::model_check::is_lora;

/// Folders inside folders that are looked into.
const MAX_DEPTH: usize = 8;
/// Entries that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// How names begin, or go on, that a source alone has.
const SIGNS: [(Source, &str); 16] = [
    (Source::TextEncoder, "language_model."),
    (Source::TextEncoder, "model.language_model."),
    (Source::TextEncoder, "model.embed_tokens."),
    (Source::SpatialUpscaler, "initial_conv."),
    (Source::Checkpoint, "model.diffusion_model."),
    (Source::Checkpoint, "diffusion_model.transformer_blocks."),
    (Source::Checkpoint, "velocity_model.transformer_blocks."),
    (Source::Checkpoint, "model.transformer_blocks."),
    (Source::Checkpoint, "transformer_blocks."),
    (Source::Checkpoint, "text_embedding_projection."),
    (Source::Checkpoint, "video_embeddings_connector."),
    (Source::Checkpoint, "vae."),
    (Source::Checkpoint, "audio_vae."),
    (Source::Checkpoint, "vocoder."),
    (Source::Checkpoint, "decoder.conv_in."),
    (Source::Checkpoint, "decoder.22."),
];

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    pub paths: ModelPaths,
    /// Files that are none of the model's, and why, in words.
    pub notes: Vec<String>,
}

/// Looks in a folder and the folders in it for the files of all sources but those that are `unwanted`, for which it says why.
///
/// # Errors
/// The folder cannot be read, or holds more than one text encoder or upscaler.
pub fn search(folder: &Path, unwanted: impl Fn(Source) -> Option<String>) -> Result<Found, String> {
    if !folder.is_dir() {
        return Err(format!("{}: no folder is there", folder.display()));
    }
    let mut found = Found::default();
    let mut folders = Vec::new();
    let mut left = MAX_ENTRIES;
    collect(folder, MAX_DEPTH, &mut left, &mut folders)?;
    let (mut encoders, mut upscalers) = (Vec::new(), Vec::new());
    for folder in folders {
        if folder.join(MODEL_INDEX).is_file() {
            let wanted = [Source::Checkpoint, Source::TextEncoder].map(|source| unwanted(source).is_none());
            found.paths.checkpoint.extend(wanted[0].then(|| folder.clone()));
            encoders.extend(wanted[1].then_some(folder));
            continue;
        }
        for group in groups(&folder, &mut found.notes) {
            let Some(first) = group.files.first() else { continue };
            match TensorFile::open(first) {
                Err(error) => found.notes.push(error.to_string()),
                Ok(file) => match source_of(&file).map(|source| (source, unwanted(source))) {
                    Ok((_, Some(why))) => {
                        found.notes.push(format!("{} is ignored: {why}", first.display()));
                    }
                    Ok((Source::TextEncoder, _)) => encoders.push(group.path),
                    Ok((source, _)) if source.is_upscaler() => upscalers.push(group.path),
                    Ok(_) => found.paths.checkpoint.push(group.path),
                    Err(why) => found.notes.push(format!("{} is ignored: {why}", first.display())),
                },
            }
        }
    }
    found.paths.text_encoder = one("text encoders", "--text-encoder", encoders)?.unwrap_or_default();
    found.paths.upscaler = one("upscalers", "--spatial-upscaler", upscalers)?;
    Ok(found)
}

fn one(what: &str, option: &str, mut all: Vec<PathBuf>) -> Result<Option<PathBuf>, String> {
    match all.as_slice() {
        [first, second, ..] => {
            let (first, second) = (first.display(), second.display());
            Err(format!(
                "{} {what}: {first} and {second}\n  help  give the one that is meant: {option}",
                all.len()
            ))
        }
        _ => Ok(all.pop()),
    }
}

/// The folders in a folder, itself first. What lies in the folder of a diffusers model belongs to it.
fn collect(folder: &Path, depth: usize, left: &mut usize, out: &mut Vec<PathBuf>) -> Result<(), String> {
    out.push(folder.to_owned());
    if depth == 0 || folder.join(MODEL_INDEX).is_file() {
        return Ok(());
    }
    let read = folder.read_dir().map_err(|error| format!("{}: cannot be read: {error}", folder.display()))?;
    let mut inner = BTreeSet::new();
    for entry in read.map_while(Result::ok) {
        if *left == 0 {
            return Err(format!("{}: more than {MAX_ENTRIES} files and folders", folder.display()));
        }
        *left -= 1;
        // Links to folders are not followed: they may lead back.
        if !is_hidden(&entry.path()) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            inner.insert(entry.path());
        }
    }
    inner.into_iter().try_for_each(|folder| collect(&folder, depth - 1, left, out))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Files that belong together, and the path that stands for them.
struct Group {
    path: PathBuf,
    files: Vec<PathBuf>,
}

/// What is wrong with a folder of weights is noted.
fn groups(folder: &Path, notes: &mut Vec<String>) -> Vec<Group> {
    let mut groups = Vec::new();
    // Of a folder with files of both kinds a listing has one.
    let all = folder.read_dir().into_iter().flatten().map_while(Result::ok).map(|entry| entry.path());
    let mut files: BTreeSet<PathBuf> = all
        .filter(|path| path.extension().is_some_and(|ending| ending == "gguf") && !is_hidden(path))
        .collect();
    match tensor_files(folder) {
        // An index, or a configuration beside the weights, makes one model of a folder.
        Ok(listing) if listing.index.is_some() || folder.join("config.json").is_file() => {
            groups.push(Group { path: folder.to_owned(), files: listing.files });
        }
        Ok(listing) => files.extend(listing.files),
        Err(FileError::EmptyFolder { .. }) => {}
        Err(error) => notes.push(error.to_string()),
    }
    groups.extend(files.into_iter().map(|file| Group { path: file.clone(), files: vec![file] }));
    groups
}

/// What a file is of a model; or why it is nothing of one.
fn source_of(file: &TensorFile) -> Result<Source, &'static str> {
    if is_lora(file) {
        return Err("it is a LoRA; --lora FILE adds it");
    }
    if let Some(gguf) = file.gguf() {
        let said = gguf.value("general.architecture").and_then(|value| value.text());
        if said == Some(GEMMA) {
            return Ok(Source::TextEncoder);
        }
    }
    let has = |sign: &str| file.names().any(|name| name.starts_with(sign));
    let found = SIGNS.iter().find(|(_, sign)| has(sign)).map(|(source, _)| *source);
    let found = found.ok_or("it has no tensors of LTX-2.3 or Gemma 3")?;
    let config = || file.metadata().get("config").map(String::as_str);
    Ok(if found.is_upscaler() { upscaler::source_of(config()) } else { found })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use zoetrope_model_spec::ltx::config::Enlarges;
    use zoetrope_model_spec::ltx::demo::upscaler_text;
    use zoetrope_runtime::files::{FileDtype, NewTensor, write_tensors};

    use super::{Source, search};

    #[test]
    fn a_tree_of_models_is_searched() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, names: &[&str]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let tensors: Vec<NewTensor<'_>> = names
                .iter()
                .map(|name| NewTensor { name, dtype: FileDtype::U8, shape: &[0], bytes: &[] })
                .collect();
            fs::write(path, write_tensors(&[], &tensors)).unwrap();
        };
        write("diffusion_models/a.safetensors", &["transformer_blocks.0.attn1.to_q.weight"]);
        write("vae/video.safetensors", &["decoder.conv_in.conv.weight"]);
        write("vae/tiny.safetensors", &["decoder.1.weight", "decoder.22.bias"]);
        write("text_encoders/gemma.safetensors", &["model.embed_tokens.weight", "vision_model.x"]);
        write("loras/style.safetensors", &["diffusion_model.x.lora_A.weight"]);
        write("other/x.safetensors", &["conv1.weight"]);
        write("upscalers/x2.safetensors", &["initial_conv.weight"]);
        let found = search(folder.path(), |_| None).unwrap();
        let at = |path: &str| folder.path().join(path);
        let all = ["diffusion_models/a.safetensors", "vae/tiny.safetensors", "vae/video.safetensors"];
        assert_eq!(found.paths.checkpoint, all.map(at));
        assert_eq!(found.paths.text_encoder, at("text_encoders/gemma.safetensors"));
        assert_eq!(found.paths.upscaler, Some(at("upscalers/x2.safetensors")));
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
        write("text_encoders/second.safetensors", &["model.embed_tokens.weight"]);
        let error = search(folder.path(), |_| None).unwrap_err();
        assert!(error.contains("gemma.safetensors and ") && error.contains("--text-encoder"), "{error}");
        let found = search(folder.path(), |source| (source == Source::TextEncoder).then(|| "no".to_string()))
            .unwrap();
        assert!(found.notes.iter().any(|note| note.contains("second.safetensors is ignored: no")));
        // Of the upscalers, the one that is wanted.
        let temporal = upscaler_text(Enlarges::TimeX2);
        let named = NewTensor { name: "initial_conv.weight", dtype: FileDtype::U8, shape: &[0], bytes: &[] };
        fs::write(at("upscalers/temporal.safetensors"), write_tensors(&[("config", temporal)], &[named]))
            .unwrap();
        for (wanted, name) in [(Source::SpatialUpscaler, "x2"), (Source::TemporalUpscaler, "temporal")] {
            let other =
                |source: Source| source == Source::TextEncoder || source.is_upscaler() && source != wanted;
            let found = search(folder.path(), |source| other(source).then(|| "no".to_string())).unwrap();
            assert_eq!(found.paths.upscaler, Some(at(&format!("upscalers/{name}.safetensors"))));
        }
        assert!(search(&at("none"), |_| None).unwrap_err().contains("no folder is there"));
    }
}
