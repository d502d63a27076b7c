//! Blocks of 32 with one scale.

use super::parts::{LANES, MIDDLE, Parts, bits, lanes, single_bits};

/// d, then 32 int8.
pub struct Q8_0;

impl Parts<34, 1> for Q8_0 {
    const UNITS: [usize; 2] = [0, 0];

    #[inline(always)]
    fn scales(_: &[u8; 34], [d, _]: [f32; 2], scales: &mut [f32; 1], _: &mut [f32; 1]) {
        *scales = [d];
    }

    #[inline(always)]
    fn codes(block: &[u8; 34], at: usize) -> [u8; LANES] {
        lanes(block, 2 + LANES * at).map(|code| code ^ MIDDLE)
    }
}

macro_rules! four_bits {
    ($($(#[$doc:meta])* $name:ident: $bytes:literal, $units:expr, codes at $codes:literal $(, fifth bits at $fifth:literal)?;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Parts<$bytes, 1> for $name {
            const UNITS: [usize; 2] = $units;

            #[inline(always)]
            fn scales(_: &[u8; $bytes], [d, least]: [f32; 2], scales: &mut [f32; 1], minima: &mut [f32; 1]) {
                (*scales, *minima) = ([d], [-least]);
            }

            // The lower halves of the bytes, then the upper ones.
            #[inline(always)]
            fn codes(block: &[u8; $bytes], at: usize) -> [u8; LANES] {
                bits(lanes(block, $codes), 4 * at, 15)
            }

            $(
                const UPPER: Option<usize> = Some(4);

                #[inline(always)]
                fn upper(block: &[u8; $bytes], at: usize) -> [u8; LANES] {
                    single_bits([block[$fifth + 2 * at], block[$fifth + 1 + 2 * at]])
                }
            )?
        }
    )*};
}

four_bits! {
    /// d, then 16 bytes of codes.
    Q4_0: 18, [0, 0], codes at 2;
    /// d, the minimum, then 16 bytes of codes.
    Q4_1: 20, [0, 2], codes at 4;
    /// d, the fifth bits, then 16 bytes of codes.
    Q5_0: 22, [0, 0], codes at 6, fifth bits at 2;
    /// d, the minimum, the fifth bits, then 16 bytes of codes.
    Q5_1: 24, [0, 2], codes at 8, fifth bits at 4;
    /// d, then 16 bytes of places in a table.
    Iq4Nl: 18, [0, 0], codes at 2;
}
