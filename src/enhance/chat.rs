//! What the text encoder is asked, and what is made of its answer (docs/model/text.md 5).

/// What it is asked to do, unless a request brings a text of its own.
pub const SYSTEM: &str = include_str!("system.txt");
/// The same for a clip from an image, which it is shown.
pub const SYSTEM_IMAGE: &str = include_str!("system-image.txt");

/// The tokens with which an answer ends: `<eos>` and `<end_of_turn>`.
pub const EOS: i32 = 1;
pub const END_OF_TURN: i32 = 106;

/// The text of a chat, up to where the answer begins. The start token in it is that of Gemma's chat template; the
/// tokenizer puts its own in front, so there are two.
pub fn asked(system: &str, prompt: &str) -> String {
    let (system, prompt) = (system.trim(), prompt.trim());
    format!(
        "<bos><start_of_turn>user\n{system}\n\nuser prompt: {prompt}<end_of_turn>\n<start_of_turn>model\n"
    )
}

/// The text of a chat with an image: what stands before the image's tokens, and what behind them.
pub fn asked_of_image(system: &str, prompt: &str) -> [String; 2] {
    let (system, prompt) = (system.trim(), prompt.trim());
    [
        format!("<bos><start_of_turn>user\n{system}\n\n\n\n<start_of_image>"),
        format!("<end_of_image>\n\nUser Raw Input Prompt: {prompt}.<end_of_turn>\n<start_of_turn>model\n"),
    ]
}

/// An answer as a prompt: typographic signs as their ASCII ones, and nothing before the first letter.
pub fn cleaned(answer: &str) -> String {
    let plain = |c| match c {
        '\u{2019}' | '\u{2018}' | '\u{2032}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2014}' | '\u{2013}' | '\u{2212}' => '-',
        '\u{a0}' => ' ',
        other => other,
    };
    let text: String = answer.chars().map(plain).collect();
    match text.find(char::is_alphabetic) {
        Some(first) => text[first..].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_prompt() {
        assert_eq!(cleaned("\n 1. \u{201c}A fox\u{201d} \u{2014} it\u{2019}s red"), "A fox\" - it's red");
        assert_eq!(cleaned("5\u{2032}\u{2013}6\u{2212}\u{a0}!"), "5'-6- !", "no letter: all is kept");
        assert_eq!(cleaned("\u{e9}t\u{e9}"), "\u{e9}t\u{e9}");
        assert_eq!(cleaned(""), "");
    }

    #[test]
    fn the_chat_is_that_of_the_template() {
        let chat = asked("Do this.\n", " a fox ");
        assert_eq!(
            chat,
            "<bos><start_of_turn>user\nDo this.\n\nuser prompt: a fox<end_of_turn>\n<start_of_turn>model\n"
        );
    }
}
