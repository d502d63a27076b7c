//! The order of a body's units while some of them are brought together, and the bytes that live at every place of it.
//!
//! What is brought together stands near, and what lives before and behind stays as it is: so the price of a change is
//! that of the places between, however long the body.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::{Graph, Value};

use super::Unit;

/// Groups of units in order. A place whose group has moved behind it is empty.
pub struct Arrangement<'a> {
    graph: &'a Graph,
    units: &'a [Unit],
    /// What lives on behind the body.
    kept: &'a BTreeSet<Value>,
    places: Vec<Vec<usize>>,
    /// Live bytes before every place, and the most while its group runs.
    live: Vec<(usize, usize)>,
    /// How often every number is the most of a place.
    most: BTreeMap<usize, usize>,
    /// Places with the units there that make a value; and those that read or make it.
    makers: BTreeMap<Value, BTreeSet<(usize, usize)>>,
    users: BTreeMap<Value, BTreeSet<(usize, usize)>>,
}

impl<'a> Arrangement<'a> {
    /// Every unit alone, in the order given.
    pub fn of(graph: &'a Graph, units: &'a [Unit], kept: &'a BTreeSet<Value>) -> Arrangement<'a> {
        let places: Vec<Vec<usize>> = (0..units.len()).map(|u| vec![u]).collect();
        let live = vec![(0, 0); places.len()];
        let (most, makers, users) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut all = Arrangement { graph, units, kept, places, live, most, makers, users };
        (0..units.len()).for_each(|u| all.put(u, u));
        let live = all.walk(&all.places, 0, 0);
        live.iter().for_each(|(_, most)| *all.most.entry(*most).or_insert(0) += 1);
        Arrangement { live, ..all }
    }

    /// How many places there are, empty ones among them.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    pub fn group(&self, place: usize) -> &[usize] {
        &self.places[place]
    }

    /// All groups.
    pub fn done(self) -> Vec<Vec<usize>> {
        self.places.into_iter().filter(|group| !group.is_empty()).collect()
    }

    /// Moves what stands between the groups `at` and `other` and needs the first behind both, and joins them: if the
    /// second does not need the first, and if the largest sum of live bytes does not grow. With the new place of the
    /// group; no place from there on is empty when none from `at` on was.
    pub fn bring_together(&mut self, at: usize, other: usize) -> Option<usize> {
        let units = self.units;
        let note = |made: &mut BTreeSet<Value>, group: &[usize]| {
            group.iter().for_each(|u| made.extend(&units[*u].makes));
        };
        let mut made = BTreeSet::new();
        note(&mut made, &self.places[at]);
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for place in at + 1..=other {
            let group = &self.places[place];
            if group.iter().any(|u| !units[*u].reads.is_disjoint(&made)) {
                note(&mut made, group);
                behind.push(place);
            } else {
                before.push(place);
            }
        }
        // The last one that need not wait is the partner; else it depends on the first.
        before.pop().filter(|place| *place == other)?;
        let mut tried = vec![Vec::new()];
        tried.extend(before.iter().map(|place| self.places[*place].clone()));
        let moved_to = at + tried.len();
        tried.push([self.group(at), self.group(other)].concat());
        tried.extend(behind.iter().map(|place| self.places[*place].clone()));
        let live = self.walk(&tried, at, self.live[at].0);
        let most = self.most.last_key_value().map_or(0, |(most, _)| *most);
        if live.iter().any(|(_, high)| *high > most) {
            return None;
        }
        for place in at..=other {
            std::mem::take(&mut self.places[place]).into_iter().for_each(|u| self.remove(u, place));
            let high = self.live[place].1;
            self.most.entry(high).and_modify(|n| *n -= 1);
            if self.most[&high] == 0 {
                self.most.remove(&high);
            }
        }
        for (place, (group, live)) in (at..).zip(tried.into_iter().zip(live)) {
            group.iter().for_each(|u| self.put(*u, place));
            self.places[place] = group;
            *self.most.entry(live.1).or_insert(0) += 1;
            self.live[place] = live;
        }
        Some(moved_to)
    }

    fn put(&mut self, unit: usize, place: usize) {
        let Unit { makes, reads, .. } = &self.units[unit];
        for value in makes {
            self.makers.entry(*value).or_default().insert((place, unit));
        }
        for value in makes.union(reads) {
            self.users.entry(*value).or_default().insert((place, unit));
        }
    }

