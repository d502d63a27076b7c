//! The tensors of a model, as the documents list them (docs/model: transformer.md, text.md, video-vae.md 7,
//! audio.md 5, 6 and 10, upsampler.md 4); without the audio encoder, which nothing uses.

use zoetrope::model_files::Wanted;
use zoetrope_model_spec::ltx::config::{Connector, DecoderBlock, EncoderBlock, Generator, ModelConfig};
use zoetrope_runtime::plan::Source;

struct List(Source, Vec<Wanted>);

impl List {
    fn add(&mut self, name: String, shape: &[usize]) {
        self.1.push(Wanted { source: self.0, tensor: name, shape: shape.to_vec(), kept: None });
    }

    fn biased(&mut self, name: &str, shape: &[usize]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    /// Query and output width, context width, inner width, heads.
    fn attention(&mut self, name: &str, [wide, context, inner, heads]: [usize; 4]) {
        self.biased(&format!("{name}.to_q"), &[inner, wide]);
        self.biased(&format!("{name}.to_k"), &[inner, context]);
        self.biased(&format!("{name}.to_v"), &[inner, context]);
        self.biased(&format!("{name}.to_out.0"), &[wide, inner]);
        self.biased(&format!("{name}.to_gate_logits"), &[heads, wide]);
        self.add(format!("{name}.q_norm.weight"), &[inner]);
        self.add(format!("{name}.k_norm.weight"), &[inner]);
    }

    fn feed_forward(&mut self, name: &str, width: usize) {
        self.biased(&format!("{name}.net.0.proj"), &[4 * width, width]);
        self.biased(&format!("{name}.net.2"), &[width, 4 * width]);
    }
}

pub fn tensors(config: &ModelConfig) -> Vec<Wanted> {
    let mut list = List(Source::Checkpoint, Vec::new());
    transformer(&mut list, config);
    connector(&mut list, "video", &config.video_connector);
    connector(&mut list, "audio", &config.audio_connector);
    let features = config.gemma.hidden * (config.gemma.layers + 1);
    for (name, heads) in [("video", config.video_connector.heads), ("audio", config.audio_connector.heads)] {
        list.biased(&format!("text_embedding_projection.{name}_aggregate_embed"), &[heads.width(), features]);
    }
    video_decoder(&mut list, config);
    video_encoder(&mut list, config);
    audio_decoder(&mut list, config);
    vocoder(&mut list, config);
    list.0 = Source::TextEncoder;
    gemma(&mut list, config);
    list.0 = Source::SpatialUpscaler;
    upscaler(&mut list, config);
    list.1
}

fn transformer(list: &mut List, config: &ModelConfig) {
    let model = &config.transformer;
    let (d, a, heads) = (model.video.width(), model.audio.width(), model.video.heads);
    let top = |name: &str| format!("model.diffusion_model.{name}");
    for (prefix, width, channels) in [("", d, model.video_channels), ("audio_", a, model.audio_channels)] {
        list.biased(&top(&format!("{prefix}patchify_proj")), &[width, channels]);
        list.biased(&top(&format!("{prefix}proj_out")), &[channels, width]);
        list.add(top(&format!("{prefix}scale_shift_table")), &[2, width]);
    }
    let modules = [
        ("adaln_single", d, 9),
        ("audio_adaln_single", a, 9),
        ("prompt_adaln_single", d, 2),
        ("audio_prompt_adaln_single", a, 2),
        ("av_ca_video_scale_shift_adaln_single", d, 4),
        ("av_ca_audio_scale_shift_adaln_single", a, 4),
        ("av_ca_a2v_gate_adaln_single", d, 1),
        ("av_ca_v2a_gate_adaln_single", a, 1),
    ];
    for (name, width, rows) in modules {
        list.biased(&top(&format!("{name}.emb.timestep_embedder.linear_1")), &[width, 256]);
        list.biased(&top(&format!("{name}.emb.timestep_embedder.linear_2")), &[width, width]);
        list.biased(&top(&format!("{name}.linear")), &[rows * width, width]);
    }
    for block in 0..model.layers {
        let at = |name: &str| top(&format!("transformer_blocks.{block}.{name}"));
        for (prefix, width) in [("", d), ("audio_", a)] {
            list.attention(&at(&format!("{prefix}attn1")), [width, width, width, heads]);
            list.attention(&at(&format!("{prefix}attn2")), [width, width, width, heads]);
            list.feed_forward(&at(&format!("{prefix}ff")), width);
            list.add(at(&format!("{prefix}scale_shift_table")), &[9, width]);
            list.add(at(&format!("{prefix}prompt_scale_shift_table")), &[2, width]);
        }
        list.attention(&at("audio_to_video_attn"), [d, a, a, heads]);
        list.attention(&at("video_to_audio_attn"), [a, d, a, heads]);
        list.add(at("scale_shift_table_a2v_ca_video"), &[5, d]);
        list.add(at("scale_shift_table_a2v_ca_audio"), &[5, a]);
    }
}

fn connector(list: &mut List, stream: &str, connector: &Connector) {
    let top = format!("model.diffusion_model.{stream}_embeddings_connector");
    let (width, heads) = (connector.heads.width(), connector.heads.heads);
    list.add(format!("{top}.learnable_registers"), &[connector.registers, width]);
    for block in 0..connector.layers {
        let at = format!("{top}.transformer_1d_blocks.{block}");
        list.attention(&format!("{at}.attn1"), [width, width, width, heads]);
        list.feed_forward(&format!("{at}.ff"), width);
    }
}

fn video_decoder(list: &mut List, config: &ModelConfig) {
    let vae = &config.video_vae;
    for name in ["mean-of-means", "std-of-means"] {
        list.add(format!("vae.per_channel_statistics.{name}"), &[vae.latent_channels]);
    }
    let mut width = vae.base_channels;
    for block in &vae.blocks {
        if let DecoderBlock::Up { multiplier, .. } = block {
            width *= multiplier;
        }
    }
    list.biased("vae.decoder.conv_in.conv", &[width, vae.latent_channels, 3, 3, 3]);
    for (i, block) in vae.blocks.iter().enumerate() {
        let at = format!("vae.decoder.up_blocks.{i}");
        match *block {
            DecoderBlock::Res { layers } => {
                for layer in 0..layers {
                    for conv in ["conv1", "conv2"] {
                        list.biased(
                            &format!("{at}.res_blocks.{layer}.{conv}.conv"),
                            &[width, width, 3, 3, 3],
                        );
                    }
                }
            }
            DecoderBlock::Up { time, space, multiplier } => {
                list.biased(
                    &format!("{at}.conv.conv"),
                    &[time * space * space * width / multiplier, width, 3, 3, 3],
                );
                width /= multiplier;
            }
        }
    }
    let out = vae.out_channels * vae.patch * vae.patch;
    list.biased("vae.decoder.conv_out.conv", &[out, width, 3, 3, 3]);
}

fn video_encoder(list: &mut List, config: &ModelConfig) {
    let vae = &config.video_vae;
    let mut width = vae.encoder.base_channels;
    list.biased("vae.encoder.conv_in.conv", &[width, 3 * vae.patch * vae.patch, 3, 3, 3]);
    for (i, block) in vae.encoder.blocks.iter().enumerate() {
        let at = format!("vae.encoder.down_blocks.{i}");
        match *block {
            EncoderBlock::Res { layers } => {
                for (layer, conv) in (0..layers).flat_map(|l| ["conv1", "conv2"].map(|conv| (l, conv))) {
                    list.biased(&format!("{at}.res_blocks.{layer}.{conv}.conv"), &[width, width, 3, 3, 3]);
                }
            }
            EncoderBlock::Down { time, space, multiplier } => {
                let out = width * multiplier / (time * space * space);
                list.biased(&format!("{at}.conv.conv"), &[out, width, 3, 3, 3]);
                width *= multiplier;
            }
        }
    }
    list.biased("vae.encoder.conv_out.conv", &[vae.latent_channels + 1, width, 3, 3, 3]);
}

fn audio_decoder(list: &mut List, config: &ModelConfig) {
    let vae = &config.audio_vae;
    for name in ["mean-of-means", "std-of-means"] {
        list.add(format!("audio_vae.per_channel_statistics.{name}"), &[vae.z_channels * vae.latent_bins]);
    }
    let top = "audio_vae.decoder";
    let levels = vae.multipliers.len();
    let mut width = vae.channels * vae.multipliers[levels - 1];
    list.biased(&format!("{top}.conv_in.conv"), &[width, vae.z_channels, 3, 3]);
    for block in ["block_1", "block_2"] {
        for conv in ["conv1", "conv2"] {
            list.biased(&format!("{top}.mid.{block}.{conv}.conv"), &[width, width, 3, 3]);
        }
    }
    for level in (0..levels).rev() {
        let out = vae.channels * vae.multipliers[level];
        for block in 0..=vae.res_blocks {
            let at = format!("{top}.up.{level}.block.{block}");
            list.biased(&format!("{at}.conv1.conv"), &[out, width, 3, 3]);
            list.biased(&format!("{at}.conv2.conv"), &[out, out, 3, 3]);
            if width != out {
                list.biased(&format!("{at}.nin_shortcut.conv"), &[out, width, 1, 1]);
            }
            width = out;
        }
        if level > 0 {
            list.biased(&format!("{top}.up.{level}.upsample.conv.conv"), &[width, width, 3, 3]);
        }
    }
    list.biased(&format!("{top}.conv_out.conv"), &[vae.out_channels, width, 3, 3]);
}

fn vocoder(list: &mut List, config: &ModelConfig) {
    let vocoder = &config.vocoder;
    generator(list, "vocoder.vocoder", &vocoder.base, 2 * vocoder.mel_bins);
    generator(list, "vocoder.bwe_generator", &vocoder.bwe, 2 * vocoder.mel_bins);
    let bins = vocoder.n_fft / 2 + 1;
    list.add("vocoder.mel_stft.mel_basis".to_string(), &[vocoder.mel_bins, bins]);
    list.add("vocoder.mel_stft.stft_fn.forward_basis".to_string(), &[2 * bins, 1, vocoder.n_fft]);
}

fn activation(list: &mut List, at: &str, width: usize) {
    list.add(format!("{at}.act.alpha"), &[width]);
    list.add(format!("{at}.act.beta"), &[width]);
    list.add(format!("{at}.upsample.filter"), &[1, 1, 12]);
    list.add(format!("{at}.downsample.lowpass.filter"), &[1, 1, 12]);
}

fn generator(list: &mut List, top: &str, generator: &Generator, inputs: usize) {
    let mut width = generator.initial_channels;
    list.biased(&format!("{top}.conv_pre"), &[width, inputs, 7]);
    for (number, kernel) in generator.upsample_kernels.iter().enumerate() {
        list.add(format!("{top}.ups.{number}.weight"), &[width, width / 2, *kernel]);
        width /= 2;
        list.add(format!("{top}.ups.{number}.bias"), &[width]);
        let blocks = generator.resblock_kernels.len();
        for (i, kernel) in generator.resblock_kernels.iter().enumerate() {
            let at = format!("{top}.resblocks.{}", blocks * number + i);
            for j in 0..generator.resblock_dilations[i].len() {
                for number in [1, 2] {
                    list.biased(&format!("{at}.convs{number}.{j}"), &[width, width, *kernel]);
                    activation(list, &format!("{at}.acts{number}.{j}"), width);
                }
            }
        }
    }
    activation(list, &format!("{top}.act_post"), width);
    list.add(format!("{top}.conv_post.weight"), &[2, width, 7]);
}

fn gemma(list: &mut List, config: &ModelConfig) {
    let gemma = &config.gemma;
    let (width, dim) = (gemma.hidden, gemma.heads.head_dim);
    let top = |name: &str| format!("language_model.model.{name}.weight");
    list.add(top("embed_tokens"), &[gemma.vocab, width]);
    list.add(top("norm"), &[width]);
    for layer in 0..gemma.layers {
        let at = |name: &str| top(&format!("layers.{layer}.{name}"));
        for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            list.add(at(&format!("{norm}_layernorm")), &[width]);
        }
        list.add(at("self_attn.q_proj"), &[gemma.heads.width(), width]);
        list.add(at("self_attn.k_proj"), &[gemma.kv_heads * dim, width]);
        list.add(at("self_attn.v_proj"), &[gemma.kv_heads * dim, width]);
        list.add(at("self_attn.o_proj"), &[width, gemma.heads.width()]);
        list.add(at("self_attn.q_norm"), &[dim]);
        list.add(at("self_attn.k_norm"), &[dim]);
        list.add(at("mlp.gate_proj"), &[gemma.intermediate, width]);
        list.add(at("mlp.up_proj"), &[gemma.intermediate, width]);
        list.add(at("mlp.down_proj"), &[width, gemma.intermediate]);
    }
}

fn upscaler(list: &mut List, config: &ModelConfig) {
    let (channels, mid) = (config.upscaler.channels, config.upscaler.mid_channels);
    list.biased("initial_conv", &[mid, channels, 3, 3, 3]);
    list.biased("initial_norm", &[mid]);
    list.biased("upsampler.0", &[4 * mid, mid, 3, 3]);
    list.biased("final_conv", &[channels, mid, 3, 3, 3]);
    for blocks in ["res_blocks", "post_upsample_res_blocks"] {
        for block in 0..config.upscaler.blocks_per_stage {
            for number in [1, 2] {
                list.biased(&format!("{blocks}.{block}.conv{number}"), &[mid, mid, 3, 3, 3]);
                list.biased(&format!("{blocks}.{block}.norm{number}"), &[mid]);
            }
        }
    }
}
