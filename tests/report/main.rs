//! What `zoetrope plan` shows: figures that can be computed again from what is written, and pictures in their bounds.

mod browser;
mod floors;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use zoetrope::report::{Report, summary};
use zoetrope_compiler::frontend::compile_target;
use zoetrope_compiler::suite;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Facts, Footprint, Kept, Origin, Plan, bytes_text};

fn plan(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zoetrope")).arg("plan").args(args).output().expect("the binary runs")
}

/// What `zoetrope plan` prints.
fn said(args: &[&str]) -> String {
    let output = plan(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} is no number"))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is no list"))
}

/// What a build would say of a plan of 20 GB in bf16.
const FOOTPRINTS: [Footprint; 2] = [
    Footprint { weights: None, peak_bytes: 20_000_000_000, least_vram: 16 << 30 },
    Footprint { weights: Some(Kept::Q4_K), peak_bytes: 11_000_000_000, least_vram: 10 << 30 },
];

/// 12 GiB are 12.88 GB, of which 1.88 GB are the driver's.
#[test]
fn encodings_stand_side_by_side() {
    let plan = zoetrope_generated::PLANS[0];
    assert!(!summary(&Report::of(plan)).contains("weights in"));
    let facts = Facts { footprints: (&FOOTPRINTS).into(), ..plan.facts.clone() };
    let report = Report::of(&Plan { facts, ..plan.clone() });
    let text = summary(&report);
    let table: Vec<_> = text.lines().skip_while(|line| !line.starts_with("weights in")).collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(table[1]), "bf16 20.00 GB no streamed whole whole whole whole this plan");
    assert_eq!(words(table[2]), "q4_k 11.00 GB whole whole whole whole whole whole");
    let json = serde_json::to_value(&report).unwrap();
    let [first, second] = list(&json, "footprints") else { panic!("{json}") };
    assert_eq!((&first["weights"], &first["chosen"]), (&"bf16".into(), &true.into()));
    assert_eq!(
        (number(first, "peak_bytes"), number(second, "least_memory_bytes")),
        (20_000_000_000, 10 << 30)
    );
    let sizes: Vec<_> =
        list(first, "sizes").iter().map(|s| (number(s, "memory_bytes") >> 30, &s["fits"])).collect();
    assert_eq!(sizes[..3], [(12, &"no".into()), (16, &"streamed".into()), (24, &"whole".into())]);
}

#[test]
fn figures_follow_from_the_buffers_and_rows() {
    let report: Value = serde_json::from_str(&said(&["--json"])).unwrap();
    assert_eq!(number(&report, "version"), 4);
    assert_eq!(report["target"], "res-tiny");
    let cards = list(&report, "cards").len();
    let mut peak = 0;
    for phase in list(&report, "phases") {
        let name = &phase["name"];
        let (first, launches) = (number(phase, "first"), number(phase, "launches"));
        let buffers = list(phase, "buffers");
        let end = buffers.iter().map(|b| number(b, "offset") + number(b, "bytes")).max().unwrap_or(0);
        assert_eq!(end.next_multiple_of(256), number(phase, "arena_bytes"), "arena of {name}");
        let live = |at: u64| {
            let alive = buffers.iter().filter(|b| number(b, "first") <= at && at <= number(b, "last"));
            alive.map(|b| number(b, "bytes").next_multiple_of(256)).sum::<u64>()
        };
        let lower = (first..first + launches).map(live).max().unwrap_or(0);
        assert_eq!(lower, number(phase, "lower_bound_bytes"), "lower bound of {name}");
        for (i, a) in buffers.iter().enumerate() {
            for b in &buffers[i + 1..] {
                let apart = |from: &str, to: &dyn Fn(&Value) -> u64| {
                    to(a) <= number(b, from) || to(b) <= number(a, from)
                };
                let free = apart("offset", &|x| number(x, "offset") + number(x, "bytes"));
                assert!(free || apart("first", &|x| number(x, "last") + 1), "{a} and {b} share bytes");
            }
        }
        let rows = list(phase, "rows");
        let numbers: Vec<u64> = rows.iter().map(|r| number(r, "number")).collect();
        assert_eq!(numbers, (first..first + launches).collect::<Vec<_>>(), "rows of {name}");
        let sum = |field: &str| rows.iter().map(|r| number(r, field)).sum::<u64>();
        for (of_rows, of_phase) in [("count", "executed_launches"), ("flops", "flops"), ("bytes", "bytes")] {
            assert_eq!(sum(of_rows), number(phase, of_phase), "{of_phase} of {name}");
        }
        assert!(rows.iter().chain([phase]).all(|x| list(x, "seconds").len() == cards));
        let makers = buffers.iter().filter_map(|b| b["made_by"].as_u64());
        assert!(makers.clone().count() > 0 && makers.max() < Some(first + launches), "makers in {name}");
        peak =
            peak.max(["arena_bytes", "weight_bytes", "table_bytes"].iter().map(|f| number(phase, f)).sum());
    }
    assert_eq!(peak, number(&report, "peak_bytes"));
}

