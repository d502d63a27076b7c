//! Every kernel with CUDA on its cases.

use std::collections::BTreeMap;
use std::sync::Mutex;

use zoetrope_kernels::cuda::{Source, Variant};
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

/// The launches that a kernel is tested with.
fn cases(kernel: &Kernel, shapes: &[Vec<usize>], random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    let others: Vec<_> = (0..3).map(|_| other_rows(kernel, shapes, random)).collect();
    let mut case = |parts: &[&Vec<Vec<usize>>], storage, gap, in_place, seed| {
        let shapes: Vec<_> = parts.iter().map(|p| (*p).clone()).collect();
        let in_place = in_place && kernel.in_place.is_some();
        let arrangement = Arrangement { gap, in_place, seed };
        cases.push(Case { shapes, dtypes: dtypes(kernel, storage, in_place), arrangement });
    };
    let shapes = shapes.to_vec();
    for storage in [Storage::F32, Storage::Bf16] {
        case(&[&shapes], storage, 0, false, 0);
        case(&[&shapes], storage, 8, true, 1);
        case(&[&others[0]], storage, 3, true, 2);
        case(&[&others[1], &shapes, &others[2]], storage, 0, true, 3);
    }
    case(&[&shapes], Storage::Mixed, 5, false, 4);
    cases
}

struct Tested {
    kernel: Kernel,
    meaning: Meaning,
    cases: Vec<Case>,
}

/// Builds the program of one source and runs all its cases; the messages of those that fail.
fn check_source(source: Source, kernels: &[Kernel]) -> Vec<String> {
    let mut random = Random(17);
    let mut all: Vec<Tested> = Vec::new();
    for kernel in kernels.iter().filter(|k| k.cuda.is_some_and(|c| c.source == source)) {
        let declared = kernel.cases.iter().map(|shapes| (kernel.meaning.clone(), shapes.clone()));
        for (meaning, shapes) in declared.chain(kernel.cuda_cases.iter().cloned()) {
            let cases = cases(kernel, &shapes, &mut random);
            all.push(Tested { kernel: kernel.clone(), meaning, cases });
        }
    }
    let mut variants: BTreeMap<String, (usize, Variant)> = BTreeMap::new();
    for tested in &all {
        let bound = Bound { kernel: &tested.kernel, meaning: &tested.meaning };
        for case in &tested.cases {
            let (variant, number) = (case.variant(&bound), variants.len());
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
            let (number, variant) = &variants[&case.variant(&bound).key()];
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
    let mut sources: Vec<Source> = kernels.iter().filter_map(|k| k.cuda.map(|c| c.source)).collect();
    sources.sort_unstable();
    sources.dedup();
    // EMULATE=linear runs the sources with that in their names.
    let only = std::env::var("EMULATE").ok();
    sources.retain(|source| only.as_ref().is_none_or(|name| source.name.contains(name)));
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
