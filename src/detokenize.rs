//! From tokens to their text.

/// What stands for a space in tokens.
const SPACE: char = '\u{2581}';

/// The text of tokens, each as the tokenizer spells it; `None` stands for what has no text, such as special tokens.
/// Neighbours that are spelled as bytes, `<0x0A>`, are UTF-8 together; where they are none, each is a replacement
/// character, as in the official tokenizer's library.
pub fn joined<'t>(tokens: impl Iterator<Item = Option<&'t str>>) -> String {
    let (mut text, mut bytes) = (String::new(), Vec::new());
    for token in tokens.flatten() {
        match byte(token) {
            Some(byte) => bytes.push(byte),
            None => {
                flush(&mut bytes, &mut text);
                text.extend(token.chars().map(|c| if c == SPACE { ' ' } else { c }));
            }
        }
    }
    flush(&mut bytes, &mut text);
    text
}

fn byte(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>').filter(|hex| hex.len() == 2)?;
    u8::from_str_radix(hex, 16).ok()
}

fn flush(bytes: &mut Vec<u8>, text: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(whole) => text.push_str(whole),
        Err(_) => text.extend(bytes.iter().map(|_| '\u{fffd}')),
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn bytes_are_letters_together() {
        let text = |tokens: &[&str]| joined(tokens.iter().map(|token| Some(*token)));
        assert_eq!(text(&["A", "\u{2581}red", "\u{2581}\u{2581}fox", "<0x0A>"]), "A red  fox\n");
        assert_eq!(text(&["<0xC3>", "<0xA9>", "t", "<0xC3>"]), "\u{e9}t\u{fffd}");
        assert_eq!(text(&["<0xC3>", "<0x41>"]), "\u{fffd}\u{fffd}");
        assert_eq!(text(&["<0xC3A>", "<0x"]), "<0xC3A><0x", "no bytes");
        assert_eq!(joined([None, Some("a"), None].into_iter()), "a");
    }
}
