//! Every kernel with CUDA on its cases, as they are declared and with random shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use zoetrope_kernels::cuda::{Class, Source, Variant};
use zoetrope_kernels::{Kernel, Sample, catalog};
use zoetrope_test_support::asks_for_long;

use crate::cases::{Arrangement, Bound, Case, Rows, Storage, dtypes, result_shape};
use crate::program::Text;
use crate::random::Random;
use crate::sanitize::{self, Build};
use crate::shapes::{Drawing, Shapes};
use crate::verdicts::Verdict;

/// Kernels without random shapes, and why.
const WITHOUT_RANDOM_SHAPES: [(&str, &str); 1] = [("normal", "its shape is an attribute")];

/// Whether operands are stored in other ways than plans store them, too, and all cases are tried. Said once.
static LONG: LazyLock<bool> = LazyLock::new(|| asks_for_long("other storage than bf16, most of many cases"));

/// Of more cases than this that a CUDA kernel has of its own, tests that shall not take long try every third: other ones
/// of the next kernel of the source, which has the same ones, mostly.
const MANY: usize = 6;

/// True where ZOETROPE_EMULATE=nightly asks for more: other widths, which are other variants, and more orders.
fn nightly() -> bool {
    std::env::var("ZOETROPE_EMULATE").is_ok_and(|value| value == "nightly")
}

/// Which shapes the parts of a launch have.
#[derive(Clone, Copy)]
enum Parts {
    Declared,
    Drawn,
    Three,
    /// Of another variant; only where more is asked for.
    Wide(usize),
}

/// How operands are stored and how far rows are apart, the parts, and the order of threads.
type Setting = (Storage, Rows, Parts, u64);

/// Of every class: rows close together, apart and very far apart, several parts, and all kinds of orders. Sanitizers see
/// what is accessed: for them orders, rows very far apart and mixed storage add nothing, and wait for nights.
fn settings(class: Class, build: Build) -> Vec<Setting> {
    // Tensor maps describe rows that begin at multiples of 16 bytes.
    let multiple = if class == Class::Hopper { 8 } else { 1 };
    let gap = |gap| Rows::Gap(gap, multiple);
    let of = |storage| {
        let mut all = vec![
            (storage, gap(0), Parts::Declared, 0),
            (storage, gap(3), Parts::Drawn, 2),
            (storage, gap(0), Parts::Three, 3),
        ];
        if build == Build::Plain || nightly() {
            all.push((storage, gap(8), Parts::Declared, 1));
            all.push((storage, Rows::Far, Parts::Declared, 5));
        }
        if nightly() {
            all.extend((0..WIDE).map(|i| (storage, gap(8 * i), Parts::Wide(i), 6 + i as u64)));
            all.extend((10..16).map(|seed| (storage, gap(0), Parts::Three, seed)));
        }
        all
    };
    match class {
        Class::Portable => {
            let reals = of(Storage::F32).into_iter().chain(of(Storage::Bf16));
            let mixed = [Storage::Mixed, Storage::Factors].map(|s| (s, gap(5), Parts::Declared, 4));
            reals.chain(mixed).collect()
        }
        Class::Hopper => {
            of(Storage::Bf16).into_iter().chain([(Storage::Factors, gap(5), Parts::Three, 4)]).collect()
        }
    }
}

/// Shapes of other variants for every case, where more is asked for.
const WIDE: usize = 3;

/// The shapes that a case is tested with.
struct Drawn {
    declared: Shapes,
    near: Vec<Shapes>,
    /// Of other variants.
    wide: Vec<Shapes>,
    /// Whether a result of `near` has another shape than the declared one.
    differs: bool,
}

