//! Reference videos that a clip follows (IC-LoRA, docs/given.md).

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use zoetrope_runtime::plan::{Plan, Port, Role};

use super::ask::{self, Ask, named};
use super::build::{Build, Shape};
use crate::adapters::Given;
use crate::failure::Failure;
use crate::media::Footage;
use crate::run::Frames;
use crate::tensors::{Named, Tensor};
use crate::terminal;

/// The option whose value may be followed by a strength.
pub const REFERENCE: &str = "--reference";

/// Videos that the clip follows.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Plans for given sound or video")]
pub struct ReferenceArgs {
    /// A video that the clip follows as its adapter was trained to (depth, edges, poses, ..), and how strongly it is held to
    /// it (0 to 1, the default); several times where the plan takes several
    #[arg(long, value_name = "PATH[:STRENGTH]", alias = "video-conditioning")]
    reference: Vec<Given>,
    /// How strongly the clip and its references attend to each other, 0 to 1 (the default)
    #[arg(long, value_name = "W", alias = "conditioning-attention-strength", value_parser = share)]
    attention_strength: Option<f32>,
}

fn share(text: &str) -> Result<f32, String> {
    let wanted = || "wanted 0 to 1".to_string();
    text.parse().ok().filter(|x| (0.0..=1.0).contains(x)).ok_or_else(wanted)
}

/// What a plan takes of a reference.
struct Room {
    frames: usize,
    /// One of so many frames is taken, behind the first.
    every: usize,
}

/// The references that a plan takes, by their numbers.
fn room(plan: &Plan) -> BTreeMap<u32, Room> {
    let room = |port: &Port| match port.role {
        Role::Reference { number, every, .. } => {
            Some((number, Room { frames: port.shape[2] as usize, every: every as usize }))
        }
        _ => None,
    };
    plan.phases.iter().flat_map(|phase| phase.inputs.iter()).filter_map(room).collect()
}

/// References that were read.
#[derive(Default)]
pub struct References {
    videos: BTreeMap<u32, Footage>,
    strengths: Named,
}

impl ReferenceArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.reference.iter().map(|given| given.path.as_path())
    }

    /// What it asks of a plan.
    pub fn asks(&self) -> Vec<Ask<'_>> {
        let count = Some(self.reference.len()).filter(|count| *count > 0).map(Ask::References);
        count.into_iter().chain(self.attention_strength.map(|_| Ask::AttentionStrength)).collect()
    }

    /// Whether a run of `plan` takes as many references as are given.
    ///
    /// # Errors
    /// Names what is too much, or missing.
    pub fn check(&self, plan: &Plan) -> Result<(), Failure> {
        let want = room(plan).len();
        if self.reference.is_empty() && want > 0 {
            let named = named(plan);
            return Err(Failure::usage(format!(
                "the number of references does not fit {named}\n  want  {want}\n  have  0\n  help  {REFERENCE} FILE"
            )));
        }
        ask::check(plan, &self.asks())?;
        if let Some(given) = self.reference.iter().find(|given| !(0.0..=1.0).contains(&given.strength)) {
            return Err(Failure::usage(format!("the strength is {}; wanted 0 to 1", given.strength)));
        }
        Ok(())
    }

    /// The ports that take an attention strength.
    fn attention<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = &'p Port> {
        let ports = plan.phases.iter().flat_map(|phase| phase.inputs.iter());
        ports.filter(|port| matches!(port.role, Role::ReferenceAttention { .. }))
    }

    /// Reads the references that a run of `plan` takes, which [`ReferenceArgs::check`] has seen. Says how they were read.
    ///
    /// # Errors
    /// A file that cannot be used, or is too short.
    pub fn open(&self, plan: &Plan) -> Result<References, Failure> {
        let mut references = References::default();
        let number = |x: f32| Tensor::real(&[1], vec![x]);
        for ((i, room), given) in room(plan).into_iter().zip(&self.reference) {
            let path = given.path.display();
            // The first frame, and one of so many behind it.
            let wanted = 1 + room.frames.saturating_sub(2) * room.every + usize::from(room.frames > 1);
            let footage = Footage::open(&given.path, wanted)?;
            footage.notes().iter().for_each(|note| terminal::note(format_args!("{path}: {note}")));
            if footage.frames() < wanted {
                let (name, have) = (&plan.name, footage.frames());
                let shape = Shape { frames: have, ..Shape::of_plan(&plan.facts) }.legal();
                let build = Build::same(plan, shape);
                return Err(Failure::usage(format!(
                    "{path} is too short for plan {name}\n  want  {wanted} frames\n  have  {have}\n  help  build a plan of \
                     {} frames:{build}",
                    shape.frames
                )));
            }
            let (have, want) = (footage.fps(), plan.facts.fps);
            if (have / want - 1.0).abs() > 0.01 {
                terminal::note(format_args!(
                    "{path} has {have:.3} frames a second, the clip {want}: frame for frame, it is followed at another speed"
                ));
            }
            references.videos.insert(i, footage.thinned(room.every));
            references.strengths.insert(format!("v.reference{i}_strength"), number(given.strength));
        }
        if let Some(strength) = self.attention_strength {
            let ports = self.attention(plan).map(|port| (port.name.to_string(), number(strength)));
            references.strengths.extend(ports);
        }
        Ok(references)
    }
}

