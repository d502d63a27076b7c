//! The operations of the plans are those of the formulas in docs/model: written here from the documents, not from the
//! spec. They count products and convolutions; a plan counts the elementwise rest too, which is below the tolerance.

use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, compile_target};
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::{Model, PRESETS, Target};
use zoetrope_runtime::plan::{Item, Plan, Repeat};

/// Latent frames, rows and columns.
type Latent = [u64; 3];

fn latent(width: usize, height: usize, frames: usize) -> Latent {
    [(frames as u64 - 1) / 8 + 1, height as u64 / 32, width as u64 / 32]
}

/// One run of the transformer (docs/model/sizes.md 2).
fn transformer(latent: Latent, audio: u64) -> u64 {
    let (n, a, l) = (latent.iter().product::<u64>(), audio, 1024);
    let (wide, narrow) = (4096, 2048);
    let linear = 537_657_344 * n + 151_388_160 * a + 83_886_080 * l;
    let attention = wide * n * n + wide * n * l + narrow * a * a + narrow * a * l + 2 * narrow * n * a;
    48 * linear + 48 * 4 * attention + 2 * 2 * 128 * (wide * n + narrow * a)
}

/// The whole decode of a video (docs/model/video-vae.md 8).
fn decode([t, h, w]: Latent) -> u64 {
    let convolutions = [
        (t * h * w, 8_519_680),
        ((2 * t - 1) * 2 * h * 2 * w, 3_145_728),
        ((4 * t - 3) * 4 * h * 4 * w, 2_359_296),
        ((8 * t - 7) * 4 * h * 4 * w, 917_504),
        ((8 * t - 7) * 8 * h * 8 * w, 137_216),
    ];
    convolutions.iter().map(|(positions, products)| 2 * 27 * positions * products).sum()
}

/// The whole encoding of pictures (docs/model/video-vae.md 8), but for the variance's channel, which is not computed.
fn encode([t, h, w]: Latent) -> u64 {
    let (frames, down, across) = (8 * t - 7, 8 * h, 8 * w);
    let stages = [
        frames * down * across * 145_408,
        (down / 2) * (across / 2) * (frames * 786_432 + (frames + 1) * 65_536),
        (down / 2) * (across / 2) * ((4 * t - 3) * 2_097_152 + (4 * t - 2) * 65_536),
        (down / 4) * (across / 4) * ((2 * t - 1) * 4_194_304 + 2 * t * 131_072),
        t * h * w * (4_326_400 - 1024),
    ];
    2 * 27 * stages.iter().sum::<u64>()
}

/// The spatial upscaler, from the latent of the first stage (docs/model/upsampler.md 5).
fn upscale([t, h, w]: Latent) -> u64 {
    let (p, m) = (t * h * w, 1024);
    2 * 27 * p * (128 * m + 8 * m * m) + 2 * 9 * p * m * 4096 + 2 * 27 * 4 * p * (8 * m * m + m * 128)
}

/// Operations of a phase's segments of one kind, each segment once.
fn counted(plan: &Plan, phase: &str, repeat: Repeat) -> u64 {
    let item = |item: &Item| match item {
        Item::Launch(launch) => launch.flops(),
        Item::Loop(l) => u64::from(l.count) * l.body.iter().map(|launch| launch.flops()).sum::<u64>(),
    };
    let segments = plan.phase(phase).expect(phase).segments.iter().filter(|s| s.repeat == repeat);
    segments.flat_map(|s| s.items.iter()).map(item).sum()
}

#[test]
fn plans_count_what_the_documents_say() {
    for (name, preset) in PRESETS.iter().filter(|(_, p)| p.model == Model::Ltx23 && p.recipe == "distilled") {
        let plan = compile_target(&Target::preset(name).unwrap(), "".as_ref()).unwrap();
        let full = latent(preset.width, preset.height, preset.frames);
        let half = latent(preset.width / 2, preset.height / 2, preset.frames);
        let audio = (preset.frames as f64 / 24.0 * 25.0).round() as u64;
        let rows = [
            ("denoise-1", Repeat::Steps, transformer(half, audio)),
            ("denoise-2", Repeat::Steps, transformer(full, audio)),
            ("upscale", Repeat::Once, upscale(half)),
            ("video-decode", Repeat::Once, decode(full)),
        ];
        for (phase, repeat, formula) in rows {
            let counted = counted(&plan, phase, repeat);
            let ratio = counted as f64 / formula as f64;
            println!("{name:<18} {phase:<12} counted {counted:>20} formula {formula:>20} ratio {ratio:.5}");
            assert!((ratio - 1.0).abs() < 0.005, "{name} {phase}: {counted}, by the formula {formula}");
        }
    }
}

#[test]
fn encoding_counts_what_the_documents_say() {
    for (width, height, frames) in [(1920, 1088, 241), (960, 544, 1)] {
        let size = Size { width, height, frames, fps: 24.0, stride: 1 };
        let target = Target { size, ..Target::preset("res-1080p").unwrap() };
        let phase = Scope::Phase("video-encode");
        let plan = compile_levels(&target, &ltx_2_3_22b(), phase, &[], Options::default()).unwrap().plan;
        let (counted, formula) =
            (counted(&plan, "video-encode", Repeat::Once), encode(latent(width, height, frames)));
        let ratio = counted as f64 / formula as f64;
        println!("{width}x{height}x{frames} counted {counted:>20} formula {formula:>20} ratio {ratio:.5}");
        assert!((ratio - 1.0).abs() < 0.005, "{counted}, by the formula {formula}");
    }
}

/// The formulas, against the rounded tables of the same documents (docs/model/sizes.md 2, 5, 6), in units of 10^12.
#[test]
fn the_formulas_give_the_documents_tables() {
    let (full, half) = (latent(1920, 1088, 241), latent(960, 544, 241));
    let rows = [
        (transformer(half, 251), 626.5),
        (transformer(full, 251), 4846.7),
        (decode(full), 1239.7),
        (encode(latent(960, 544, 1)), 2.25),
        (upscale(half), 37.6),
    ];
    for (formula, table) in rows {
        let ratio = formula as f64 / 1e12 / table;
        assert!((ratio - 1.0).abs() < 0.002, "{formula}, in the table {table}");
    }
}
