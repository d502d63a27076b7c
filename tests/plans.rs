//! The golden listings of two presets: what a person reviews (generated/plans/), and that binaries hold what the
//! compiler makes.
//!
//! `INSTA_UPDATE=always cargo test --test plans` writes them anew; the change's text states what moved and why.

use zoetrope_compiler::frontend::compile_target;
use zoetrope_compiler::plan_hash;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Detail, Plan};

/// Compiled here, so that the listings do not depend on the features of the build.
fn compiled(target: &Target) -> Plan {
    compile_target(target, "".as_ref()).expect("a preset compiles")
}

#[test]
fn listings_are_fresh() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../generated/plans");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for name in ["res-tiny", "res-1080p"] {
        let plan = compiled(&Target::preset(name).expect("a preset"));
        // Addresses are held by one hash: else a buffer that moved rewrites every line.
        let listing = format!("hash {}\n{}", plan_hash(&plan), plan.text(Detail::Listing));
        settings.bind(|| insta::assert_snapshot!(name, listing));
    }
}

/// The emitted tables of every preset in this build are the compiled plan, field by field.
#[test]
fn built_in_plans_are_the_compiled_ones() {
    for plan in zoetrope_generated::PLANS {
        if let Some(target) = Target::preset(&plan.name) {
            let compiled = compiled(&target);
            assert_eq!(plan_hash(plan), plan_hash(&compiled), "{}", plan.name);
            assert!(**plan == compiled, "{}: a field that no listing shows", plan.name);
        }
    }
}
