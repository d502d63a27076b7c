//! A `tokenizer.json`, checked before the library that reads it sees it: that one panics on some broken files.
//!
//! What passes has the structure of Gemma 3's: a BPE model without prefixes and suffixes, and in front of it steps that
//! only replace and split. What the library would do with decoders, cut lengths and padding is taken out: nothing here
//! asks for it.

use serde_json::{Map, Value};

/// Steps that may change a text before it is split.
const NORMALIZERS: &[&str] = &["Replace", "Prepend", "NFC", "NFD", "NFKC", "NFKD", "Sequence"];
/// Steps that may split a text.
const PRE_TOKENIZERS: &[&str] = &["Split", "Metaspace", "Sequence"];
/// Token numbers are written as i32.
const LARGEST_ID: u64 = i32::MAX as u64;

/// Reads the text of a `tokenizer.json`, ready for the library.
///
/// # Errors
/// What is wrong, in words; the place is named as in the file.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut root: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let object = root.as_object_mut().ok_or("it is no object")?;
    for unused in ["decoder", "truncation", "padding"] {
        object.remove(unused);
    }
    steps("normalizer", "normalizers", object.get("normalizer"), NORMALIZERS)?;
    steps("pre_tokenizer", "pretokenizers", object.get("pre_tokenizer"), PRE_TOKENIZERS)?;
    match object.get("post_processor") {
        None | Some(Value::Null) => {}
        Some(Value::Object(step)) => template(step)?,
        Some(_) => return Err("post_processor is no object".to_string()),
    }
    added(object.get("added_tokens"))?;
    let model = object.get("model").and_then(Value::as_object).ok_or("it has no model")?;
    bpe(model)?;
    Ok(root)
}

/// Checks a step before the model, or the steps of a sequence, which stand under `inner`.
fn steps(path: &str, inner: &str, step: Option<&Value>, kinds: &[&str]) -> Result<(), String> {
    let step = match step {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(step)) => step,
        Some(_) => return Err(format!("{path} is no object")),
    };
    let kind = kind(path, step, kinds)?;
    if kind == "Sequence" {
        let steps_of = list(&format!("{path}.{inner}"), step.get(inner))?;
        return steps_of.iter().enumerate().try_for_each(|(number, step)| match step {
            Value::Object(_) => steps(&format!("{path}.{inner}.{number}"), inner, Some(step), kinds),
            _ => Err(format!("{path}.{inner}.{number} is no object")),
        });
    }
    match step.get("pattern") {
        // An empty pattern is found everywhere.
        Some(pattern)
            if pattern["String"].as_str().or(pattern["Regex"].as_str()).is_none_or(str::is_empty) =>
        {
            Err(format!("{path}.pattern is {pattern}, a String or a Regex wanted"))
        }
        _ => Ok(()),
    }
}

fn kind<'a>(path: &str, step: &'a Map<String, Value>, kinds: &[&str]) -> Result<&'a str, String> {
    let found = step.get("type").and_then(Value::as_str);
    let known = found.filter(|kind| kinds.contains(kind));
    known.ok_or_else(|| {
        let found = found.map_or("missing".to_string(), |kind| format!("{kind:?}"));
        format!("{path}.type is {found}, {} wanted", kinds.join(" or "))
    })
}

fn list<'a>(path: &str, value: Option<&'a Value>) -> Result<&'a [Value], String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice);
    list.ok_or_else(|| format!("{path} is no list"))
}

/// Checks what puts special tokens around a prompt: only the prompt, and tokens that are declared.
fn template(step: &Map<String, Value>) -> Result<(), String> {
    kind("post_processor", step, &["TemplateProcessing"])?;
    let special = step.get("special_tokens").and_then(Value::as_object);
    let special = special.ok_or("post_processor.special_tokens is no object")?;
    for (number, piece) in list("post_processor.single", step.get("single"))?.iter().enumerate() {
        let prompt = piece["Sequence"]["id"] == "A";
        let token = piece["SpecialToken"]["id"].as_str().is_some_and(|id| special.contains_key(id));
        if prompt == token {
            return Err(format!(
                "post_processor.single.{number} is {piece}, the prompt or a special token wanted"
            ));
        }
    }
    Ok(())
}

fn added(tokens: Option<&Value>) -> Result<(), String> {
    let Some(tokens) = tokens else { return Ok(()) };
    for (number, token) in list("added_tokens", Some(tokens))?.iter().enumerate() {
        if token["content"].as_str().is_none_or(str::is_empty) {
            return Err(format!("added_tokens.{number} has no content"));
        }
    }
    Ok(())
}

fn bpe(model: &Map<String, Value>) -> Result<(), String> {
    kind("model", model, &["BPE"])?;
    for affix in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model.get(affix).is_some_and(|value| !value.is_null() && value != "") {
            return Err(format!("model.{affix} is {}, null wanted", model[affix]));
        }
    }
    if model.get("dropout").is_some_and(|value| !value.is_null() && value.as_f64() != Some(0.0)) {
        return Err(format!("model.dropout is {}, null wanted", model["dropout"]));
    }
    let vocabulary = model.get("vocab").and_then(Value::as_object).ok_or("model.vocab is no object")?;
    let wrong = vocabulary.iter().find(|(_, id)| id.as_u64().is_none_or(|id| id > LARGEST_ID));
    if let Some((token, id)) = wrong {
        return Err(format!("model.vocab: {token:?} is {id}, a token's number wanted"));
    }
    list("model.merges", model.get("merges"))?;
    Ok(())
}
