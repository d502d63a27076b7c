//! Configs and target files with random changes: read or refused, never a panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use zoetrope_model_spec::ltx::read_config::merge_configs;
use zoetrope_model_spec::target::{Model, Target};

use crate::{CHECKPOINT, GEMMA, UPSCALER, read};

const TARGET: &str = "width = 64\nheight = 64\nframes = 9\nfps = 24.0\npipeline = \"one-stage\"\ndtype = \"f32\"\n\
    text_tokens = 16\ntimestep_classes = 2\nattention_mask = true\nskip = { video = [0], v2a = [1] }\npreview = true\nvram = \"24GiB\"\n\
    guidance = { uncond = true, stg_blocks = [1, 28], modality = false }\n\
    model = MODEL\n";
const MODEL: &str =
    "{ checkpoint = [\"a.safetensors\", \"b\"], text_encoder = \"gemma\", spatial_upscaler = \"u\" }";

/// Every pointer into a document.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| pointers(inner, format!("{at}/{key}"), all)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, inner)| pointers(inner, format!("{at}/{i}"), all))
        }
        _ => {}
    }
    all.push(at);
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..200).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        proptest::collection::vec(0u64..100_000, 0..40).prop_map(Value::from),
        Just(json!([["res_x", 3], ["compress_all", { "multiplier": 1_000_000 }]])),
    ]
}

#[test]
fn a_checkpoint_may_be_split() {
    let model = |checkpoint: &str, encoder: &str| {
        let files =
            format!("{{ checkpoint = {checkpoint}, text_encoder = {encoder}, spatial_upscaler = 'u' }}");
        Target::parse("my", &TARGET.replace("MODEL", &files)).map(|target| target.model)
    };
    let files = |checkpoint: &[&str]| Model::Files {
        checkpoint: checkpoint.iter().map(Into::into).collect(),
        text_encoder: "g".into(),
        spatial_upscaler: "u".into(),
    };
    assert_eq!(model("'a'", "'g'"), Ok(files(&["a"])));
    assert_eq!(model("['a', 'b']", "'g'"), Ok(files(&["a", "b"])));
    assert!(model("[]", "'g'").unwrap_err().to_string().contains("checkpoint names no file"));
    assert!(model("'a'", "['g', 'h']").unwrap_err().to_string().contains("text_encoder names several"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn changed_configs_are_read_or_refused(which in 0usize..3, changes in proptest::collection::vec((any::<usize>(), any_value()), 1..4)) {
        let texts = [CHECKPOINT, GEMMA, UPSCALER];
        let mut config: Value = serde_json::from_str(texts[which]).unwrap();
        for (at, value) in changes {
            let mut all = Vec::new();
            pointers(&config, String::new(), &mut all);
            *config.pointer_mut(&all[at % all.len()]).unwrap() = value;
        }
        let changed = config.to_string();
        let mut texts = texts;
        texts[which] = &changed;
        match read(texts[0], texts[1], texts[2]) {
            Ok(config) => prop_assert!(config.transformer.video.width() <= 1_000_000),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        prop_assert!(read(&text, GEMMA, UPSCALER).is_err());
        prop_assert!(read(CHECKPOINT, &text, UPSCALER).is_err());
    }

    #[test]
    fn configs_of_parts_are_merged_or_refused(first in any_value(), second in any_value(), key in "[a-c]{0,2}") {
        let texts = [json!({ "a": first }), json!({ key: second })].map(|config| config.to_string());
        let merged = merge_configs(&[("one", &texts[0]), ("two", &texts[1])]);
        match merged {
            Ok(merged) => prop_assert!(merged.is_some()),
            Err(error) => prop_assert!(error.problems.iter().all(|problem| problem.contains("one"))),
        }
    }

    #[test]
    fn changed_targets_are_read_or_refused(
        words in proptest::collection::vec((any::<usize>(), prop_oneof![
            Just("-1".to_string()), Just("0".to_string()), Just("nan".to_string()), Just("1e308".to_string()), Just("[]".to_string()),
            Just("{}".to_string()), Just("\"\"".to_string()), Just("9223372036854775807".to_string()), Just("'".to_string()),
            any::<u16>().prop_map(|n| n.to_string()), any::<f64>().prop_map(|x| format!("{x:?}")), ".{0,8}",
        ]), 1..4),
        cut in any::<usize>(),
    ) {
        let text = TARGET.replace("MODEL", MODEL);
        let mut pieces: Vec<String> = text.split_inclusive(['=', ',', '\n', '{', '[', ']', '}']).map(str::to_string).collect();
        for (at, word) in words {
            let at = at % pieces.len();
            let end = pieces[at].pop().unwrap_or_default();
            pieces[at] = format!(" {word} {end}");
        }
        let text = pieces.concat();
        let end = if cut % 3 == 0 { (0..=text.len()).rev().skip(cut % 100).find(|end| text.is_char_boundary(*end)) } else { None };
        match Target::parse("my", &text[..end.unwrap_or(text.len())]) {
            Ok(target) => {
                let tokens = target.size.video_tokens().checked_mul(target.text_tokens);
                prop_assert!(tokens.is_some() && target.size.audio_tokens() > 0);
            }
            Err(error) => prop_assert!(!error.problems.is_empty()),
        }
    }
}