#[test]
fn floors_follow_from_the_ceilings() {
    let report: Value = serde_json::from_str(&said(&["--json"])).unwrap();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs();
    for (i, card) in list(&report, "cards").iter().enumerate() {
        let ceiling = |field: &str| card[field].as_f64().unwrap();
        let mut run = 0.0;
        for phase in list(&report, "phases") {
            for row in list(phase, "rows") {
                let floor = row["seconds"][i].as_f64().unwrap();
                let moved = number(row, "bytes") as f64 / ceiling("bytes_per_second");
                let rates = ["bf16_flops_per_second", "f32_flops_per_second"].map(ceiling);
                let fits =
                    rates.iter().any(|rate| close(floor, moved.max(number(row, "flops") as f64 / rate)));
                assert!(fits || floor == 0.0 && moved == 0.0, "{row} on {card}");
            }
            if phase["image"].is_null() {
                run += phase["seconds"][i].as_f64().unwrap();
            }
        }
        assert!(close(run, card["seconds"].as_f64().unwrap()), "{card}");
        let room = number(card, "memory_bytes") - number(&report, "reserve_bytes");
        assert_eq!(card["fits"], number(&report, "peak_bytes") <= room);
    }
}

/// Their times are in no total (`floors_follow_from_the_ceilings`).
#[test]
fn phases_of_images_are_told_apart() {
    let report: Value = serde_json::from_str(&said(&["--json"])).unwrap();
    let summary = said(&[]);
    assert!(summary.contains("no image given"), "{summary}");
    let mut optional = 0;
    for phase in list(&report, "phases") {
        let row = format!("{} ", phase["name"].as_str().unwrap());
        let line = summary.lines().find(|line| line.starts_with(&row)).expect("a line of every phase");
        assert_eq!(line.ends_with("   only with an image"), phase["image"] == 0, "{line}");
        optional += usize::from(phase["image"] == 0);
    }
    assert_eq!(optional, 2, "an image for each stage");
}

#[test]
fn differences_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.json");
    let path = old.to_str().unwrap();
    let json = said(&["--json"]);
    fs::write(&old, &json).unwrap();
    assert_eq!(said(&["--diff", path]), "nothing changed\n");

    let mut edited: Value = serde_json::from_str(&json).unwrap();
    edited["peak_bytes"] = 1_000_000.into();
    let phases = edited["phases"].as_array_mut().expect("a list of phases");
    let phase = phases.iter_mut().find(|phase| phase["name"] == "denoise-1").expect("a first stage");
    phase["weight_bytes"] = 1.into();
    phase["rows"][0]["kernel"] = "gone_kernel".into();
    let offset = number(&phase["buffers"][0], "offset") + 4096;
    phase["buffers"][0]["offset"] = offset.into();
    phase["buffers"][1]["bytes"] = 12_345.into();
    fs::write(&old, edited.to_string()).unwrap();
    let text = said(&["--diff", path]);
    let wanted =
        ["peak: 1.00 MB -> ", "phase denoise-1", "weights: 1 B -> ", "- 1 launch gone_kernel", "+ 1 launch"];
    for part in wanted.into_iter().chain(["moved from", "12.35 kB -> "]) {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!text.contains("phase vocode"), "{text}");
}

#[test]
fn broken_reports_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.json");
    let json = said(&["--json"]);
    let cases = [
        ("{\"version\": 4".to_string(), "not JSON"),
        (json[..json.len() / 2].to_string(), "cut off"),
        ("[1, 2]".to_string(), "no version"),
        ("{}".to_string(), "no version"),
        ("{\"version\": 4}".to_string(), "missing"),
        ("{\"version\": 2}".to_string(), "version 2"),
        ("{\"version\": \"new\"}".to_string(), "version \"new\""),
        (json.replacen("\"arena_bytes\": ", "\"arena_bytes\": -", 1), "another kind"),
        ("[".repeat(100_000), "not JSON"),
    ];
    for (text, word) in cases {
        fs::write(&old, text).unwrap();
        refused(&plan(&["--diff", old.to_str().unwrap()]), &["old.json", word, "help"]);
    }
    fs::write(&old, [b'{', 0xff]).unwrap();
    refused(&plan(&["--diff", old.to_str().unwrap()]), &["old.json", "UTF-8"]);
    refused(&plan(&["--diff", "none.json"]), &["none.json"]);
    refused(&plan(&["--json", "--memory"]), &["--json", "--memory"]);
    refused(&plan(&["--addresses"]), &["--launches"]);
}

fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(!text.contains("panicked") && output.stdout.is_empty(), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in: {text}"));
}

#[test]
fn the_graph_declares_what_it_joins() {
    let text = said(&["--dot"]);
    let report: Value = serde_json::from_str(&said(&["--json"])).unwrap();
    let outside: String = text.split('"').step_by(2).collect();
    assert!(!text.contains("\\\""), "strings are taken apart by their quotes");
    assert_eq!(outside.matches('{').count(), outside.matches('}').count());
    let (mut nodes, mut joined) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().map(str::trim) {
        if let Some((from, to)) = line.split_once(" -> ") {
            joined.extend([from, to.split(' ').next().unwrap()]);
        } else if let Some((node, _)) = line.split_once(" [label=") {
            assert!(nodes.insert(node), "{node} is there twice");
        }
    }
    let launches: u64 = list(&report, "phases").iter().map(|p| number(p, "launches")).sum();
    assert_eq!(nodes.len() as u64, launches);
    assert!(joined.is_subset(&nodes), "{:?}", joined.difference(&nodes));
    // Hardly a launch stands alone: it reads what another wrote, or is read.
    assert!(joined.len() * 20 > nodes.len() * 19, "{} of {}", joined.len(), nodes.len());
    assert!(text.contains("style=dashed"), "iterations of a loop read each other");
}

#[test]
fn the_picture_of_the_memory_keeps_its_width() {
    let text = said(&["--memory"]);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(line.is_ascii(), "{line}");
    }
    let phases = text.lines().filter(|l| l.starts_with("phase ")).count();
    let rows: Vec<_> = text.lines().filter_map(|l| l.split_once('|')).collect();
    assert_eq!(rows.len(), phases * 16);
    // The largest buffer of every phase is in the picture and in the legend.
    assert_eq!(text.lines().filter(|l| l.starts_with("  A ")).count(), phases);
    assert!(rows.iter().filter(|(_, row)| row.contains('A')).count() >= phases);
}

#[test]
fn plans_of_one_model_say_what_they_take_together() {
    let plan = |name: &str, width| {
        let size = Size { width, height: 64, frames: 9, fps: 24.0, stride: 1 };
        let target = Target { name: name.into(), size, ..Target::preset("res-tiny").unwrap() };
        compile_target(&target, "".as_ref()).unwrap()
    };
    let plans = [plan("small", 64), plan("wide", 128)];
    let plans: Vec<&Plan> = plans.iter().collect();
    let suite = suite(&plans, None).unwrap();
    let report = Report::of(plans[1]).in_suite(&suite, plans[1], &plans);
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    let together = &json["together"];
    assert_eq!(together["plans"], serde_json::json!(["small", "wide"]));
    assert_eq!(number(together, "peak_bytes"), plans.iter().map(|plan| plan.peak_bytes).max().unwrap());
    // Weights by what they are made of, and how many plans have each.
    let mut weights: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for constant in plans.iter().flat_map(|plan| plan.constants.iter()) {
        if let Origin::Weight { .. } = constant.origin {
            let key = format!("{:?} {:?} {:?}", constant.dtype, constant.shape, constant.origin);
            let (times, bytes) = weights.entry(key).or_default();
            (*times, *bytes) = (*times + 1, constant.bytes());
        }
    }
    let sum =
        |least| weights.values().filter(|(times, _)| *times >= least).map(|(_, bytes)| bytes).sum::<u64>();
    assert_eq!(number(together, "weight_bytes"), sum(1));
    assert_eq!(number(together, "shared_weight_bytes"), sum(2));
    // Some may be brought for one phase and again for another.
    let read = plans[1].phases.iter().flat_map(|phase| phase.constants.iter());
    let all: u64 = read.map(|constant| plans[1].constants[*constant as usize].bytes()).sum();
    let brought: Vec<u64> = list(together, "brought_bytes").iter().map(|b| b.as_u64().unwrap()).collect();
    assert!(
        brought.len() == 2 && brought.iter().all(|bytes| 0 < *bytes && *bytes < all),
        "{brought:?} of {all}"
    );
    let text = summary(&report);
    let shared = format!("of which {} are shared", bytes_text(sum(2)));
    assert!(
        text.contains("together: ") && text.contains(&shared) && text.contains("wide brings at most"),
        "{text}"
    );
    let alone = said(&["--json"]);
    assert!(!alone.contains("together"), "a binary with one plan");
}
