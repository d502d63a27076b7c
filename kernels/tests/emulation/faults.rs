//! Planted faults: what the emulation and its comparison must catch.

use std::sync::Mutex;

use zoetrope_kernels::catalog;
use zoetrope_kernels::cuda::{Class, Variant};
use zoetrope_test_support::asks_for_long;

use crate::cases::{Arrangement, Bound, Case, Rows, Storage, dtypes};
use crate::planted::{FAULTS, HOPPER_FAULTS, TRACELESS};
use crate::program::{Edit, Text};
use crate::random::Random;
use crate::sanitize::{self, Build};
use crate::verdicts::Verdict;

/// Runs a kernel's last case with a fault in it, in order and in some random orders; the first complaint. `change` may
/// change the variant, too.
fn complaint(
    name: &str,
    build: Build,
    (kernel, class): (&str, Class),
    edit: Option<Edit>,
    change: impl Fn(&mut Variant),
) -> Option<String> {
    let kernel = catalog().into_iter().find(|k| k.name == kernel).expect("a declared kernel");
    let sample = kernel.samples().last().expect("a kernel has a case");
    let bound = Bound::new(&kernel, &sample);
    // Tensor maps want rows at multiples of 16 bytes; all else shall meet rows that are not.
    let multiple = if class == Class::Hopper { 8 } else { 1 };
    let case = |rows, seed| Case {
        shapes: vec![sample.shapes.clone()],
        dtypes: dtypes(&kernel, Storage::Bf16, false),
        arrangement: Arrangement { build, rows, in_place: false, seed },
    };
    let near = Rows::Gap(8, multiple);
    let mut variant = case(near, 0).variant(&bound, class).expect("a case of the kernel");
    assert_eq!(variant.class, class, "{} has a kernel of the class", kernel.name);
    change(&mut variant);
    let text = Text::new(&[&variant], edit, build);
    let verdict = Verdict::of(&text, &format!("fault in {} {:?}", kernel.name, variant.maps));
    if let Some(complaint) = verdict.kept() {
        return Some(complaint);
    }
    let program = text.build(name).expect("a fault that compiles");
    let orders = (0..6).map(|seed| (near, seed)).chain([(Rows::Far, 1)]);
    let complaint = orders
        .map(|(rows, seed)| case(rows, seed))
        .find_map(|case| case.run(&bound, (&variant, 0), &mut program.start(), &mut Random(5)).err())?;
    verdict.keep(&complaint);
    Some(complaint)
}

/// A tensor map whose boxes have too few rows.
fn small_box() -> Option<String> {
    complaint("fault-box", Build::Plain, ("linear_bias", Class::Hopper), None, |variant| {
        variant.maps[1].tile[0] -= 8
    })
}

/// Plants faults with two threads; what `plant` says of those that are missed.
fn none_is_missed(count: usize, build: Build, plant: impl Fn(usize) -> Option<String> + Sync) {
    if let Some(reason) = build.missing() {
        println!("skipped: {count} faults; {reason}");
        return;
    }
    let (left, missed) = (Mutex::new((0..count).collect::<Vec<_>>()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().pop();
    let plant_all = || {
        while let Some(i) = next() {
            missed.lock().unwrap().extend(plant(i));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(plant_all);
        scope.spawn(plant_all);
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[test]
fn faults_are_caught() {
    if !asks_for_long("planted faults") {
        return;
    }
    let portable = FAULTS.iter().map(|fault| (Class::Portable, fault));
    let all: Vec<_> = portable.chain(HOPPER_FAULTS.iter().map(|fault| (Class::Hopper, fault))).collect();
    none_is_missed(all.len() + 1, Build::Plain, |i| {
        let Some(&(class, &(kernel, file, from, to))) = all.get(i) else {
            return small_box().is_none().then(|| "a small box".to_string());
        };
        let edit = Some(Edit { file, from, to });
        let complaint = complaint(&format!("fault-{i}"), Build::Plain, (kernel, class), edit, |_| {});
        complaint.is_none().then(|| format!("{kernel}: {to:?} for {from:?}"))
    });
}

#[test]
fn sanitizers_name_the_line() {
    if !sanitize::asked() {
        println!("skipped: {} faults; only sanitizers see them: ZOETROPE_SANITIZE=1", TRACELESS.len());
        return;
    }
    none_is_missed(TRACELESS.len(), Build::Sanitized, |i| {
        let (kernel, file, from, to, line) = TRACELESS[i];
        let edit = Edit { file, from, to };
        let text = edit.apply(edit.original());
        let at = text.lines().position(|l| l.contains(line)).expect("a line of the fault");
        let named = format!("{file}:{}", at + 1);
        let name = format!("traceless-{i}");
        let of = (kernel, Class::Portable);
        let complaint = complaint(&name, Build::Sanitized, of, Some(edit), |_| {}).unwrap_or_default();
        (!complaint.contains(&named)).then(|| format!("{kernel}: {named} is not in {complaint:?}"))
    });
}
