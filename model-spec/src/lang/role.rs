//! What a port is to the host: what belongs there, and when.

/// What the host writes to an input that no phase fills, or finds in an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A tensor that is given, or read, under the port's name. One that is not given is this number everywhere, if there
    /// is one.
    Tensor { default: Option<f32> },
    /// The ids of a prompt: 0 is what the clip shall be, 1 what it shall not be.
    Tokens { prompt: usize },
    /// 1 where the ids of a prompt are tokens, 0 where they are padding.
    TokenMask { prompt: usize },
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
    Image { number: usize },
    /// The latents of an image; zeros where there is no such image.
    ImageLatent { number: usize },
    /// How strongly an image holds its tokens: 0 (not at all, and where there is no such image) to 1.
    Strength { number: usize },
    /// The frame of the clip that an image is for.
    Frame { number: usize },
    /// 1 where there is such an image, 0 where its tokens are hidden from all others.
    Visible { number: usize },
    /// The frames of the request's video, in -1..1, in the port's size.
    Footage,
    /// The frames of a reference video, in -1..1, in the port's size, which is so many times smaller than its stage, which has
    /// one of `temporal_scale` of the stage's frames: the first one, and one of every so many of the clip's behind it.
    Reference { number: usize, downscale: usize, temporal_scale: usize, every: usize },
    /// How strongly a reference video holds its tokens: 0 to 1, which it is unless a request says another.
    ReferenceStrength { number: usize },
    /// How strongly the tokens of a reference video and the clip's attend to each other: 0 to 1, which it is unless a request
    /// says another; for all of them, or for each latent cell, [frames, rows, columns].
    ReferenceAttention { number: usize },
    /// Where the part of a stream (`v` or `a`) begins that is made anew, in seconds of the clip.
    RegionStart { stream: String },
    /// Where it ends.
    RegionEnd { stream: String },
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
    Distinct { of: String },
    /// Which of the distinct values each element of that tensor is.
    ClassOf { of: String },
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
    /// Whether the host writes it before every step, rather than once before the phase.
    pub fn per_step(&self) -> bool {
        let of_step = matches!(
            self,
            Role::Sigma | Role::Coefficients | Role::Holds | Role::StepSeed | Role::StepTensor
        );
        of_step || matches!(self, Role::Token | Role::Place)
    }
}
