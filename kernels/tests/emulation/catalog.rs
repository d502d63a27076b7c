//! Every kernel with CUDA on its cases.

use std::collections::BTreeMap;
use std::sync::Mutex;

use zoetrope_kernels::cuda::{Class, Source, Variant};
use zoetrope_kernels::{Kernel, Meaning, catalog};

use crate::cases::{Arrangement, Bound, Case, Storage, dtypes};
use crate::program::Program;
use crate::random::Random;
use crate::sanitize;

/// Shapes like `shapes`, with other extents where an axis is never a row's own length. `..` stands for the same axes
/// in all operands; where it does not, nothing is changed.
fn other_rows(kernel: &Kernel, shapes: &[Vec<usize>], random: &mut Random) -> Vec<Vec<usize>> {
    let mut out = shapes.to_vec();
    let reads = || kernel.reads.iter().map(|r| r.axes).zip(shapes);
    let last: Vec<&str> = reads().filter_map(|(axes, _)| axes.last().copied()).collect();
    if reads().any(|(axes, _)| axes.len() > 1 && axes[1..].contains(&"..")) || last.contains(&"..") {
        return out;
    }
    let mut drawn: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for (i, (axes, shape)) in reads().enumerate() {
        let leading = shape.len() - 1;
        for axis in 0..leading {
            let name = if axes[0] == ".." { ".." } else { axes[axis] };
            let free =
                name == ".." || (!last.contains(&name) && name.parse::<usize>().is_err() && name != "n");
            if free {
                out[i][axis] = *drawn.entry((name, axis)).or_insert_with(|| 1 + random.below(40));
            }
        }
    }
    // Lists with an entry per row.
    for (i, (axes, shape)) in reads().enumerate() {
        if let ([name], [_]) = (axes, shape.as_slice())
            && let Some(extent) = drawn.get(&(*name, 0))
        {
            out[i][0] = *extent;
        }
    }
    out
}

/// Which shapes the parts of a case have.
#[derive(Clone, Copy)]
enum Parts {
    Declared,
    OtherRows,
    Three,
}

/// How operands are stored and how far rows are apart, the parts, and the order of threads.
type Setting = (Storage, usize, Parts, u64);

/// Of every class: rows close together and apart, several parts, and all kinds of orders.
fn settings(class: Class) -> Vec<Setting> {
    let of = |storage| {
        [
            (storage, 0, Parts::Declared, 0),
            (storage, 8, Parts::Declared, 1),
            (storage, 3, Parts::OtherRows, 2),
            (storage, 0, Parts::Three, 3),
        ]
    };
    match class {
        Class::Portable => {
            let reals = of(Storage::F32).into_iter().chain(of(Storage::Bf16));
            reals.chain([(Storage::Mixed, 5, Parts::Declared, 4)]).collect()
        }
        Class::Hopper => {
            of(Storage::Bf16).into_iter().chain([(Storage::Factors, 5, Parts::Three, 4)]).collect()
        }
    }
}

/// The launches that a kernel is tested with. In all but the first one, and where storage is mixed, a result lies over
/// an operand if it may.
fn cases(kernel: &Kernel, shapes: &[Vec<usize>], class: Class, random: &mut Random) -> Vec<Case> {
    let others: Vec<_> = (0..3).map(|_| other_rows(kernel, shapes, random)).collect();
    let declared = shapes.to_vec();
    let case = |(storage, gap, parts, seed): Setting| {
        let in_place = seed != 0 && storage != Storage::Mixed && kernel.in_place.is_some();
        let shapes = match parts {
            Parts::Declared => vec![declared.clone()],
            Parts::OtherRows => vec![others[0].clone()],
            Parts::Three => vec![others[1].clone(), declared.clone(), others[2].clone()],
        };
        // Tensor maps describe rows that begin at multiples of 16 bytes.
        let multiple = if class == Class::Hopper { 8 } else { 1 };
        let arrangement = Arrangement { gap, multiple, in_place, seed };
        Case { shapes, dtypes: dtypes(kernel, storage, in_place), arrangement }
    };
    settings(class).into_iter().map(case).collect()
}

struct Tested {
    kernel: Kernel,
    meaning: Meaning,
    cases: Vec<Case>,
}

