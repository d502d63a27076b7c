//! From a prompt to what the text encoder reads (docs/model/text.md 1).

use std::path::Path;

use zoetrope_model_spec::ltx::config::TEXT_TOKENS;
use zoetrope_runtime::files::{FileError, TensorFile, decode, read_text};

use crate::detokenize::joined;
use crate::pieces::{Kind, Piece, Pieces, pieces_of};
use crate::tokenizer_json;

/// Gemma's takes 33 MB.
const MAX_BYTES: u64 = 500_000_000;
const PAD: i32 = 0;
const BOS: i32 = 2;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no `tokenizer.json`.
    #[error("tokenizer.json is not readable: {0} (download it again from the Gemma folder)")]
    Format(String),
    /// The list of pieces inside a file of weights is none.
    #[error("the tokenizer in {place} is not readable: {problem}")]
    Pieces {
        /// The tensor, or the metadata.
        place: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is another model's.
    #[error("{place} is not Gemma 3's: {token} is {found}, {wanted} wanted")]
    Other {
        /// Where the tokenizer is.
        place: &'static str,
        /// The special token.
        token: &'static str,
        /// Its number in the file, or that it is missing.
        found: String,
        /// Its number in Gemma's vocabulary.
        wanted: i32,
    },
    /// There is no folder that it could be in.
    #[error("no folder of the text encoder was given, and so no tokenizer.json")]
    NotGiven,
    /// The library failed on a text.
    #[error("the prompt cannot be tokenized: {0}")]
    Encode(String),
}

/// Gemma 3's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    splits: Splits,
    largest_id: u32,
}

/// What splits a text.
#[derive(Debug)]
enum Splits {
    Library(Box<tokenizers::Tokenizer>),
    Pieces(Pieces),
}

const JSON: &str = "tokenizer.json";

