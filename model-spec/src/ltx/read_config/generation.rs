//! Which generation of LTX a checkpoint is of. Only 2.3 is declared here.

use super::section::{Problems, Section};

const HELP: &str = "LTX-2.3 wanted (for example ltx-2.3-22b-distilled-1.1.safetensors)";

/// Notes a version outside 2.3. An absent one says nothing: split files have none.
pub(super) fn check_version(text: Option<&str>, problems: &Problems) {
    let Some(text) = text else { return };
    let text = text.trim().trim_matches('"');
    let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    let numbers = numbers(text);
    let generation = match numbers.as_slice() {
        [] => return problems.add(format!("model_version is {shown:?}, a version such as 2.3.0 wanted")),
        [2, 3, ..] => return,
        [0 | 1, ..] => "LTX-Video, without audio".to_string(),
        [2] | [2, 0..=2, ..] => "LTX-2.0".to_string(),
        [major] => format!("LTX-{major}"),
        [major, minor, ..] => format!("LTX-{major}.{minor}"),
    };
    problems.add(format!("model_version is {shown}: this checkpoint is {generation}, {HELP}"));
}

/// The whole numbers at the start of a version: `2.3.rc1` is 2, 3.
fn numbers(text: &str) -> Vec<u64> {
    text.replace('-', ".").split('.').map_while(|number| number.parse().ok()).collect()
}

/// Whether a config can be one of LTX-2.3; notes why if not. The version is not asked: files have wrong ones.
pub(super) fn check_config(root: &Section<'_>) -> bool {
    // Without a transformer section there is nothing to tell by; reading it will complain.
    let Some(transformer) = root.optional("transformer") else { return true };
    let set = |key: &str| transformer.get(key).and_then(serde_json::Value::as_bool);
    let (generation, why) = if transformer.get("audio_num_attention_heads").is_none() {
        ("LTX-Video, without audio", "transformer.audio_num_attention_heads is missing")
    } else if set("cross_attention_adaln") != Some(true) && set("apply_gated_attention") != Some(true) {
        ("LTX-2.0", "transformer.cross_attention_adaln and apply_gated_attention are not true")
    } else if set("ff_bias") == Some(false) {
        ("LTX-2.5", "transformer.ff_bias is false")
    } else if set("use_keyframes_abs_pos_embedding") == Some(true) {
        ("LTX-2.5", "transformer.use_keyframes_abs_pos_embedding is true")
    } else {
        return true;
    };
    root.problems.add(format!("this checkpoint is {generation} ({why}), {HELP}"));
    false
}

#[cfg(test)]
mod tests {
    use super::{Problems, check_version};

    #[test]
    fn versions() {
        let said = |text| {
            let problems = Problems::default();
            check_version(Some(text), &problems);
            problems.into_list().pop()
        };
        for good in ["2.3.0", "2.3", "2.3.rc1", "2.3-rc1", "\"2.3.0\"", "2.3.1.7"] {
            assert_eq!(said(good), None, "{good}");
        }
        let named = [
            ("0.9.8", "LTX-Video"),
            ("2", "LTX-2.0"),
            ("2.0.0", "LTX-2.0"),
            ("2.2.9", "LTX-2.0"),
            ("2.4", "LTX-2.4"),
            ("2.5.0", "LTX-2.5"),
            ("2.30", "LTX-2.30"),
            ("3", "LTX-3,"),
            ("10.1", "LTX-10.1"),
        ];
        for (text, generation) in named {
            let problem = said(text).unwrap_or_default();
            assert!(problem.contains(generation) && problem.contains("LTX-2.3 wanted"), "{text}: {problem}");
        }
        for bad in ["", "new", "v2.3", "rc.2.3", "99999999999999999999.1"] {
            assert!(said(bad).unwrap_or_default().contains("a version such as 2.3.0 wanted"), "{bad}");
        }
    }
}
