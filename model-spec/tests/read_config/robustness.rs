//! Configs with random changes: read or refused, never a panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{CHECKPOINT, GEMMA, UPSCALER, read};

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
}
