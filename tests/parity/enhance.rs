//! What the text encoder writes with a cache, against whole passes without one (tests/reference/write_enhancement.py).

use std::collections::BTreeMap;
use std::path::Path;

use zoetrope::enhance::{Asked, asked, room, written};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_runtime::plan::{Launch, Phase, Plan, Repeat, Role};
use zoetrope_test_support::golden::rel_l2;
use zoetrope_test_support::tensor::{Tensor, load_tensors};

use crate::model::{Model, folder, target};

const TARGET: &str = "width = 64\nheight = 64\nframes = 9\nfps = 24\npipeline = \"distilled-single-stage\"";

/// As in the script.
const SYSTEM: &str = "You turn short ideas into long descriptions of one shot.\nSay what is seen, what moves, and what is \
                      heard; write one paragraph.";
const PROMPT: &str = "A red fox runs through deep snow, the camera follows.";
/// The official library's text of the written tokens.
const TEXT: &str = "\nhre\u{fffd}urry,ickerhreTT\u{fffd}\u{fffd}\u{fffd}\u{fffd}212121ice.";
pub const RANKS: usize = 5;

/// What a file of values says that were computed without a cache.
pub fn computed(file: &str) -> BTreeMap<String, Tensor> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/enhancement");
    load_tensors(&folder.join(file)).unwrap()
}

fn golden() -> BTreeMap<String, Tensor> {
    computed("written.safetensors")
}

pub fn ids(tensor: &Tensor) -> Vec<i32> {
    tensor.as_i64().iter().map(|id| *id as i32).collect()
}

/// A plan with this room for a chat.
pub fn plan(dtype: &str, room: &str, share: bool) -> Plan {
    let target = target(&format!("{TARGET}\ndtype = \"{dtype}\"\nenhance = {room}"));
    let model = dimensions(&target, &folder()).expect("the files describe a model");
    let options = Options { share, ..Options::default() };
    compile_levels(&target, &model, Scope::Run(Pixels::Yuv420), &[], options).expect("it compiles").plan
}

/// What is asked without an image.
fn text(ids: &[i32]) -> Asked {
    Asked { ids: ids.to_vec(), image: None }
}

/// What is written by `next`, which gets the number of the token and its logits, and all logits.
pub fn write(
    plan: &Plan,
    asked: &Asked,
    mut next: impl FnMut(usize, &[f32]) -> Option<i32>,
) -> (Vec<i32>, Vec<f32>) {
    let model = Model::open();
    let mut session = Session::poisoned(plan, &model).unwrap();
    let (mut all, mut number) = (Vec::new(), 0);
    let mut choose = |logits: &[f32]| {
        all.extend(logits);
        number += 1;
        next(number - 1, logits)
    };
    let ids = written(&mut session, asked, &mut choose, &mut Unwatched).unwrap();
    (ids, all)
}

pub fn of_rank(logits: &[f32], rank: usize) -> i32 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    order[rank] as i32
}

/// Both kinds of layers, a window shorter than the chat, tokens that follow each other over the end of what was read.
#[test]
fn a_cache_changes_no_logits() {
    let golden = golden();
    let (chat, want) = (ids(&golden["chat_ids"]), ids(&golden["new_ids"]));
    for share in [true, false] {
        let plan = plan("f32", "192", share);
        assert_eq!(room(&plan), Some(192));
        let (have, logits) = write(&plan, &text(&chat), |number, logits| {
            (number < want.len()).then(|| of_rank(logits, number % RANKS))
        });
        assert_eq!(have, want);
        let logits = &logits[..golden["logits"].as_f32().len()];
        let error = rel_l2(logits, golden["logits"].as_f32());
        println!("relative error of the logits {error:.1e}");
        assert!(error < 5e-6, "{error}");
    }
}

/// bf16 is as far from f32 as its rounding makes it.
#[test]
fn logits_in_bf16_are_near() {
    let golden = golden();
    let (chat, want) = (ids(&golden["chat_ids"]), ids(&golden["new_ids"]));
    let (_, logits) = write(&plan("bf16", "192", true), &text(&chat), |number, _| want.get(number).copied());
    let error = rel_l2(&logits[..golden["logits"].as_f32().len()], golden["logits"].as_f32());
    println!("relative error of the logits {error:.1e}");
    assert!(error < 3e-2, "{error}");
}

#[test]
fn turns_end_when_the_answer_does_or_the_room() {
    let chat = ids(&golden()["chat_ids"]);
    let plan = plan("f32", "128", true);
    let (have, _) = write(&plan, &text(&chat), |number, _| (number < 3).then_some(500 + number as i32));
    assert_eq!(have, [500, 501, 502]);
    let (have, logits) = write(&plan, &text(&chat), |_, _| Some(600));
    // The first of them takes the row behind the chat, and the last one none.
    assert_eq!(have.len(), 128 - chat.len() + 1);
    assert_eq!(logits.len() % have.len(), 0);
    let model = Model::open();
    let mut session = Session::new(&plan, &model).unwrap();
    let long = text(&[2; 129]);
    assert!(written(&mut session, &long, &mut |_| None, &mut Unwatched).is_err());
}

#[test]
fn the_chat_has_the_official_tokens() {
    let golden = golden();
    let tokenizer = Tokenizer::from_file(&folder().join("gemma-3-tiny/tokenizer.json")).unwrap();
    let chat = tokenizer.ids(&asked(SYSTEM, PROMPT)).unwrap();
    assert_eq!(chat, ids(&golden["chat_ids"]));
    assert_eq!(tokenizer.text(&ids(&golden["new_ids"])), TEXT);
}

/// A turn writes its rows into the cache where it lies, and copies nothing of it.
#[test]
fn the_cache_stays_where_it_is() {
    let plan = plan("bf16", "192", true);
    let takes_tokens = |phase: &&Phase| phase.inputs.iter().any(|port| port.role == Role::Token);
    let phase = plan.phases.iter().find(takes_tokens).expect("it writes");
    let turn = phase.segments.iter().find(|segment| segment.repeat == Repeat::Steps).expect("it has turns");
    let of_turn = Phase { segments: vec![turn.clone()].into(), ..phase.clone() };
    let named = |name: &str| -> Vec<Launch> {
        let launches = of_turn.launches().map(|(launch, _)| launch);
        launches.filter(|launch| plan.kernels[launch.kernel as usize].name == name).cloned().collect()
    };
    assert_eq!(named("copy"), []);
    let put: Vec<_> = named("put_row").iter().flat_map(|launch| launch.parts.to_vec()).collect();
    assert_eq!(put.len(), 2, "keys and values");
    let row = 2 * 32 * 2;
    assert!(put.iter().all(|part| part.in_place == Some(0) && part.bytes == row));
}
