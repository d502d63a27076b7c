//! Random shapes: extents of a case's operands, drawn anew where the meaning and the kernel let them.

use std::collections::BTreeMap;

use zoetrope_kernels::Kernel;

use crate::random::Random;

pub type Shapes = Vec<Vec<usize>>;

/// An operand and one of its axes.
type Place = (usize, usize);

/// An extent of a case: where it is, and what it is.
struct Extent {
    places: Vec<Place>,
    declared: usize,
}

/// The name of an axis, and which one it is of those that `..` stands for.
fn name_of(axes: &[&'static str], rank: usize, axis: usize) -> (&'static str, usize) {
    let Some(dots) = axes.iter().position(|name| *name == "..") else { return (axes[axis], 0) };
    let many = rank + 1 - axes.len();
    match axis {
        _ if axis < dots => (axes[axis], 0),
        _ if axis < dots + many => ("..", axis - dots),
        _ => (axes[axis + 1 - many], 0),
    }
}

/// Axes of one name have one extent. So do those that `..` stands for, where operands begin with it; in the midst of an
/// operand they are its own. An axis whose name is a number has that extent.
fn extents(kernel: &Kernel, shapes: &Shapes) -> Vec<Extent> {
    let mut found: BTreeMap<(&str, usize, usize, usize), Vec<Place>> = BTreeMap::new();
    for (operand, (read, shape)) in kernel.reads.iter().zip(shapes).enumerate() {
        for (axis, extent) in shape.iter().enumerate() {
            let (name, number) = name_of(read.axes, shape.len(), axis);
            let own = if name == ".." && read.axes[0] != ".." { operand + 1 } else { 0 };
            if name.parse::<usize>().is_err() {
                found.entry((name, own, number, *extent)).or_default().push((operand, axis));
            }
        }
    }
    found.into_iter().map(|((.., declared), places)| Extent { places, declared }).collect()
}

/// Elements of an operand, and rows, that no drawn shape exceeds unless the case does: emulation is slow.
const ELEMENTS: usize = 20_000;
const ROWS: usize = 600;

fn is_small(shapes: &Shapes, declared: &Shapes) -> bool {
    shapes.iter().zip(declared).all(|(shape, declared)| {
        let elements = |shape: &[usize]| shape.iter().product::<usize>();
        let rows = |shape: &[usize]| elements(&shape[..shape.len() - 1]);
        elements(shape) <= ELEMENTS.max(elements(declared)) && rows(shape) <= ROWS.max(rows(declared))
    })
}

/// Something to draw shapes from: a kernel's case, and which shapes are possible.
pub struct Drawing<'a, F> {
    extents: Vec<Extent>,
    declared: &'a Shapes,
    fits: F,
}

impl<'a, F: Fn(&Shapes) -> bool> Drawing<'a, F> {
    pub fn new(kernel: &Kernel, declared: &'a Shapes, fits: F) -> Drawing<'a, F> {
        Drawing { extents: extents(kernel, declared), declared, fits }
    }

    /// Draws every extent, in a random order: each becomes the first of some that fits what has been drawn so far, if
    /// one does. What stays as it is may be two that depend on each other, as the widths of queries and of keys do: they
    /// become multiples.
    pub fn draw(&self, random: &mut Random) -> Shapes {
        const TRIES: usize = 12;
        let mut shapes = self.declared.clone();
        let mut stayed = Vec::new();
        let mut left: Vec<&Extent> = self.extents.iter().collect();
        while !left.is_empty() {
            let extent = left.swap_remove(random.below(left.len()));
            let some = (0..TRIES).map(|_| any_extent(extent.declared, random)).collect::<Vec<_>>();
            if !some.into_iter().any(|n| self.take(&mut shapes, &[(extent, n)])) {
                stayed.push(extent);
            }
        }
        let times = 2 + random.below(2);
        for (i, a) in stayed.iter().enumerate() {
            for b in &stayed[i + 1..] {
                self.take(&mut shapes, &[(a, a.declared * times), (b, b.declared * times)]);
            }
        }
        shapes
    }

    /// Changes extents where that makes other shapes that fit; whether it does.
    fn take(&self, shapes: &mut Shapes, changes: &[(&Extent, usize)]) -> bool {
        let mut changed = shapes.clone();
        for (extent, n) in changes {
            extent.places.iter().for_each(|(operand, axis)| changed[*operand][*axis] = *n);
        }
        let fits = changed != *shapes && is_small(&changed, self.declared) && (self.fits)(&changed);
        if fits {
            *shapes = changed;
        }
        fits
    }
}

/// One, a few, more than a tile, or a multiple.
fn any_extent(declared: usize, random: &mut Random) -> usize {
    match random.below(6) {
        0 => 1,
        1 => 1 + random.below(6),
        2 => 1 + random.below(40),
        3 => 1 + random.below(160),
        4 => 8 * (1 + random.below(12)),
        _ => declared * (2 + random.below(3)),
    }
}
