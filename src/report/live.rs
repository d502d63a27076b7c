//! Which buffers are alive while launches go by.

use zoetrope_runtime::plan::{Base, Buffer, Operand};

/// Walks the time line of a plan forwards.
pub struct Live<'p> {
    buffers: &'p [Buffer],
    /// Places of the buffers, by their first launch.
    order: Vec<usize>,
    next: usize,
    alive: Vec<usize>,
}

impl<'p> Live<'p> {
    pub fn new(buffers: &'p [Buffer]) -> Live<'p> {
        let mut order: Vec<_> = (0..buffers.len()).collect();
        order.sort_by_key(|b| buffers[*b].first);
        Live { buffers, order, next: 0, alive: Vec::new() }
    }

    /// Goes on to `launch`, which is not before the one of the last call.
    pub fn advance(&mut self, launch: u32) {
        self.alive.retain(|b| self.buffers[*b].last >= launch);
        while let Some(b) = self.order.get(self.next).filter(|b| self.buffers[**b].first <= launch) {
            if self.buffers[*b].last >= launch {
                self.alive.push(*b);
            }
            self.next += 1;
        }
    }

    /// The buffer that an operand of the arena lies in, by its place.
    pub fn holding(&self, operand: &Operand) -> Option<usize> {
        let inside = |b: &Buffer| (b.offset..b.offset + b.bytes).contains(&operand.offset);
        let mut alive = self.alive.iter().copied();
        if operand.base == Base::Arena { alive.find(|b| inside(&self.buffers[*b])) } else { None }
    }
}
