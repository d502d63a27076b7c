//! What guides a run: the options for plans whose steps are made of several passes.

use clap::Args;
use zoetrope_runtime::plan::{Plan, Role, Schedule, Solver};

use super::ask::{self, Ask, has_open_steps, hears};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::tensors::{Named, Tensor};
use crate::tokenize::{Encoded, Tokenizer};

/// What a clip shall not be, unless something else is said.
const NEGATIVE_PROMPT: &str = "blurry, out of focus, low quality, compression artefacts, noise, flicker, jerky or \
    frozen motion, distorted anatomy, extra fingers, deformed faces, watermark, logo, subtitles, garbled text, \
    distorted or muffled sound, robotic voice, hiss, clipping";

/// The option that says otherwise.
const NEGATIVE_OPTION: &str = "--negative-prompt";

/// Options of guided plans.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Guided plans")]
pub struct GuidanceArgs {
    /// What the clip shall not be; otherwise a list of usual defects
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    negative_prompt: Option<String>,
    /// Denoising steps [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), alias = "num-inference-steps")]
    steps: Option<u16>,
    /// Evaluate the model at every (N + 1)th step alone, and take its prediction for those between
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=100))]
    skip_step: u16,
    /// How much the video follows the prompt rather than the negative one [default: 3]
    #[arg(long, value_name = "X", value_parser = finite)]
    video_cfg_guidance_scale: Option<f32>,
    /// How much the video is pushed away from itself without self-attention [default: 1]
    #[arg(long, value_name = "X", value_parser = finite)]
    video_stg_guidance_scale: Option<f32>,
    /// How far the video's contrast is brought back to that of an unguided step [default: 0.7]
    #[arg(long, value_name = "X", value_parser = finite)]
    video_rescale_scale: Option<f32>,
    /// How much the video follows the audio [default: 3]
    #[arg(long, value_name = "X", value_parser = finite)]
    a2v_guidance_scale: Option<f32>,
    /// How much the audio follows the prompt rather than the negative one [default: 7]
    #[arg(long, value_name = "X", value_parser = finite)]
    audio_cfg_guidance_scale: Option<f32>,
    /// How much the audio is pushed away from itself without self-attention [default: 1]
    #[arg(long, value_name = "X", value_parser = finite)]
    audio_stg_guidance_scale: Option<f32>,
    /// How far the audio's loudness is brought back to that of an unguided step [default: 0.7]
    #[arg(long, value_name = "X", value_parser = finite)]
    audio_rescale_scale: Option<f32>,
    /// How much the audio follows the video [default: 3]
    #[arg(long, value_name = "X", value_parser = finite)]
    v2a_guidance_scale: Option<f32>,
}

fn finite(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.is_finite()).ok_or("wanted a number".to_string())
}

impl GuidanceArgs {
    /// The scales that are said, by option and port.
    fn said(&self) -> impl Iterator<Item = (&'static str, &'static str, f32)> {
        let all = [
            ("--video-cfg-guidance-scale", "v.cfg_scale", self.video_cfg_guidance_scale),
            ("--video-stg-guidance-scale", "v.stg_scale", self.video_stg_guidance_scale),
            ("--video-rescale-scale", "v.rescale_scale", self.video_rescale_scale),
            ("--a2v-guidance-scale", "v.modality_scale", self.a2v_guidance_scale),
            ("--audio-cfg-guidance-scale", "a.cfg_scale", self.audio_cfg_guidance_scale),
            ("--audio-stg-guidance-scale", "a.stg_scale", self.audio_stg_guidance_scale),
            ("--audio-rescale-scale", "a.rescale_scale", self.audio_rescale_scale),
            ("--v2a-guidance-scale", "a.modality_scale", self.v2a_guidance_scale),
        ];
        all.into_iter().filter_map(|(option, port, value)| Some((option, port, value?)))
    }

