//! The report as one page: the template, its style and its script lie beside this file, the figures go in as JSON.

use askama::Template;

use super::data::Report;
use super::summary::headline;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    target: &'a str,
    headline: String,
    notes: &'a [String],
    style: &'a str,
    script: &'a str,
    data: String,
}

/// A page that needs nothing but itself.
pub fn page(report: &Report) -> String {
    let json = serde_json::to_string(report).expect("text and finite numbers are JSON");
    let page = Page {
        target: &report.target,
        headline: headline(report),
        notes: &report.notes,
        style: include_str!("page/page.css"),
        script: include_str!("page/page.js"),
        // A name in the plan must not close the script element; < stands in JSON only inside strings.
        data: json.replace('<', "\\u003c"),
    };
    page.render().expect("writing to a string does not fail")
}
