//! What the markers of a JPEG say that its decoder does not tell.

/// Of a JPEG file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// Colours of a pixel; `None` without a frame.
    pub components: Option<u8>,
    /// Whether the frame is lossless, arithmetically coded or of more than 8 bits: what the decoder does not read.
    pub rare: bool,
    /// Whether there is an end behind the pixels. Without it the file was cut off.
    pub ends: bool,
}

/// Goes from marker to marker up to the first scan, and looks for the end behind it: in scans, no 0xFF stands before
/// such a byte. What does not look like markers ends the search; decoders say what is wrong with it.
pub(super) fn markers(file: &[u8]) -> Markers {
    const START_OF_SCAN: u8 = 0xda;
    const END: [u8; 2] = [0xff, 0xd9];
    let mut found = Markers::default();
    let mut rest = file.get(2..).unwrap_or_default();
    while let [0xff, kind, after @ ..] = rest {
        match *kind {
            // Filling, and markers without a length.
            0xff => rest = &rest[1..],
            0x01 | 0xd0..=0xd8 => rest = after,
            START_OF_SCAN => {
                found.ends = after.windows(2).any(|two| two == END);
                break;
            }
            kind => {
                let [high, low, ..] = after else { break };
                // Frames, but not the tables among their markers: precision, height, width, components.
                if (0xc0..=0xcf).contains(&kind) && ![0xc4, 0xc8, 0xcc].contains(&kind) {
                    found.components = after.get(7).copied();
                    found.rare = kind > 0xc2 || after.get(2).is_some_and(|precision| *precision != 8);
                }
                rest = after.get(usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default();
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_behind_the_scan_only() {
        let head = [0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xda, 0xff, 0xd9];
        let frame = [0xff, 0xc2, 0, 9, 8, 0, 1, 0, 1, 4, 0];
        let scan = [0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0];
        let file = [&head[..], &frame, &scan].concat();
        assert_eq!(markers(&file), Markers { components: Some(4), rare: false, ends: false });
        assert_eq!(
            markers(&[&file[..], &[0xff, 0xd9, 7]].concat()),
            Markers { components: Some(4), rare: false, ends: true }
        );
        for length in 0..file.len() {
            assert!(!markers(&file[..length]).ends);
        }
    }
}
