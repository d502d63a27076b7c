//! Which values a tensor has, by its name.
//!
//! Random weights keep a signal's size when they are divided by the square root of the inputs that they sum. The
//! exceptions below are what makes the model behave: gates that let something through, norms near one, outputs in
//! the range of frames and audio.

use zoetrope_runtime::plan::Source;

use super::random::Stream;
use super::tables;

/// How the values of one tensor are made.
enum Rule {
    Constant(f64),
    /// Mean and deviation.
    Random(f64, f64),
    /// Random with this gain, divided by the square root of the summed inputs.
    Weight(f64),
    /// A convolution that blurs, with this gain; so many outputs in a row, which become neighbouring pixels, are
    /// nearly the same.
    Blur(f64, usize),
    Table(Vec<f64>),
}

/// The values of a tensor, row-major; `None` for a kind that is not known.
pub fn values(source: Source, name: &str, shape: &[usize]) -> Option<Vec<f64>> {
    let elements = shape.iter().product();
    // Not the source's display name: a better word for it must not change the model.
    let file = match source {
        Source::Checkpoint => "checkpoint",
        Source::TextEncoder => "text-encoder",
        Source::SpatialUpscaler => "spatial-upscaler",
        Source::SpatialUpscalerX1_5 => "spatial-upscaler-x1.5",
        Source::TemporalUpscaler => "temporal-upscaler",
        // Adapters are made elsewhere.
        Source::Adapter(_) | Source::Merged(_) => return None,
    };
    let mut stream = Stream::named(&format!("{file}/{name}"));
    let (mean, deviation) = match rule(source, name, shape)? {
        Rule::Constant(value) => (value, 0.0),
        Rule::Random(mean, deviation) => (mean, deviation),
        Rule::Weight(gain) => (0.0, gain / (inputs(name, shape) as f64).sqrt()),
        Rule::Table(values) => return (values.len() == elements).then_some(values),
        Rule::Blur(gain, group) => return blur(&mut stream, shape, gain, group),
    };
    Some((0..elements).map(|_| mean + deviation * stream.next()).collect())
}

/// A 3 x 3 x 3 convolution that mixes channels at random and blurs, with a tenth of plain noise for texture.
fn blur(stream: &mut Stream, shape: &[usize], gain: f64, group: usize) -> Option<Vec<f64>> {
    const TAPS: [f64; 3] = [0.25, 0.5, 0.25];
    let &[outputs, inputs, 3, 3, 3] = shape else { return None };
    let size = gain / (inputs as f64).sqrt();
    let noise = 0.1 * size / 27f64.sqrt();
    let mixed: Vec<f64> = (0..outputs.div_ceil(group) * inputs).map(|_| size * stream.next()).collect();
    let mut values = Vec::with_capacity(outputs * inputs * 27);
    for output in 0..outputs {
        for input in 0..inputs {
            let mix = mixed[output / group * inputs + input];
            for tap in 0..27 {
                let weight = TAPS[tap / 9] * TAPS[tap / 3 % 3] * TAPS[tap % 3];
                values.push(mix * weight + noise * stream.next());
            }
        }
    }
    Some(values)
}

/// The video decoder: how many of a layer's outputs are rearranged into one channel of a larger frame.
fn group(name: &str) -> usize {
    const ENLARGING: [(&str, usize); 5] = [
        ("up_blocks.1.", 8),
        ("up_blocks.3.", 8),
        ("up_blocks.5.", 2),
        ("up_blocks.7.", 4),
        ("conv_out.", 16),
    ];
    ENLARGING.iter().find(|(layer, _)| name.contains(layer)).map_or(1, |(_, group)| *group)
}

/// How many inputs one output sums.
fn inputs(name: &str, shape: &[usize]) -> usize {
    match shape {
        // Transposed convolutions are [in, out, kernel], and their stride is half the kernel.
        [inputs, _, kernel] if name.contains(".ups.") => inputs * kernel / (kernel / 2).max(1),
        [_, inputs @ ..] => inputs.iter().product(),
        [] => 1,
    }
}

fn rule(source: Source, name: &str, shape: &[usize]) -> Option<Rule> {
    match source {
        Source::Checkpoint => checkpoint(name, shape),
        Source::TextEncoder => text_encoder(name, shape),
        Source::SpatialUpscaler | Source::SpatialUpscalerX1_5 | Source::TemporalUpscaler => upscaler(name),
        Source::Adapter(_) | Source::Merged(_) => None,
    }
}

