//! Suites: in a memory of bytes, every run finds its constants, brings what is said, and computes what it computes alone;
//! and the verifier refuses suites that were changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;
use zoetrope_compiler::emit::emit_suite;
use zoetrope_compiler::{Error, suite, suites, verify};
use zoetrope_runtime::plan::{Constant, Origin, Phase, Placed, Plan, Suite};

use super::{Model, made, outputs};

/// Bytes of a constant that no other one has: those of a weight are the same in all plans.
fn content(plan: &Plan, constant: &Constant) -> Vec<u8> {
    let name = match &constant.origin {
        Origin::Weight { source, tensors, layout } => format!("{source:?} {tensors:?} {layout:?}"),
        Origin::Table { offset } => format!("{} {offset}", plan.name),
    };
    let mut state = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..constant.bytes()).map(byte).collect()
}

/// Memory, and where constants were brought last, by their numbers: an executor knows of one place.
#[derive(Clone)]
struct Memory(Vec<u8>, BTreeMap<u32, Range<usize>>);

impl Memory {
    fn of(suite: &Suite) -> Memory {
        Memory(vec![0; suite.peak_bytes as usize], BTreeMap::new())
    }
}

/// Runs a member in a memory of bytes: how many it brings of constants with places of their own. Every phase finds whole what
/// it reads, and what it keeps stays whole.
fn run(Memory(memory, last): &mut Memory, placed: &Placed) -> u64 {
    let plan = &placed.plan;
    let mut brought = 0;
    let span = |phase: &Phase, c: u32| {
        let at = phase.place(c).expect("a place") as usize;
        at..at + plan.constants[c as usize].bytes() as usize
    };
    for (number, phase) in plan.phases.iter().enumerate() {
        let streamed: BTreeSet<u32> =
            phase.fetches().flat_map(|(_, fetch)| fetch.constants.iter().copied()).collect();
        memory[..phase.arena_bytes as usize].fill(0xEE);
        streamed.iter().for_each(|c| memory[span(phase, *c)].fill(0xDD));
        let resident = || phase.constants.iter().copied().filter(|c| !streamed.contains(c));
        for c in resident() {
            let (content, at) = (content(plan, &plan.constants[c as usize]), span(phase, c));
            if memory[at.clone()] != content {
                let before = last.insert(placed.constants[c as usize], at.clone());
                if let Some(before) = before.filter(|before| memory[before.clone()] == content) {
                    memory[before].fill(0xCC);
                }
                brought += content.len() as u64;
                memory[at].copy_from_slice(&content);
            }
        }
        let readers = |c: u32| plan.phases[..number].iter().rev().find(move |phase| phase.place(c).is_some());
        let kept = phase.kept.iter().map(|c| (*c, span(readers(*c).expect("an earlier reader"), *c)));
        for (c, at) in resident().map(|c| (c, span(phase, c))).chain(kept) {
            assert!(memory[at] == content(plan, &plan.constants[c as usize]), "{} in {}", c, phase.name);
        }
    }
    brought
}

fn placed(suite: &Suite, plans: &[&Plan]) -> Vec<Placed> {
    plans.iter().map(|plan| suite.placed(plan).expect("a member")).collect()
}

/// Models of the same weights, of which some have more than others, each with a budget in percent of what it takes, or none.
fn families() -> impl Strategy<Value = Vec<(Model, Option<u64>)>> {
    let model = (1usize..7, 1usize..7, 0usize..4);
    let budget = prop_oneof![Just(None), (40u64..130).prop_map(Some)];
    let rows = prop::collection::vec(1usize..40, 1..3);
    (prop::collection::vec((model, budget), 2..4), rows).prop_map(|(models, rows)| {
        let of =
            |((layers, blocks, more), budget)| (Model { layers, blocks, more, rows: rows.clone() }, budget);
        models.into_iter().map(of).collect()
    })
}

/// The memory of a card that is said, in bytes, or none.
fn card() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (1u64 << 12..1 << 17).prop_map(Some)]
}

fn plan(name: usize, model: &Model, percent: Option<u64>) -> Plan {
    let whole = made(model, None).expect("compiles");
    let vram = percent.map(|percent| whole.peak_bytes * percent / 100 + (1 << 10));
    let mut plan = vram.and_then(|vram| made(model, Some(vram)).ok()).unwrap_or(whole);
    plan.name = format!("plan-{name}").into();
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn plans_share_a_memory(family in families(), card in card()) {
        let plans: Vec<Plan> = family.iter().enumerate().map(|(i, (model, budget))| plan(i, model, *budget)).collect();
        let plans: Vec<&Plan> = plans.iter().collect();
        let suite = suite(&plans, card).expect("the verifier finds nothing");
        let placed = placed(&suite, &plans);
        for (i, first) in placed.iter().enumerate() {
            let mut memory = Memory::of(&suite);
            run(&mut memory, first);
            for (j, second) in placed.iter().enumerate() {
                prop_assert_eq!(run(&mut memory.clone(), second), suite.brought_bytes(i, j));
            }
            prop_assert_eq!(outputs(&first.plan), outputs(plans[i]));
        }
    }
}