impl References {
    /// As a run takes them.
    pub fn of_request(&self) -> BTreeMap<u32, Frames<'_>> {
        fn frames<'f>((number, footage): (&u32, &'f Footage)) -> (u32, Frames<'f>) {
            let fitted = move |frames: usize, width: usize, height: usize| {
                Tensor::real(&[3, frames, height, width], footage.fit(0, frames, width, height))
            };
            (*number, Box::new(fitted))
        }
        self.videos.iter().map(frames).collect()
    }

    /// How strongly they are held and attended to, by the ports that say it.
    pub fn strengths(&self) -> Named {
        self.strengths.clone()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::target::Target;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        references: ReferenceArgs,
    }

    fn args(line: &[&str]) -> ReferenceArgs {
        Line::try_parse_from([&["generate"], line].concat()).map_err(|e| e.to_string()).unwrap().references
    }

    fn plan(frames: usize, stage: &str) -> Plan {
        let text = format!(
            "width = 128\nheight = 128\nframes = {frames}\nfps = 25\npipeline = \"ic-lora\"\ndtype = \"bf16\"\n\
             model = \"demo\"\n{stage}"
        );
        compile_target(&Target::parse("after", &text).unwrap(), "".as_ref()).unwrap()
    }

    fn refused(plan: &Plan, line: &[&str], words: &[&str]) {
        let given = args(line);
        let error = given.check(plan).and_then(|()| given.open(plan).map(|_| ())).unwrap_err();
        assert_eq!(error.kind as u8, 2, "{error}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{words:?} are not in: {error}");
    }

    /// 13 frames of 64x48 at 25 a second.
    #[test]
    fn a_plan_takes_its_references() {
        let clip = format!("{}/tests/fixtures/media/b-frames.mp4", env!("CARGO_MANIFEST_DIR"));
        let plain = Target::preset("res-tiny").unwrap();
        let plain = compile_target(&plain, "".as_ref()).unwrap();
        refused(&plain, &["--reference", &clip], &["takes no reference", "ic-lora"]);
        let after = plan(9, "");
        refused(&after, &[], &["want  1\n  have  0", "--reference FILE"]);
        refused(&after, &["--reference", &format!("{clip}:1.5")], &["strength is 1.5", "0 to 1"]);
        refused(&after, &["--reference", &clip, "--attention-strength", "0.5"], &["attention = true"]);
        let short = ["too short", "want  17 frames", "have  13", "'frames = 9'", "'pipeline = \"ic-lora\"'"];
        refused(&plan(17, ""), &["--reference", &clip], &short);

        let read = args(&["--reference", &format!("{clip}:0.5")]).open(&after).unwrap();
        assert_eq!(read.strengths()["v.reference1_strength"].reals(), [0.5]);
        assert_eq!(read.of_request()[&1](9, 32, 32).shape, [3, 9, 32, 32]);
        // One of two frames behind the first: of 17 there are 9, the last of which is frame 15.
        let slow =
            plan(17, "stage = [{ references = [{ downscale = 2, temporal_scale = 2, attention = true }] }]");
        refused(&slow, &["--reference", &clip], &["too short", "want  16 frames"]);
        let slow = plan(9, "stage = [{ references = [{ temporal_scale = 4, attention = true }] }]");
        let read = args(&["--reference", &clip, "--attention-strength", "0.25"]).open(&slow);
        assert_eq!(read.unwrap().strengths()["v.reference1_attention"].reals(), [0.25]);
    }
}