fn checkpoint(name: &str, shape: &[usize]) -> Option<Rule> {
    let ends = |end: &str| name.ends_with(end);
    let normed = ends(".q_norm.weight") || ends(".k_norm.weight");
    Some(match name {
        _ if ends(".mean-of-means") => Rule::Constant(0.0),
        _ if ends(".std-of-means") => Rule::Constant(1.0),
        _ if name.starts_with("vocoder.") => return vocoder(name, shape),
        _ if name.contains("scale_shift_table") => Rule::Random(0.0, 0.3),
        // Attention to the text is sharp, else a few words among a thousand places would not be noticed.
        _ if normed && (name.contains("attn2.") || name.contains("_connector.")) => Rule::Random(2.5, 0.2),
        _ if normed => Rule::Random(1.0, 0.1),
        _ if ends(".learnable_registers") => Rule::Random(0.0, 1.0),
        _ if ends("adaln_single.linear.weight") => Rule::Weight(0.5),
        // Without the blur the video is noise. Decoders end in a SiLU of normalised values, of size 0.6.
        "vae.decoder.conv_out.conv.weight" => Rule::Blur(1.0, group(name)),
        _ if name.starts_with("vae.decoder.up_blocks.")
            && !name.contains(".up_blocks.0.")
            && ends(".weight") =>
        {
            Rule::Blur(1.0, group(name))
        }
        // Latents of size 1.
        "vae.encoder.conv_out.conv.weight" => Rule::Weight(1.5),
        "audio_vae.decoder.conv_out.conv.weight" => Rule::Weight(1.5),
        // The logarithm of a spectrogram at speaking volume.
        "audio_vae.decoder.conv_out.conv.bias" => Rule::Constant(-4.0),
        _ => return plain(name),
    })
}

/// Weights and biases that need no care.
fn plain(name: &str) -> Option<Rule> {
    match name.rsplit('.').next() {
        Some("weight") => Some(Rule::Weight(1.0)),
        Some("bias") => Some(Rule::Random(0.0, 0.02)),
        _ => None,
    }
}

fn vocoder(name: &str, shape: &[usize]) -> Option<Rule> {
    let ends = |end: &str| name.ends_with(end);
    Some(match name {
        _ if ends(".act.alpha") || ends(".act.beta") => Rule::Random(0.0, 0.1),
        _ if ends("sample.filter") || ends(".lowpass.filter") => {
            Rule::Table(tables::kaiser_sinc(*shape.last()?))
        }
        _ if ends(".mel_basis") => match shape {
            [mels, bins] if *bins > 1 => Rule::Table(tables::mel_basis(*mels, *bins)),
            _ => return None,
        },
        _ if ends(".forward_basis") => Rule::Table(tables::stft_basis(*shape.last()?)),
        // Logarithms of a spectrogram are several times larger than other activations.
        _ if ends(".conv_pre.weight") => Rule::Weight(0.3),
        // Blocks add to their input; small additions keep the size.
        _ if name.contains(".convs") && ends(".weight") => Rule::Weight(0.4),
        "vocoder.vocoder.conv_post.weight" => Rule::Weight(0.15),
        "vocoder.bwe_generator.conv_post.weight" => Rule::Weight(0.05),
        _ => return plain(name),
    })
}

fn text_encoder(name: &str, shape: &[usize]) -> Option<Rule> {
    Some(match name {
        // Times the square root of the width, as the model does, an embedding has size 1.
        _ if name.ends_with(".embed_tokens.weight") => Rule::Weight(1.0),
        _ if name.contains("layer_norm") || name.ends_with(".post_layernorm.weight") => match plain(name)? {
            Rule::Weight(_) => Rule::Random(1.0, 0.1),
            bias => bias,
        },
        // Added to 1 by the model.
        _ if name.ends_with("norm.weight") => Rule::Random(0.0, 0.1),
        // Its rows are what goes in.
        "multi_modal_projector.mm_input_projection_weight" => {
            Rule::Random(0.0, 1.0 / (*shape.first()? as f64).sqrt())
        }
        _ if name.ends_with(".position_embedding.weight") => Rule::Random(0.0, 0.3),
        _ => return plain(name),
    })
}

fn upscaler(name: &str) -> Option<Rule> {
    let norm = name.contains("norm");
    Some(match name {
        _ if norm && name.ends_with(".weight") => Rule::Random(1.0, 0.1),
        // Latents go in and come out, of size 1.
        "final_conv.weight" => Rule::Weight(1.5),
        "upsampler.blur_down.kernel" => Rule::Table(tables::blur()),
        _ => return plain(name),
    })
}
