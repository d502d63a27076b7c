//! The comparison of a candidate's outputs with the reference values.

use super::Case;
use crate::tensor::{Tensor, Values};
use std::collections::BTreeMap;
use std::fmt;

/// The relative L2 error |x − golden| / |golden| in float64, or |x − golden| where the golden is zero.
///
/// It is NaN when `x` has a NaN, and no tolerance accepts a NaN. Panics when the lengths differ.
pub fn rel_l2(x: &[f32], golden: &[f32]) -> f64 {
    assert_eq!(x.len(), golden.len(), "elements to compare");
    let norm = |sum: f64| sum.sqrt();
    let distance = norm(x.iter().zip(golden).map(|(x, g)| (f64::from(*x) - f64::from(*g)).powi(2)).sum());
    let length = norm(golden.iter().map(|g| f64::from(*g).powi(2)).sum());
    if length > 1e-12 { distance / length } else { distance }
}

/// One compared output.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The output's name.
    pub name: String,
    /// Its relative L2 error; for integers the number of elements that differ.
    pub error: f64,
    /// What the error may be; 0 for integers.
    pub tolerance: f64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.2e} (<= {:.1e})", self.name, self.error, self.tolerance)
    }
}

/// A comparison without a divergence.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The case's name.
    pub case: String,
    /// The outputs in the order in which they were compared.
    pub compared: Vec<Compared>,
    /// The case's outputs that the candidate lacks.
    pub missing: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} compared, {} missing", self.case, self.compared.len(), self.missing.len())?;
        self.compared.iter().try_for_each(|compared| writeln!(f, "  {compared}"))
    }
}

/// Compares outputs with a case of `tests/fixtures/gamma`. See [`Case::check`].
pub fn check(case: &str, outputs: &BTreeMap<String, Tensor>, scale: f64) -> Result<Report, String> {
    Case::load(case).map_err(|error| error.to_string())?.check(outputs, scale)
}

impl Case {
    /// Compares the candidate's outputs, any subset, in the order in which they are computed.
    ///
    /// `scale` multiplies the tolerances; 1 is for float32. Dimensions of length 1 may be left out or
    /// added. The error names the first output that diverges, since later ones inherit its error, and
    /// those that passed before it. An output that the case does not have, and an empty candidate, are
    /// errors too.
    pub fn check(&self, outputs: &BTreeMap<String, Tensor>, scale: f64) -> Result<Report, String> {
        if let Some(unknown) = outputs.keys().find(|name| !self.outputs.contains(name)) {
            return Err(format!("{}: no output {unknown} among {:?}", self.name, self.outputs));
        }
        let order: Vec<&str> =
            self.outputs.iter().map(String::as_str).filter(|name| outputs.contains_key(*name)).collect();
        self.check_in_order(&order, outputs, scale)
    }

    /// [`Case::check`] of exactly the outputs in `order`, in this order; each has to be there.
    pub fn check_in_order(
        &self,
        order: &[&str],
        outputs: &BTreeMap<String, Tensor>,
        scale: f64,
    ) -> Result<Report, String> {
        if order.is_empty() {
            return Err(format!("{}: nothing to compare", self.name));
        }
        let mut compared: Vec<Compared> = Vec::new();
        for name in order {
            let known = self.outputs.iter().any(|output| output == name);
            let golden = known.then(|| self.tensor(name));
            let golden = golden.ok_or_else(|| format!("{}: no output {name}", self.name))?;
            let candidate = outputs.get(*name);
            let candidate = candidate.ok_or_else(|| format!("{}: {name} was not computed", self.name))?;
            match compare(candidate, golden, self.tolerance.of(name) * scale) {
                Ok((error, tolerance)) => {
                    compared.push(Compared { name: (*name).to_owned(), error, tolerance })
                }
                Err(reason) => {
                    let passed: Vec<String> = compared.iter().map(Compared::to_string).collect();
                    let passed = if passed.is_empty() { "none".to_owned() } else { passed.join(", ") };
                    return Err(format!(
                        "{}: the first divergent tensor is {name} {:?}: {reason}\n  passed before it: {passed}",
                        self.name, golden.shape
                    ));
                }
            }
        }
        let lacks = |name: &&String| !order.contains(&name.as_str());
        let missing = self.outputs.iter().filter(lacks).cloned().collect();
        Ok(Report { case: self.name.clone(), compared, missing })
    }
}

/// The error and the tolerance, or why the candidate diverges.
fn compare(x: &Tensor, golden: &Tensor, tolerance: f64) -> Result<(f64, f64), String> {
    let squeezed = |shape: &[usize]| shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
    if squeezed(&x.shape) != squeezed(&golden.shape) {
        return Err(format!("the candidate has shape {:?}", x.shape));
    }
    match (&x.values, &golden.values) {
        (Values::F32(x), Values::F32(g)) => {
            let error = rel_l2(x, g);
            if error.is_finite() && error <= tolerance {
                return Ok((error, tolerance));
            }
            // A NaN is farther away than every number, and the first of several is the one to find.
            let distance =
                |i: usize| Some((x[i] - g[i]).abs()).filter(|d| !d.is_nan()).unwrap_or(f32::INFINITY);
            let worst =
                (0..g.len()).reduce(|a, b| if distance(b) > distance(a) { b } else { a }).unwrap_or(0);
            let position = coordinates(worst, &golden.shape);
            let (worst_x, worst_g) = (x[worst], g[worst]);
            Err(format!(
                "relative L2 error {error:.2e}, tolerance {tolerance:.1e}\n  worst element {position:?}: \
                 {worst_x:e}, golden {worst_g:e}"
            ))
        }
        (Values::I64(x), Values::I64(g)) => {
            let differ: Vec<usize> = (0..g.len()).filter(|i| x[*i] != g[*i]).collect();
            let Some(first) = differ.first().copied() else { return Ok((0.0, 0.0)) };
            let (count, position) = (differ.len(), coordinates(first, &golden.shape));
            Err(format!(
                "{count} of {} integers differ\n  first element {position:?}: {}, golden {}",
                g.len(),
                x[first],
                g[first]
            ))
        }
        (Values::F32(_), Values::I64(_)) => Err("the candidate is floating-point, not integer".to_owned()),
        (Values::I64(_), Values::F32(_)) => Err("the candidate is integer, not floating-point".to_owned()),
    }
}

