//! What a port is to the host, and the steps of a phase.

use std::fmt;

use super::{List, Text};

/// What the host writes to an input that no phase fills, or finds in an output. The host need not know the port's name.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A tensor that is given, or read, under the port's name. One that is not given is this number everywhere, if there
    /// is one.
    Tensor { default: Option<f32> },
    /// The ids of a prompt: 0 is what the clip shall be, 1 what it shall not be.
    Tokens { prompt: u32 },
    /// 1 where the ids of a prompt are tokens, 0 where they are padding.
    TokenMask { prompt: u32 },
    /// The ids of what the text encoder is asked to write on, padding behind.
    Chat,
    /// 1 where the ids of a chat are tokens, 0 where they are padding.
    ChatMask,
    /// The image that the text encoder is shown, in -1..1, in the port's size.
    ChatImage,
    /// Of which row each token of a chat is: of the ids' own, in order, and behind those of the image's.
    ChatRows,
    /// The last token of a chat that each one sees: itself, or in an image the image's last.
    ChatUntil,
    /// The two words of the request's seed.
    Seed,
    /// An image of the request, in -1..1, in the port's size.
    Image { number: u32 },
    /// The latents of an image; zeros where there is no such image.
    ImageLatent { number: u32 },
    /// How strongly an image holds its tokens: 0 (not at all, and where there is no such image) to 1.
    Strength { number: u32 },
    /// The frame of the clip that an image is for.
    Frame { number: u32 },
    /// 1 where there is such an image, 0 where its tokens are hidden from all others.
    Visible { number: u32 },
    /// The frames of the request's video, in -1..1, in the port's size.
    Footage,
    /// The frames of a reference video, in -1..1, in the port's size, which is so many times smaller than its stage, which has
    /// one of `temporal_scale` of the stage's frames: the first one, and one of every so many of the clip's behind it.
    Reference { number: u32, downscale: u32, temporal_scale: u32, every: u32 },
    /// How strongly a reference video holds its tokens: 0 to 1, which it is unless a request says another.
    ReferenceStrength { number: u32 },
    /// How strongly the tokens of a reference video and the clip's attend to each other: 0 to 1, which it is unless a request
    /// says another; for all of them, or for each latent cell, [frames, rows, columns].
    ReferenceAttention { number: u32 },
    /// Where the part of a stream (`v` or `a`) begins that is made anew, in seconds of the clip.
    RegionStart { stream: Text },
    /// Where it ends.
    RegionEnd { stream: Text },
    /// The log-mel spectrogram of the request's sound.
    Spectrogram,
    /// Of a clip that is made in windows: what the phase left of the window before at its output of this name and role;
    /// zeros in the first window.
    Carried,
    /// 1 where there is a window before, 0 in the first one.
    Continues,
    /// Latents that denoising begins from, mixed with noise.
    Initial,
    /// How much of the mixture is noise: the first level of the steps; 1 where there are no initial latents.
    NoiseScale,
    /// The distinct values of the tensor that is given under this name, padded with the first.
    Distinct { of: Text },
    /// Which of the distinct values each element of that tensor is.
    ClassOf { of: Text },
    /// Nothing: what is there when the phase begins means nothing.
    Unset,
    /// Before every step: its noise level.
    Sigma,
    /// Before every step: the coefficients of the solver's sums.
    Coefficients,
    /// Before every step: 1 where its result is held to what is given, 0 where it is not held again.
    Holds,
    /// Before every step: two words that its noise is drawn with.
    StepSeed,
    /// Before every step: its row of a tensor that is given under the port's name; zeros where it has no such row.
    StepTensor,
    /// Before every turn: the id of a token.
    Token,
    /// Before every turn: how many tokens stand before it.
    Place,
    /// What the text encoder makes of a turn's token: for every token how likely it is the next one, before any softmax.
    Logits,
    /// Latents that a stage leaves.
    Latent,
    /// The frames of the clip.
    Video,
    /// The audio of the clip.
    Waveform,
    /// A frame as it is after a step, to be looked at.
    Preview,
}

impl Role {
    /// What a tensor that a request may give is everywhere where it gives none.
    pub fn default(&self) -> Option<f32> {
        match self {
            Role::Tensor { default } => *default,
            Role::ReferenceStrength { .. } | Role::ReferenceAttention { .. } => Some(1.0),
            Role::Carried | Role::Continues => Some(0.0),
            _ => None,
        }
    }

