//! Rotary position tables over real positions (docs/model/transformer.md 4).

use std::f64::consts::FRAC_PI_2;

use crate::lang::{Builder, Op, Value};

/// Tables to rotate queries or keys with: `cos` and `sin` [positions, frequencies] hold each distinct position
/// once, `index` [tokens, axes] names a token's row for each axis.
#[derive(Clone, Copy, Debug)]
pub struct Rotary {
    pub cos: Value,
    pub sin: Value,
    pub index: Value,
}

/// The distinct positions of one axis, midpoints of what a token covers, and the position that turns a frequency
/// by its whole value.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub mids: Vec<f32>,
    pub max_pos: f32,
}

/// The tables for an attention of inner width `width`. `index` [tokens, axes], row-major, counts positions through
/// all axes in order: the first of axis 1 comes after the last of axis 0.
pub fn axial(b: &Builder, name: &str, width: usize, axes: &[Axis], theta: f64, index: Vec<i32>) -> Rotary {
    let frequencies = frequencies(width / (2 * axes.len()), theta);
    let angles: Vec<f32> = axes
        .iter()
        .flat_map(|axis| axis.mids.iter().map(|mid| mid / axis.max_pos))
        .flat_map(|fraction| frequencies.iter().map(move |frequency| frequency * (2.0 * fraction - 1.0)))
        .collect();
    let positions = axes.iter().map(|axis| axis.mids.len()).sum();
    let tokens = index.len() / axes.len();
    b.scope(name, || {
        let angle = b.constant("angle", &[positions, frequencies.len()], angles);
        let index = b.index("index", &[tokens, axes.len()], index);
        Rotary { cos: b.round(b.cos(angle)), sin: b.round(b.sin(angle)), index }
    })
}

/// From π/2 to π/2·theta in `count` equal ratios, computed in f64.
fn frequencies(count: usize, theta: f64) -> Vec<f32> {
    let last = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|k| (FRAC_PI_2 * libm::pow(theta, k as f64 / last)) as f32).collect()
}

impl Rotary {
    /// The same with a row behind the others for each position that is known when a run begins, f32 \[1\] each, on an axis
    /// with this `max_pos`.
    pub fn with_rows(self, b: &Builder, (mids, max_pos): (&[Value], f32), theta: f64) -> Rotary {
        if mids.is_empty() {
            return self;
        }
        let count = b.width(self.cos);
        let frequencies = b.constant("rope.frequencies", &[1, count], frequencies(count, theta));
        let max_pos = b.constant("rope.max_pos", &[1], vec![max_pos]);
        let angle = |mid: &Value| b.mul(frequencies, b.affine(b.div(*mid, max_pos), 2.0, -1.0));
        let angles: Vec<Value> = mids.iter().map(angle).collect();
        let with = |table: Value, of: &dyn Fn(Value) -> Value| {
            let rows = angles.iter().map(|angle| b.round(of(*angle)));
            b.concat(&[table].into_iter().chain(rows).collect::<Vec<_>>())
        };
        Rotary {
            cos: with(self.cos, &|angle| b.cos(angle)),
            sin: with(self.sin, &|angle| b.sin(angle)),
            index: self.index,
        }
    }

    /// `x` [tokens, heads·d] rotated; the pairs in front that the frequencies do not fill stay as they are.
    pub fn rotate(&self, b: &Builder, heads: usize, x: Value) -> Value {
        b.op(Op::Rope { heads, shared: false }, &[x, self.cos, self.sin, self.index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::{Constant, Def, Dtype};

    #[test]
    fn frequencies_run_from_a_quarter_turn_to_theta_of_them() {
        let f = frequencies(682, 10_000.0);
        assert_eq!((f[0], f[681]), (std::f32::consts::FRAC_PI_2, (FRAC_PI_2 * 10_000.0) as f32));
        assert!(f.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(frequencies(1, 10_000.0), [std::f32::consts::FRAC_PI_2]);
    }

    #[test]
    fn the_rows_of_all_axes_stand_in_one_table() {
        let b = Builder::new("test", Dtype::Bf16);
        let time = Axis { mids: vec![0.0, 10.0, 20.0], max_pos: 20.0 };
        let height = Axis { mids: vec![512.0, 1536.0], max_pos: 2048.0 };
        let rope = axial(&b, "rope", 18, &[time, height], 10_000.0, vec![0, 3, 2, 4]);
        assert_eq!((b.shape(rope.cos), b.shape(rope.index)), (vec![5, 4], vec![2, 2]));
        let x = b.input("x", Dtype::Bf16, &[2, 18]);
        rope.rotate(&b, 3, x);
        let graph = b.finish().expect("recorded");
        assert_eq!(graph.info(rope.sin).dtype, Dtype::Bf16);
        let angle = graph.values.iter().find(|info| info.path == "rope.angle").expect("angle");
        let Def::Constant(Constant::Real(angle)) = &angle.def else { panic!("not a constant") };
        let quarter = std::f32::consts::FRAC_PI_2;
        let slowest: Vec<_> = angle.chunks(4).map(|row| row[0] / quarter).collect();
        assert_eq!(slowest, [-1.0, 0.0, 1.0, -0.5, 0.5]);
    }
}
