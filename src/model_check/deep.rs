//! Every weight looked at: numbers that are none, and what a download that stopped leaves, which is zeros.

use std::collections::BTreeSet;
use std::num::{FpCategory, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use half::{bf16, f16};
use zoetrope_runtime::files::{FileDtype, Tensor, TensorFile};
use zoetrope_runtime::plan::Source;

use super::{Problem, Report, text};
use crate::model_files::{ModelFiles, Wanted};

/// Bytes that are looked at together; so many zeros in a row are no weights.
const BLOCK_BYTES: usize = 1 << 20;
/// Zeros at the end of a file that are no accident, where a matrix ends in them.
const TAIL_BYTES: usize = 1 << 12;

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Elements that are not numbers.
    nan: u64,
    /// Elements that are infinite.
    infinite: u64,
    /// Bytes of whole blocks that are zero.
    zero_bytes: u64,
}

impl Counts {
    fn of(dtype: FileDtype, bytes: &[u8]) -> Counts {
        let zero_bytes = if bytes.iter().all(|byte| *byte == 0) { bytes.len() as u64 } else { 0 };
        let (nan, infinite) = match dtype {
            _ if zero_bytes > 0 => (0, 0),
            FileDtype::F32 => count(bytes, |b| f32::from_le_bytes(b).classify()),
            FileDtype::F16 => count(bytes, |b| f16::from_le_bytes(b).classify()),
            FileDtype::Bf16 => count(bytes, |b| bf16::from_le_bytes(b).classify()),
            FileDtype::F64 => count(bytes, |b| f64::from_le_bytes(b).classify()),
            _ => (0, 0),
        };
        Counts { nan, infinite, zero_bytes }
    }

    fn add(&mut self, other: Counts) {
        self.nan += other.nan;
        self.infinite += other.infinite;
        self.zero_bytes += other.zero_bytes;
    }
}

fn count<const N: usize>(bytes: &[u8], class: impl Fn([u8; N]) -> FpCategory) -> (u64, u64) {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().fold((0, 0), |(nan, infinite), element| match class(*element) {
        FpCategory::Nan => (nan + 1, infinite),
        FpCategory::Infinite => (nan, infinite + 1),
        _ => (nan, infinite),
    })
}

/// Reads all weights, on all cores, and adds to a report what a plan that reads `wanted` cannot use: tensors with
/// numbers that are none, matrices of zeros, files that end in zeros. What else is odd is noted: biases may be zero,
/// and what the plan does not read may be anything.
pub fn deepen(report: &mut Report, wanted: &[Wanted], files: &ModelFiles) {
    let wanted: BTreeSet<(Source, &str)> = wanted.iter().map(|w| (w.source, w.tensor.as_str())).collect();
    for source in Source::FILES {
        let set = files.source(source);
        let ends: Vec<ZeroEnd> = set.files().filter_map(|file| zero_end(source, file)).collect();
        let tensors: Vec<(&str, Tensor<'_>)> = set.iter().collect();
        let counts = count_all(&tensors);
        for ((name, tensor), mut counts) in tensors.iter().zip(counts) {
            if let Some(decoded) = set.decoded(name) {
                [counts.nan, counts.infinite] = decoded.not_finite();
            }
            report.read_bytes += tensor.bytes.len() as u64;
            let is_in = |end: &ZeroEnd| end.file == tensor.file && end.tensors.contains(tensor.name);
            // Tensors in the zeros at a file's end are said together.
            let Some(odd) = odd(tensor, counts).filter(|_| !ends.iter().any(is_in)) else { continue };
            let problem =
                Problem::Values { source, file: tensor.file.to_owned(), tensor: name.to_string(), odd };
            match odd.is_fatal(tensor) && wanted.contains(&(source, *name)) {
                true => report.problems.push(problem),
                false => report.notes.push(text::line(&problem)),
            }
        }
        report.problems.extend(ends.into_iter().map(|end| end.problem));
    }
    report.help = text::help(&report.problems, files);
}

/// What is odd about a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// So many are not numbers, and so many infinite.
    NotFinite { nan: u64, infinite: u64 },
    /// All are zero.
    Zero,
    /// So many bytes are, in long runs.
    ZeroRuns { bytes: u64 },
}

