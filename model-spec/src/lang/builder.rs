//! The recorder: a spec function calls it as if it computed, and a [`Graph`] remains.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::{
    AdapterSlot, BinaryFn, Carried, Collected, Constant, Count, Def, Dtype, Graph, Info, Loop, Op, OpStmt,
    Output, Role, ShapeError, Source, Stmt, UnaryFn, Value, infer, weight::Keep,
};

/// Records ops. Methods take `&self`, so that calls nest as in a forward pass.
///
/// A mistake (shapes that do not fit) does not stop the recording; the first one is kept and comes out of
/// [`Builder::finish`], with the model path where it happened.
pub struct Builder {
    graph: RefCell<Graph>,
    /// Bodies being recorded: the phase's, and one for each open loop.
    open: RefCell<Vec<Body>>,
    path: RefCell<Vec<String>>,
    pub(super) component: RefCell<(Source, String)>,
    pub(super) adapters: Cell<Option<AdapterSlot>>,
    pub(super) keep: Keep,
    dtype: Cell<Dtype>,
    taps: Vec<String>,
    error: RefCell<Option<ShapeError>>,
}

struct Body {
    /// Name and count of the loop; `None` for the phase itself.
    of: Option<(String, Count)>,
    /// The number that the checkpoint gives the loop's iteration 0.
    first: usize,
    stmts: Vec<Stmt>,
    collected: Vec<Collected>,
}

impl Builder {
    /// A recorder for a phase whose activations are stored as `dtype`.
    pub fn new(name: &str, dtype: Dtype) -> Builder {
        Builder {
            graph: RefCell::new(Graph { name: name.to_string(), ..Graph::default() }),
            open: RefCell::new(vec![Body { of: None, first: 0, stmts: Vec::new(), collected: Vec::new() }]),
            path: RefCell::default(),
            component: RefCell::new((Source::Checkpoint, String::new())),
            adapters: Cell::new(None),
            keep: Keep::default(),
            dtype: Cell::new(dtype),
            taps: Vec::new(),
            error: RefCell::default(),
        }
    }

    /// Asks for inner values by the names that [`Builder::tap`] gives them; `*` stands for a loop's iteration.
    pub fn with_taps(mut self, taps: &[String]) -> Builder {
        self.taps = taps.to_vec();
        self
    }

    /// The recorded phase.
    ///
    /// # Errors
    /// The first op whose inputs did not fit, with its path.
    pub fn finish(self) -> Result<Graph, ShapeError> {
        if let Some(error) = self.error.into_inner() {
            return Err(error);
        }
        let mut graph = self.graph.into_inner();
        graph.body = self.open.into_inner().remove(0).stmts;
        Ok(graph)
    }

    // -- where the recording stands ---------------------------------------------------------------------------

    /// Records `f` under a path segment, as the checkpoint nests its names.
    pub fn scope<T>(&self, name: &str, f: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push(name.to_string());
        let result = f();
        self.path.borrow_mut().pop();
        result
    }

    /// Records `f` with weights taken from `source`, their names prefixed with `prefix`.
    pub fn component<T>(&self, source: Source, prefix: &str, f: impl FnOnce() -> T) -> T {
        let outer = self.component.replace((source, prefix.to_string()));
        let result = f();
        self.component.replace(outer);
        result
    }

    /// Records `f` with another storage dtype for weights and for [`Builder::round`].
    pub fn in_dtype<T>(&self, dtype: Dtype, f: impl FnOnce() -> T) -> T {
        let outer = self.dtype.replace(dtype);
        let result = f();
        self.dtype.set(outer);
        result
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype.get()
    }

    /// The number that the checkpoint gives iteration 0 of the innermost open loop.
    pub(super) fn first_iteration(&self) -> usize {
        self.open.borrow().last().map_or(0, |body| body.first)
    }

    /// The shape of a value.
    pub fn shape(&self, value: Value) -> Vec<usize> {
        self.graph.borrow().info(value).shape.clone()
    }

