//! The tensors of the published files, and the tensors that a recorded phase reads.

use std::collections::BTreeMap;
use std::path::Path;

use zoetrope_model_spec::lang::{Count, Def, Graph, Source, Stmt, Value};

/// Shapes by name.
pub type Tensors = BTreeMap<String, Vec<usize>>;

/// The tensors of published components, by their files in `tests/inventory`.
pub fn published(components: &[&str]) -> Tensors {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory");
    let mut tensors = Tensors::new();
    for component in components {
        let text = std::fs::read_to_string(folder.join(format!("{component}.txt"))).expect("inventory file");
        for line in text.lines() {
            let [name, _, shape] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let shape = shape.split(',').map(|n| n.parse().expect("extent")).collect();
            assert!(tensors.insert(name.to_string(), shape).is_none(), "{name} is listed twice");
        }
    }
    tensors
}

/// The tensors that `graph` reads from each file, loops spelled out. Panics when two weights stand for the same
/// tensor, or when a weight is named and not used.
pub fn weights(graph: &Graph) -> BTreeMap<Source, Tensors> {
    let mut iterations = BTreeMap::new();
    count_iterations(&graph.body, 1, &mut iterations);
    let mut tensors: BTreeMap<Source, Tensors> = BTreeMap::new();
    for (value, info) in graph.iter() {
        let Def::Weight { source, tensors: named, first, .. } = &info.def else { continue };
        let iterations =
            iterations.get(&value).copied().unwrap_or_else(|| panic!("{} is not used", info.path));
        for tensor in named {
            let shape = info.file_shape(tensor);
            let iterations = if tensor.name.contains('*') { iterations } else { 1 };
            for iteration in *first..first + iterations {
                let name = tensor.name.replacen('*', &iteration.to_string(), 1);
                let known = tensors.entry(*source).or_default().insert(name, shape.clone());
                assert!(
                    known.is_none(),
                    "iteration {iteration} of {} is read by another weight, too",
                    tensor.name
                );
            }
        }
    }
    tensors
}

/// For every value an op reads: the iterations of the innermost loop of fixed count around it.
fn count_iterations(body: &[Stmt], iterations: usize, of: &mut BTreeMap<Value, usize>) {
    for stmt in body {
        match stmt {
            Stmt::Op(op) => of.extend(op.inputs.iter().map(|input| (*input, iterations))),
            Stmt::Loop(inner) => match inner.count {
                Count::Fixed(count) => count_iterations(&inner.body, count, of),
                Count::Runtime => count_iterations(&inner.body, iterations, of),
            },
        }
    }
}

/// Panics with every difference between what a phase reads and what the files hold.
pub fn assert_same(read: &Tensors, published: &Tensors) {
    let differences: Vec<_> = read
        .keys()
        .chain(published.keys().filter(|name| !read.contains_key(*name)))
        .filter(|name| read.get(*name) != published.get(*name))
        .map(|name| format!("{name}: read {:?}, published {:?}", read.get(name), published.get(name)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
