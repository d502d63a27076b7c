//! What makes the frames of a clip: the model's own decoder, or a small one for a first look.

use clap::{Args, ValueEnum};
use zoetrope_model_spec::ltx::decode::VideoDecoder;
use zoetrope_runtime::plan::Plan;

use super::ask::Ask;

/// A kind of decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decoder {
    /// A small one: a first look in little time, blurrier
    Tiny,
    /// The model's own
    Full,
}

impl Decoder {
    /// That of a plan; `None` where it makes no frames.
    pub fn of(plan: &Plan) -> Option<Decoder> {
        let decoder = VideoDecoder::named(plan.facts.decoder.as_deref()?)?;
        Some(if decoder == VideoDecoder::Vae { Decoder::Full } else { Decoder::Tiny })
    }

    /// Its line in a target file; the first one of its kind.
    pub fn line(self) -> String {
        let of_kind = |decoder: &VideoDecoder| (*decoder == VideoDecoder::Vae) == (self == Decoder::Full);
        let name = VideoDecoder::all().find(of_kind).map_or("", VideoDecoder::name);
        format!("decoder = \"{name}\"")
    }
}

/// The decoder that is asked for.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DecoderArgs {
    /// What makes the frames; a plan has one of them (docs/targets.md#tiny-decoders)
    #[arg(long, value_enum)]
    decoder: Option<Decoder>,
}

impl DecoderArgs {
    /// What it asks of a plan.
    pub fn asks(self) -> Option<Ask<'static>> {
        self.decoder.map(Ask::Decoder)
    }
}
