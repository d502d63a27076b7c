//! The images that a clip is made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use zoetrope_runtime::plan::{Plan, Role};

use crate::failure::Failure;
use crate::media::{DEFAULT_CRF, Image, MAX_CRF};
use crate::run;
use crate::tensors::Tensor;
use crate::terminal;

/// Options whose value may be followed by numbers, as the official command line has them, and how many.
pub const NUMBERS: (&str, usize) = ("--image", 3);

/// Images that the clip is held to. The official command line's form, PATH FRAME STRENGTH CRF, is accepted too.
#[derive(Args, Clone, Debug, Default)]
pub struct ImageArgs {
    /// An image that the clip begins with: its frame (0, unless said), how strongly it is held to it (0 to 1, the default),
    /// and how much the image is compressed first, as a frame of a video is (0 to 51; 33 unless said, 0 for not at all)
    #[arg(long, value_name = "PATH[:FRAME[:STRENGTH[:CRF]]]")]
    image: Vec<Given>,
}

/// An image as it is given.
#[derive(Clone, Debug, PartialEq)]
struct Given {
    path: PathBuf,
    frame: u32,
    strength: f32,
    crf: u8,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Given, String> {
        let mut rest = text;
        let mut numbers = Vec::new();
        while let Some((path, number)) = rest.rsplit_once(':').filter(|_| numbers.len() < NUMBERS.1) {
            let Ok(number) = number.parse::<f32>() else { break };
            numbers.insert(0, number);
            rest = path;
        }
        let number = |i: usize, usual: f32| numbers.get(i).copied().unwrap_or(usual);
        let (frame, strength, crf) = (number(0, 0.0), number(1, 1.0), number(2, f32::from(DEFAULT_CRF)));
        let whole = |x: f32, most: f32| x.fract() == 0.0 && (0.0..=most).contains(&x);
        if rest.is_empty() {
            return Err("there is no path".to_string());
        }
        if !whole(frame, 65536.0) {
            return Err(format!("the frame is {frame}; wanted a whole number from 0 on"));
        }
        if !(0.0..=1.0).contains(&strength) {
            return Err(format!("the strength is {strength}; wanted 0 to 1"));
        }
        if !whole(crf, f32::from(MAX_CRF)) {
            return Err(format!("the CRF is {crf}; wanted a whole number from 0 to {MAX_CRF}"));
        }
        Ok(Given { path: rest.into(), frame: frame as u32, strength, crf: crf as u8 })
    }
}

/// Images that were read, by their number in the plan, each with its strength.
pub struct Images(BTreeMap<u32, (Image, f32)>);

impl ImageArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.image.iter().map(|given| given.path.as_path())
    }

    /// Reads the images that a run of `plan` takes. Says what of them is left out.
    ///
    /// # Errors
    /// More images than the plan has room for, or for other frames; one that cannot be used.
    pub fn open(&self, plan: &Plan) -> Result<Images, Failure> {
        let takes = plan.phases.iter().flat_map(|phase| phase.inputs.iter());
        let takes = takes.into_iter().any(|port| matches!(port.role, Role::Image { .. }));
        if let Some(given) = self.image.first().filter(|_| !takes) {
            return Err(Failure::usage(format!(
                "{} is an image, and plan {} takes none\n  help  docs/targets.md, Stages",
                given.path.display(),
                plan.name
            )));
        }
        let mut images = BTreeMap::new();
        for given in &self.image {
            if given.frame > 0 {
                return Err(Failure::usage(format!(
                    "{} is for frame {}, and plan {} takes an image for frame 0 alone",
                    given.path.display(),
                    given.frame,
                    plan.name
                )));
            }
            let image = Image::open(&given.path, given.crf).map_err(|e| Failure::usage(e.to_string()))?;
            for note in image.notes() {
                terminal::note(format_args!("{}: {note}", given.path.display()));
            }
            if images.insert(given.frame, (image, given.strength)).is_some() {
                return Err(Failure::usage(format!(
                    "{} is the second image for frame {}",
                    given.path.display(),
                    given.frame
                )));
            }
        }
        Ok(Images(images))
    }
}

impl Images {
    /// As a run takes them.
    pub fn of_request(&self) -> BTreeMap<u32, run::Image<'_>> {
        let fitted = |image: &Image, width: usize, height: usize| {
            Tensor::real(&[3, height, width], image.fit(width, height))
        };
        let one = |(number, (image, strength)): (&u32, &'_ (Image, f32))| {
            let image = image.clone();
            let pixels = Box::new(move |width, height| fitted(&image, width, height));
            (*number, run::Image { strength: *strength, pixels })
        };
        self.0.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_the_path() {
        let given = |text: &str| text.parse::<Given>();
        let of = |path: &str, frame, strength, crf| Given { path: path.into(), frame, strength, crf };
        assert_eq!(given("a.png"), Ok(of("a.png", 0, 1.0, 33)));
        assert_eq!(given("a.png:8"), Ok(of("a.png", 8, 1.0, 33)));
        assert_eq!(given("a:b.png:0:0.7"), Ok(of("a:b.png", 0, 0.7, 33)));
        assert_eq!(given("a.png:0:1:0"), Ok(of("a.png", 0, 1.0, 0)));
        for wrong in ["", ":0", "a.png:-1", "a.png:0.5", "a.png:0:2", "a.png:0:nan", "a.png:0:1:52"] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
    }
}