/// A prompt as the text encoder reads it: padding, then the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Token numbers.
    pub input_ids: [i32; TEXT_TOKENS],
    /// 1 for tokens of the prompt, 0 for padding.
    pub attention_mask: [i32; TEXT_TOKENS],
    /// How many tokens the prompt would need; with more than [`TEXT_TOKENS`] its end was cut off.
    pub tokens: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is malformed, or is not Gemma's.
    pub fn from_file(path: &Path) -> Result<Tokenizer, TokenizeError> {
        Tokenizer::from_json(&read_text(path, MAX_BYTES)?)
    }

    /// Reads the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// They are no text, malformed, or not Gemma's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Tokenizer, TokenizeError> {
        let text = decode(bytes.to_vec()).map_err(|problem| TokenizeError::Format(problem.to_string()))?;
        Tokenizer::from_json(&text)
    }

    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// It is malformed, or not Gemma's.
    pub fn from_json(text: &str) -> Result<Tokenizer, TokenizeError> {
        let checked = tokenizer_json::parse(text).map_err(TokenizeError::Format)?;
        let library: tokenizers::Tokenizer =
            serde_json::from_value(checked).map_err(|error| TokenizeError::Format(error.to_string()))?;
        is_gemma(JSON, |token| library.token_to_id(token))?;
        let largest_id = library.get_vocab(true).into_values().max().unwrap_or(0);
        Ok(Tokenizer { splits: Splits::Library(Box::new(library)), largest_id })
    }

    /// Reads a model file of SentencePiece.
    ///
    /// # Errors
    /// It is malformed, or not Gemma's.
    pub fn from_model_file(place: &'static str, bytes: &[u8]) -> Result<Tokenizer, TokenizeError> {
        let pieces = pieces_of(bytes).map_err(|problem| TokenizeError::Pieces { place, problem })?;
        Tokenizer::from_pieces(place, pieces)
    }

    /// Reads the metadata of a GGUF file.
    ///
    /// # Errors
    /// It has no tokenizer, a malformed one, or another model's.
    pub fn from_gguf(file: &TensorFile) -> Result<Tokenizer, TokenizeError> {
        let place = "tokenizer.ggml of the metadata";
        let wrong = |problem: &str| TokenizeError::Pieces { place, problem: problem.to_string() };
        let value = |key: &str| file.gguf().and_then(|gguf| gguf.value(&format!("tokenizer.ggml.{key}")));
        if value("model").and_then(|model| model.text()) != Some("llama") {
            return Err(wrong("tokenizer.ggml.model is not llama, the kind that Gemma 3 has"));
        }
        let array = |key: &'static str| {
            let found = value(key).and_then(|value| value.array());
            found.ok_or_else(|| wrong(&format!("tokenizer.ggml.{key} is missing")))
        };
        let (tokens, scores, kinds) = (array("tokens")?, array("scores")?, array("token_type")?);
        if scores.len() != tokens.len() || kinds.len() != tokens.len() {
            return Err(wrong("tokenizer.ggml has other numbers of tokens, scores and types"));
        }
        let bytes = file.contents();
        let (scores, kinds) = (scores.reals(bytes), kinds.integers(bytes));
        let pieces = tokens.texts(bytes).zip(scores).zip(kinds).map(|((text, score), kind)| {
            Some(Piece { text: text?, score: score? as f32, kind: Kind::of(kind?)? })
        });
        let pieces: Option<Vec<Piece>> = pieces.collect();
        let whole = pieces.filter(|pieces| pieces.len() == tokens.len());
        Tokenizer::from_pieces(place, whole.ok_or_else(|| wrong("a token is no text, score and type"))?)
    }

    fn from_pieces(place: &'static str, pieces: Vec<Piece>) -> Result<Tokenizer, TokenizeError> {
        let pieces = Pieces::new(pieces).map_err(|problem| TokenizeError::Pieces { place, problem })?;
        is_gemma(place, |token| pieces.id(token))?;
        Ok(Tokenizer { largest_id: pieces.largest_id(), splits: Splits::Pieces(pieces) })
    }

    /// The largest number that a token has: an embedding needs a row for it.
    pub fn largest_id(&self) -> u32 {
        self.largest_id
    }

    /// The prompt's tokens: white space around it is dropped, the start token stands in front, its end is cut
    /// where it has more than [`TEXT_TOKENS`], and padding fills the left.
    ///
    /// # Errors
    /// The library cannot tokenize the text.
    pub fn encode(&self, prompt: &str) -> Result<Encoded, TokenizeError> {
        let mut ids = self.ids(stripped(prompt))?;
        if ids.first() != Some(&BOS) {
            ids.insert(0, BOS);
        }
        let tokens = ids.len();
        ids.truncate(TEXT_TOKENS);
        let mut encoded = Encoded { input_ids: [PAD; TEXT_TOKENS], attention_mask: [0; TEXT_TOKENS], tokens };
        let padding = TEXT_TOKENS - ids.len();
        encoded.input_ids[padding..].copy_from_slice(&ids);
        encoded.attention_mask[padding..].fill(1);
        Ok(encoded)
    }

    /// The tokens of a text as it is, with the start token that the tokenizer puts in front, and nothing cut.
    ///
    /// # Errors
    /// The library cannot tokenize the text.
    pub fn ids(&self, text: &str) -> Result<Vec<i32>, TokenizeError> {
        let ids = match &self.splits {
            Splits::Library(library) => {
                let encoding = library.encode_fast(text, true);
                encoding.map_err(|error| TokenizeError::Encode(error.to_string()))?.get_ids().to_vec()
            }
            Splits::Pieces(pieces) => [vec![BOS as u32], pieces.encode(text)].concat(),
        };
        // What stands around a prompt has numbers of its own in the file.
        if let Some(id) = ids.iter().find(|id| **id > self.largest_id) {
            return Err(TokenizeError::Encode(format!(
                "tokenizer.json puts a token {id} there, which it lacks"
            )));
        }
        // Numbers of a checked vocabulary fit.
        Ok(ids.iter().map(|&id| id as i32).collect())
    }

    /// The text of tokens, without special ones.
    pub fn text(&self, ids: &[i32]) -> String {
        let ids = ids.iter().map(|id| *id as u32);
        match &self.splits {
            Splits::Library(library) => {
                let added = library.get_added_tokens_decoder();
                let shown = ids.filter(|id| !added.get(id).is_some_and(|token| token.special));
                let spelled: Vec<Option<String>> = shown.map(|id| library.id_to_token(id)).collect();
                joined(spelled.iter().map(Option::as_deref))
            }
            Splits::Pieces(pieces) => {
                let spelled = pieces.spelled();
                joined(ids.map(|id| spelled.get(&id).copied()))
            }
        }
    }
}

