//! The body of a phase as one list of entries, with its loops as spans of that list.

use std::ops::Range;

use zoetrope_model_spec::lang::{Count, Value};

use crate::fused::{Call, FusedLoop, FusedStmt, Looks};

/// Why a copy stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// A loop's state takes its first value.
    Init,
    /// A loop's state takes its next value.
    Next,
    /// A value of one iteration is kept.
    Collect,
}

#[derive(Clone, Debug)]
pub enum Action<'a> {
    Call(&'a Call),
    Copy { from: Value, to: Value, why: Copied },
}

#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub action: Action<'a>,
    /// The innermost loop that it stands in.
    pub span: Option<usize>,
    /// Runs once per load.
    pub load: bool,
}

impl Entry<'_> {
    /// Part of the launch of the entry before it.
    pub fn joined(&self) -> bool {
        matches!(self.action, Action::Call(call) if call.joined)
    }
}

impl Entry<'_> {
    pub fn reads(&self) -> &[Value] {
        match &self.action {
            Action::Call(call) => &call.reads,
            Action::Copy { from, .. } => std::slice::from_ref(from),
        }
    }

    pub fn write(&self) -> Value {
        match &self.action {
            Action::Call(call) => call.write,
            Action::Copy { to, .. } => *to,
        }
    }
}

/// A loop: entries `first..end`.
#[derive(Clone, Debug)]
pub struct Span<'a> {
    pub of: &'a FusedLoop,
    pub first: usize,
    pub end: usize,
    pub parent: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Linear<'a> {
    pub entries: Vec<Entry<'a>>,
    pub spans: Vec<Span<'a>>,
}

impl<'a> Linear<'a> {
    /// `load` holds the calls that run once per load; they come first.
    pub fn of(load: &'a [FusedStmt], body: &'a [FusedStmt]) -> Linear<'a> {
        let mut linear = Linear::default();
        linear.walk(load, None, true);
        linear.walk(body, None, false);
        linear
    }

    fn walk(&mut self, body: &'a [FusedStmt], span: Option<usize>, load: bool) {
        let collected = span.map_or(&[][..], |s| &self.spans[s].of.collected);
        // A view is there when what it looks into is.
        let looks = Looks::of(body);
        let root = |value| looks.root(value);
        let made_here = |value| {
            let root = root(value);
            body.iter().any(|stmt| matches!(stmt, FusedStmt::Call(call) if call.write == root))
        };
        let push = |linear: &mut Self, action, span| linear.entries.push(Entry { action, span, load });
        let keep = |linear: &mut Self, c: &zoetrope_model_spec::lang::Collected| {
            push(linear, Action::Copy { from: c.value, to: c.stack, why: Copied::Collect }, span);
        };
        // What an iteration starts with is kept before the iteration may write over it.
        collected.iter().filter(|c| !made_here(c.value)).for_each(|c| keep(self, c));
        let mut kept: Vec<&zoetrope_model_spec::lang::Collected> = Vec::new();
        for stmt in body {
            // The parts of a launch stay together.
            if !matches!(stmt, FusedStmt::Call(call) if call.joined) {
                kept.drain(..).for_each(|c| keep(self, c));
            }
            match stmt {
                FusedStmt::View(_) | FusedStmt::Join(_) => {}
                FusedStmt::Call(call) => {
                    push(self, Action::Call(call), span);
                    kept.extend(collected.iter().filter(|c| root(c.value) == call.write));
                }
                FusedStmt::Loop(l) => {
                    for c in &l.carried {
                        push(self, Action::Copy { from: c.init, to: c.inner, why: Copied::Init }, span);
                    }
                    let id = self.spans.len();
                    self.spans.push(Span { of: l, first: self.entries.len(), end: 0, parent: span });
                    self.walk(&l.body, Some(id), load);
                    for c in &l.carried {
                        push(self, Action::Copy { from: c.next, to: c.inner, why: Copied::Next }, Some(id));
                    }
                    self.spans[id].end = self.entries.len();
                }
            }
        }
        kept.drain(..).for_each(|c| keep(self, c));
    }

    /// The entries that are one launch with entry `at`.
    pub fn parts(&self, at: usize) -> Range<usize> {
        let joined = |i: usize| self.entries.get(i).is_some_and(Entry::joined);
        let first = (0..=at).rev().find(|i| !joined(*i)).unwrap_or(0);
        let end = (at + 1..).find(|i| !joined(*i)).unwrap_or(at + 1);
        first..end
    }

    /// The ancestor of `span` (or itself) whose parent is `outer`; `None` when `span` is `outer`.
    pub fn below(&self, span: Option<usize>, outer: Option<usize>) -> Option<usize> {
        let mut at = span;
        while at != outer {
            let parent = at.and_then(|s| self.spans[s].parent);
            if parent == outer {
                return at;
            }
            at = parent;
        }
        None
    }

    /// The innermost enclosing loop of fixed count.
    pub fn fixed(&self, span: Option<usize>) -> Option<usize> {
        span.filter(|s| matches!(self.spans[*s].of.count, Count::Fixed(_)))
    }

    /// The enclosing loop whose count the host decides.
    pub fn runtime(&self, span: Option<usize>) -> Option<usize> {
        let mut at = span;
        while let Some(s) = at {
            if self.spans[s].of.count == Count::Runtime {
                return Some(s);
            }
            at = self.spans[s].parent;
        }
        None
    }
}
