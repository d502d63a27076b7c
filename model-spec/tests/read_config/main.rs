//! Reading the configs of real files, and of many broken ones.

mod robustness;

use serde_json::{Value, json};
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::{Enlarges, ModelConfig};
use zoetrope_model_spec::ltx::demo::demo;
use zoetrope_model_spec::ltx::read_config::{ConfigTexts, differences, merge_configs, read_config};

const CHECKPOINT: &str = include_str!("data/ltx-2.3-22b.config.json");
const GEMMA: &str = include_str!("data/gemma-3-12b.config.json");
const UPSCALER: &str = include_str!("data/ltx-2.3-spatial-upscaler-x2.config.json");

fn read(checkpoint: &str, gemma: &str, upscaler: &str) -> Result<ModelConfig, Vec<String>> {
    let texts = ConfigTexts {
        name: "ltx-2.3-22b",
        checkpoint: Some(checkpoint),
        model_version: Some("2.3.0"),
        gemma: Some(gemma),
        upscaler: Some(upscaler),
    };
    read_config(&texts, &ltx_2_3_22b()).map_err(|error| error.problems)
}

#[test]
fn the_published_configs_are_the_built_in_model() {
    assert_eq!(read(CHECKPOINT, GEMMA, UPSCALER), Ok(ltx_2_3_22b()));
}

#[test]
fn a_byte_order_mark_is_read_over() {
    let [checkpoint, gemma, upscaler] = [CHECKPOINT, GEMMA, UPSCALER].map(|text| format!("\u{feff}{text}"));
    assert_eq!(read(&checkpoint, &gemma, &upscaler), Ok(ltx_2_3_22b()));
}

#[test]
fn what_differs_is_named_with_both_values() {
    let ours = ltx_2_3_22b();
    assert_eq!(differences(&ours, &ModelConfig { name: "another".to_string(), ..ours.clone() }), [""; 0]);
    let layers = demo().transformer.layers;
    let demo = differences(&demo(), &ours);
    let said = |line: String| assert!(demo.contains(&line), "{line}: {demo:#?}");
    said(format!("transformer.num_layers is {layers}, 48 wanted"));
    assert!(demo.iter().all(|line| line.contains(" is ") && line.ends_with(" wanted")), "{demo:#?}");
    // Every value of a text that is read: its line has the key's last word and both values.
    for (pointer, value) in [
        ("/transformer/positional_embedding_theta", json!(9000.0)),
        ("/transformer/connector_num_layers", json!(7)),
        ("/vae/decoder_blocks/0", json!(["res_x", 5])),
        ("/vae/decoder_blocks/1/1/multiplier", json!(4)),
        ("/vae/encoder_blocks/8", json!(["res_x", 5])),
        ("/vae/encoder_blocks/3/1/multiplier", json!(1)),
        ("/vae/encoder_base_channels", json!(256)),
        ("/audio_vae/model/params/ddconfig/num_res_blocks", json!(3)),
        ("/vocoder/bwe/apply_final_activation", json!(true)),
    ] {
        let mut config: Value = serde_json::from_str(CHECKPOINT).unwrap();
        *config.pointer_mut(pointer).unwrap() = value.clone();
        let lines = differences(&read(&config.to_string(), GEMMA, UPSCALER).unwrap(), &ours);
        let key = pointer.trim_start_matches('/').trim_end_matches("/1/multiplier").replace('/', ".");
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.contains(&key[..8])),
            "{pointer}: {lines:?}"
        );
    }
}

