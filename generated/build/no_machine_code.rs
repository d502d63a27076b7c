//! What stands in the place of machine code where no `sm-*` feature is on: empty lists.

use std::path::Path;

use zoetrope_runtime::plan::Plan;

/// Nothing of any plan.
#[derive(Default)]
pub struct MachineCode;

impl MachineCode {
    /// No code of a plan.
    pub fn add(&mut self, _plan: &Plan, _name: &str, _out: &Path) -> Result<String, String> {
        Ok(String::new())
    }

    /// The empty lists.
    pub fn write(self, _out: &Path) -> Result<String, String> {
        Ok("/// The code of the plans in this binary: no `sm-*` feature is on.\npub static CODES: &[&Code] = &[];\n\
            /// Machine code: none.\npub static IMAGES: &[Image] = &[];\nstatic MACHINE_CODE: &[u8] = &[];\n"
            .to_string())
    }
}