impl Drawn {
    /// Draws as few variants as can be: where all shapes of the case's own variant have the same result, a kernel's first
    /// case has shapes of one other variant.
    fn of(bound: &Bound<'_>, declared: &Shapes, class: Class, random: &mut Random) -> Drawn {
        let storages = [Storage::F32, Storage::Bf16].into_iter().filter(|s| takes(class, *s));
        let storages: Vec<Storage> = storages.collect();
        let variants = |shapes: &Shapes| -> Option<Vec<String>> {
            let variant = |storage: &Storage| {
                let arrangement =
                    Arrangement { build: Build::Plain, rows: Rows::Gap(0, 8), in_place: false, seed: 0 };
                let dtypes = dtypes(bound.kernel, *storage, false);
                let case = Case { shapes: vec![shapes.clone()], dtypes, arrangement };
                case.variant(bound, class).filter(|variant| variant.class == class).map(|v| v.key())
            };
            storages.iter().map(variant).collect()
        };
        let own = variants(declared);
        let same = Drawing::new(bound.kernel, declared, |shapes| own.is_some() && variants(shapes) == own);
        let any = Drawing::new(bound.kernel, declared, |shapes| variants(shapes).is_some());
        let mut near: Vec<Shapes> = (0..3).map(|_| same.draw(random)).collect();
        let result = |shapes: &Shapes| result_shape(bound.meaning, shapes);
        // What sums up to one number differs by what it sums up.
        let sum = result(declared).is_some_and(|shape| shape.iter().product::<usize>() == 1);
        let differs = |shapes: &Shapes| result(shapes) != result(declared) || (sum && shapes != declared);
        let differ = |near: &[Shapes]| near.iter().any(differs);
        if bound.kernel.cases[0] == *declared && !differ(&near) {
            near = vec![any.draw(random); 3];
        }
        let wide = if nightly() { WIDE } else { 0 };
        let wide = (0..wide).map(|_| any.draw(random)).collect();
        Drawn { declared: declared.clone(), differs: differ(&near), near, wide }
    }

    fn parts(&self, parts: Parts) -> Vec<Shapes> {
        match parts {
            Parts::Declared => vec![self.declared.clone()],
            Parts::Drawn => vec![self.near[0].clone()],
            Parts::Three => vec![self.near[1].clone(), self.near[0].clone(), self.near[2].clone()],
            Parts::Wide(i) => vec![self.wide[i].clone()],
        }
    }
}

/// Whether kernels of a class read operands that are stored so.
fn takes(class: Class, storage: Storage) -> bool {
    class == Class::Portable || storage != Storage::F32
}

/// Rows that can be pieces of memory; a system gives a program so many.
const FAR_ROWS: usize = 4000;

/// Rows up to which a case that has no other shapes is put together of parts, unless more is asked for: smaller ones tell
/// as much.
const PARTS_ROWS: usize = 300;

/// The launches that a kernel is tested with. In all but the first one, and where storage is mixed, a result lies over
/// an operand if it may. Storage is mixed in the cases of the meaning and in those that hide something, unless more is
/// asked for: every mixture is a variant. Tests that shall not take long take numbers as plans store them: bf16.
fn cases(bound: &Bound<'_>, drawn: &Drawn, class: Class, build: Build) -> Vec<Case> {
    let kernel = bound.kernel;
    let case = |(storage, rows, parts, seed): Setting| {
        let in_place = seed != 0 && storage != Storage::Mixed && kernel.in_place.is_some();
        let arrangement = Arrangement { build, rows, in_place, seed };
        Case { shapes: drawn.parts(parts), dtypes: dtypes(kernel, storage, in_place), arrangement }
    };
    let mixes = kernel.cases.contains(&drawn.declared) || bound.hidden.is_some();
    let long = *LONG || build == Build::Sanitized;
    let mixed = nightly() || (class == Class::Hopper && long) || (build == Build::Plain && mixes && long);
    let taken = |storage| match storage {
        Storage::Bf16 => true,
        Storage::F32 => long,
        Storage::Mixed | Storage::Factors => mixed,
    };
    let settings = settings(class, build).into_iter().filter(|(storage, ..)| taken(*storage));
    let mut cases: Vec<Case> = settings.map(case).collect();
    cases.retain(|case| case.arrangement.rows != Rows::Far || case.rows(bound) <= FAR_ROWS);
    let varies = nightly() || drawn.near.iter().any(|shapes| *shapes != drawn.declared);
    cases.retain(|case| case.shapes.len() == 1 || varies || case.rows(bound) <= PARTS_ROWS);
    cases
}

