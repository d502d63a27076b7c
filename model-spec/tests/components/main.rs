//! Every component of the model, recorded: the weights it names are the tensors of the published files, and its results
//! have the documented shapes also at sizes without a common factor.

mod inventory;
mod names;
mod odd;
mod shapes;
mod solver;

use zoetrope_model_spec::lang::{Builder, Dtype, Graph, Source, Value};
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::pass_input::PerStream;
use zoetrope_model_spec::ltx::{
    audio_encoder, audio_vae, connector, text_encoder, upscaler, video_encoder, video_vae, vision_encoder,
    vocoder,
};

/// A bf16 phase whose results are `out.0`, `out.1`, ..
fn record(component: impl FnOnce(&Builder) -> Vec<Value>) -> Graph {
    let b = Builder::new("component", Dtype::Bf16);
    for (i, value) in component(&b).into_iter().enumerate() {
        b.output(&format!("out.{i}"), value);
    }
    b.finish().expect("the component records")
}

fn text_encoder_of(cfg: &ModelConfig, tokens: usize) -> Graph {
    record(|b| {
        let ids = b.input("input_ids", Dtype::I32, &[tokens]);
        let mask = b.input("attention_mask", Dtype::I32, &[tokens]);
        vec![text_encoder::text_encoder(b, &cfg.gemma, ids, mask)]
    })
}

/// A turn in which it takes a token behind others.
fn text_writer_of(cfg: &ModelConfig, rows: usize) -> Graph {
    record(|b| {
        let shape = [cfg.gemma.layers, rows, text_encoder::Cache::width(&cfg.gemma)];
        let [keys, values] = ["keys", "values"].map(|name| b.input(name, Dtype::Bf16, &shape));
        let [token, place] = ["token", "place"].map(|name| b.input(name, Dtype::I32, &[1]));
        let cache = text_encoder::Cache { keys, values };
        let (cache, logits) = text_encoder::write(b, &cfg.gemma, cache, token, place);
        vec![cache.keys, cache.values, logits]
    })
}

fn vision_encoder_of(cfg: &ModelConfig) -> Graph {
    record(|b| {
        let vision = cfg.gemma.vision.as_ref().expect("it has a vision tower");
        let image = b.input("image", Dtype::Bf16, &vision_encoder::image_shape(vision));
        vec![vision_encoder::see(b, &cfg.gemma, vision, image)]
    })
}

/// Features of both streams, then contexts of both.
fn connectors_of(cfg: &ModelConfig, tokens: usize) -> Graph {
    record(|b| {
        let hidden = b.input("hidden", Dtype::Bf16, &[cfg.gemma.layers + 1, tokens, cfg.gemma.hidden]);
        let mask = b.input("attention_mask", Dtype::I32, &[tokens]);
        let streams = PerStream { video: Some(&cfg.video_connector), audio: Some(&cfg.audio_connector) };
        let features = connector::features(b, streams, hidden, mask);
        let contexts = connector::connect(b, streams, features, mask);
        features.present().chain(contexts.present()).collect()
    })
}

fn video_decoder_of(cfg: &ModelConfig, [t, h, w]: [usize; 3]) -> Graph {
    record(|b| {
        let z = b.input("z", Dtype::F32, &[t, h, w, cfg.video_vae.latent_channels]);
        vec![video_vae::decode(b, &cfg.video_vae, z)]
    })
}

fn video_encoder_of(cfg: &ModelConfig, [t, h, w]: [usize; 3]) -> Graph {
    record(|b| {
        let video = b.input("video", Dtype::Bf16, &[3, t, h, w]);
        vec![video_encoder::encode(b, &cfg.video_vae, video)]
    })
}

fn audio_encoder_of(cfg: &ModelConfig, [time, bins]: [usize; 2]) -> Graph {
    record(|b| {
        let mel = b.input("mel", Dtype::Bf16, &[time, bins, cfg.audio_vae.out_channels]);
        vec![audio_encoder::encode(b, &cfg.audio_vae, mel)]
    })
}

fn upscaler_of(cfg: &ModelConfig, [t, h, w]: [usize; 3]) -> Graph {
    record(|b| {
        let z = b.input("z", Dtype::F32, &[t, h, w, cfg.upscaler.channels]);
        vec![upscaler::upscale(b, &cfg.upscaler, z)]
    })
}

fn audio_decoder_of(cfg: &ModelConfig, tokens: usize) -> Graph {
    record(|b| {
        let width = cfg.audio_vae.z_channels * cfg.audio_vae.latent_bins;
        let z = b.input("z", Dtype::F32, &[tokens, width]);
        vec![audio_vae::decode(b, &cfg.audio_vae, z)]
    })
}

fn vocoder_of(cfg: &ModelConfig, frames: usize) -> Graph {
    record(|b| {
        let mel = b.input("mel", Dtype::Bf16, &[frames, cfg.vocoder.mel_bins, 2]);
        vec![vocoder::vocode(b, &cfg.vocoder, mel)]
    })
}

/// The weights of `graph` that come from `source`.
fn tensors_of(graph: &Graph, source: Source) -> inventory::Tensors {
    inventory::weights(graph).remove(&source).unwrap_or_default()
}