/// The kernel that a declaration has in a source.
fn has(kernel: &Kernel, source: Source, class: Class) -> bool {
    match class {
        Class::Portable => kernel.cuda.is_some_and(|cuda| cuda.source == source),
        Class::Hopper => kernel.hopper.is_some_and(|hopper| hopper.cuda.source == source),
    }
}

/// Builds the program of one source and runs all its cases; the messages of those that fail. Cases for which a device of
/// the class takes another class's kernel are left out.
fn check_source((source, class): (Source, Class), kernels: &[Kernel]) -> Vec<String> {
    let mut random = Random(17);
    let mut all: Vec<Tested> = Vec::new();
    for kernel in kernels.iter().filter(|kernel| has(kernel, source, class)) {
        let declared = kernel.cases.iter().map(|shapes| (kernel.meaning.clone(), shapes.clone()));
        for (meaning, shapes) in declared.chain(kernel.cuda_cases.iter().cloned()) {
            let mut cases = cases(kernel, &shapes, class, &mut random);
            let bound = Bound { kernel, meaning: &meaning };
            cases.retain(|case| case.variant(&bound, class).class == class);
            all.push(Tested { kernel: kernel.clone(), meaning, cases });
        }
    }
    let mut variants: BTreeMap<String, (usize, Variant)> = BTreeMap::new();
    for tested in &all {
        let bound = Bound { kernel: &tested.kernel, meaning: &tested.meaning };
        for case in &tested.cases {
            let (variant, number) = (case.variant(&bound, class), variants.len());
            variants.entry(variant.key()).or_insert((number, variant));
        }
    }
    let mut list: Vec<&(usize, Variant)> = variants.values().collect();
    list.sort_by_key(|(number, _)| *number);
    let list: Vec<&Variant> = list.into_iter().map(|(_, variant)| variant).collect();
    let name = source.name.replace(['/', '.'], "-");
    let program = match Program::build(&name, &list, None) {
        Ok(program) => program,
        Err(e) => return vec![format!("{}: {e}", source.name)],
    };
    let (mut running, mut failures, mut runs) = (program.start(), Vec::new(), 0);
    for Tested { kernel, meaning, cases } in &all {
        let bound = Bound { kernel, meaning };
        for case in cases {
            let (number, variant) = &variants[&case.variant(&bound, class).key()];
            runs += 1;
            if let Err(e) = case.run(&bound, (variant, *number), &mut running, &mut random) {
                let parts = &case.shapes;
                failures.push(format!("{}\n    {parts:?} {:?}\n    {e}", variant.key(), case.arrangement));
                running = program.start();
            }
        }
    }
    println!("{}: {} variants, {runs} launches", source.name, list.len());
    failures
}

#[test]
fn every_cuda_kernel_computes_its_meaning() {
    let kernels = catalog();
    let with_cuda = kernels.iter().filter(|k| k.cuda.is_some()).count();
    if let Some(reason) = sanitize::missing() {
        println!("skipped: {with_cuda} kernels; {reason}");
        return;
    }
    let portable = kernels.iter().filter_map(|k| k.cuda.map(|c| (c.source, Class::Portable)));
    let hopper = kernels.iter().filter_map(|k| k.hopper.map(|h| (h.cuda.source, Class::Hopper)));
    let mut sources: Vec<(Source, Class)> = portable.chain(hopper).collect();
    sources.sort_unstable();
    sources.dedup();
    // EMULATE=linear runs the sources with that in their names.
    let only = std::env::var("EMULATE").ok();
    sources.retain(|(source, _)| only.as_ref().is_none_or(|name| source.name.contains(name)));
    let (left, failures) = (Mutex::new(sources), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(source) = next() {
                    failures.lock().unwrap().extend(check_source(source, &kernels));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let shown = failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} launches failed\n{shown}", failures.len());
}

/// A kernel is declared with what computes it on a GPU.
#[test]
fn every_kernel_has_cuda() {
    let without: Vec<&str> = catalog().iter().filter(|k| k.cuda.is_none()).map(|k| k.name).collect();
    assert!(without.is_empty(), "without CUDA: {without:?}");
}
