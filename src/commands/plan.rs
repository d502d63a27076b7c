//! `zoetrope plan`: what this binary will do, before any weight is loaded.

use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_runtime::files::given_text;
use zoetrope_runtime::plan::{Detail, Plan};

use super::{PlanArgs, say};
use crate::failure::Failure;
use crate::output::{Format, Inputs, OutputFile};
use crate::report::{Report, diff, graph, memory, page, read, summary};

/// Show what a plan will do, how much memory it takes and how long at least
#[derive(Args, Debug)]
pub struct ShowPlan {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    view: View,
}

/// How a plan is shown; without any of these, as a summary.
#[derive(Args, Debug)]
struct View {
    /// Every launch
    #[arg(long, group = "shown")]
    launches: bool,
    /// With --launches: arena addresses too
    #[arg(long, requires = "launches")]
    addresses: bool,
    /// The arena in characters: addresses by time
    #[arg(long, group = "shown")]
    memory: bool,
    /// All figures as JSON (docs/plan-json.md)
    #[arg(long, group = "shown")]
    json: bool,
    /// Write a page for a browser; - is standard output
    #[arg(long, group = "shown", value_name = "FILE")]
    html: Option<PathBuf>,
    /// The launches as a graph for Graphviz
    #[arg(long, group = "shown")]
    dot: bool,
    /// What changed since an earlier --json
    #[arg(long, group = "shown", value_name = "FILE")]
    diff: Option<PathBuf>,
}

impl ShowPlan {
    /// Runs the command with one of these plans.
    ///
    /// # Errors
    /// No such plan, a page that cannot be written, an earlier report that cannot be read.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        self.view.show(self.plan.plan(plans)?, plans)
    }
}

impl View {
    fn show(&self, plan: &Plan, plans: &[&Plan]) -> Result<(), Failure> {
        if self.launches {
            return say(&plan.text(if self.addresses { Detail::Addresses } else { Detail::Listing }));
        }
        if self.dot {
            return say(&graph(plan));
        }
        let html = self.html.as_ref().map(|path| OutputFile::open(path, Format::Html, &Inputs::default()));
        let html = html.transpose()?;
        let report = Report::of(plan);
        let report = match zoetrope_generated::suite(plan) {
            Some(suite) => report.in_suite(suite, plan, plans),
            None => report,
        };
        match (html, &self.diff) {
            (Some(file), _) => Ok(file.replace(page(&report).as_bytes())?),
            (_, Some(path)) => say(&diff(&earlier(path)?, &report)),
            _ if self.json => say(&report.json()),
            _ if self.memory => say(&memory(&report)),
            _ => say(&summary(&report)),
        }
    }
}

/// A report of a plan with a hundred thousand launches is shorter.
const MAX_REPORT_BYTES: u64 = 1_000_000_000;

/// A report of an earlier run of this command.
fn earlier(path: &Path) -> Result<Report, Failure> {
    let refused = |why: String| {
        let help = "wanted a file written by zoetrope plan --json; write it again with the earlier binary";
        Failure::usage(format!("cannot compare with {}: {why}\n  help  {help}", path.display()))
    };
    let text = given_text(path, MAX_REPORT_BYTES).map_err(|e| refused(e.to_string()))?;
    read(&text).map_err(|e| refused(e.to_string()))
}
