//! The object before a background: its colour, and where it is in every picture.

use super::film::{Film, Picture};

/// The colours of the demo model's world.
const COLOURS: [(&str, [f32; 3]); 10] = [
    ("red", [222.0, 38.0, 38.0]),
    ("green", [30.0, 205.0, 70.0]),
    ("blue", [50.0, 75.0, 235.0]),
    ("yellow", [250.0, 228.0, 40.0]),
    ("orange", [250.0, 140.0, 20.0]),
    ("purple", [150.0, 50.0, 190.0]),
    ("white", [252.0, 252.0, 252.0]),
    ("black", [14.0, 14.0, 14.0]),
    ("pink", [250.0, 130.0, 185.0]),
    ("cyan", [30.0, 220.0, 225.0]),
];

/// Light from above makes colours so much darker or lighter.
const LIGHT: [f32; 2] = [0.76, 1.34];
const SHADES: usize = 16;

/// Differences from the background that are no object: what encoders and soft textures leave.
const NOISE: f32 = 12.0;

/// An object smaller than this share of the picture is none.
const LEAST_AREA: f32 = 0.002;

/// An object, in every picture.
pub struct Figure {
    /// Its colour's name.
    pub colour: &'static str,
    /// By picture.
    pub masks: Vec<Mask>,
}

/// Which part of each pixel the object covers, 0 to 1.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Pixels of a row.
    pub width: usize,
    /// All pixels.
    pub cover: Vec<f32>,
}

impl Figure {
    /// The one object before `background`; `None` if nothing is there.
    pub fn find(film: &Film, background: &Picture) -> Option<Figure> {
        let palettes = COLOURS.map(|(_, colour)| shades(colour));
        let foregrounds: Vec<Vec<Difference>> =
            film.pictures.iter().map(|picture| foreground(picture, background)).collect();
        let mut gains = [0.0; COLOURS.len()];
        for (picture, foreground) in film.pictures.iter().zip(&foregrounds) {
            for (pixel, Difference { apart, .. }) in
                picture.pixels.iter().zip(foreground).filter(|(_, difference)| difference.inner)
            {
                for (gain, palette) in gains.iter_mut().zip(&palettes) {
                    *gain += (apart * apart - squared_to_palette(*pixel, palette)).max(0.0);
                }
            }
        }
        let best = (0..gains.len()).max_by(|a, b| gains[*a].total_cmp(&gains[*b]))?;
        let mask = |(picture, foreground): (&Picture, &Vec<Difference>)| {
            let cover = picture.pixels.iter().zip(foreground).map(|(pixel, Difference { apart, .. })| {
                let from_colour = squared_to_palette(*pixel, &palettes[best]).sqrt();
                if *apart > 0.0 { apart / (apart + from_colour) } else { 0.0 }
            });
            Mask { width: picture.width, cover: cover.collect() }.largest_pieces()
        };
        let masks: Vec<Mask> = film.pictures.iter().zip(&foregrounds).map(mask).collect();
        let area: f32 = masks.iter().map(Mask::area).sum();
        let pixels: usize = masks.iter().map(|mask| mask.cover.len()).sum();
        (area > LEAST_AREA * pixels as f32).then_some(Figure { colour: COLOURS[best].0, masks })
    }
}

/// How a pixel differs from the background.
struct Difference {
    /// How far it is from it; 0 where that is noise.
    apart: f32,
    /// Whether the differences around it are nearly as large as anywhere in the picture: inside an object, not at its
    /// edge, where colours mix.
    inner: bool,
}

/// How each pixel differs from the background. A texture that is only softer than it should be is noise, too: around each
/// place its differences have the mean 0.
fn foreground(picture: &Picture, background: &Picture) -> Vec<Difference> {
    const INNER: f32 = 0.6;
    let differences = picture.minus(background);
    let around: Vec<f32> = differences.smoothed().pixels.iter().map(|mean| length(*mean)).collect();
    let most = around.iter().fold(NOISE, |most, size| size.max(most));
    let difference = |(here, around): (&[f32; 3], f32)| Difference {
        apart: if around > NOISE { length(*here) } else { 0.0 },
        inner: around > INNER * most,
    };
    differences.pixels.iter().zip(around).map(difference).collect()
}