impl Odd {
    fn is_fatal(self, tensor: &Tensor<'_>) -> bool {
        match self {
            Odd::NotFinite { .. } => true,
            Odd::Zero => is_matrix(tensor),
            Odd::ZeroRuns { .. } => false,
        }
    }
}

fn odd(tensor: &Tensor<'_>, counts: Counts) -> Option<Odd> {
    let Counts { nan, infinite, zero_bytes } = counts;
    let bytes = tensor.bytes.len() as u64;
    match () {
        () if nan + infinite > 0 => Some(Odd::NotFinite { nan, infinite }),
        () if bytes > 0 && zero_bytes == bytes => Some(Odd::Zero),
        () if zero_bytes >= BLOCK_BYTES as u64 => Some(Odd::ZeroRuns { bytes: zero_bytes }),
        () => None,
    }
}

/// A file that ends in zeros which reach into a matrix.
struct ZeroEnd {
    file: PathBuf,
    /// The tensors that they reach into, as the file names them.
    tensors: BTreeSet<String>,
    problem: Problem,
}

fn zero_end(source: Source, file: &TensorFile) -> Option<ZeroEnd> {
    let bytes = file.zeros_at_the_end();
    let behind = |tensor: &Tensor<'_>| file.bytes_behind(tensor.name).unwrap_or(0);
    let reached = |tensor: &Tensor<'_>| {
        let inside = bytes.saturating_sub(behind(tensor));
        inside > 0 && inside >= tensor.bytes.len().min(TAIL_BYTES)
    };
    let mut tensors: Vec<Tensor<'_>> = file.iter().filter(|tensor| reached(tensor)).collect();
    tensors.sort_by_key(|tensor| std::cmp::Reverse(behind(tensor)));
    tensors.iter().find(|tensor| is_matrix(tensor)).filter(|_| bytes >= TAIL_BYTES)?;
    let first = tensors.first()?.name.to_string();
    let file = file.path().to_owned();
    let problem = Problem::ZeroEnd { source, file: file.clone(), bytes: bytes as u64, first };
    Some(ZeroEnd { file, tensors: tensors.iter().map(|tensor| tensor.name.to_string()).collect(), problem })
}

/// Of more than one row and more than one column: no bias, scale or statistic.
fn is_matrix(tensor: &Tensor<'_>) -> bool {
    tensor.shape.iter().filter(|extent| **extent > 1).count() > 1
}

/// The counts of every tensor; blocks go to all cores.
fn count_all(tensors: &[(&str, Tensor<'_>)]) -> Vec<Counts> {
    let blocks = |tensor: &Tensor<'_>| tensor.bytes.len().div_ceil(BLOCK_BYTES);
    let list: Vec<(usize, usize)> = tensors
        .iter()
        .enumerate()
        .flat_map(|(number, (_, tensor))| (0..blocks(tensor)).map(move |block| (number, block)))
        .collect();
    let (next, all) = (AtomicUsize::new(0), Mutex::new(vec![Counts::default(); tensors.len()]));
    let work = || {
        let mut own = vec![Counts::default(); tensors.len()];
        while let Some(&(number, block)) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Tensor { dtype, bytes, computed, .. } = tensors[number].1;
            // Codes are only looked at for zeros; their values come later.
            let dtype = if computed.is_some() { FileDtype::U8 } else { dtype };
            let from = block * BLOCK_BYTES;
            let to = bytes.len().min(from + BLOCK_BYTES);
            own[number].add(Counts::of(dtype, &bytes[from..to]));
        }
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.iter_mut().zip(own).for_each(|(all, own)| all.add(own));
    };
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        // Where no more threads are allowed, there are fewer.
        let helpers = (1..cores).map_while(|_| Builder::new().spawn_scoped(scope, work).ok());
        let helpers: Vec<_> = helpers.collect();
        work();
        drop(helpers);
    });
    all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}
