//! The architectures that kernels are compiled for.

/// Which instructions a kernel uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Those that all architectures have.
    Portable,
    /// Those of sm_90a: tensor maps, products of warpgroups. A card of this class takes portable kernels, too.
    Hopper,
}

impl Class {
    /// All classes, the one that every card takes first.
    pub const ALL: [Class; 2] = [Class::Portable, Class::Hopper];

    /// The class of a card of a capability.
    pub fn of_card(major: u32, minor: u32) -> Class {
        Arch::of_card(major, minor).map_or(Class::Portable, |arch| arch.class)
    }

    /// As listings name it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Portable => "portable",
            Class::Hopper => "hopper",
        }
    }

    /// Shared memory that a block may have on every card that loads kernels of this class, in bytes.
    pub fn shared(self) -> usize {
        match self {
            // The least of all cards that are served; 8.6 has no more.
            Class::Portable => 99 * 1024,
            Class::Hopper => 227 * 1024,
        }
    }
}

/// A target of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arch {
    /// As in `sm_90a`.
    pub name: &'static str,
    /// Compute capabilities whose cards load what is compiled for it.
    pub serves: &'static [(u32, u32)],
    /// The largest shared memory of a block on all cards that it serves, in bytes.
    pub shared: usize,
    /// The class of its fastest kernels.
    pub class: Class,
}

/// Oldest first. A binary for x.y runs on x.z with z ≥ y, but for 8.7, a Tegra, for which nothing is promised; one with
/// an `a` on its own capability only. A class has as few as serve its cards: no portable kernel uses what only 8.9 has.
pub const ARCHS: [Arch; 3] = [
    Arch { name: "80", serves: &[(8, 0), (8, 6), (8, 9)], shared: 99 * 1024, class: Class::Portable },
    Arch { name: "90a", serves: &[(9, 0)], shared: 227 * 1024, class: Class::Hopper },
    Arch { name: "120", serves: &[(12, 0), (12, 1)], shared: 99 * 1024, class: Class::Portable },
];

impl Arch {
    /// The one that a card of a capability loads.
    pub fn of_card(major: u32, minor: u32) -> Option<&'static Arch> {
        ARCHS.iter().find(|arch| arch.serves.contains(&(major, minor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_is_served_once() {
        let mut all: Vec<_> = ARCHS.iter().flat_map(|a| a.serves).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(ARCHS.iter().all(|a| a.shared >= a.class.shared().max(Class::Portable.shared())));
        assert_eq!(Arch::of_card(8, 6).map(|a| a.name), Some("80"));
        assert_eq!(Arch::of_card(7, 5), None);
    }
}