fn coordinates(mut offset: usize, shape: &[usize]) -> Vec<usize> {
    let mut position: Vec<usize> = Vec::with_capacity(shape.len());
    for n in shape.iter().rev() {
        position.push(offset % n);
        offset /= n;
    }
    position.reverse();
    position
}

#[cfg(test)]
mod tests {
    use super::super::Tolerance;
    use super::*;
    use serde_json::Value;

    /// A case with the outputs `first` [2, 3] and `second` \[2\], of ones, and the integers `ids` \[3\].
    fn case() -> Case {
        let tensors = [
            ("first", Tensor::f32(&[2, 3], vec![1.0; 6])),
            ("ids", Tensor::i64(&[3], vec![7, 8, 9])),
            ("second", Tensor::f32(&[2], vec![1.0; 2])),
        ];
        Case {
            name: "made_up".to_owned(),
            official: String::new(),
            note: String::new(),
            facts: Value::Null,
            tolerance: Tolerance { rel_l2: 1e-3, by_prefix: BTreeMap::from([("sec".to_owned(), 1e-1)]) },
            inputs: Vec::new(),
            outputs: ["second", "first", "ids"].map(str::to_owned).to_vec(),
            tensors: tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect(),
        }
    }

    fn with(name: &str, tensor: Tensor) -> BTreeMap<String, Tensor> {
        let mut outputs = case().tensors;
        outputs.insert(name.to_owned(), tensor);
        outputs
    }

    #[test]
    fn error_is_relative_unless_the_golden_is_zero() {
        assert_eq!(rel_l2(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(rel_l2(&[0.0, 0.0], &[3.0, 4.0]), 1.0);
        assert_eq!(rel_l2(&[3.0, 4.0], &[0.0, 0.0]), 5.0);
        assert!(rel_l2(&[f32::NAN, 4.0], &[3.0, 4.0]).is_nan());
        assert_eq!(rel_l2(&[], &[]), 0.0);
    }

    #[test]
    fn equal_outputs_pass_in_the_order_of_the_index() {
        let report = case().check(&case().tensors, 1.0).unwrap();
        let names: Vec<&str> = report.compared.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["second", "first", "ids"]);
        assert!(report.missing.is_empty());
        assert!(report.to_string().contains("  second 0.00e0 (<= 1.0e-1)\n"), "{report}");
    }

    #[test]
    fn a_subset_reports_what_is_missing() {
        let outputs = BTreeMap::from([("first".to_owned(), Tensor::f32(&[1, 2, 1, 3], vec![1.0; 6]))]);
        assert_eq!(case().check(&outputs, 1.0).unwrap().missing, ["second", "ids"]);
    }

    #[test]
    fn the_first_divergent_tensor_is_named() {
        let mut outputs = with("first", Tensor::f32(&[2, 3], vec![1.0, 1.0, 1.0, 1.0, 1.5, 1.1]));
        outputs.insert("ids".to_owned(), Tensor::i64(&[3], vec![0, 0, 0]));
        let message = case().check(&outputs, 1.0).unwrap_err();
        assert!(message.contains("the first divergent tensor is first [2, 3]"), "{message}");
        assert!(message.contains("relative L2 error 2.08e-1, tolerance 1.0e-3"), "{message}");
        assert!(message.contains("worst element [1, 1]: 1.5e0, golden 1e0"), "{message}");
        assert!(message.contains("passed before it: second 0.00e0"), "{message}");
        let message = case().check_in_order(&["ids", "first"], &outputs, 1.0).unwrap_err();
        assert!(message.contains("is ids [3]: 3 of 3 integers differ"), "{message}");
        assert!(message.contains("passed before it: none"), "{message}");
    }

    #[test]
    fn a_nan_fails_and_is_the_worst_element() {
        let outputs = with("first", Tensor::f32(&[2, 3], vec![9.0, 1.0, f32::NAN, f32::NAN, 1.0, 1.0]));
        let message = case().check(&outputs, 1e9).unwrap_err();
        assert!(message.contains("worst element [0, 2]: NaN, golden 1e0"), "{message}");
    }

    #[test]
    fn tolerances_follow_prefix_and_scale() {
        let outputs = with("second", Tensor::f32(&[2], vec![1.05, 1.05]));
        assert!(case().check(&outputs, 1.0).is_ok());
        assert!(case().check(&outputs, 0.1).is_err());
    }

    #[test]
    fn candidates_of_another_form_are_refused() {
        let message = |outputs| case().check(&outputs, 1.0).unwrap_err();
        let transposed = with("first", Tensor::f32(&[3, 2], vec![1.0; 6]));
        assert!(message(transposed).contains("shape [3, 2]"));
        let float_ids = with("ids", Tensor::f32(&[3], vec![7.0, 8.0, 9.0]));
        assert!(message(float_ids).contains("floating-point"));
        assert!(message(with("third", Tensor::f32(&[0], Vec::new()))).contains("no output third"));
        assert!(message(BTreeMap::new()).contains("nothing to compare"));
        let absent = case().check_in_order(&["first"], &BTreeMap::new(), 1.0);
        assert!(absent.unwrap_err().contains("first was not computed"));
    }
}
