//! How long weights take to load, beside plain reading of the same bytes:
//! `cargo bench -p zoetrope-runtime --no-default-features --bench loading [-- --mib 256] [--rounds 5] [--dir DIR]`.
//!
//! Plain reading fills fresh memory of the same kind from the file, on all cores. Loading makes what a plan in bf16 reads: where the file has
//! it already, all of it is read where it is mapped; elsewhere it is converted or decoded into fresh memory. The two
//! alternate; every figure is a median. Cold means that the system was told to drop the file from its cache first.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use std::{env, fs};

use rayon::prelude::*;
use zoetrope_encodings::{Blocks, Code, Encoding, GgufBlock, Number};
use zoetrope_runtime::Arena;
use zoetrope_runtime::files::write_tensors;
use zoetrope_runtime::files::{Beside, Decoded, FileDtype, NewTensor, TensorFile, TensorSet, View, Viewed};

/// Columns of every matrix: those of the transformer's widest video layer.
const COLUMNS: usize = 4096;
/// What one thread reads at a time.
const SHARE: usize = 4 << 20;
const CODES: &str = "codes";
const SCALES: &str = "scales";

fn main() {
    let args: Vec<String> = env::args().collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let number = |name: &str, usual| value(name).map_or(usual, |n| n.parse().expect("a whole number"));
    let (mib, rounds) = (number("--mib", 256), number("--rounds", 5));
    let dir = value("--dir").map_or_else(env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(dir).expect("a folder for the files");
    println!("{mib} MiB of codes each, {} threads, medians of {rounds}", rayon::current_num_threads());
    println!(
        "{:<28} {:>11} {:>11} {:>7} {:>11} {:>11} {:>7}",
        "stored as", "read, warm", "load, warm", "ratio", "read, cold", "load, cold", "ratio"
    );
    for stored in all() {
        let path = folder.path().join("model.safetensors");
        write(&path, stored, mib << 20);
        let row = [false, true].map(|cold| measured(&path, stored, rounds, cold));
        let cells = row.map(|[read, load]| {
            let bytes = fs::metadata(&path).map_or(0, |m| m.len()) as f64 / 1e9;
            format!("{:>6.2} GB/s {:>6.2} GB/s {:>7.2}", bytes / read, bytes / load, load / read)
        });
        println!("{:<28} {}", name(stored), cells.join(" "));
        fs::remove_file(&path).expect("the file can be removed");
    }
}

/// How a tensor is stored, and what it is read as.
fn all() -> Vec<Encoding> {
    let scaled = |code, blocks| Encoding::Scaled { code, blocks };
    let mut all = vec![
        Encoding::Plain(Number::Bf16),
        Encoding::Plain(Number::F16),
        Encoding::Plain(Number::F32),
        Encoding::Plain(Number::E4m3),
        scaled(Code::E4m3, Blocks::Tensor),
        scaled(Code::E5m2, Blocks::Tensor),
        scaled(Code::I8, Blocks::Row),
        Encoding::Rotated { blocks: Blocks::Row, group: 256 },
        Encoding::Mxfp8,
        Encoding::Nvfp4,
    ];
    all.extend(GgufBlock::ALL.iter().map(|block| Encoding::Gguf(*block)));
    all
}

fn name(stored: Encoding) -> String {
    match stored {
        Encoding::Plain(Number::Bf16) => "bf16, where it is mapped".to_string(),
        other => other.to_string(),
    }
}

/// The plain types of a file, which need no decoder.
fn plain(stored: Encoding) -> Option<FileDtype> {
    match stored {
        Encoding::Plain(Number::Bf16) => Some(FileDtype::Bf16),
        Encoding::Plain(Number::F16) => Some(FileDtype::F16),
        Encoding::Plain(Number::F32) => Some(FileDtype::F32),
        _ => None,
    }
}

/// A file with about so many bytes of codes. No byte has the bits that make a number of any type none.
fn write(path: &Path, stored: Encoding, bytes: usize) {
    let row = stored.code_bytes(1, COLUMNS).expect("whole rows");
    let rows = bytes / row;
    let mut state = 1u64;
    let mut random = |count: usize| -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8 & 0x3b
        };
        std::iter::repeat_with(next).take(count).collect()
    };
    let codes = random(rows * row);
    let scales = random(stored.scale_bytes(rows, COLUMNS).expect("few enough"));
    let (shape, dtype) = match plain(stored) {
        Some(dtype) => (vec![rows, COLUMNS], dtype),
        None => (vec![codes.len()], FileDtype::U8),
    };
    let tensors = [
        NewTensor { name: CODES, dtype, shape: &shape, bytes: &codes },
        NewTensor { name: SCALES, dtype: FileDtype::U8, shape: &[scales.len()], bytes: &scales },
    ];
    let mut file = File::create(path).expect("a file");
    file.write_all(&write_tensors(&[], &tensors)).expect("room for the file");
    file.sync_all().expect("the file is on the disk");
}

/// Seconds of plain reading and of loading.
fn measured(path: &Path, stored: Encoding, rounds: usize, cold: bool) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..=rounds {
        let steps: [&dyn Fn(); 2] = [&|| read(path), &|| load(path, stored)];
        for (step, times) in steps.iter().zip(&mut times) {
            if cold {
                drop_from_cache(path);
            }
            let start = Instant::now();
            step();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.map(|mut times| {
        // The first one fills the cache.
        times.remove(0);
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn read(path: &Path) {
    let file = File::open(path).expect("the file is there");
    let length = file.metadata().expect("its length").len() as usize;
    let mut memory = Arena::new(length as u64).expect("memory");
    let shares = memory.bytes_mut()[..length].par_chunks_mut(SHARE).enumerate();
    shares.for_each(|(i, out)| file.read_exact_at(out, (i * SHARE) as u64).expect("all of it is read"));
    std::hint::black_box(memory.bytes());
}

fn load(path: &Path, stored: Encoding) {
    let file = Arc::new(TensorFile::open(path).expect("a whole file"));
    let bytes = file.get(CODES).expect("the codes").bytes.len();
    let rows = bytes / stored.code_bytes(1, COLUMNS).expect("whole rows");
    let decoded = plain(stored).is_none().then(|| {
        let beside = Beside { scales: Some(SCALES.to_string()), ..Beside::default() };
        let beside = if stored.scale_bytes(1, COLUMNS) == Some(0) { Beside::default() } else { beside };
        let shape = [rows, COLUMNS];
        Decoded::new(&file, CODES, stored, shape, shape.to_vec(), beside).expect("bytes that fit")
    });
    let viewed = Viewed { name: "w".to_string(), stored: CODES.to_string(), decoded };
    let set = TensorSet::of(vec![View { file, tensors: vec![viewed] }]);
    let tensor = set.get("w").expect("the tensor");
    tensor.soon();
    if let Some(there) = tensor.in_place(FileDtype::Bf16, 2) {
        let (words, _) = there.as_chunks::<8>();
        let sum = words
            .par_chunks(SHARE / 8)
            .map(|words| words.iter().fold(0u64, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word))));
        std::hint::black_box(sum.reduce(|| 0, u64::wrapping_add));
        return;
    }
    let length = 2 * tensor.elements();
    let mut memory = Arena::new(length as u64).expect("memory");
    tensor.read_into(FileDtype::Bf16, &mut memory.bytes_mut()[..length]).expect("all of it is read");
    std::hint::black_box(memory.bytes());
}

fn drop_from_cache(path: &Path) {
    let file = File::open(path).expect("the file is there");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("the system forgets a file");
}
