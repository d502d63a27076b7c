//! Which decoders a target file names.

use serde::Deserialize;

use super::stages::quoted;
use crate::ltx::decode::VideoDecoder;

/// Whether there are previews, or what makes them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum PreviewField {
    Vae(bool),
    Named(String),
}

/// What makes the clip's frames, and what makes previews, if there are any.
pub(super) fn decoders(
    decoder: Option<String>,
    preview: Option<PreviewField>,
    problems: &mut Vec<String>,
) -> (VideoDecoder, Option<VideoDecoder>) {
    let mut named = |field: &str, name: String| {
        let found = VideoDecoder::named(&name);
        if found.is_none() {
            let known = quoted(VideoDecoder::all().map(VideoDecoder::name));
            problems.push(format!("{field} is {name:?}; wanted one of {known}"));
        }
        found
    };
    let preview = match preview {
        Some(PreviewField::Vae(wanted)) => wanted.then_some(VideoDecoder::Vae),
        Some(PreviewField::Named(name)) => named("preview", name),
        None => None,
    };
    (decoder.and_then(|name| named("decoder", name)).unwrap_or_default(), preview)
}

#[cfg(test)]
mod tests {
    use super::VideoDecoder;
    use crate::target::Target;

    #[test]
    fn decoders_are_named() {
        let parse = |more: &str| {
            let text = format!(
                "width = 256\nheight = 192\nframes = 25\nfps = 24\npipeline = \"distilled\"\ndtype = \"bf16\"\n\
                 model = \"demo\"\n{more}"
            );
            let parsed = Target::parse("clip", &text).map_err(|error| error.to_string());
            parsed.map(|target| (target.decoder.name(), target.preview.map(VideoDecoder::name)))
        };
        assert_eq!(parse(""), Ok(("vae", None)));
        assert_eq!(parse("preview = true"), Ok(("vae", Some("vae"))));
        assert_eq!(parse("preview = false\ndecoder = \"tiny\""), Ok(("tiny", None)));
        assert_eq!(parse("preview = \"tiny-wide\""), Ok(("vae", Some("tiny-wide"))));
        let error = parse("decoder = \"small\"\npreview = \"no\"").unwrap_err();
        let words = ["decoder is \"small\"", "preview is \"no\"", "\"vae\", \"tiny\", \"tiny-wide\""];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}
