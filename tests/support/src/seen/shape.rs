//! The shape of an object, however it is turned: how its mask covers the rings around its middle, compared with what the
//! shapes of the demo model's world cover.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use super::figure::Mask;

const DIRECTIONS: usize = 60;
const RINGS: usize = 14;
/// The outermost ring, in radii of a disc of the same area.
const REACH: f32 = 1.9;

/// What is covered, by ring and direction.
type Signature = [[f32; DIRECTIONS]; RINGS];

/// Signatures of the shapes themselves.
static SHAPES: LazyLock<[(&str, Signature); 5]> = LazyLock::new(|| {
    ["ball", "square", "triangle", "star", "ring"].map(|name| {
        let mask = drawn(name);
        (name, signature(&mask).expect("a shape covers something"))
    })
});

/// The shape that masks have together; `None` if none of them covers anything.
pub fn shape(masks: &[Mask]) -> Option<&'static str> {
    let whole: Vec<&Mask> = masks.iter().filter(|mask| mask.is_whole()).collect();
    let all: Vec<&Mask> = if whole.is_empty() { masks.iter().collect() } else { whole };
    let signatures: Vec<Signature> = all.iter().filter_map(|mask| signature(mask)).collect();
    let apart = |shape: &Signature| -> f32 { signatures.iter().map(|have| nearest(have, shape)).sum() };
    let (name, _) = SHAPES.iter().min_by(|(_, a), (_, b)| apart(a).total_cmp(&apart(b)))?;
    (!signatures.is_empty()).then_some(name)
}

/// How a mask covers the rings around its middle.
fn signature(mask: &Mask) -> Option<Signature> {
    let (x, y) = mask.middle()?;
    let radius = (mask.area() / PI).sqrt();
    let cover = |ring: usize, direction: usize| {
        let (out, angle) = (distance(ring) * radius, TAU * direction as f32 / DIRECTIONS as f32);
        mask.at(x + out * angle.cos(), y + out * angle.sin())
    };
    Some(std::array::from_fn(|ring| std::array::from_fn(|direction| cover(ring, direction))))
}

/// Of a ring from the middle.
fn distance(ring: usize) -> f32 {
    REACH * (ring as f32 + 0.5) / RINGS as f32
}

/// How far a signature is from a shape, turned so that it is as near as can be.
fn nearest(have: &Signature, shape: &Signature) -> f32 {
    let turned = |turn: usize| -> f32 {
        let ring = |ring: usize| -> f32 {
            let apart = |d: usize| (have[ring][d] - shape[ring][(d + turn) % DIRECTIONS]).powi(2);
            distance(ring) * (0..DIRECTIONS).map(apart).sum::<f32>()
        };
        (0..RINGS).map(ring).sum()
    };
    (0..DIRECTIONS).map(turned).fold(f32::INFINITY, f32::min)
}

/// A shape of the world, large and sharp.
fn drawn(name: &str) -> Mask {
    const SIDE: usize = 96;
    const RADIUS: f32 = 24.0;
    let cover = (0..SIDE * SIDE).map(|at| {
        let place = |i: usize| (i as f32 + 0.5 - SIDE as f32 / 2.0) / RADIUS;
        (0.5 - RADIUS * outside(name, place(at % SIDE), place(at / SIDE))).clamp(0.0, 1.0)
    });
    Mask { width: SIDE, cover: cover.collect() }
}

/// How far a place is outside of a shape of radius 1, about; negative inside.
fn outside(name: &str, x: f32, y: f32) -> f32 {
    let out = x.hypot(y);
    match name {
        "ball" => out - 1.0,
        "ring" => (out - 0.74).abs() - 0.26,
        "square" => x.abs().max(y.abs()) - 0.84,
        "triangle" => (0.866 * x.abs() - 0.5 * y).max(y) - 0.56,
        _ => {
            const TIP: f32 = 1.1;
            const NOTCH: f32 = 0.52;
            let fold = ((x.atan2(-y) + PI / 5.0).rem_euclid(TAU / 5.0) - PI / 5.0).abs();
            let (ex, ey) = (NOTCH * (PI / 5.0).cos() - TIP, NOTCH * (PI / 5.0).sin());
            (ey * (out * fold.cos() - TIP) - ex * out * fold.sin()) / ex.hypot(ey)
        }
    }
}
