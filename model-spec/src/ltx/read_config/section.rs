//! Reading one JSON object: each method takes a key, and notes what is wrong with its value.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// Widths, channels, bins: far above any real model, far below where products overflow.
const SIZES: RangeInclusive<u64> = 1..=1_000_000;
/// Layers, kernel sizes, list lengths: things that are repeated or unrolled.
const COUNTS: RangeInclusive<u64> = 1..=1000;

/// The list that everything wrong is added to.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<String>>);

impl Problems {
    pub fn add(&self, problem: String) {
        self.0.borrow_mut().push(problem);
    }

    /// Adds a problem unless `good`; returns `good`.
    pub fn check(&self, good: bool, problem: impl FnOnce() -> String) -> bool {
        if !good {
            self.add(problem());
        }
        good
    }

    pub fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A JSON object under its path. A method that returns an option has noted the problem when it returns `None`.
pub(super) struct Section<'a> {
    /// What a key's name is written after.
    path: String,
    object: Option<&'a Map<String, Value>>,
    pub problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// A whole text. If it is not an object, all its keys will be missing.
    pub fn root(path: &str, value: &'a Value, problems: &'a Problems) -> Section<'a> {
        Section { path: path.to_string(), object: value.as_object(), problems }
    }

    /// The same with another list for what is wrong.
    pub fn noting<'b>(&'b self, problems: &'b Problems) -> Section<'b> {
        Section { path: self.path.clone(), object: self.object, problems }
    }

    /// The object under a key.
    pub fn section(&self, key: &str) -> Option<Section<'a>> {
        match self.get(key) {
            Some(Value::Object(object)) => Some(self.inner(key, object)),
            other => self.wrong(key, other, "a section"),
        }
    }

    /// The object under a key that need not be there, nor be an object.
    pub fn optional(&self, key: &str) -> Option<Section<'a>> {
        Some(self.inner(key, self.get(key)?.as_object()?))
    }

    fn inner(&self, key: &str, object: &'a Map<String, Value>) -> Section<'a> {
        Section { path: format!("{}{key}.", self.path), object: Some(object), problems: self.problems }
    }

    /// A value that may be anything; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    /// A key with its path.
    pub fn named(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Notes that a value is missing or wrong.
    pub fn wrong<T>(&self, key: &str, found: Option<&Value>, wanted: impl std::fmt::Display) -> Option<T> {
        let found = found.map_or("missing".to_string(), shown);
        self.problems.add(format!("{} is {found}, {wanted} wanted", self.named(key)));
        None
    }

    /// A choice of which the spec knows one outcome.
    pub fn fixed(&self, key: &str, wanted: impl Into<Value>) {
        let (found, wanted) = (self.get(key), wanted.into());
        if !found.is_some_and(|found| same(found, &wanted)) {
            self.wrong::<()>(key, found, shown(&wanted));
        }
    }

    /// As [`Section::fixed`], where absence means the wanted value.
    pub fn fixed_if_present(&self, key: &str, wanted: impl Into<Value>) {
        if self.get(key).is_some() {
            self.fixed(key, wanted);
        }
    }

    /// A width or a number of channels.
    pub fn size(&self, key: &str) -> Option<usize> {
        self.whole(key, SIZES, None)
    }

    /// A width with a default.
    pub fn size_or(&self, key: &str, default: usize) -> Option<usize> {
        self.whole(key, SIZES, Some(default))
    }

    /// A number of repetitions.
    pub fn count(&self, key: &str) -> Option<usize> {
        self.whole(key, COUNTS, None)
    }

    /// A number of repetitions with a default.
    pub fn count_or(&self, key: &str, default: usize) -> Option<usize> {
        self.whole(key, COUNTS, Some(default))
    }

    fn whole(&self, key: &str, range: RangeInclusive<u64>, default: Option<usize>) -> Option<usize> {
        let found = self.get(key);
        match (found, default) {
            (None, Some(default)) => Some(default),
            _ => found
                .and_then(|value| whole(value, &range))
                .or_else(|| self.wrong(key, found, in_range(&range))),
        }
    }

    /// A positive number of at most `max`.
    pub fn real(&self, key: &str, max: f64) -> Option<f64> {
        self.real_or(key, max, None)
    }

    /// A positive number with a default.
    pub fn real_or(&self, key: &str, max: f64, default: Option<f64>) -> Option<f64> {
        let found = self.get(key);
        match (found, default) {
            (None, Some(default)) => Some(default),
            _ => found
                .and_then(|value| real(value, max))
                .or_else(|| self.wrong(key, found, format!("a number above 0, at most {max},"))),
        }
    }

    /// Exactly `N` positive numbers of at most `max`.
    pub fn reals<const N: usize>(&self, key: &str, max: f64) -> Option<[f64; N]> {
        let found = self.get(key);
        let list = found.and_then(Value::as_array).and_then(|list| {
            let numbers: Option<Vec<f64>> = list.iter().map(|value| real(value, max)).collect();
            numbers?.try_into().ok()
        });
        list.or_else(|| self.wrong(key, found, format!("a list of {N} numbers above 0, at most {max},")))
    }

    /// A list of 1 to 32 repetition counts.
    pub fn counts(&self, key: &str) -> Option<Vec<usize>> {
        let found = self.get(key);
        let list = found.and_then(counts);
        list.or_else(|| self.wrong(key, found, format!("a list of {}", in_range(&COUNTS))))
    }

    /// A list of 1 to 32 lists of repetition counts.
    pub fn count_lists(&self, key: &str) -> Option<Vec<Vec<usize>>> {
        let found = self.get(key);
        let lists = found.and_then(Value::as_array).filter(|lists| (1..=32).contains(&lists.len()));
        let lists = lists.and_then(|lists| lists.iter().map(counts).collect());
        lists.or_else(|| self.wrong(key, found, format!("a list of lists of {}", in_range(&COUNTS))))
    }
}

fn whole(value: &Value, range: &RangeInclusive<u64>) -> Option<usize> {
    let number = match value.as_u64() {
        Some(number) => number,
        // 32.0 is written by tools that know only floats.
        None => value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e9).contains(x))? as u64,
    };
    range.contains(&number).then_some(number as usize)
}

fn real(value: &Value, max: f64) -> Option<f64> {
    value.as_f64().filter(|number| *number > 0.0 && *number <= max)
}

fn counts(value: &Value) -> Option<Vec<usize>> {
    let list = value.as_array().filter(|list| (1..=32).contains(&list.len()))?;
    list.iter().map(|value| whole(value, &COUNTS)).collect()
}

fn in_range(range: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// Equality in which 1000 is 1000.0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

/// A value as it may stand in a message: no control characters, and not endless.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    let mut short: String = text.chars().take(LONGEST).filter(|c| !c.is_control()).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
