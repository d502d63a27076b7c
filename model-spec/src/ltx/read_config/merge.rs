//! One configuration from those of the files that a checkpoint was split into.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::section::{Problems, shown};
use super::{ConfigError, parse};

/// The text that the texts of several files amount to, each given with its file's name: the union of their sections.
/// `None` if there are none.
///
/// # Errors
/// A text that is no JSON, and every section in which two files differ, by the names of both.
pub fn merge_configs(texts: &[(&str, &str)]) -> Result<Option<String>, ConfigError> {
    let Some((_, first)) = texts.first() else { return Ok(None) };
    if texts.iter().all(|(_, text)| text == first) {
        return Ok(Some(first.to_string()));
    }
    let problems = Problems::default();
    let mut merged = Map::new();
    let mut from = BTreeMap::new();
    for (file, text) in texts {
        let what = format!("the config of {file}");
        let Some(Value::Object(sections)) = parse(text, &what, &problems) else { continue };
        for (name, section) in sections {
            match merged.get(&name) {
                None => {
                    from.insert(name.clone(), *file);
                    merged.insert(name, section);
                }
                Some(there) => differ(&problems, &name, (from[&name], there), (file, &section)),
            }
        }
    }
    let problems = problems.into_list();
    if problems.is_empty() {
        Ok(Some(Value::from(merged).to_string()))
    } else {
        Err(ConfigError { problems })
    }
}

/// Notes the keys in which two files' sections differ.
fn differ(problems: &Problems, path: &str, (file, a): (&str, &Value), (other, b): (&str, &Value)) {
    if a == b {
        return;
    }
    if let (Value::Object(one), Value::Object(two)) = (a, b) {
        let both = one.iter().filter_map(|(key, value)| Some((key, value, two.get(key)?)));
        let mut inner = both.filter(|(_, value, other)| value != other).peekable();
        if inner.peek().is_some() {
            return inner.for_each(|(key, value, there)| {
                differ(problems, &format!("{path}.{key}"), (file, value), (other, there));
            });
        }
    }
    problems.add(format!("{path} is {} in {file} and {} in {other}", shown(a), shown(b)));
}
