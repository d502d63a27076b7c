//! The golden listing of every shipped plan: what a person reviews (generated/plans/).
//!
//! `INSTA_UPDATE=always cargo test --test plans` writes them anew; the change's text states what moved and why.

use zoetrope_compiler::plan_hash;
use zoetrope_runtime::plan::Detail;

#[test]
fn listings_are_fresh() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../generated/plans");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for plan in zoetrope_generated::PLANS {
        // Addresses are held by one hash: else a buffer that moved rewrites every line.
        let listing = format!("hash {}\n{}", plan_hash(plan), plan.text(Detail::Listing));
        settings.bind(|| insta::assert_snapshot!(plan.name.to_string(), listing));
    }
}
