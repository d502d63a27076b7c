//! Named cards: how much memory a program gets on them, and the ceilings of their vendor.
//!
//! Tensor figures are dense (datasheets of data-centre cards print twice as much, "with sparsity") and of products
//! that are summed in f32; GeForce cards do these at half the rate of sums in f16. They hold at the boost clock of the
//! datasheet. GeForce cards may run above it: on an RTX 5090 others measured an issue rate of 253 TFLOP/s
//! (flashinfer, pull request 4149), a fifth above the 209.5 of this table.

/// One card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Card {
    pub name: &'static str,
    /// GiB as sold. Programs get less (23.5 of 24, 31.3 of 32 in PyTorch's messages); a plan's reserve covers that.
    pub memory_gib: f64,
    /// Dense bf16 products summed in f32, in 10^12 operations per second, a multiply-add counted as two.
    pub bf16_tflops: f64,
    /// f32 arithmetic outside the tensor cores, in 10^12 operations per second.
    pub f32_tflops: f64,
    /// Memory bandwidth in 10^9 bytes per second.
    pub memory_gb_per_second: f64,
    /// From the host's memory, one way, in 10^9 bytes per second: what PCI Express carries after line coding.
    pub host_gb_per_second: f64,
    /// Where the figures are from.
    pub source: &'static str,
}

/// PCI Express with 16 lanes: generation 4 and 5 code 128 bits in 130, generation 6 sends 236 of 256 bytes.
const GEN4: f64 = 31.5;
const GEN5: f64 = 63.0;
const GEN6: f64 = 118.0;

/// The cards that a plan is compared with, the largest memory first.
pub const CARDS: [Card; 7] = [
    Card {
        name: "B200",
        memory_gib: 180.0,
        bf16_tflops: 2250.0,
        f32_tflops: 80.0,
        memory_gb_per_second: 8000.0,
        host_gb_per_second: GEN6,
        source: "NVIDIA Blackwell architecture brief, HGX B200 (4.5 PFLOP/s bf16 sparse)",
    },
    Card {
        name: "H200",
        memory_gib: 141.0,
        bf16_tflops: 989.5,
        f32_tflops: 67.0,
        memory_gb_per_second: 4800.0,
        host_gb_per_second: GEN5,
        source: "NVIDIA H200 SXM datasheet (1,979 TFLOP/s bf16 sparse)",
    },
    Card {
        name: "H100",
        memory_gib: 80.0,
        bf16_tflops: 989.5,
        f32_tflops: 67.0,
        memory_gb_per_second: 3350.0,
        host_gb_per_second: GEN5,
        source: "NVIDIA H100 SXM datasheet (1,979 TFLOP/s bf16 sparse)",
    },
    Card {
        name: "RTX 5090",
        memory_gib: 32.0,
        bf16_tflops: 209.5,
        f32_tflops: 104.8,
        memory_gb_per_second: 1792.0,
        host_gb_per_second: GEN5,
        source: "NVIDIA RTX Blackwell GPU architecture whitepaper, GeForce RTX 5090",
    },
    Card {
        name: "RTX 4090",
        memory_gib: 24.0,
        bf16_tflops: 165.2,
        f32_tflops: 82.6,
        memory_gb_per_second: 1008.0,
        host_gb_per_second: GEN4,
        source: "NVIDIA Ada GPU architecture whitepaper, GeForce RTX 4090",
    },
    Card {
        name: "RTX 3090",
        memory_gib: 24.0,
        bf16_tflops: 71.2,
        f32_tflops: 35.6,
        memory_gb_per_second: 936.0,
        host_gb_per_second: GEN4,
        source: "NVIDIA Ampere GA102 GPU architecture whitepaper, GeForce RTX 3090",
    },
    Card {
        name: "RTX 3060",
        memory_gib: 12.0,
        bf16_tflops: 25.5,
        f32_tflops: 12.7,
        memory_gb_per_second: 360.0,
        host_gb_per_second: GEN4,
        source: "NVIDIA GeForce RTX 3060 (12 GB) specifications: 28 multiprocessors at 1.777 GHz, 101 tensor TFLOP/s sparse with f16 sums, so a quarter of it",
    },
];

/// Sizes of memory that cards come with, in GiB, the smallest first.
pub const SIZES: [u64; 6] = [12, 16, 24, 32, 48, 80];

/// What the name of a card that is not quite one of these has in it: other models, other boards, slices.
const OTHERS: [&str; 9] = ["MIG", "PCIe", "NVL", "Ti", "SUPER", "Super", "D", "Laptop", "Max-Q"];

impl Card {
    /// The card that a driver calls so, if it is one of the table.
    pub fn of(name: &str) -> Option<&'static Card> {
        let words: Vec<&str> = name.split_whitespace().collect();
        if words.iter().any(|word| OTHERS.contains(word)) {
            return None;
        }
        CARDS.iter().find(|card| {
            let own: Vec<&str> = card.name.split(' ').collect();
            words.windows(own.len()).any(|some| some == own)
        })
    }

    /// Bytes of memory as sold.
    pub fn memory_bytes(&self) -> u64 {
        (self.memory_gib * (1u64 << 30) as f64) as u64
    }

    /// True where a plan with this peak has room beside what the driver keeps. Contexts were seen at 0.1 GiB (RTX
    /// 4060 Ti) to 0.54 GiB (RTX PRO 6000): llama.cpp, pull request 23604.
    pub fn holds(&self, peak_bytes: u64, reserve_bytes: u64) -> bool {
        peak_bytes + reserve_bytes <= self.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_known_by_its_whole_name() {
        let of = |name| Card::of(name).map(|card| card.name);
        assert_eq!(of("NVIDIA H100 80GB HBM3"), Some("H100"));
        assert_eq!(of("NVIDIA H200"), Some("H200"));
        assert_eq!(of("NVIDIA GeForce RTX 4090"), Some("RTX 4090"));
        for other in [
            "NVIDIA GH200 480GB",
            "NVIDIA H100 PCIe",
            "NVIDIA H100 NVL",
            "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
            "NVIDIA GeForce RTX 3090 Ti",
            "NVIDIA GeForce RTX 4090 D",
            "NVIDIA GeForce RTX 4090 Laptop GPU",
            "Stand-in Card",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
