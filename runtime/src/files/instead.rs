//! What often lies where a model file should be: pages, pointers, messages, and what a download left behind.

/// What a file is instead of the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// What it looks like, with its article.
    pub found: String,
    /// What to do about it.
    pub help: &'static str,
}

/// A server's message is a line, not a file.
const LONGEST_MESSAGE: usize = 4096;
/// So many zeros at the start are no beginning of any format.
const ZEROS: usize = 64;

const AGAIN: &str = "download it again; the address must be that of the file, not of its page";
const LEFT: &str = "download it again: space was set aside for it, but not filled";

impl Instead {
    fn new(found: impl Into<String>, help: &'static str) -> Option<Instead> {
        Some(Instead { found: found.into(), help })
    }

    /// What the bytes of a whole file, or its beginning, are a sign of; `None` where they show nothing of the kind.
    pub fn of(bytes: &[u8]) -> Option<Instead> {
        const CONVERT: &str = "download the .safetensors version of the model";
        let start: Vec<u8> = text_start(bytes).iter().take(64).map(u8::to_ascii_lowercase).collect();
        let begins = |signs: &[&str]| signs.iter().any(|sign| start.starts_with(sign.as_bytes()));
        if bytes.is_empty() {
            return Instead::new("an empty file", "download it again");
        }
        if bytes.len() >= ZEROS && bytes[..ZEROS].iter().all(|byte| *byte == 0) {
            return Instead::new("a file that begins with zeros", LEFT);
        }
        if begins(&["version https://git-lfs"]) {
            return Instead::new("a Git LFS pointer", "run `git lfs pull` in its repository");
        }
        if begins(&["<!doctype", "<html", "<head", "<?xml", "<error"]) {
            return Instead::new("a web page", AGAIN);
        }
        let messages = [
            "{\"error\"",
            "entry not found",
            "not found",
            "repository not found",
            "404",
            "403",
            "access to model",
            "access denied",
            "invalid username",
            "unauthorized",
            "forbidden",
            "too many requests",
        ];
        if begins(&messages) && bytes.len() <= LONGEST_MESSAGE {
            return Instead::message(bytes);
        }
        match bytes {
            [b'P', b'K', 3, 4, ..] => Instead::new("a zip archive, perhaps of PyTorch", CONVERT),
            [0x80, 2..=5, ..] if bytes.get(7) != Some(&0) => Instead::new("a pickle of PyTorch", CONVERT),
            [0x1f, 0x8b, ..] if bytes.get(7) != Some(&0) => Instead::new("a gzip archive", "unpack it"),
            _ => None,
        }
    }

    /// A short text where numbers should be: what a server said, most likely.
    pub(super) fn message(bytes: &[u8]) -> Option<Instead> {
        let text = std::str::from_utf8(text_start(bytes)).ok().filter(|_| bytes.len() <= LONGEST_MESSAGE)?;
        let plain = !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace());
        let line: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        plain.then(|| Instead { found: format!("the text {line:?}"), help: AGAIN })
    }
}

/// Behind a byte order mark and white space.
fn text_start(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::Instead;

    #[test]
    fn what_downloads_leave_is_called_by_its_name() {
        let found = |bytes: &[u8]| Instead::of(bytes).map(|instead| instead.found).unwrap_or_default();
        for page in
            ["<!DOCTYPE html>", "\n<!doctype HTML>", "\u{feff}<html>", "<?xml version=\"1.0\"?><Error>"]
        {
            assert_eq!(found(page.as_bytes()), "a web page", "{page}");
        }
        assert_eq!(found(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "a Git LFS pointer");
        assert_eq!(found(b"Entry not found"), "the text \"Entry not found\"");
        assert_eq!(found(b"{\"error\":\"Access to model x is restricted\"}").get(..8), Some("the text"));
        assert_eq!(found(&[0; 100]), "a file that begins with zeros");
        assert_eq!(found(b""), "an empty file");
        assert_eq!(found(b"GGUF\x03\0\0\0"), "");
        assert_eq!(found(b"\x80\x02}q\x00X\x05\x01"), "a pickle of PyTorch");
        // The lengths of headers look like that.
        for length in [0x0d_4e88_u64, 0x0280, 0x8b1f] {
            assert_eq!(found(&[&length.to_le_bytes()[..], b"{\"a\":{}}"].concat()), "", "{length:#x}");
        }
        assert_eq!(found(b"{\"model_type\": \"gemma3\"}"), "");
    }
}
