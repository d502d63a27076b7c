//! Convolutions by the names of their weights.

use crate::lang::{Builder, Op, Value};

/// The convolution `op` of `x` [space.., channels] to `out` channels whose filters `weight` and `bias` stand at path
/// `name`.
pub fn conv(b: &Builder, name: &str, x: Value, out: usize, kernel: &[usize], op: Op) -> Value {
    b.scope(name, || {
        let weight = b.filters("weight", out, kernel, b.width(x));
        b.op(op, &[x, weight, b.weight("bias", &[out])])
    })
}

/// A convolution of every frame of `x` [frames, height, width, channels] for itself, with `side`² taps and zeros around, to
/// `out` channels; filters `weight` and, if there is one, `bias` stand at path `name`.
pub fn per_frame(b: &Builder, name: &str, x: Value, out: usize, side: usize, bias: bool) -> Value {
    let (width, pad) = (b.width(x), side / 2);
    b.scope(name, || {
        let weight = b.filters("weight", out, &[side, side], width);
        let bias = bias.then(|| b.weight("bias", &[out]));
        if side == 1 {
            let inputs = [Some(x), Some(b.reshape(weight, &[out, width])), bias];
            return b.op(Op::Linear {}, &inputs.into_iter().flatten().collect::<Vec<_>>());
        }
        let weight = b.reshape(weight, &[out, 1, side, side, width]);
        let pads = vec![0, 0, pad, pad, pad, pad];
        let inputs: Vec<Value> = [Some(x), Some(weight), bias].into_iter().flatten().collect();
        b.op(Op::Conv { pads, replicate: false, stride: 1, dilation: 1 }, &inputs)
    })
}