    /// All options that are said, each with the port of the pass that it is for.
    fn options(&self) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
        let scales = self.said().map(|(option, port, _)| (option, Some(port)));
        let negative = self.negative_prompt.as_ref().map(|_| (NEGATIVE_OPTION, None));
        let skip = (self.skip_step > 0).then_some(("--skip-step", None));
        scales.chain(negative).chain(self.steps.map(|_| ("--steps", None))).chain(skip)
    }

    /// What it asks of a plan.
    pub fn asks(&self) -> Vec<Ask<'_>> {
        self.options().next().map(|(option, _)| Ask::Guidance(option)).into_iter().collect()
    }

    /// For a phase that nothing here is for.
    ///
    /// # Errors
    /// Names an option that is said all the same.
    pub fn refuse(&self, phase: &str) -> Result<(), Failure> {
        // Noise levels are those of a number of steps.
        match self.options().find(|(option, _)| !(phase == "sigmas" && *option == "--steps")) {
            None => Ok(()),
            Some((option, _)) => Err(Failure::usage(format!(
                "{option} is for whole runs, not for phase {phase}\n  help  single phases take scales among their \
                 inputs: docs/phases.md"
            ))),
        }
    }

    /// Whether the plan can do what is said.
    ///
    /// # Errors
    /// Names the option that the plan has no pass for.
    pub fn check(&self, plan: &Plan) -> Result<(), Failure> {
        ask::check(plan, &self.asks())?;
        let fits = |port: &Option<&str>| port.is_none_or(|port| scale(plan, port).is_some());
        let unfit = self.options().find(|(_, port)| !fits(port)).map(|(option, _)| option);
        let unheard = self.negative_prompt.is_some() && !hears(plan, 1);
        if let Some(option) = unfit.or(unheard.then_some(NEGATIVE_OPTION)) {
            return Err(Failure::usage(format!(
                "plan {} has no pass for {option}\n  help  docs/targets.md, Guidance",
                plan.name
            )));
        }
        let euler = |schedule: &Schedule| schedule.solver == Solver::Euler;
        let open = plan.phases.iter().filter(|phase| has_open_steps(phase));
        if self.skip_step > 0 && !open.filter_map(|phase| phase.schedule.as_ref()).all(euler) {
            return Err(Failure::usage(format!(
                "--skip-step is for Euler steps, and plan {} makes others",
                plan.name
            )));
        }
        let value = |name: &str| self.said().find(|(_, port, _)| *port == name).map(|(_, _, value)| value);
        let stg = ["v.stg_scale", "a.stg_scale"]
            .map(|port| scale(plan, port).map(|usual| value(port).unwrap_or(usual) != 0.0));
        if let [Some(video), Some(audio)] = stg
            && video != audio
        {
            return Err(Failure::usage(
                "the perturbed pass perturbs both streams, so either both stg scales are 0 or none",
            ));
        }
        Ok(())
    }

    /// The scales that are said, as tensors of a request.
    pub fn scales(&self) -> Named {
        self.said().map(|(_, port, value)| (port.to_string(), Tensor::real(&[1], vec![value]))).collect()
    }

    /// How many denoising steps are asked for, and how many of them take the prediction of one before.
    pub fn steps(&self) -> Steps {
        Steps { count: self.steps.map(usize::from), skip: self.skip_step.into() }
    }

    /// The negative prompt in tokens, where the plan hears of one.
    ///
    /// # Errors
    /// It cannot be tokenized.
    pub fn negative(&self, plan: &Plan, tokenizer: &Tokenizer) -> Result<Option<Encoded>, Failure> {
        if !hears(plan, 1) {
            return Ok(None);
        }
        Ok(Some(tokenizer.encode(self.negative_prompt.as_deref().unwrap_or(NEGATIVE_PROMPT))?))
    }
}

/// The value that a scale has in the plan unless another is said; `None` without such a port.
fn scale(plan: &Plan, name: &str) -> Option<f32> {
    let mut ports = plan.phases.iter().flat_map(|phase| phase.inputs.iter());
    match ports.find(|port| port.name == name)?.role {
        Role::Tensor { default } => default,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::ltx::recipe::Recipe;
    use zoetrope_model_spec::target::Target;

    use super::*;

    /// A plan of audio alone takes the options of audio and a negative prompt, and names those that it has no use for.
    #[test]
    fn options_are_those_of_the_streams_that_are_guided() {
        let recipe = Recipe::named("text-to-audio").unwrap();
        let plan =
            compile_target(&Target { recipe, ..Target::preset("res-tiny").unwrap() }, "".as_ref()).unwrap();
        let usual = GuidanceArgs::default();
        usual.check(&plan).unwrap();
        let negative_prompt = Some("wind".to_string());
        GuidanceArgs { negative_prompt, audio_stg_guidance_scale: Some(0.0), ..usual.clone() }
            .check(&plan)
            .unwrap();
        let video = GuidanceArgs { video_cfg_guidance_scale: Some(2.0), ..usual }.check(&plan).unwrap_err();
        assert!(video.message.contains("has no pass for --video-cfg-guidance-scale"), "{video}");
    }
}
