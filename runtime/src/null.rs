//! The executor that computes nothing: it counts, on any machine.

use std::borrow::Cow;

use crate::error::Result;
use crate::executor::Executor;
use crate::plan::{Fetch, Launch, Loop, Phase, Plan, Port};

/// Counts launches and what they would have cost.
#[derive(Debug, Default)]
pub struct Null {
    pub launches: u64,
    pub flops: u64,
    pub bytes: u64,
    /// Bytes of streamed weights.
    pub fetched: u64,
}

impl Executor for Null {
    fn enter(&mut self, _plan: &Plan, _phase: &Phase) -> Result<()> {
        Ok(())
    }

    fn launch(
        &mut self,
        _plan: &Plan,
        _number: u32,
        launch: &Launch,
        _row: Option<(&Loop, u32)>,
    ) -> Result<()> {
        self.launches += 1;
        self.flops += launch.flops();
        self.bytes += launch.bytes();
        Ok(())
    }

    fn fetch(&mut self, _plan: &Plan, _phase: &Phase, fetch: &Fetch) -> Result<()> {
        self.fetched += fetch.bytes;
        Ok(())
    }

    fn read(&mut self, _port: &Port) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&[]))
    }

    fn write(&mut self, _port: &Port, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}