    /// One extent of a value; 1 where there is no such axis (the recording has then already failed).
    pub fn dim(&self, value: Value, axis: usize) -> usize {
        self.graph.borrow().info(value).shape.get(axis).copied().unwrap_or(1)
    }

    /// The last extent of a value.
    pub fn width(&self, value: Value) -> usize {
        self.graph.borrow().info(value).shape.last().copied().unwrap_or(1)
    }

    /// Keeps the first thing that went wrong, with its path.
    pub fn fail(&self, message: String) {
        let at = self.path.borrow().join(".");
        self.error.borrow_mut().get_or_insert(ShapeError(format!("{at}: {message}")));
    }

    pub(super) fn full_path(&self, name: &str) -> String {
        let path = self.path.borrow();
        path.iter()
            .map(String::as_str)
            .chain((!name.is_empty()).then_some(name))
            .collect::<Vec<_>>()
            .join(".")
    }

    pub(super) fn define(&self, path: String, dtype: Dtype, shape: Vec<usize>, def: Def) -> Value {
        let mut graph = self.graph.borrow_mut();
        graph.values.push(Info { path, dtype, shape, def });
        Value(graph.values.len() as u32 - 1)
    }

    fn emit(&self, stmt: Stmt) {
        self.open.borrow_mut().last_mut().expect("the phase's body is always open").stmts.push(stmt);
    }

    // -- values from outside ----------------------------------------------------------------------------------

