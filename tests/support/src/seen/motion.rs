//! What an object does: the way of its middle and its size, compared with the motions of the demo model's world.

use std::f32::consts::{PI, TAU};

use super::figure::Mask;

const MOTIONS: [&str; 9] =
    ["rolls right", "rolls left", "bounces", "rises", "falls", "stays", "grows", "shrinks", "circles"];

/// How much a size that differs by all of itself counts, in heights of the picture.
const SIZE_WEIGHT: f32 = 0.3;

/// Where an object is: across and down in heights of the picture, and its size.
type Place = [f32; 3];

/// The motion that masks show, one at a time from the first to the last; `None` if they cover something too seldom.
pub fn motion(masks: &[Mask]) -> Option<&'static str> {
    let seen: Vec<(f32, Place)> = masks
        .iter()
        .enumerate()
        .filter_map(|(i, mask)| {
            let (x, y) = mask.middle()?;
            let height = (mask.cover.len() / mask.width) as f32;
            let time = i as f32 / (masks.len() - 1).max(1) as f32;
            Some((time, [x / height, y / height, mask.area().sqrt()]))
        })
        .collect();
    if seen.len() < masks.len() * 3 / 5 {
        return None;
    }
    let have = centred(seen.iter().map(|(_, place)| *place).collect());
    let apart = |name: &&str| -> f32 {
        let want = centred(seen.iter().map(|(time, _)| place(name, *time)).collect());
        have.iter().flatten().zip(want.iter().flatten()).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    MOTIONS.into_iter().min_by(|a, b| apart(a).total_cmp(&apart(b)))
}

/// Places around their mean, sizes as shares of theirs.
fn centred(mut places: Vec<Place>) -> Vec<Place> {
    let count = places.len() as f32;
    let mean = places.iter().fold([0.0; 3], |sum, place| [0, 1, 2].map(|i| sum[i] + place[i] / count));
    for [x, y, size] in &mut places {
        (*x, *y, *size) = (*x - mean[0], *y - mean[1], SIZE_WEIGHT * (*size / mean[2] - 1.0));
    }
    places
}

/// Where the world has an object of a motion at a time from 0 to 1.
fn place(motion: &str, time: f32) -> Place {
    match motion {
        "rolls right" => [0.86 * time, 0.0, 1.0],
        "rolls left" => [-0.86 * time, 0.0, 1.0],
        "bounces" => [0.0, -0.38 * (TAU * time).sin().abs(), 1.0],
        "rises" => [0.0, -0.6 * time, 1.0],
        "falls" => [0.0, 0.6 * time * time, 1.0],
        "grows" => [0.0, 0.0, 0.6 + 0.9 * time],
        "shrinks" => [0.0, 0.0, 1.5 - 0.9 * time],
        "circles" => [0.23 * (2.0 * PI * time).cos(), 0.23 * (2.0 * PI * time).sin(), 1.0],
        _ => [0.0, 0.0, 1.0],
    }
}
