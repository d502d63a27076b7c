//! The report as one page: its skeleton, its style and its script lie beside this file, the figures go in as JSON.

use serde::Serialize;

use super::data::Report;
use super::summary::headline;

/// What the script reads. All texts of a plan go this way, so none of them can be taken for HTML.
#[derive(Serialize)]
struct Data<'a> {
    headline: String,
    report: &'a Report,
}

/// A page that needs nothing but itself.
pub fn page(report: &Report) -> String {
    let data = Data { headline: headline(report), report };
    let json = serde_json::to_string(&data).expect("text and finite numbers are JSON");
    format!(
        include_str!("page/page.html"),
        style = include_str!("page/page.css"),
        script = include_str!("page/page.js"),
        // A name in the plan must not close the script element; < stands in JSON only inside strings.
        data = json.replace('<', "\\u003c"),
    )
}