/// Without what Python's `strip` drops: also the four separators that Unicode does not count as white space.
fn stripped(prompt: &str) -> &str {
    prompt.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// Checks the numbers of the tokens that stand around every prompt.
fn is_gemma(place: &'static str, id: impl Fn(&str) -> Option<u32>) -> Result<(), TokenizeError> {
    for (token, wanted) in [("<pad>", PAD), ("<bos>", BOS)] {
        let found = id(token);
        if found.and_then(|id| i32::try_from(id).ok()) != Some(wanted) {
            let found = found.map_or("missing".to_string(), |id| id.to_string());
            return Err(TokenizeError::Other { place, token, found, wanted });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{TEXT_TOKENS, TokenizeError, Tokenizer};

    fn demo() -> Tokenizer {
        Tokenizer::from_bytes(crate::demo::TOKENIZER.as_bytes()).unwrap()
    }

    /// The tokens without the padding.
    fn tokens(prompt: &str) -> Vec<i32> {
        let encoded = demo().encode(prompt).unwrap();
        let start = encoded.attention_mask.iter().position(|&valid| valid == 1).unwrap();
        assert!(encoded.input_ids[..start].iter().all(|&id| id == 0));
        assert!(encoded.attention_mask[start..].iter().all(|&valid| valid == 1));
        encoded.input_ids[start..].to_vec()
    }

    #[test]
    fn the_demo_tokenizer_reads_as_its_trainer_does() {
        let fox = [2, 395, 803, 965, 820, 565, 990, 631, 374, 477, 608, 966, 675];
        assert_eq!(tokens("A red fox runs through deep snow, the camera follows."), fox);
        assert_eq!(tokens("<start_of_turn>user\nhi<end_of_turn>"), [2, 105, 582, 473, 458, 434, 435, 106]);
        let bytes = [2, 315, 274, 427, 432, 459];
        assert_eq!(tokens("\u{427}aфé")[..3], bytes[..3]);
    }

    #[test]
    fn white_space_around_a_prompt_is_dropped_and_empty_is_legal() {
        assert_eq!(tokens(""), [2]);
        assert_eq!(tokens(" \u{1c}\n\t\u{a0}\u{3000}"), [2]);
        assert_eq!(tokens("\n  two  spaces\u{1f}"), tokens("two  spaces"));
    }

    #[test]
    fn a_start_token_is_there_once() {
        assert_eq!(tokens("<bos>two"), [&[2], &tokens("two")[..]].concat(), "typed, it is a token as any");
        let mut json: serde_json::Value = serde_json::from_str(crate::demo::TOKENIZER).unwrap();
        json["post_processor"] = serde_json::Value::Null;
        let bare = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
        assert_eq!(bare.encode("two").unwrap(), demo().encode("two").unwrap());
        assert_eq!(bare.encode("<bos>two").unwrap(), demo().encode("two").unwrap());
    }

    #[test]
    fn long_prompts_lose_their_end() {
        let encoded = demo().encode(&"snow ".repeat(3000)).unwrap();
        assert!(encoded.tokens > 3000);
        assert_eq!(encoded.input_ids[0], 2);
        assert_eq!(encoded.attention_mask, [1; TEXT_TOKENS]);
    }

    #[test]
    fn tokens_become_their_text_again() {
        let tokenizer = demo();
        for text in ["A red fox, two  spaces.\n\nNext", "na\u{ef}ve \u{427}\u{430}\u{439}"] {
            assert_eq!(tokenizer.text(&tokenizer.ids(text).unwrap()), text);
        }
        // The chat's own start token stands behind the tokenizer's; special tokens have no text.
        let chat = tokenizer.ids("<bos><start_of_turn>user\nhi<end_of_turn>").unwrap();
        assert_eq!(chat[..3], [2, 2, 105]);
        assert_eq!(tokenizer.text(&chat), "user\nhi");
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let said = |bytes: &[u8]| Tokenizer::from_bytes(bytes).unwrap_err().to_string();
        assert!(said(b"{").starts_with("tokenizer.json is not readable"));
        assert!(said(b"").starts_with("tokenizer.json is not readable"));
        let change = |path: &str, value: serde_json::Value| {
            let mut json: serde_json::Value = serde_json::from_str(crate::demo::TOKENIZER).unwrap();
            *json.pointer_mut(path).unwrap() = value;
            said(json.to_string().as_bytes())
        };
        let precompiled = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": "AA" });
        assert!(
            change("/normalizer", precompiled).contains("normalizer.type is \"Precompiled\", Replace or")
        );
        let second = serde_json::json!({ "Sequence": { "id": "B", "type_id": 0 } });
        assert!(change("/post_processor/single/0", second).contains("post_processor.single.0 is"));
        assert!(change("/model/vocab/a", 1e20.into()).contains("model.vocab: \"a\" is"));
        let other = crate::demo::TOKENIZER.replace("<bos>", "<s>");
        assert_eq!(said(other.as_bytes()), "tokenizer.json is not Gemma 3's: <bos> is missing, 2 wanted");
        let missing = Tokenizer::from_file(std::path::Path::new("none/tokenizer.json")).unwrap_err();
        assert!(matches!(missing, TokenizeError::File(_)));
    }
}