struct Tested {
    kernel: Kernel,
    sample: Sample,
    cases: Vec<Case>,
}

/// The kernel that a declaration has in a source.
fn has(kernel: &Kernel, source: Source, class: Class) -> bool {
    match class {
        Class::Portable => kernel.cuda.is_some_and(|cuda| cuda.source == source),
        Class::Hopper => kernel.hopper.is_some_and(|hopper| hopper.cuda.source == source),
    }
}

/// What the launches of a source gave.
#[derive(Default)]
struct Outcome {
    failures: Vec<String>,
    /// Kernels, and those of them that had random shapes.
    kernels: BTreeSet<&'static str>,
    random: BTreeSet<&'static str>,
}

/// The cases of all kernels of a source. Those for which a card of the class takes another class's kernel are left
/// out.
fn tested(
    (source, class): (Source, Class),
    build: Build,
    kernels: &[Kernel],
    outcome: &mut Outcome,
    random: &mut Random,
) -> Vec<Tested> {
    let mut all = Vec::new();
    let every = *LONG || build == Build::Sanitized;
    for (number, kernel) in kernels.iter().filter(|kernel| has(kernel, source, class)).enumerate() {
        outcome.kernels.insert(kernel.name);
        let tried = |i: &usize| {
            let own = i.checked_sub(kernel.cases.len());
            every || kernel.cuda_cases.len() <= MANY || own.is_none_or(|own| (own + number) % 3 == 0)
        };
        for (_, sample) in kernel.samples().enumerate().filter(|(i, _)| tried(i)) {
            let bound = Bound::new(kernel, &sample);
            let drawn = Drawn::of(&bound, &sample.shapes, class, random);
            let mut cases = cases(&bound, &drawn, class, build);
            cases.retain(|case| {
                case.variant(&bound, class).unwrap_or_else(|| panic!("{}: no variant", kernel.name)).class
                    == class
            });
            if drawn.differs && !cases.is_empty() {
                outcome.random.insert(kernel.name);
            }
            all.push(Tested { kernel: kernel.clone(), sample, cases });
        }
    }
    all
}

/// Builds the program of one source and runs all its cases.
fn check_source((source, class): (Source, Class), build: Build, kernels: &[Kernel]) -> Outcome {
    let (mut random, mut outcome) = (Random(17), Outcome::default());
    let all = tested((source, class), build, kernels, &mut outcome, &mut random);
    let variant_of = |tested: &Tested, case: &Case| {
        case.variant(&Bound::new(&tested.kernel, &tested.sample), class).expect("a case with a variant")
    };
    let mut variants: BTreeMap<String, (usize, Variant)> = BTreeMap::new();
    for tested in &all {
        for case in &tested.cases {
            let (variant, number) = (variant_of(tested, case), variants.len());
            variants.entry(variant.key()).or_insert((number, variant));
        }
    }
    let mut list: Vec<&(usize, Variant)> = variants.values().collect();
    list.sort_by_key(|(number, _)| *number);
    let list: Vec<&Variant> = list.into_iter().map(|(_, variant)| variant).collect();
    let name = source.name.replace(['/', '.'], "-") + if nightly() { "-nightly" } else { "" };
    let text = Text::new(&list, None, build);
    let cases =
        all.iter().map(|t| format!("{} {:?} {:?}", t.kernel.name, t.sample, t.cases)).collect::<String>();
    let verdict = Verdict::of(&text, &cases);
    if let Some(said) = verdict.kept() {
        println!("{said}; kept");
        return outcome;
    }
    let start = Instant::now();
    let program = match text.build(&name) {
        Ok(program) => program,
        Err(e) => return Outcome { failures: vec![format!("{}: {e}", source.name)], ..outcome },
    };
    let (built, start) = (start.elapsed(), Instant::now());
    let (mut running, mut runs) = (program.start(), 0);
    for tested in &all {
        let bound = Bound::new(&tested.kernel, &tested.sample);
        for case in &tested.cases {
            let (number, variant) = &variants[&variant_of(tested, case).key()];
            runs += 1;
            if let Err(e) = case.run(&bound, (variant, *number), &mut running, &mut random) {
                let (key, parts) = (variant.key(), &case.shapes);
                outcome.failures.push(format!("{key}\n    {parts:?} {:?}\n    {e}", case.arrangement));
                running = program.start();
            }
        }
    }
    let launches = all.iter().flat_map(|tested| &tested.cases);
    let far = launches.filter(|case| case.arrangement.rows == Rows::Far).count();
    assert!(far > 0 || build == Build::Sanitized, "{}: no offset is beyond 32 bits", source.name);
    let (name, variants, ran) = (source.name, list.len(), start.elapsed());
    let said = format!(
        "{name}, {}: {variants} variants built in {built:.1?}, {runs} launches in {ran:.1?}, {far} with rows far apart",
        build.name()
    );
    println!("{said}");
    if outcome.failures.is_empty() {
        verdict.keep(&said);
    }
    outcome
}

