//! What is seen in a clip of the demo model: the background, and the colour, the shape and the motion of its object.
//!
//! The background is the nearest of the eight pictures that the world has (`tests/demo/backgrounds`). The object is what
//! differs from it. Its colour is the one, of the world's ten, that explains most of the difference; where it explains a
//! pixel better than the background does, there is the object. So soft edges and an encoder's noise do little. Numbers of
//! the world are those of tools/demo-model/world.py.

mod figure;
mod film;
mod motion;
mod shape;
#[cfg(feature = "aac-fdk")]
mod sound;

use std::path::Path;

use crate::Error;

pub use figure::{Figure, Mask};
pub use film::{Film, Picture};
#[cfg(feature = "aac-fdk")]
pub use sound::{Sound, correlation};

/// What a clip shows; `None` for what is not to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `red`, `green`, ..
    pub colour: Option<String>,
    /// `ball`, `square`, ..
    pub shape: Option<String>,
    /// `rolls right`, `bounces`, ..
    pub motion: Option<String>,
    /// `wood`, `grass`, ..
    pub background: String,
}

/// The backgrounds of the world.
pub struct Scenery {
    /// Names and pictures.
    backgrounds: Vec<(String, Picture)>,
}

impl Scenery {
    /// The pictures of a folder: a PNG file for each, called by its name.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn load(folder: &Path) -> Result<Scenery, Error> {
        let mut backgrounds = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            backgrounds.push((name, Picture::of_png(&path)?));
        }
        backgrounds.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Scenery { backgrounds })
    }

    /// What a clip shows.
    ///
    /// # Panics
    /// If there are no backgrounds, or the clip has no pictures.
    pub fn look(&self, film: &Film) -> Seen {
        let width = film.pictures[0].width;
        let reduced = self.backgrounds.iter().map(|(name, picture)| (name, picture.reduced(width)));
        let apart =
            |behind: &Picture| -> f32 { film.pictures.iter().map(|picture| misfit(picture, behind)).sum() };
        let nearest = reduced.map(|(name, behind)| (apart(&behind), name, behind));
        let (_, name, behind) = nearest.min_by(|(a, ..), (b, ..)| a.total_cmp(b)).expect("a background");
        let figure = Figure::find(film, &behind);
        let figure = figure.as_ref();
        Seen {
            colour: figure.map(|figure| figure.colour.to_string()),
            shape: figure.and_then(|figure| shape::shape(&figure.masks)).map(str::to_string),
            motion: figure.and_then(|figure| motion::motion(&figure.masks)).map(str::to_string),
            background: name.clone(),
        }
    }
}

/// How badly a background fits a picture, in colour and in texture; what lies before it counts little.
fn misfit(picture: &Picture, behind: &Picture) -> f32 {
    const MOST: f32 = 60.0;
    let differences = picture.minus(behind);
    let size =
        |picture: &Picture| -> f32 { picture.pixels.as_flattened().iter().map(|x| x.abs().min(MOST)).sum() };
    size(&differences) + 2.0 * size(&differences.smoothed())
}
