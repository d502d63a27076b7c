//! Results that are made of a file's bytes in order, on all cores: the next bytes are on their way from the disk, because the
//! system sees a file read from front to back, or because they were asked for (`crate::ahead`).

use rayon::prelude::*;

/// Bytes of a result that one thread makes at a time: at least what is worth a thread's while, and at most a huge page, so that
/// fresh memory is filled with zeros by one thread.
const LEAST: usize = 128 << 10;
const MOST: usize = 2 << 20;
/// Pieces for each thread, so that all end at about the same time.
const EACH: usize = 4;

/// Calls `make` with pieces of `out` and where they begin, in order. Pieces begin and end at multiples of `unit` bytes.
///
/// # Errors
/// One that `make` has.
pub(super) fn in_pieces<E: Send>(
    out: &mut [u8],
    unit: usize,
    make: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    if out.len() <= LEAST.max(unit) {
        return make(0, out);
    }
    let fair = (out.len() / (EACH * rayon::current_num_threads())).clamp(LEAST, MOST).next_power_of_two();
    let whole = (fair / unit).max(1) * unit;
    // The first piece ends where an address is a multiple of the others' length.
    let address = out.as_ptr().addr();
    let head = ((address.next_multiple_of(whole) - address) / unit * unit).min(out.len());
    let (first, rest) = out.split_at_mut(head);
    let rest = rest.chunks_mut(whole).enumerate().map(|(i, piece)| (head + i * whole, piece));
    let first = Some((0, first)).filter(|(_, piece)| !piece.is_empty());
    first.into_iter().chain(rest).par_bridge().try_for_each(|(at, piece)| make(at, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_it_in_whole_units() {
        for (bytes, unit) in
            [(0, 1), (5, 5), (LEAST, 2), (LEAST + 2, 2), (3 * MOST + 4, 4), (4112 * 900, 4112)]
        {
            let mut out = vec![0; bytes];
            let number = |at: usize| (at / unit % 251) as u8 + 1;
            in_pieces(&mut out, unit, |at, piece| {
                assert!(at.is_multiple_of(unit) && piece.len().is_multiple_of(unit));
                for (i, byte) in piece.iter_mut().enumerate() {
                    assert_eq!(*byte, 0);
                    *byte = number(at + i);
                }
                Ok::<(), ()>(())
            })
            .unwrap();
            assert!(out.iter().enumerate().all(|(at, byte)| *byte == number(at)), "{bytes} {unit}");
        }
        let error =
            in_pieces(&mut vec![0; 4 * MOST], 1, |at, _| if at >= 2 * MOST { Err(at) } else { Ok(()) });
        assert!(error.is_err());
    }
}
