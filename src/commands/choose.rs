//! Which of the binary's plans a command uses.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use zoetrope_model_spec::target::PRESETS;
use zoetrope_runtime::plan::Plan;

use super::ask::{self, Ask};
use super::build::Build;
use crate::failure::Failure;

/// The preset that makes way: it is in every default build, and who adds another plan means that one.
const YIELDS: &str = "res-tiny";

/// How a plan is asked for.
#[derive(Args, Clone, Debug, Default)]
pub struct PlanArgs {
    /// The plan of this name; without it and --size, the binary's only plan besides res-tiny
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// The plan of this size, such as 1920x1088x241
    #[arg(long, value_name = "WxHxF")]
    pub size: Option<ClipSize>,
}

/// Width and height in pixels, and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipSize(pub [u32; 3]);

impl FromStr for ClipSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ClipSize, String> {
        let numbers: Result<Vec<u32>, _> = text.split('x').map(str::parse).collect();
        let size = numbers.ok().and_then(|n| n.try_into().ok());
        size.map(ClipSize).ok_or("wanted width, height and frames, such as 1920x1088x241".to_string())
    }
}

impl fmt::Display for ClipSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClipSize([width, height, frames]) = self;
        write!(f, "{width}x{height}x{frames}")
    }
}

impl PlanArgs {
    /// The plan that is meant.
    ///
    /// # Errors
    /// The binary holds no such plan, or several; says which there are and how others are built.
    pub fn plan<'p>(&self, plans: &[&'p Plan]) -> Result<&'p Plan, Failure> {
        self.chosen(plans.iter().copied().filter(|p| self.means(&p.name, size(p))).collect(), plans)
    }

    /// The plan that is meant for a request: of several, one that does all that is asked, and wants nothing else.
    ///
    /// # Errors
    /// As [`PlanArgs::plan`]; or no plan does it. Says how one is built that does.
    pub fn plan_for<'p>(&self, plans: &[&'p Plan], asks: &[Ask<'_>]) -> Result<&'p Plan, Failure> {
        let meant: Vec<_> = plans.iter().copied().filter(|p| self.means(&p.name, size(p))).collect();
        let does: Vec<_> = meant.iter().copied().filter(|plan| ask::meets(plan, asks)).collect();
        let exact: Vec<_> = does.iter().copied().filter(|plan| !ask::wants_more(plan, asks)).collect();
        match (&does[..], &meant[..]) {
            // None of them does it: one of them says so.
            ([], [.., last]) => {
                ask::check(self.chosen(meant.clone(), plans).unwrap_or(last), asks).map(|()| *last)
            }
            _ => self.chosen(if exact.is_empty() { does } else { exact }, plans),
        }
    }

    /// The only plan of those that `fit`.
    fn chosen<'p>(&self, mut fit: Vec<&'p Plan>, plans: &[&'p Plan]) -> Result<&'p Plan, Failure> {
        if fit.len() > 1 {
            fit.retain(|p| p.name != YIELDS);
        }
        let (what, next) = match fit[..] {
            [plan] => return Ok(plan),
            [] => (format!("this binary holds no plan{}", self.wish()), self.how_to_build()),
            _ => ("which plan?".to_string(), "  help  --preset NAME, or --size WxHxF".to_string()),
        };
        let shown = if fit.is_empty() { plans } else { &fit };
        let have: String = shown.iter().map(|p| format!("\n  have  {} {}", p.name, size(p))).collect();
        Err(Failure::usage(format!("{what}{have}\n{next}")))
    }

    fn means(&self, name: &str, size: ClipSize) -> bool {
        self.preset.as_ref().is_none_or(|wish| wish == name) && self.size.is_none_or(|wish| wish == size)
    }

    fn wish(&self) -> String {
        let name = self.preset.as_ref().map(|name| format!(" called {name}"));
        let size = self.size.map(|size| format!(" of size {size}"));
        [name, size].into_iter().flatten().collect()
    }

    /// The preset that would fit, or all of them and the way to any other size.
    fn how_to_build(&self) -> String {
        let asked = self.preset.is_some() || self.size.is_some();
        let rows = PRESETS
            .iter()
            .map(|(name, p)| (*name, ClipSize([p.width, p.height, p.frames].map(|n| n as u32))));
        if let Some((name, _)) = rows.clone().find(|(name, size)| asked && self.means(name, *size)) {
            return format!("  help  cargo build --release --features {name}");
        }
        if let (None, Some(ClipSize(size))) = (&self.preset, self.size) {
            let [width, height, frames] = size.map(|n| n as usize);
            let build = Build::published(width, height, frames);
            return match &build.problems()[..] {
                [] => build.to_string().trim_start_matches('\n').to_string(),
                problems => {
                    problems.iter().map(|problem| format!("  want  {problem}")).collect::<Vec<_>>().join("\n")
                }
            };
        }
        let presets: Vec<_> = rows.map(|(name, size)| format!("{name} {size}")).collect();
        format!(
            "  help  cargo build --release --features NAME, of {}\n  \
               help  any other size: a target file (docs/targets.md), \
               ZOETROPE_TARGET=clip.toml cargo build --release --features res-custom",
            presets.join(", ")
        )
    }
}

fn size(plan: &Plan) -> ClipSize {
    let f = &plan.facts;
    ClipSize([f.width, f.height, f.frames])
}

#[cfg(test)]
mod tests {
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_generated::PLANS;
    use zoetrope_model_spec::target::Target;
    use zoetrope_runtime::plan::Facts;

    use super::super::decoder::Decoder;
    use super::*;

    /// Plans that differ in name and size only.
    fn plans(rows: &[(&'static str, [u32; 3])]) -> Vec<Plan> {
        let plan = compile_target(&Target::preset("res-tiny").unwrap(), "".as_ref()).unwrap();
        let of = |(name, [width, height, frames]): &(&'static str, [u32; 3])| {
            let mut plan = plan.clone();
            plan.name = (*name).into();
            (plan.facts.width, plan.facts.height, plan.facts.frames) = (*width, *height, *frames);
            plan
        };
        rows.iter().map(of).collect()
    }

    fn chosen(plans: &[Plan], preset: Option<&str>, size: Option<&str>) -> Result<String, String> {
        let size = size.map(|s| s.parse().unwrap());
        let args = PlanArgs { preset: preset.map(str::to_string), size };
        let among: Vec<_> = plans.iter().collect();
        args.plan(&among).map(|p| p.name.to_string()).map_err(|e| e.message)
    }

    #[test]
    fn a_plan_is_found_by_name_by_size_or_by_being_alone() {
        let (tiny, large, tall) =
            (("res-tiny", [256, 192, 25]), ("res-1080p", [1920, 1088, 241]), ("tall", [1088, 1920, 241]));
        let all = plans(&[tiny, large, tall]);
        assert_eq!(chosen(&all[..1], None, None).unwrap(), "res-tiny");
        assert_eq!(chosen(&all[..2], None, None).unwrap(), "res-1080p", "res-tiny yields");
        assert_eq!(chosen(&all, Some("res-tiny"), None).unwrap(), "res-tiny");
        assert_eq!(chosen(&all, None, Some("1088x1920x241")).unwrap(), "tall");
        let which = chosen(&all, None, None).unwrap_err();
        assert!(which.contains("res-1080p 1920x1088x241") && which.contains("tall 1088x1920x241"), "{which}");
        assert!(!which.contains("res-tiny"), "{which}");
        let odds = chosen(&all, Some("tall"), Some("256x192x25")).unwrap_err();
        assert!(odds.contains("called tall of size 256x192x25"), "{odds}");
    }

    #[test]
    fn of_several_plans_one_that_does_what_is_asked_and_nothing_else() {
        let tiny = PLANS[0];
        let plan = |name: &'static str, carried, decoder: &'static str| {
            let facts = Facts { carried, decoder: Some(decoder.into()), ..tiny.facts.clone() };
            Plan { name: name.into(), facts, ..tiny.clone() }
        };
        let plans = [plan("plain", 0, "vae"), plan("windows", 9, "vae"), plan("look", 0, "tiny-wide")];
        let among: Vec<_> = plans.iter().collect();
        for (asked, name) in [
            (None, "plain"),
            (Some(Ask::Length(4.0)), "windows"),
            (Some(Ask::Length(1.04)), "plain"),
            (Some(Ask::Decoder(Decoder::Tiny)), "look"),
            (Some(Ask::Decoder(Decoder::Full)), "plain"),
        ] {
            let asks: Vec<_> = [Ask::Prompt].into_iter().chain(asked).collect();
            assert_eq!(PlanArgs::default().plan_for(&among, &asks).unwrap().name, name, "{asked:?}");
        }
        let both = [Ask::Prompt, Ask::Decoder(Decoder::Tiny), Ask::Length(4.0)];
        assert!(PlanArgs::default().plan_for(&among, &both).is_err());
    }

    #[test]
    fn what_is_not_there_is_said_with_the_way_to_it() {
        let tiny = plans(&[("res-tiny", [256, 192, 25])]);
        for (preset, size) in [(Some("res-4k"), None), (None, Some("3840x2176x121"))] {
            let error = chosen(&tiny, preset, size).unwrap_err();
            assert!(error.contains("have  res-tiny 256x192x25"), "{error}");
            assert!(error.contains("--features res-4k"), "{error}");
        }
        let other = chosen(&tiny, None, Some("640x640x9")).unwrap_err();
        assert!(
            other.contains("'width = 640'") && other.contains("ZOETROPE_TARGET=distilled-640x640x9.toml"),
            "{other}"
        );
        let illegal = chosen(&tiny, None, Some("650x640x10")).unwrap_err();
        for words in ["the nearest are 640 and 704", "the nearest are 9 and 17"] {
            assert!(illegal.contains(words) && !illegal.contains("cargo build"), "{illegal}");
        }
        assert!(chosen(&[], None, None).unwrap_err().contains("res-768x512"));
    }

    #[test]
    fn a_size_is_three_numbers() {
        assert_eq!("1920x1088x241".parse(), Ok(ClipSize([1920, 1088, 241])));
        for text in ["", "1920x1088", "1920x1088x241x3", "1920x-1x241", "1920 x 1088 x 241", "x"] {
            assert!(text.parse::<ClipSize>().is_err(), "{text}");
        }
    }
}