    /// A value that is given under its name, or that an earlier phase fills.
    pub fn input(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Value {
        self.port(name, Role::Tensor { default: None }, dtype, shape)
    }

    /// A value that the host writes as its role says.
    pub fn port(&self, name: &str, role: Role, dtype: Dtype, shape: &[usize]) -> Value {
        self.define(name.to_string(), dtype, shape.to_vec(), Def::Input(role))
    }

    /// In a loop: the current iteration's entry of `stack`, which has one entry for every iteration along its first
    /// axis.
    pub fn iteration(&self, stack: Value) -> Value {
        self.op(Op::Iteration {}, &[stack])
    }

    /// Real numbers known at build time, row-major, stored as f32.
    pub fn constant(&self, name: &str, shape: &[usize], values: Vec<f32>) -> Value {
        if values.len() != shape.iter().product::<usize>() {
            self.fail(format!("constant {name} has {} values for {shape:?}", values.len()));
        }
        self.define(self.full_path(name), Dtype::F32, shape.to_vec(), Def::Constant(Constant::Real(values)))
    }

    /// Integers known at build time, row-major.
    pub fn index(&self, name: &str, shape: &[usize], values: Vec<i32>) -> Value {
        if values.len() != shape.iter().product::<usize>() {
            self.fail(format!("index {name} has {} values for {shape:?}", values.len()));
        }
        self.define(self.full_path(name), Dtype::I32, shape.to_vec(), Def::Constant(Constant::Int(values)))
    }

    /// In a loop: the value of the current iteration out of one per iteration (all constants of one shape).
    pub fn per_iteration(&self, name: &str, values: &[Value]) -> Value {
        let info = self.graph.borrow().info(values[0]).clone();
        self.define(self.full_path(name), info.dtype, info.shape, Def::PerIteration(values.to_vec()))
    }

    // -- results ----------------------------------------------------------------------------------------------

    /// Names a result of the phase that is read under its name.
    pub fn output(&self, name: &str, value: Value) {
        self.result(name, Role::Tensor { default: None }, value);
    }

    /// Names a result of the phase, and says what it is to the host.
    pub fn result(&self, name: &str, role: Role, value: Value) {
        self.graph.borrow_mut().outputs.push(Output { name: name.to_string(), value, role });
    }

    /// Names an inner value; it becomes an output when it was asked for. In a loop the name holds one `*` and the
    /// output is the stack of all iterations.
    pub fn tap(&self, name: &str, value: Value) -> Value {
        // The iterations of a run-time loop are not counted at build time, so their values cannot be kept.
        let counted = |body: &Body| !matches!(body.of, Some((_, Count::Runtime)));
        if !self.open.borrow().iter().all(counted) {
            return value;
        }
        self.graph.borrow_mut().tap_names.push(name.to_string());
        if self.taps.iter().any(|t| t == name) {
            let in_loop = self.open.borrow().last().is_some_and(|b| b.of.is_some());
            let kept = if in_loop { self.collect(name, value) } else { value };
            self.output(name, kept);
        }
        value
    }

    // -- loops ------------------------------------------------------------------------------------------------

    /// Records `body` once, to be executed for every number of `iterations`; `state` goes round. The body names weights
    /// of its iteration with `*` in the path: the checkpoint's numbers are those of `iterations`.
    pub fn repeat(
        &self,
        name: &str,
        iterations: Range<usize>,
        state: &[Value],
        body: impl FnOnce(&[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        self.record_loop((name, Count::Fixed(iterations.len()), iterations.start), state, body)
    }

    /// As [`Builder::repeat`], with the number of iterations decided by the host: the denoising steps.
    pub fn steps(
        &self,
        name: &str,
        state: &[Value],
        body: impl FnOnce(&[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        self.record_loop((name, Count::Runtime, 0), state, body)
    }

    fn record_loop(
        &self,
        (name, count, first): (&str, Count, usize),
        state: &[Value],
        body: impl FnOnce(&[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let like = |value: Value, suffix: &str| {
            let info = self.graph.borrow().info(value).clone();
            self.define(format!("{}{suffix}", info.path), info.dtype, info.shape, Def::Carried)
        };
        let inner: Vec<_> = state.iter().map(|v| like(*v, "")).collect();
        let of = Some((name.to_string(), count));
        self.open.borrow_mut().push(Body { of, first, stmts: Vec::new(), collected: Vec::new() });
        let next = body(&inner);
        let done = self.open.borrow_mut().pop().expect("the loop opened a body");
        if next.len() != state.len() {
            self.fail(format!("loop {name} carries {} values and leaves {}", state.len(), next.len()));
            return state.to_vec();
        }
        let result: Vec<_> = state.iter().map(|v| like(*v, "")).collect();
        let carried = (0..state.len())
            .map(|i| Carried { init: state[i], inner: inner[i], next: next[i], result: result[i] })
            .collect();
        self.emit(Stmt::Loop(Loop {
            name: name.to_string(),
            count,
            carried,
            collected: done.collected,
            body: done.stmts,
        }));
        result
    }

    /// In a loop of fixed count: keeps `value` of every iteration; the result, `[count, ..]`, is there after the loop.
    pub fn collect(&self, name: &str, value: Value) -> Value {
        let count = match self.open.borrow().last().and_then(|b| b.of.as_ref()) {
            Some((_, Count::Fixed(n))) => *n,
            _ => {
                self.fail(format!("{name} is collected outside a loop of fixed count"));
                return value;
            }
        };
        let info = self.graph.borrow().info(value).clone();
        let shape = [&[count], info.shape.as_slice()].concat();
        let stack = self.define(name.to_string(), info.dtype, shape, Def::Collected);
        self.open.borrow_mut().last_mut().expect("inside a loop").collected.push(Collected { value, stack });
        stack
    }

    // -- ops --------------------------------------------------------------------------------------------------

    /// Records `op`; the result is named after the current path.
    pub fn op(&self, op: Op, inputs: &[Value]) -> Value {
        let inferred = {
            let graph = self.graph.borrow();
            let of: Vec<_> =
                inputs.iter().map(|v| (graph.info(*v).dtype, graph.info(*v).shape.as_slice())).collect();
            infer(&op, &of)
        };
        let (dtype, shape) = inferred.unwrap_or_else(|ShapeError(message)| {
            self.fail(format!("{}: {message}", op.name()));
            (self.dtype(), self.shape(inputs[0]))
        });
        let output = self.define(self.full_path(""), dtype, shape, Def::Op);
        self.emit(Stmt::Op(OpStmt { op, inputs: inputs.to_vec(), output }));
        output
    }

    fn unary(&self, f: UnaryFn, x: Value) -> Value {
        self.op(Op::Unary { f }, &[x])
    }

    fn binary(&self, f: BinaryFn, x: Value, y: Value) -> Value {
        self.op(Op::Binary { f }, &[x, y])
    }

    pub fn silu(&self, x: Value) -> Value {
        self.unary(UnaryFn::Silu, x)
    }

    pub fn gelu(&self, x: Value) -> Value {
        self.unary(UnaryFn::Gelu, x)
    }

    pub fn sigmoid(&self, x: Value) -> Value {
        self.unary(UnaryFn::Sigmoid, x)
    }

    pub fn log(&self, x: Value) -> Value {
        self.unary(UnaryFn::Log, x)
    }

    pub fn sqrt(&self, x: Value) -> Value {
        self.unary(UnaryFn::Sqrt, x)
    }

    pub fn cos(&self, x: Value) -> Value {
        self.unary(UnaryFn::Cos, x)
    }

    pub fn sin(&self, x: Value) -> Value {
        self.unary(UnaryFn::Sin, x)
    }

    /// x + y; y may be one row, one column or one number.
    pub fn add(&self, x: Value, y: Value) -> Value {
        self.binary(BinaryFn::Add, x, y)
    }

    pub fn sub(&self, x: Value, y: Value) -> Value {
        self.binary(BinaryFn::Sub, x, y)
    }

    pub fn mul(&self, x: Value, y: Value) -> Value {
        self.binary(BinaryFn::Mul, x, y)
    }

    pub fn div(&self, x: Value, y: Value) -> Value {
        self.binary(BinaryFn::Div, x, y)
    }

    /// x·scale + offset.
    pub fn affine(&self, x: Value, scale: f32, offset: f32) -> Value {
        self.op(Op::Affine { scale, offset }, &[x])
    }

    pub fn clamp(&self, x: Value, lo: f32, hi: f32) -> Value {
        self.op(Op::Clamp { lo, hi }, &[x])
    }

    /// x stored as `to`; x itself when it already is.
    pub fn cast(&self, x: Value, to: Dtype) -> Value {
        if self.graph.borrow().info(x).dtype == to { x } else { self.op(Op::Cast { to }, &[x]) }
    }

    /// x in the storage dtype of the phase.
    pub fn round(&self, x: Value) -> Value {
        self.cast(x, self.dtype())
    }

    pub fn reshape(&self, x: Value, shape: &[usize]) -> Value {
        self.op(Op::Reshape { shape: shape.to_vec() }, &[x])
    }

    pub fn slice(&self, x: Value, axis: usize, start: usize, len: usize) -> Value {
        self.op(Op::Slice { axis, start, len }, &[x])
    }

    pub fn permute(&self, x: Value, axes: &[usize]) -> Value {
        self.op(Op::Permute { axes: axes.to_vec() }, &[x])
    }

    pub fn concat(&self, pieces: &[Value]) -> Value {
        self.op(Op::Concat {}, pieces)
    }

    pub fn gather(&self, table: Value, index: Value) -> Value {
        self.op(Op::Gather {}, &[table, index])
    }

    /// x divided by its root mean square, without weight.
    pub fn rms(&self, x: Value, eps: f32) -> Value {
        self.op(Op::RmsNorm { eps, offset: 0.0, groups: 1 }, &[x])
    }

    /// x·(1 + scale) + shift.
    pub fn modulate(&self, x: Value, scale: Value, shift: Value) -> Value {
        self.add(self.mul(x, self.affine(scale, 1.0, 1.0)), shift)
    }
}