/// Two plans, the second of which has more of everything.
fn pair() -> [Plan; 2] {
    let model = |layers, blocks| Model { layers, blocks, more: 0, rows: vec![20, 11] };
    [plan(0, &model(3, 4), None), plan(1, &model(4, 6), None)]
}

#[test]
fn weights_stay_from_plan_to_plan() {
    let plans = pair();
    let [small, large] = &plans;
    let found = suites(&[small, large], None).unwrap();
    let [suite] = &found[..] else { panic!("{} suites", found.len()) };
    assert_eq!(suite.peak_bytes, large.peak_bytes, "what the largest takes anyway");
    let (all, shared) = suite.weight_bytes(&[small, large]);
    let weights = |plan: &Plan| {
        let weights = plan.constants.iter().filter(|c| c.identity().is_some());
        weights.map(Constant::bytes).sum::<u64>()
    };
    assert_eq!((all, shared), (weights(large), weights(small)), "the large one has all of the small one");
    // A run of the small one behind the large one brings less than alone; what that is at most, runs in bytes say above.
    let alone = run(&mut Memory::of(suite), &placed(suite, &[small, large])[0]);
    assert!(suite.brought_bytes(1, 0) < alone, "{} of {alone}", suite.brought_bytes(1, 0));
    // Nor does it cost a plan what it keeps for itself.
    for (i, plan) in [small, large].into_iter().enumerate() {
        let (mut memory, own) =
            (Memory(vec![0; plan.peak_bytes as usize], BTreeMap::new()), Placed::alone(plan));
        run(&mut memory, &own);
        assert!(suite.brought_bytes(i, i) <= run(&mut memory, &own));
    }
    // On a card that has room for all of it, nothing is brought twice.
    let roomy = zoetrope_compiler::suite(&[small, large], Some(4 * large.peak_bytes)).unwrap();
    let tables = |plan: &Plan| {
        plan.constants.iter().filter(|c| c.identity().is_none()).map(Constant::bytes).sum::<u64>()
    };
    assert_eq!((roomy.brought_bytes(1, 0), roomy.brought_bytes(0, 0)), (tables(small), 0));
    assert_eq!(roomy.brought_bytes(0, 1), tables(large) + weights(large) - weights(small));
    let suite = roomy;
    assert!(suite.peak_bytes > large.peak_bytes);
    let text = suite.text(&[small, large]);
    assert!(
        text.starts_with("suite of 2 plans   memory ") && text.contains("plan-0 behind plan-1   brings"),
        "{text}"
    );
    syn::parse_file(&emit_suite(&suite).unwrap()).unwrap();

    // A plan that is alone with its model is in none, unless a card is said: then it stays from run to run.
    let mut other = small.clone();
    other.facts.model = "another".into();
    assert!(suites(&[&other, large], None).unwrap().is_empty());
    let each = suites(&[&other, large], Some(4 * large.peak_bytes)).unwrap();
    assert_eq!(each.iter().map(|suite| suite.brought_bytes(0, 0)).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn suites_that_were_changed_are_refused() {
    let plans = pair();
    let plans: Vec<&Plan> = plans.iter().collect();
    let good = suite(&plans, None).unwrap();
    let refused = |change: &dyn Fn(&mut Suite), words: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        match verify::suite(&bad, &plans) {
            Err(Error::Verifier { rule, .. }) => assert!(rule.contains(words), "{rule}"),
            other => panic!("{words}: {other:?}"),
        }
    };
    let numbers = |suite: &mut Suite, member: usize, change: &dyn Fn(&mut Vec<u32>)| {
        change(suite.members.to_mut()[member].constants.to_mut());
    };
    refused(&|suite| drop(suite.members.to_mut().pop()), "members are the plans");
    refused(&|suite| suite.members.to_mut().swap(0, 1), "members are the plans");
    refused(&|suite| suite.members.to_mut()[0].phases.to_mut()[1].places = vec![0].into(), "has a place");
    refused(&|suite| numbers(suite, 0, &|list| list[0] = list[1]), "a number once");
    // Another weight under a number that the first plan has.
    refused(&|suite| numbers(suite, 1, &|list| list.swap(0, 1)), "are the same bytes");
    refused(&|suite| suite.peak_bytes += 256, "the largest plan");
    refused(&|suite| suite.brought.to_mut()[2] -= 4, "brings what is said");
    // Two constants of a phase at one place.
    let overlap = |suite: &mut Suite| {
        let places = suite.members.to_mut()[0].phases.to_mut()[0].places.to_mut();
        places[0] = places[1];
    };
    refused(&overlap, "shares no byte");
    let into_arena = |suite: &mut Suite| suite.members.to_mut()[1].phases.to_mut()[0].places.to_mut()[0] = 0;
    refused(&into_arena, "behind the arena");
    // A constant that a phase has itself is none that it keeps for others.
    let kept = |suite: &mut Suite| {
        let constant = plans[0].phases[2].constants[0];
        suite.members.to_mut()[0].phases.to_mut()[2].kept = vec![constant].into();
    };
    refused(&kept, "a kept constant stays");
}
