//! What an H.264 bit stream says of its colours.

/// Full range or not, and primaries, transfer and matrix, from the VUI of a Baseline SPS (ITU-T H.264, 7.3.2.1.1
/// and E.1.1).
pub fn bitstream_colour(sps: &[u8]) -> (bool, [u32; 3]) {
    let mut bits = Bits::of(sps);
    bits.take(8); // NAL header
    assert_eq!(bits.take(8), 66, "Baseline");
    bits.take(16); // constraints, level
    bits.golomb(); // id
    bits.golomb(); // bits of frame_num
    if bits.golomb() == 0 {
        bits.golomb(); // bits of the picture order count
    }
    bits.golomb(); // reference frames
    bits.take(1); // gaps allowed
    bits.golomb(); // width
    bits.golomb(); // height
    if bits.take(1) == 0 {
        bits.take(1); // fields
    }
    bits.take(1); // direct inference
    if bits.take(1) == 1 {
        (0..4).for_each(|_| _ = bits.golomb()); // cropping
    }
    assert_eq!(bits.take(1), 1, "VUI");
    assert_eq!(bits.take(2), 0, "neither aspect ratio nor overscan");
    assert_eq!(bits.take(1), 1, "video signal type");
    bits.take(3); // format
    let full = bits.take(1) == 1;
    assert_eq!(bits.take(1), 1, "colour description");
    (full, [bits.take(8), bits.take(8), bits.take(8)])
}

/// Bits of a NAL unit, most significant first.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn of(unit: &[u8]) -> Self {
        let mut bytes = Vec::new();
        for &byte in unit {
            // A 3 after two zeros only keeps the stream free of start codes.
            if !(byte == 3 && bytes.ends_with(&[0, 0])) {
                bytes.push(byte);
            }
        }
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> u32 {
        (0..count).fold(0, |value, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            value << 1 | u32::from(bit)
        })
    }

    fn golomb(&mut self) -> u32 {
        let mut zeros = 0;
        while self.take(1) == 0 {
            zeros += 1;
        }
        (1 << zeros) - 1 + self.take(zeros)
    }
}
