//! Planes of luma and colour difference to RGB.

/// How a video says colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::media) struct Colours {
    /// The shares of red and blue in luma.
    pub red: f32,
    pub blue: f32,
    /// Whether all 256 values are used, not those of limited range.
    pub full: bool,
}

impl Colours {
    /// As this program writes them; also what a file means that does not say it.
    pub const BT709: Colours = Colours { red: 0.2126, blue: 0.0722, full: false };

    /// By the number of the matrix, ITU-T H.273 table 4; `None` for those that are no such thing.
    pub fn of(matrix: u16, full: bool) -> Option<Colours> {
        let (red, blue) = match matrix {
            1 | 2 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            5 | 6 => (0.299, 0.114),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            _ => return None,
        };
        Some(Colours { red, blue, full })
    }
}

/// A plane and the bytes from one row to the next.
pub(in crate::media) type Plane<'a> = (&'a [u8], usize);

/// What is left of a plane from a row on.
fn row((plane, stride): Plane<'_>, y: usize) -> &[u8] {
    plane.get(y * stride..).unwrap_or_default()
}

/// RGB, [height, width, 3]. The planes of colour difference have a value for `across`·`down` pixels.
pub(in crate::media) fn rgb(
    [luma, blue, red]: [Plane<'_>; 3],
    [width, height]: [usize; 2],
    [across, down]: [usize; 2],
    colours: Colours,
) -> Vec<u8> {
    let (offset, scale, swing) = if colours.full { (0.0, 1.0, 255.0) } else { (16.0, 255.0 / 219.0, 224.0) };
    let green = 1.0 - colours.red - colours.blue;
    let per = 255.0 / swing;
    let (to_red, to_blue) = (2.0 * (1.0 - colours.red) * per, 2.0 * (1.0 - colours.blue) * per);
    let mut out = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        let (luma, blue, red) = (row(luma, y), row(blue, y / down), row(red, y / down));
        for x in 0..width {
            let at = |row: &[u8], x: usize| row.get(x).map_or(128.0, |value| f32::from(*value));
            let (l, b, r) = ((at(luma, x) - offset) * scale, at(blue, x / across), at(red, x / across));
            let (r, b) = ((r - 128.0) * to_red, (b - 128.0) * to_blue);
            let g = -(colours.red * r + colours.blue * b) / green;
            out.extend([r, g, b].map(|part| (l + part + 0.5).clamp(0.0, 255.0) as u8));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back() {
        for (colours, planes, wanted) in [
            (Colours::BT709, [16, 128, 128], [0, 0, 0]),
            (Colours::BT709, [235, 128, 128], [255, 255, 255]),
            (Colours::BT709, [63, 102, 240], [255, 1, 0]),
            (Colours::of(6, false).unwrap(), [81, 90, 240], [254, 0, 0]),
            (Colours::of(6, true).unwrap(), [76, 85, 255], [254, 0, 0]),
        ] {
            let [l, b, r] = planes.map(|value| [value]);
            let made = rgb([(&l, 1), (&b, 1), (&r, 1)], [1, 1], [2, 2], colours);
            let near = made.iter().zip(wanted).all(|(made, wanted)| made.abs_diff(wanted) <= 1);
            assert!(near, "{colours:?}: {made:?} {wanted:?}");
        }
        assert_eq!(Colours::of(0, true), None);
    }
}