#[test]
fn configs_of_parts_are_joined() {
    let merged = |texts: &[(&str, &str)]| merge_configs(texts).map_err(|error| error.problems);
    assert_eq!(merged(&[]), Ok(None));
    assert_eq!(merged(&[("a", "{"), ("b", "{")]), Ok(Some("{".to_string())), "one text is left as it is");
    assert_eq!(
        merged(&[("a", r#"{"x":{"n":1}}"#), ("b", r#"{"y":2,"x":{"n":1}}"#)]),
        Ok(Some(r#"{"x":{"n":1},"y":2}"#.to_string()))
    );
    let differ = merged(&[("a", r#"{"x":{"n":1,"m":[2]}}"#), ("b", r#"{"x":{"n":3,"m":[2]}}"#), ("c", "[]")]);
    assert_eq!(
        differ,
        Err(vec![
            "x.n is 1 in a and 3 in b".to_string(),
            "the config of c is [], an object wanted".to_string()
        ])
    );
}

#[test]
fn components_without_a_section_are_the_fallbacks() {
    let mut config: Value = serde_json::from_str(CHECKPOINT).unwrap();
    let sections = config.as_object_mut().unwrap();
    sections.retain(|name, _| name == "vae");
    let texts = ConfigTexts { name: "demo", checkpoint: Some(&config.to_string()), ..ConfigTexts::default() };
    let found = read_config(&texts, &ModelConfig { upscaler: ltx_2_3_22b().upscaler, ..demo() }).unwrap();
    assert_eq!(found.video_vae, ltx_2_3_22b().video_vae);
    assert_eq!((found.transformer, found.vocoder), (demo().transformer, demo().vocoder));
}

#[test]
fn missing_texts_are_the_fallbacks() {
    let mut fallback = ltx_2_3_22b();
    fallback.gemma.layers = 3;
    fallback.transformer.layers = 5;
    let none = ConfigTexts { name: "split", ..ConfigTexts::default() };
    let read_none = read_config(&none, &fallback).unwrap();
    assert_eq!(read_none, ModelConfig { name: "split".to_string(), ..fallback.clone() });
    let some = ConfigTexts { checkpoint: Some(CHECKPOINT), ..none };
    let read_some = read_config(&some, &fallback).unwrap();
    assert_eq!((read_some.transformer.layers, read_some.gemma.layers), (48, 3));
}

#[test]
fn gemma_may_leave_out_its_defaults_or_group_them() {
    let vision = json!({
        "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_attention_heads": 16,
        "num_hidden_layers": 27, "patch_size": 14,
    });
    let stock = json!({ "model_type": "gemma3", "vision_config": vision, "text_config": {
        "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "sliding_window": 1024,
        "rope_scaling": { "factor": 8.0, "rope_type": "linear" },
    }});
    assert_eq!(read(CHECKPOINT, &stock.to_string(), UPSCALER), Ok(ltx_2_3_22b()));
    let kinds: Vec<&str> =
        (1..=48).map(|n| if n % 6 == 0 { "full_attention" } else { "sliding_attention" }).collect();
    let newer = json!({ "model_type": "gemma3", "vision_config": vision, "text_config": {
        "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "sliding_window": 1024,
        "layer_types": kinds,
        "rope_parameters": {
            "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0 },
            "sliding_attention": { "rope_type": "default", "rope_theta": 10000.0 },
        },
    }});
    assert_eq!(read(CHECKPOINT, &newer.to_string(), UPSCALER), Ok(ltx_2_3_22b()));
    let mut wrong = newer.clone();
    wrong["text_config"]["layer_types"][3] = json!("full_attention");
    let problems = read(CHECKPOINT, &wrong.to_string(), UPSCALER).unwrap_err();
    assert!(problems[0].contains("text_config.layer_types"), "{problems:?}");
}

/// A change of one value, and what has to be said of it.
type Broken = (&'static str, Value, &'static str);

fn check_broken(text: &str, cases: &[Broken], read: impl Fn(&str) -> Result<ModelConfig, Vec<String>>) {
    for (pointer, value, wanted) in cases {
        let mut config: Value = serde_json::from_str(text).unwrap();
        match config.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                config.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"))[key] = value.clone();
            }
        }
        let problems = read(&config.to_string()).err().unwrap_or_default().join("\n");
        assert!(problems.contains(wanted), "{pointer}: {problems}");
    }
}

#[test]
fn every_wrong_value_of_a_checkpoint_is_named() {
    let cases = [
        (
            "/transformer/qk_norm",
            json!("layer_norm"),
            r#"transformer.qk_norm is "layer_norm", "rms_norm" wanted"#,
        ),
        ("/transformer/dropout", json!(0.1), "transformer.dropout is 0.1, 0.0 wanted"),
        ("/transformer/num_vector_embeds", json!(8), "transformer.num_vector_embeds is 8, null wanted"),
        ("/transformer/rope_type", json!("interleaved"), "transformer.rope_type"),
        ("/transformer/frequencies_precision", Value::Null, "transformer.frequencies_precision is missing"),
        (
            "/transformer/num_layers",
            json!(0),
            "transformer.num_layers is 0, a whole number from 1 to 1000 wanted",
        ),
        ("/transformer/num_layers", json!(1e300), "transformer.num_layers"),
        ("/transformer/num_layers", json!("48"), r#"transformer.num_layers is "48""#),
        ("/transformer/num_attention_heads", json!(16), "transformer.audio_num_attention_heads is 32, 16"),
        (
            "/transformer/attention_head_dim",
            json!(127),
            "transformer.attention_head_dim is 127, an even size wanted",
        ),
        (
            "/transformer/attention_head_dim",
            json!(1000000),
            "is 32 x 1000000, a width from 12 to 1000000 wanted",
        ),
        ("/transformer/cross_attention_dim", json!(2048), "transformer.cross_attention_dim is 2048, 4096"),
        ("/transformer/out_channels", json!(64), "transformer.out_channels is 64, 128 (in_channels) wanted"),
        (
            "/transformer/in_channels",
            json!(64),
            "vae.latent_channels is 128, transformer.in_channels 64 wanted",
        ),
        ("/transformer/audio_out_channels", json!(64), "audio_vae: 8 channels of 16 bins make a token"),
        (
            "/transformer/audio_in_channels",
            json!(7),
            "transformer.audio_in_channels is 7, 128 (audio_out_channels)",
        ),
        ("/transformer/positional_embedding_max_pos", json!([20, 2048]), "a list of 3 numbers"),
        ("/transformer/audio_positional_embedding_max_pos", json!([0]), "a list of 1 numbers above 0"),
        ("/transformer/norm_eps", json!(-1e-6), "transformer.norm_eps is -1e-6, a number above 0"),
        ("/transformer/connector_num_attention_heads", json!(30), "connector width is 3840, 4096"),
        ("/transformer/connector_num_layers", Value::Null, "transformer.connector_num_layers is missing"),
        (
            "/transformer/audio_connector_num_layers",
            json!(-1),
            "transformer.audio_connector_num_layers is -1",
        ),
        (
            "/transformer/caption_projection_first_linear",
            json!(true),
            "transformer.caption_projection_first_linear",
        ),
        ("/transformer/use_prompt_adaln_single", json!(false), "transformer.use_prompt_adaln_single"),
        (
            "/transformer/cross_attention_adaln",
            json!(false),
            "transformer.cross_attention_adaln is false, true wanted",
        ),
        ("/transformer/ff_bias", json!(false), "LTX-2.5 (transformer.ff_bias is false), LTX-2.3 wanted"),
        ("/transformer/use_keyframes_abs_pos_embedding", json!(true), "LTX-2.5"),
        ("/transformer/audio_num_attention_heads", Value::Null, "LTX-Video, without audio"),
        ("/transformer", json!([]), "transformer is [], a section wanted"),
        ("/vae", json!(1), "vae is 1, a section wanted"),
        ("/vae/timestep_conditioning", json!(true), "vae.timestep_conditioning is true, false wanted"),
        ("/vae/spatial_padding_mode", json!("reflect"), "vae.spatial_padding_mode"),
        ("/vae/patch_size", json!(2), "enlarge 8 times in time and 16 in space, 8 and 32 wanted"),
        (
            "/vae/decoder_base_channels",
            json!(200_000),
            "decoder_base_channels times all multipliers is too much",
        ),
        ("/vae/decoder_blocks", json!([]), "vae.decoder_blocks is [], a list of 1 to 64 blocks wanted"),
        ("/vae/decoder_blocks/0", json!(["attn", {}]), r#"vae.decoder_blocks.0 is of the kind "attn""#),
        ("/vae/decoder_blocks/1", json!("res_x"), "a pair of a block's name and its options"),
        ("/vae/decoder_blocks/1/1/multiplier", json!(0), "vae.decoder_blocks.1.multiplier is 0"),
        (
            "/vae/decoder_blocks/3/1/residual",
            json!(true),
            "vae.decoder_blocks.3.residual is true, false wanted",
        ),
        ("/vae/decoder_blocks/4/1/num_layers", Value::Null, "vae.decoder_blocks.4.num_layers is missing"),
        ("/vae/encoder_base_channels", Value::Null, "vae.encoder_base_channels is missing"),
        (
            "/vae/encoder_blocks",
            Value::Null,
            "vae.encoder_blocks is missing, a list of 1 to 64 blocks wanted",
        ),
        (
            "/vae/encoder_blocks/1/0",
            json!("compress_space"),
            r#"vae.encoder_blocks.1 is of the kind "compress_space""#,
        ),
        (
            "/vae/encoder_blocks/5/1/multiplier",
            json!(3),
            "vae.encoder_blocks.5 makes 1536 channels of 512 times 8",
        ),
        ("/vae/encoder_blocks/1/1/multiplier", json!(1_000), "vae.encoder_blocks.1 makes"),
        (
            "/vae/encoder_blocks/3",
            json!(["res_x", 1]),
            "shrink 4 times in time and 32 in space, 8 and 32 wanted",
        ),
        ("/audio_vae/model/params/sampling_rate", json!(44100), "sampling_rate is 44100, 16000 wanted"),
        ("/audio_vae/model/params/ddconfig/ch_mult", json!([1, 2]), "has 2 levels, 3 wanted"),
        ("/audio_vae/model/params/ddconfig/ch_mult", json!([1, "x", 4]), "ddconfig.ch_mult is [1,\"x\",4]"),
        ("/audio_vae/model/params/ddconfig/mel_bins", json!(66), "mel_bins is 66, a multiple of 4 wanted"),
        ("/audio_vae/model/params/ddconfig/norm_type", json!("group"), "ddconfig.norm_type"),
        ("/audio_vae/model/params", Value::Null, "audio_vae.model.params is missing"),
        (
            "/audio_vae/preprocessing/stft/hop_length",
            json!(256),
            "audio_vae.preprocessing.stft.hop_length is 256",
        ),
        ("/vocoder/bwe", Value::Null, "vocoder.bwe is missing"),
        (
            "/vocoder/vocoder/upsample_initial_channel",
            json!(96),
            "vocoder.vocoder.upsample_initial_channel is 96",
        ),
        ("/vocoder/vocoder/upsample_rates", json!([5, 2, 2, 2, 2, 4]), "with the product 160 wanted"),
        ("/vocoder/vocoder/upsample_kernel_sizes", json!([11, 4, 4, 4, 4]), "has 5 entries, 6 wanted"),
        ("/vocoder/vocoder/upsample_kernel_sizes", json!([10, 4, 4, 4, 4, 4]), "10 does not fit the rate 5"),
        ("/vocoder/vocoder/resblock", json!("1"), "vocoder.vocoder.resblock is \"1\", \"AMP1\" wanted"),
        ("/vocoder/vocoder/resblock_dilation_sizes", json!([[1, 3, 5]]), "has 1 entries, 3 wanted"),
        ("/vocoder/vocoder/resblock_dilation_sizes", json!([[1], [], [1]]), "a list of lists of"),
        ("/vocoder/vocoder/resblock_kernel_sizes", json!([3, 7, 10]), "odd sizes wanted"),
        ("/vocoder/bwe/hop_length", json!(100), "with the product 300 wanted"),
        ("/vocoder/bwe/n_fft", json!(64), "vocoder.bwe.win_size is not n_fft, 64 wanted"),
        ("/vocoder/bwe/num_mels", json!(80), "vocoder.bwe.num_mels is 80, audio_vae's mel_bins 64 wanted"),
        ("/vocoder/bwe/output_sampling_rate", json!(44100), "44100, 48000 wanted"),
        ("/vocoder/bwe/apply_final_activation", json!("no"), "true or false wanted"),
    ];
    check_broken(CHECKPOINT, &cases, |text| read(text, GEMMA, UPSCALER));
}

/// Most plans read prompts alone: what is wrong with the vision tower is kept for those who show it images.
#[test]
fn a_vision_tower_that_is_none_is_no_matter_until_it_is_wanted() {
    let cases = [
        ("/vision_config", Value::Null, "vision_config is missing"),
        (
            "/vision_config/hidden_size",
            json!(1150),
            "hidden_size is 1150, a multiple of num_attention_heads (16)",
        ),
        ("/vision_config/patch_size", json!(15), "image_size is 896, a multiple of patch_size (15) wanted"),
        ("/vision_config/image_size", json!(100_000), "image_size is 100000, at most 8192 wanted"),
        ("/vision_config/hidden_act", json!("relu"), "vision_config.hidden_act is \"relu\""),
        (
            "/mm_tokens_per_image",
            json!(255),
            "is 255, the square of a divisor of 64 (patches in a row) wanted",
        ),
        ("/mm_tokens_per_image", json!(9), "is 9, the square of a divisor of 64"),
    ];
    let published = ltx_2_3_22b();
    for (at, value, said) in cases {
        let mut config: Value = serde_json::from_str(GEMMA).unwrap();
        match config.pointer_mut(at) {
            Some(place) => *place = value,
            None => config[&at[1..]] = value,
        }
        let model = read(CHECKPOINT, &config.to_string(), UPSCALER).unwrap();
        let why = model.gemma.vision.as_ref().unwrap_err();
        assert!(why.starts_with("Gemma's config.json: ") && why.contains(said), "{why}");
        assert_eq!(differences(&model, &published), std::slice::from_ref(why));
    }
}

#[test]
fn every_wrong_value_of_gemma_and_the_upscaler_is_named() {
    let cases = [
        (
            "/model_type",
            json!("gemma4"),
            r#"model_type is "gemma4", "gemma3" (use the folder of google/gemma-3-12b"#,
        ),
        ("/text_config", Value::Null, "Gemma's config.json: text_config is missing"),
        ("/text_config/hidden_size", json!(0), "text_config.hidden_size is 0"),
        ("/text_config/num_key_value_heads", json!(5), "a multiple of num_key_value_heads (5) wanted"),
        ("/text_config/head_dim", json!(255), "text_config.head_dim is 255, an even size wanted"),
        ("/text_config/head_dim", json!(1_000_000), "x head_dim is too much"),
        (
            "/text_config/attn_logit_softcapping",
            json!(50.0),
            "text_config.attn_logit_softcapping is 50.0, null wanted",
        ),
        ("/text_config/hidden_activation", json!("silu"), "text_config.hidden_activation"),
        (
            "/text_config/rope_scaling",
            json!({ "rope_type": "yarn", "factor": 8 }),
            "rope_scaling.rope_type is \"yarn\"",
        ),
        ("/text_config/rope_scaling", json!({ "rope_type": "linear" }), "rope_scaling.factor is missing"),
        ("/text_config/rope_theta", json!(0), "text_config.rope_theta is 0, a number above 0"),
        ("/text_config/sliding_window", Value::Null, "text_config.sliding_window is missing"),
    ];
    check_broken(GEMMA, &cases, |text| read(CHECKPOINT, text, UPSCALER));
    let cases = [
        ("/spatial_scale", json!(1.5), "upscaler: rational_resampler is false, true wanted"),
        ("/spatial_scale", json!(4.0), "upscaler: spatial_scale is 4.0, 2.0 or 1.5 wanted"),
        ("/temporal_upsample", json!(true), "upscaler: spatial_upsample is true, false wanted"),
        ("/_class_name", json!("AVTransformer3DModel"), "upscaler: _class_name"),
        ("/rational_resampler", json!(true), "upscaler: rational_resampler is true, false wanted"),
        ("/mid_channels", json!(40), "upscaler: mid_channels is 40, a multiple of 32 wanted"),
        ("/in_channels", json!(64), "upscaler: in_channels is 64, the checkpoint's 128 wanted"),
    ];
    check_broken(UPSCALER, &cases, |text| read(CHECKPOINT, GEMMA, text));
}

#[test]
fn upscalers_of_all_kinds_are_told_apart() {
    let with = |changes: &[(&str, Value)]| {
        let mut config: Value = serde_json::from_str(UPSCALER).unwrap();
        changes.iter().for_each(|(key, value)| config[*key] = value.clone());
        read(CHECKPOINT, GEMMA, &config.to_string()).unwrap().upscaler.enlarges
    };
    assert_eq!(with(&[]), Enlarges::SpaceX2);
    let larger = [("spatial_scale", json!(1.5)), ("rational_resampler", json!(true))];
    assert_eq!(with(&larger), Enlarges::SpaceX1_5);
    let longer = [
        ("temporal_upsample", json!(true)),
        ("spatial_upsample", json!(false)),
        ("spatial_scale", json!(1.0)),
        ("rational_resampler", json!(true)),
    ];
    assert_eq!(with(&longer), Enlarges::TimeX2);
}

#[test]
fn all_problems_come_at_once() {
    let checkpoint =
        CHECKPOINT.replace("rms_norm", "layer_norm").replace("\"patch_size\": 4", "\"patch_size\": []");
    let texts = ConfigTexts {
        model_version: Some("2.5.0"),
        checkpoint: Some(&checkpoint),
        gemma: Some("{"),
        ..ConfigTexts::default()
    };
    let problems = read_config(&texts, &ltx_2_3_22b()).unwrap_err().problems;
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[test]
fn another_generation_is_one_problem() {
    let mut config: Value = serde_json::from_str(CHECKPOINT).unwrap();
    let transformer = config["transformer"].as_object_mut().unwrap();
    for key in ["cross_attention_adaln", "apply_gated_attention", "caption_proj_before_connector"] {
        transformer.remove(key);
    }
    let problems = read(&config.to_string(), GEMMA, UPSCALER).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("this checkpoint is LTX-2.0"), "{problems:?}");
}
