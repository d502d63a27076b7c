//! The vocabulary of the spec: what a value is, which ops there are, and how a forward pass records them.

mod builder;
mod dtype;
mod flops;
mod graph;
mod infer;
mod linear;
mod op;
mod print;
mod role;
mod weight;

pub use builder::Builder;
pub use dtype::Dtype;
pub use flops::{bytes, flops};
pub use graph::{
    Carried, Collected, Constant, Count, Def, Graph, Info, Loop, Note, OpStmt, Output, Source, Stmt, Tensor,
    Value,
};
pub use infer::{ShapeError, infer};
pub use linear::AdapterSlot;
pub use op::{Attr, BinaryFn, Op, UnaryFn};
pub use role::Role;
pub use weight::Layout;
pub use zoetrope_encodings::Kept;