fn shades(colour: [f32; 3]) -> [[f32; 3]; SHADES] {
    std::array::from_fn(|i| {
        let light = LIGHT[0] + (LIGHT[1] - LIGHT[0]) * i as f32 / (SHADES - 1) as f32;
        colour.map(|x| (x * light).min(255.0))
    })
}

fn length(v: [f32; 3]) -> f32 {
    v.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn squared_to_palette(pixel: [f32; 3], palette: &[[f32; 3]]) -> f32 {
    let squared = |shade: &[f32; 3]| -> f32 { pixel.iter().zip(shade).map(|(a, b)| (a - b) * (a - b)).sum() };
    palette.iter().map(squared).fold(f32::INFINITY, f32::min)
}

impl Mask {
    /// Covered pixels.
    pub fn area(&self) -> f32 {
        self.covered().count() as f32
    }

    /// The pixels of which at least half is covered.
    fn covered(&self) -> impl Iterator<Item = usize> {
        (0..self.cover.len()).filter(|at| self.cover[*at] >= 0.5)
    }

    /// Its middle in pixels, across and down; `None` where nothing is covered.
    pub fn middle(&self) -> Option<(f32, f32)> {
        let area = self.area();
        let sum = self.covered().fold((0.0, 0.0), |(x, y), at| {
            (x + (at % self.width) as f32 + 0.5, y + (at / self.width) as f32 + 0.5)
        });
        (area > 0.0).then(|| (sum.0 / area, sum.1 / area))
    }

    /// Whether it lies inside the picture with all of its edge.
    pub fn is_whole(&self) -> bool {
        let (last, rows) = (self.width - 1, self.cover.len() / self.width);
        let edge = |at: usize| matches!(at % self.width, 0) || at % self.width == last;
        self.covered().all(|at| !edge(at) && at / self.width > 0 && at / self.width < rows - 1)
    }

    /// How much is covered at a place in pixels, between their middles in proportion; nothing outside.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let pixel = |dx: f32, dy: f32| {
            let (column, row) = (left + dx, top + dy);
            let inside = column >= 0.0 && row >= 0.0 && column < self.width as f32;
            let at = row.max(0.0) as usize * self.width + column.max(0.0) as usize;
            if inside { self.cover.get(at).copied().unwrap_or(0.0) } else { 0.0 }
        };
        let (across, down) = (x - left, y - top);
        let row = |dy: f32| pixel(0.0, dy) * (1.0 - across) + pixel(1.0, dy) * across;
        row(0.0) * (1.0 - down) + row(1.0) * down
    }

    /// Without the pieces that are small beside the largest one.
    fn largest_pieces(mut self) -> Mask {
        const SHARE: usize = 5;
        let mut piece_of = vec![usize::MAX; self.cover.len()];
        let mut sizes = Vec::new();
        for start in self.covered().collect::<Vec<_>>() {
            if piece_of[start] != usize::MAX {
                continue;
            }
            let (mut open, mut size) = (vec![start], 0);
            piece_of[start] = sizes.len();
            while let Some(at) = open.pop() {
                size += 1;
                for next in self.neighbours(at) {
                    if self.cover[next] >= 0.5 && piece_of[next] == usize::MAX {
                        piece_of[next] = sizes.len();
                        open.push(next);
                    }
                }
            }
            sizes.push(size);
        }
        let least = sizes.iter().max().map_or(0, |largest| largest / SHARE);
        for (at, cover) in self.cover.iter_mut().enumerate() {
            if piece_of[at] != usize::MAX && sizes[piece_of[at]] < least {
                *cover = 0.0;
            }
        }
        self
    }

    /// The pixels that touch one.
    fn neighbours(&self, at: usize) -> impl Iterator<Item = usize> {
        let (column, row) = (at % self.width, at / self.width);
        let rows = row.saturating_sub(1)..(row + 2).min(self.cover.len() / self.width);
        let columns = column.saturating_sub(1)..(column + 2).min(self.width);
        let width = self.width;
        rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
    }
}
