//! The `vocoder` section: the base generator and the bandwidth extension (docs/model/audio.md 7).

use super::super::config::{Generator, Vocoder};
use super::section::Section;

/// The spectrogram's hop at the base rate of 16 kHz: samples that the base generator makes of a frame.
const BASE_HOP: usize = 160;

/// The vocoder's dimensions.
pub(super) fn read(section: &Section<'_>) -> Option<Vocoder> {
    if section.optional("bwe").is_none() {
        let named = section.named("bwe");
        section
            .problems
            .add(format!("{named} is missing, a bandwidth extension wanted (before LTX-2.3 there was none)"));
        return None;
    }
    let base = section.section("vocoder").and_then(|base| generator(&base));
    let section = section.section("bwe")?;
    let bwe = generator(&section);
    section.fixed("input_sampling_rate", 16000);
    let output_rate = section.size("output_sampling_rate");
    let hop = section.size("hop_length");
    let n_fft = section.size("n_fft");
    let mel_bins = section.size("num_mels");
    let window = section.size("win_size");
    let problems = section.problems;
    let (base, bwe, output_rate, hop, n_fft) = (base?, bwe?, output_rate?, hop?, n_fft?);
    let mut good = problems
        .check(window? == n_fft, || format!("{} is not n_fft, {n_fft} wanted", section.named("win_size")));
    good &= problems.check(n_fft % 2 == 0 && hop <= n_fft, || {
        format!("{} is {n_fft}, an even number of at least hop_length ({hop}) wanted", section.named("n_fft"))
    });
    good &= problems.check(output_rate == 48000, || {
        format!("{} is {output_rate}, 48000 wanted", section.named("output_sampling_rate"))
    });
    good &= problems.check(product(&base.upsample_rates) == Some(BASE_HOP), || {
        format!(
            "vocoder.vocoder.upsample_rates are {:?}, with the product {BASE_HOP} wanted",
            base.upsample_rates
        )
    });
    // Hop and ratio are bounded, so their product does not overflow.
    let wanted = hop * (output_rate / 16000);
    good &= problems.check(product(&bwe.upsample_rates) == Some(wanted), || {
        format!("vocoder.bwe.upsample_rates are {:?}, with the product {wanted} wanted", bwe.upsample_rates)
    });
    good &= problems.check(BASE_HOP.is_multiple_of(hop), || {
        format!("{} is {hop}, a divisor of {BASE_HOP} wanted", section.named("hop_length"))
    });
    let vocoder = Vocoder { base, bwe, mel_bins: mel_bins?, input_rate: 16000, output_rate, hop, n_fft };
    good.then_some(vocoder)
}

fn product(numbers: &[usize]) -> Option<usize> {
    numbers.iter().try_fold(1usize, |product, &n| product.checked_mul(n))
}

fn generator(section: &Section<'_>) -> Option<Generator> {
    section.fixed("resblock", "AMP1");
    section.fixed("stereo", true);
    section.fixed("activation", "snakebeta");
    section.fixed("use_tanh_at_final", false);
    section.fixed("use_bias_at_final", false);
    let clamp = match section.get("apply_final_activation") {
        None => Some(true),
        Some(value) => {
            value.as_bool().or_else(|| section.wrong("apply_final_activation", Some(value), "true or false"))
        }
    };
    let initial_channels = section.size("upsample_initial_channel");
    let upsample_rates = section.counts("upsample_rates");
    let upsample_kernels = section.counts("upsample_kernel_sizes");
    let resblock_kernels = section.counts("resblock_kernel_sizes");
    let resblock_dilations = section.count_lists("resblock_dilation_sizes");
    let generator = Generator {
        initial_channels: initial_channels?,
        upsample_rates: upsample_rates?,
        upsample_kernels: upsample_kernels?,
        resblock_kernels: resblock_kernels?,
        resblock_dilations: resblock_dilations?,
        clamp: clamp?,
    };
    check(section, &generator).then_some(generator)
}

/// Checks that the lists belong together and that every upsampling has the length it should have.
fn check(section: &Section<'_>, generator: &Generator) -> bool {
    let Generator { initial_channels, upsample_rates, upsample_kernels, resblock_kernels, .. } = generator;
    let problems = section.problems;
    let upsamplings = upsample_rates.len();
    let mut good = problems.check(upsamplings == upsample_kernels.len(), || {
        format!(
            "{} has {} entries, {upsamplings} wanted",
            section.named("upsample_kernel_sizes"),
            upsample_kernels.len()
        )
    });
    for (rate, kernel) in upsample_rates.iter().zip(upsample_kernels) {
        good &= problems.check(kernel >= rate && (kernel - rate) % 2 == 0, || {
            format!(
                "{}: {kernel} does not fit the rate {rate}, an even amount more wanted",
                section.named("upsample_kernel_sizes")
            )
        });
    }
    // The list is at most 32 long, so the shift stays inside 64 bits.
    good &= problems.check((*initial_channels as u64).is_multiple_of(1 << upsamplings), || {
        let named = section.named("upsample_initial_channel");
        format!(
            "{named} is {initial_channels}, divisible by 2 for each of the {upsamplings} upsamplings wanted"
        )
    });
    good &= problems.check(resblock_kernels.iter().all(|kernel| kernel % 2 == 1), || {
        format!("{} are {resblock_kernels:?}, odd sizes wanted", section.named("resblock_kernel_sizes"))
    });
    let lists = generator.resblock_dilations.len();
    good &= problems.check(lists == resblock_kernels.len(), || {
        let named = section.named("resblock_dilation_sizes");
        format!("{named} has {lists} entries, {} wanted", resblock_kernels.len())
    });
    good
}