    /// Whether the host writes it before every step, rather than once before the phase.
    pub fn per_step(&self) -> bool {
        let of_step = matches!(
            self,
            Role::Sigma | Role::Coefficients | Role::Holds | Role::StepSeed | Role::StepTensor
        );
        of_step || matches!(self, Role::Token | Role::Place)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Tensor { default: None } => f.write_str("tensor"),
            Role::Tensor { default: Some(default) } => write!(f, "tensor or {default}"),
            Role::Tokens { prompt } => write!(f, "tokens of prompt {prompt}"),
            Role::TokenMask { prompt } => write!(f, "token mask of prompt {prompt}"),
            Role::Chat => f.write_str("tokens of a chat"),
            Role::ChatMask => f.write_str("token mask of a chat"),
            Role::ChatImage => f.write_str("image of a chat"),
            Role::ChatRows => f.write_str("rows of the tokens of a chat"),
            Role::ChatUntil => f.write_str("last tokens that those of a chat see"),
            Role::Seed => f.write_str("seed"),
            Role::Image { number } => write!(f, "image {number}"),
            Role::ImageLatent { number } => write!(f, "latents of image {number}"),
            Role::Strength { number } => write!(f, "strength of image {number}"),
            Role::Frame { number } => write!(f, "frame of image {number}"),
            Role::Visible { number } => write!(f, "whether there is image {number}"),
            Role::Footage => f.write_str("frames of the request's video"),
            Role::Reference { number, every: 1, .. } => write!(f, "frames of reference {number}"),
            Role::Reference { number, every, .. } => write!(f, "one in {every} frames of reference {number}"),
            Role::ReferenceStrength { number } => write!(f, "strength of reference {number}"),
            Role::ReferenceAttention { number } => write!(f, "attention strength of reference {number}"),
            Role::RegionStart { stream } => write!(f, "start of the region of {stream}"),
            Role::RegionEnd { stream } => write!(f, "end of the region of {stream}"),
            Role::Spectrogram => f.write_str("spectrogram of the request's sound"),
            Role::Carried => f.write_str("carried from window to window"),
            Role::Continues => f.write_str("whether there is a window before"),
            Role::Initial => f.write_str("initial latents"),
            Role::NoiseScale => f.write_str("noise scale"),
            Role::Distinct { of } => write!(f, "distinct values of {of}"),
            Role::ClassOf { of } => write!(f, "classes of {of}"),
            Role::Unset => f.write_str("unset"),
            Role::Sigma => f.write_str("sigma"),
            Role::Coefficients => f.write_str("coefficients"),
            Role::Holds => f.write_str("holds"),
            Role::StepSeed => f.write_str("seed"),
            Role::StepTensor => f.write_str("row of a tensor"),
            Role::Token => f.write_str("token"),
            Role::Place => f.write_str("place of the token"),
            Role::Logits => f.write_str("logits"),
            Role::Latent => f.write_str("latent"),
            Role::Video => f.write_str("video"),
            Role::Waveform => f.write_str("waveform"),
            Role::Preview => f.write_str("preview"),
        }
    }
}

/// The steps of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub solver: Solver,
    pub levels: Levels,
}

/// How latents and predictions of a step make the next latents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    Euler,
    Ancestral {
        eta: f64,
        s_noise: f64,
    },
    GradientEstimation {
        gamma: f64,
    },
    Res2s {
        eta: f64,
    },
    /// Noise in what is predicted at the next level: the end of either half of a step of res_2s.
    Injection {
        eta: f64,
    },
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Solver::Euler => f.write_str("euler"),
            Solver::Ancestral { eta, s_noise } => write!(f, "euler-ancestral eta={eta} s_noise={s_noise}"),
            Solver::GradientEstimation { gamma } => write!(f, "gradient-estimation gamma={gamma}"),
            Solver::Res2s { eta } => write!(f, "res_2s eta={eta}"),
            Solver::Injection { eta } => write!(f, "res_2s-injection eta={eta}"),
        }
    }
}

/// Room for adapters (LoRA) beside the weights of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapter {
    /// The number in [`super::Source::Adapter`].
    pub slot: u8,
    /// What the strengths of those in it are multiplied by.
    pub strength: f32,
    /// The rank that there is room for, of all in it together; `None` where they are merged into weights that the phase
    /// does not share ([`super::Source::Merged`]).
    pub rank: Option<u32>,
}

/// The noise levels of a phase's steps: n + 1 for n steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Levels {
    /// These.
    List(List<f32>),
    /// Shifted for so many tokens, in so many steps unless a request says how many.
    Shifted { steps: u32, tokens: u32 },
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Levels::List(sigmas) => {
                let sigmas: Vec<_> = sigmas.iter().map(f32::to_string).collect();
                f.write_str(&sigmas.join(" "))
            }
            Levels::Shifted { steps, tokens } => write!(f, "{steps} steps, shifted for {tokens} tokens"),
        }
    }
}
