//! Silences OpenH264's log. The only unsafe code of this module.

use openh264::encoder::Encoder;
use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};

/// Turns off the encoder's log before its first frame.
///
/// The bindings turn it off themselves, but only after the encoder has checked its parameters and has printed to
/// standard error that the bit rate cannot be kept exactly when no frame may be skipped. That is what this program
/// wants, so the line would only alarm people. The bindings have no safe way to say so earlier.
#[allow(unsafe_code)]
pub(super) fn quiet(encoder: &mut Encoder) {
    let mut level: i32 = WELS_LOG_QUIET;
    // SAFETY: the pointer is to a live i32, the four bytes that this option reads, and the encoder keeps a copy. OpenH264
    // accepts the option before initialisation (`CWelsH264SVCEncoder::SetOption`), and the bindings rely on no
    // particular level. An error code would mean that the log stays on, which harms nothing.
    unsafe {
        encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
    }
}