#[test]
fn every_cuda_kernel_computes_its_meaning() {
    check_all(Build::Plain);
}

#[test]
fn sanitizers_find_nothing() {
    if !sanitize::asked() {
        println!("skipped: all kernels; sanitizers take minutes: ZOETROPE_SANITIZE=1");
        return;
    }
    check_all(Build::Sanitized);
}

fn check_all(build: Build) {
    let kernels = catalog();
    let with_cuda = kernels.iter().filter(|k| k.cuda.is_some()).count();
    if let Some(reason) = build.missing() {
        println!("skipped: {with_cuda} kernels; {reason}");
        return;
    }
    let portable = kernels.iter().filter_map(|k| k.cuda.map(|c| (c.source, Class::Portable)));
    let hopper = kernels.iter().filter_map(|k| k.hopper.map(|h| (h.cuda.source, Class::Hopper)));
    let mut sources: Vec<(Source, Class)> = portable.chain(hopper).collect();
    sources.sort_unstable();
    sources.dedup();
    // EMULATE=linear runs the sources with that in their names.
    if let Ok(only) = std::env::var("EMULATE") {
        sources.retain(|(source, _)| source.name.contains(&only));
        assert!(!sources.is_empty(), "EMULATE={only}: no source has that in its name");
    }
    // Attention, which takes longest, comes first.
    let (left, all) = (Mutex::new(sources.into_iter()), Mutex::new(Outcome::default()));
    let next = || left.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(source) = next() {
                    let outcome = check_source(source, build, &kernels);
                    let mut all = all.lock().unwrap();
                    all.failures.extend(outcome.failures);
                    all.kernels.extend(outcome.kernels);
                    all.random.extend(outcome.random);
                }
            });
        }
    });
    let Outcome { failures, kernels, random } = all.into_inner().unwrap();
    let shown = failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} launches failed\n{shown}", failures.len());
    println!("{} of {} kernels with random shapes", random.len(), kernels.len());
    for name in kernels.difference(&random) {
        let reason = WITHOUT_RANDOM_SHAPES.iter().find(|(kernel, _)| kernel == name);
        println!("without: {name}: {}", reason.unwrap_or_else(|| panic!("{name} has no random shapes")).1);
    }
}

/// A kernel is declared with what computes it on a card.
#[test]
fn every_kernel_has_cuda() {
    let without: Vec<&str> = catalog().iter().filter(|k| k.cuda.is_none()).map(|k| k.name).collect();
    assert!(without.is_empty(), "without CUDA: {without:?}");
}