    fn remove(&mut self, unit: usize, place: usize) {
        let Unit { makes, reads, .. } = &self.units[unit];
        for value in makes {
            self.makers.entry(*value).and_modify(|all| _ = all.remove(&(place, unit)));
        }
        for value in makes.union(reads) {
            self.users.entry(*value).and_modify(|all| _ = all.remove(&(place, unit)));
        }
    }

    /// Live bytes when `groups` stand from place `at` on, before which `live` bytes live.
    fn walk(&self, groups: &[Vec<usize>], at: usize, mut live: usize) -> Vec<(usize, usize)> {
        let end = at + groups.len();
        let mut born: BTreeMap<Value, usize> = BTreeMap::new();
        let mut last: BTreeMap<Value, usize> = BTreeMap::new();
        for (i, unit) in groups.iter().enumerate().flat_map(|(i, group)| group.iter().map(move |u| (i, *u))) {
            let Unit { makes, reads, .. } = &self.units[unit];
            makes.iter().for_each(|value| _ = born.entry(*value).or_insert(i));
            makes.union(reads).for_each(|value| _ = last.insert(*value, i));
        }
        let mut change = vec![(0, 0); groups.len()];
        for (value, last) in last {
            let bytes = self.graph.info(value).bytes();
            let Some((first, _)) = self.makers.get(&value).and_then(BTreeSet::first) else { continue };
            if let Some(born) = born.get(&value).filter(|_| *first >= at) {
                change[*born].0 += bytes;
            }
            let later = self.users[&value].last().is_some_and(|(place, _)| *place >= end);
            if !later && !self.kept.contains(&value) {
                change[last].1 += bytes;
            }
        }
        let walk = groups.iter().zip(change).map(|(group, (born, dead))| {
            let before = live;
            let high = live + born + group.iter().map(|u| self.units[*u].inside).sum::<usize>();
            live = live + born - dead;
            (before, if group.is_empty() { 0 } else { high })
        });
        walk.collect()
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_model_spec::lang::{Def, Dtype, Info};

    use super::*;
    use crate::fused::{FusedLoop, FusedStmt};

    /// A unit that reads and makes these values.
    fn unit(reads: &[u32], makes: &[u32]) -> Unit {
        let none = FusedLoop {
            name: String::new(),
            count: zoetrope_model_spec::lang::Count::Runtime,
            carried: Vec::new(),
            collected: Vec::new(),
            body: Vec::new(),
        };
        let values = |list: &[u32]| list.iter().map(|v| Value(*v)).collect();
        Unit { stmt: FusedStmt::Loop(none), reads: values(reads), makes: values(makes), inside: 0, key: None }
    }

    fn value(bytes: usize) -> Info {
        Info { path: String::new(), dtype: Dtype::U8, shape: vec![bytes], def: Def::Op }
    }

    /// Every pair is brought together that may be: what is known of every place is then what a walk over all finds.
    #[test]
    fn what_lives_is_known_after_every_change() {
        // Value 0 comes from outside, 9 is made of two pieces and kept.
        let units = [
            unit(&[0], &[1]),
            unit(&[0], &[2]),
            unit(&[1], &[3]),
            unit(&[2], &[4]),
            unit(&[0], &[5]),
            unit(&[3, 5], &[9]),
            unit(&[4], &[6]),
            unit(&[6, 2], &[7]),
            unit(&[7, 1], &[9]),
            unit(&[0], &[8]),
        ];
        let kept = BTreeSet::from([Value(9)]);
        let mut moved = 0;
        for sizes in [[1; 10], [1, 9, 2, 8, 3, 7, 4, 6, 5, 5], [5, 1, 64, 1, 64, 2, 3, 1, 9, 40]] {
            let graph = Graph { values: sizes.map(value).to_vec(), ..Graph::default() };
            for (at, other) in (0..units.len()).flat_map(|at| (at + 1..units.len()).map(move |o| (at, o))) {
                let mut all = Arrangement::of(&graph, &units, &kept);
                let most = |all: &Arrangement<'_>| all.live.iter().map(|(_, high)| *high).max();
                let before = most(&all);
                moved += usize::from(all.bring_together(at, other).is_some());
                let live = all.walk(&all.places, 0, 0);
                assert_eq!(all.live[at + 1..], live[at + 1..], "{at} and {other} of {sizes:?}");
                assert_eq!(most(&all), all.most.last_key_value().map(|(most, _)| *most));
                assert!(most(&all) <= before);
            }
        }
        assert!(moved > 20, "{moved}");
    }
}
