//! The executor that computes nothing: it counts, on any machine.

use std::borrow::Cow;

use crate::error::Result;
use crate::executor::Executor;
use crate::plan::{Fetch, Launch, Loop, Phase, Plan, Port};

/// Counts launches and what they would have cost.
#[derive(Debug)]
pub struct Null<'p> {
    plan: &'p Plan,
    /// Phases, each as often as it was entered.
    pub entered: u64,
    pub launches: u64,
    pub flops: u64,
    pub bytes: u64,
    /// Bytes of streamed weights.
    pub fetched: u64,
}

impl<'p> Null<'p> {
    pub fn new(plan: &'p Plan) -> Null<'p> {
        Null { plan, entered: 0, launches: 0, flops: 0, bytes: 0, fetched: 0 }
    }
}

impl<'p> Executor<'p> for Null<'p> {
    fn plan(&self) -> &'p Plan {
        self.plan
    }

    fn enter(&mut self, _phase: &'p Phase) -> Result<()> {
        self.entered += 1;
        Ok(())
    }

    fn launch(
        &mut self,
        _number: u32,
        launch: &'p Launch,
        _iteration: Option<(&'p Loop, u32)>,
    ) -> Result<()> {
        self.launches += 1;
        self.flops += launch.flops();
        self.bytes += launch.bytes();
        Ok(())
    }

    fn fetch(&mut self, _phase: &'p Phase, fetch: &'p Fetch) -> Result<()> {
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
