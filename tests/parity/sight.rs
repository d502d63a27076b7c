//! What the text encoder sees and writes of an image, against whole passes by the official library
//! (tests/reference/write_sight.py).

use std::path::Path;

use zoetrope::enhance::{Asked, Sight, asked_of_image, sight};
use zoetrope::media::Image;
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Tokenizer;
use zoetrope_test_support::golden::rel_l2;

use crate::enhance::{RANKS, computed, ids, of_rank, plan, write};
use crate::model::{eval, folder, target};

/// As in the script.
const SYSTEM: &str = "You turn a picture and a short idea into a long description of one shot.\nSay what is seen, what moves, \
                      and what is heard; write one paragraph.";
const PROMPT: &str = "The fox in it begins to run";
/// The id of a token of an image, of which the small model makes four.
const SOFT: i32 = 1024;

/// A room for the chat of the script.
const ROOM: &str = "{ tokens = 192, image = true }";

/// The chat of the script, with nothing in the places of the image's tokens.
fn chat() -> Asked {
    let golden = computed("seen.safetensors");
    let ids = ids(&golden["chat_ids"]);
    let first = ids.iter().position(|id| *id == SOFT).unwrap();
    let pixels = Tensor::real(&golden["pixels"].shape, golden["pixels"].as_f32().to_vec());
    let blind = ids.into_iter().map(|id| if id == SOFT { 0 } else { id });
    Asked { ids: blind.collect(), image: Some((first, pixels)) }
}

/// The tokens that an image becomes: the vision tower, the means of its patches, the projection.
#[test]
fn an_image_becomes_the_official_tokens() {
    let golden = computed("seen.safetensors");
    let pixels = Tensor::real(&golden["pixels"].shape, golden["pixels"].as_f32().to_vec());
    for (dtype, most) in [("f32", 5e-6), ("bf16", 3e-2)] {
        let target = target(&format!(
            "width = 64\nheight = 64\nframes = 9\nfps = 24\npipeline = \"distilled-single-stage\"\ndtype = \"{dtype}\""
        ));
        let inputs = Named::from([("pixels".to_string(), pixels.clone())]);
        let image = &eval(&target, "enhance-see", &inputs, &[])["image"];
        assert_eq!(image.shape, golden["image"].shape);
        let error = rel_l2(&image.reals(), golden["image"].as_f32());
        println!("{dtype}: relative error of the image's tokens {error:.1e}");
        assert!(error < most, "{dtype}: {error}");
    }
}

/// Tokens of the image see each other in both directions, all others what is before them; the window is shorter than the
/// chat.
#[test]
fn a_cache_with_an_image_changes_no_logits() {
    let golden = computed("seen.safetensors");
    let want = ids(&golden["new_ids"]);
    for share in [true, false] {
        let plan = plan("f32", ROOM, share);
        assert_eq!(sight(&plan), Some(Sight { width: 56, height: 56, tokens: 4 }));
        let (have, logits) = write(&plan, &chat(), |number, logits| {
            (number < want.len()).then(|| of_rank(logits, number % RANKS))
        });
        assert_eq!(have, want);
        let error = rel_l2(&logits[..golden["logits"].as_f32().len()], golden["logits"].as_f32());
        println!("relative error of the logits {error:.1e}");
        assert!(error < 5e-6, "{error}");
    }
}

#[test]
fn logits_of_an_image_in_bf16_are_near() {
    let golden = computed("seen.safetensors");
    let want = ids(&golden["new_ids"]);
    let (_, logits) = write(&plan("bf16", ROOM, true), &chat(), |number, _| want.get(number).copied());
    let error = rel_l2(&logits[..golden["logits"].as_f32().len()], golden["logits"].as_f32());
    println!("relative error of the logits {error:.1e}");
    assert!(error < 3e-2, "{error}");
}

/// A plan that could show one writes of text alone what a plan does that could not.
#[test]
fn without_an_image_the_text_is_read_as_before() {
    let golden = computed("written.safetensors");
    let (chat, want) = (ids(&golden["chat_ids"]), ids(&golden["new_ids"]));
    let asked = Asked { ids: chat, image: None };
    let of = |room: &str| write(&plan("f32", room, true), &asked, |number, _| want.get(number).copied()).1;
    assert_eq!(of(ROOM), of("192"));
}

/// The steps of the official code in 8 bits. PyTorch also rounds its weights, so single numbers may differ by one.
#[test]
fn a_picture_is_shown_as_the_official_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gamma/image.png");
    let (have, want) =
        (Image::open(&path, 0).unwrap().stretched(48, 48), &computed("seen.safetensors")["shown"]);
    let steps: Vec<f32> = have.iter().zip(want.as_f32()).map(|(have, want)| 127.5 * (have - want)).collect();
    let most = steps.iter().fold(0.0f32, |most, step| most.max(step.abs()));
    let mean = steps.iter().map(|step| step.abs()).sum::<f32>() / steps.len() as f32;
    println!("{most} steps at most, {mean} on average");
    assert!(have.len() == 3 * 48 * 48 && most < 1.01 && mean < 0.01, "{most} {mean}");
}

#[test]
fn the_chat_with_an_image_has_the_official_tokens() {
    let tokenizer = Tokenizer::from_file(&folder().join("gemma-3-tiny/tokenizer.json")).unwrap();
    let [before, behind] = asked_of_image(SYSTEM, PROMPT).map(|text| tokenizer.ids(&text).unwrap());
    let have = [&before, [SOFT; 4].as_slice(), &behind[1..]].concat();
    assert_eq!(have, ids(&computed("seen.safetensors")["chat_ids"]));
}
