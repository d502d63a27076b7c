//! How long weights take to load, beside plain reading of the same bytes:
//! `cargo bench -p zoetrope-runtime --no-default-features --bench loading [-- --mib 256] [--rounds 5] [--dir DIR] [--only WORDS]`.
//!
//! There are two tables. In the first one everything is made in fresh memory, as the CPU executor does, and read as bf16; what the
//! file has so is read where it is mapped. In the second one it is made in a ring of four buffers of 16 MiB over and over, as the
//! CUDA executor fills pinned memory, also as rows that stay encoded. Plain reading fills memory of the same kind from the file,
//! on all cores. The least time is that of a program that touches all bytes of the file and writes as many as are made, and
//! computes nothing.
//!
//! The three alternate, and every figure is that of the fastest round. Cold means that the system was told to drop the file from
//! its cache first.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use std::{env, fs};

use rayon::prelude::*;
use zoetrope_encodings::{Blocks, Code, Encoding, GgufBlock, Kept, Number};
use zoetrope_runtime::Arena;
use zoetrope_runtime::files::{
    Beside, Decoded, FileDtype, NewTensor, TensorFile, TensorSet, View, Viewed, write_tensors,
};

/// Columns of every matrix: those of the transformer's widest video layer.
const COLUMNS: usize = 4096;
/// What one thread reads at a time.
const SHARE: usize = 2 << 20;
/// A buffer of the ring, and how many there are.
const BUFFER: usize = 16 << 20;
const BUFFERS: usize = 4;
const CODES: &str = "codes";
const SCALES: &str = "scales";

fn main() {
    let args: Vec<String> = env::args().collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let number = |name: &str, usual| value(name).map_or(usual, |n| n.parse().expect("a whole number"));
    let (mib, rounds) = (number("--mib", 256), number("--rounds", 5));
    let dir = value("--dir").map_or_else(env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(dir).expect("a folder for the files");
    let only = value("--only").map_or("", String::as_str);
    println!("{mib} MiB of codes each, {} threads, the fastest of {rounds}", rayon::current_num_threads());
    let [fresh, again] = memory(rounds);
    println!(
        "a plain copy writes {fresh:.1} GB/s into fresh memory, {again:.1} GB/s into memory that is there"
    );
    for (title, rows) in [("fresh memory", in_fresh_memory()), ("the ring", in_the_ring())] {
        println!(
            "\n| stored as, made in {title} | written per byte | read, warm, GB/s | made, warm | ratio | least | read, cold | made, cold | ratio | least |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        for row in rows.into_iter().filter(|row| row.to_string().contains(only)) {
            let path = folder.path().join("model.safetensors");
            write(&path, row.stored, mib << 20);
            let bytes = fs::metadata(&path).map_or(0, |m| m.len()) as f64;
            let cells = [false, true].map(|cold| {
                let [read, made, least] = row.measured(&path, rounds, cold);
                let rate = |seconds: f64| bytes / 1e9 / seconds;
                format!("{:.2} | {:.2} | {:.2} | {:.2}", rate(read), rate(made), made / read, least / read)
            });
            println!("| {row} | {:.2} | {} |", row.written(&path) as f64 / bytes, cells.join(" | "));
            fs::remove_file(&path).expect("the file can be removed");
        }
    }
}

/// How a matrix is stored, what it is read as, and where.
struct Row {
    stored: Encoding,
    /// What its rows stay in; else it is bf16.
    kept: Option<Kept>,
    ring: bool,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kept, self.in_place()) {
            (Some(kept), _) => write!(f, "{}, as {kept}", self.stored),
            (None, true) => write!(f, "{}, where it is mapped", self.stored),
            (None, false) => write!(f, "{}", self.stored),
        }
    }
}

fn scaled(code: Code, blocks: Blocks) -> Encoding {
    Encoding::Scaled { code, blocks }
}

fn in_fresh_memory() -> Vec<Row> {
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
    all.into_iter().map(|stored| Row { stored, kept: None, ring: false }).collect()
}

fn in_the_ring() -> Vec<Row> {
    let bf16 = Encoding::Plain(Number::Bf16);
    let as_bf16 = [
        bf16,
        Encoding::Plain(Number::F32),
        scaled(Code::E4m3, Blocks::Tensor),
        Encoding::Rotated { blocks: Blocks::Row, group: 256 },
        Encoding::Nvfp4,
        Encoding::Gguf(GgufBlock::Q8_0),
        Encoding::Gguf(GgufBlock::Q4_K),
        Encoding::Gguf(GgufBlock::Q2_K),
    ];
    let kept = [
        (scaled(Code::E4m3, Blocks::Tensor), Kept::Fp8),
        (Encoding::Gguf(GgufBlock::Q8_0), Kept::Q8_0),
        (Encoding::Gguf(GgufBlock::Q4_K), Kept::Q4_K),
        (bf16, Kept::Fp8),
        (bf16, Kept::Q8_0),
        (bf16, Kept::Q4_K),
    ];
    let as_bf16 = as_bf16.into_iter().map(|stored| Row { stored, kept: None, ring: true });
    as_bf16.chain(kept.map(|(stored, kept)| Row { stored, kept: Some(kept), ring: true })).collect()
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

impl Row {
    fn in_place(&self) -> bool {
        self.stored == Encoding::Plain(Number::Bf16) && self.kept.is_none() && !self.ring
    }

    /// Bytes that are made of a file.
    fn written(&self, path: &Path) -> usize {
        let rows = opened(path, self.stored).get("w").expect("the tensor").elements() / COLUMNS;
        if self.in_place() { 0 } else { rows * self.row_bytes() }
    }

    fn row_bytes(&self) -> usize {
        self.kept.map_or(2 * COLUMNS, |kept| kept.row_bytes(COLUMNS).expect("whole granules"))
    }

    /// Seconds of plain reading, of loading, and of what loading takes at least.
    fn measured(&self, path: &Path, rounds: usize, cold: bool) -> [f64; 3] {
        let mut fastest = [f64::INFINITY; 3];
        let mut ring = Arena::new((BUFFERS * BUFFER) as u64).expect("memory");
        ring.bytes_mut().fill(1);
        // The first round fills the cache.
        for round in 0..=rounds {
            for (step, fastest) in fastest.iter_mut().enumerate() {
                if cold {
                    drop_from_cache(path);
                }
                settle(path, self.written(path));
                let start = Instant::now();
                let memory = self.ring.then_some(&mut ring);
                match step {
                    0 => read(path, memory),
                    1 => self.load(path, memory),
                    _ => self.least(path, memory),
                }
                if round > 0 {
                    *fastest = fastest.min(start.elapsed().as_secs_f64());
                }
            }
        }
        fastest
    }

    /// Makes what a plan reads.
    fn load(&self, path: &Path, ring: Option<&mut Arena>) {
        let set = opened(path, self.stored);
        let tensor = set.get("w").expect("the tensor");
        tensor.soon();
        if self.in_place() {
            touch(tensor.in_place(FileDtype::Bf16, 2).expect("it is there"));
            return tensor.done();
        }
        let row = self.row_bytes();
        let make = |row_number: usize, out: &mut [u8]| match self.kept {
            Some(kept) => tensor.read_kept(kept, row_number, out),
            None => tensor.read_range(FileDtype::Bf16, row_number * COLUMNS, out),
        };
        let length = tensor.elements() / COLUMNS * row;
        pieces(length, row, ring, |at, out| make(at / row, out).expect("all of it is read"));
        tensor.done();
    }

    /// Touches all bytes of the file, and writes as many as are made.
    fn least(&self, path: &Path, ring: Option<&mut Arena>) {
        let set = opened(path, self.stored);
        let tensor = set.get("w").expect("the tensor");
        tensor.soon();
        if self.in_place() {
            touch(tensor.bytes);
            return tensor.done();
        }
        let row = self.row_bytes();
        let length = tensor.elements() / COLUMNS * row;
        let there = |at: usize| (tensor.bytes.len() as u128 * at as u128 / length as u128) as usize;
        pieces(length, row, ring, |at, out| {
            out.chunks_mut(SHARE).enumerate().par_bridge().for_each(|(i, out)| {
                let from = at + i * SHARE;
                sum(&tensor.bytes[there(from)..there(from + out.len())]);
                copy(out);
            });
        });
        tensor.done();
    }
}

/// Fills memory with a few bytes that stay in a core's cache.
fn copy(out: &mut [u8]) {
    static SOME: [u8; 16 << 10] = [7; 16 << 10];
    out.chunks_mut(SOME.len()).for_each(|out| out.copy_from_slice(&SOME[..out.len()]));
}

/// How many bytes all cores write into fresh memory, and into memory that is there already, in 10^9 a second.
fn memory(rounds: usize) -> [f64; 2] {
    const BYTES: usize = 256 << 20;
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..2 * rounds {
        let mut memory = Arena::new(BYTES as u64).expect("memory");
        for fastest in &mut fastest {
            let start = Instant::now();
            memory.bytes_mut()[..BYTES].chunks_mut(SHARE).par_bridge().for_each(copy);
            *fastest = fastest.min(start.elapsed().as_secs_f64());
        }
    }
    fastest.map(|seconds| BYTES as f64 / 1e9 / seconds)
}

/// Calls `make` with memory for so many bytes, in whole rows: fresh memory for all of them, or a buffer of a ring at a time.
fn pieces(length: usize, row: usize, ring: Option<&mut Arena>, make: impl Fn(usize, &mut [u8])) {
    let Some(ring) = ring else {
        let mut memory = Arena::new(length as u64).expect("memory");
        make(0, &mut memory.bytes_mut()[..length]);
        std::hint::black_box(memory.bytes());
        return;
    };
    let whole = BUFFER / row * row;
    for (i, at) in (0..length).step_by(whole).enumerate() {
        let buffer = &mut ring.bytes_mut()[i % BUFFERS * BUFFER..][..whole.min(length - at)];
        make(at, buffer);
        std::hint::black_box(buffer);
    }
}

/// Sees to it that the system has memory for a file and for what is made of it: what a virtual machine has not used for a
/// while may be its host's again, which takes longer to give it than a disk to fill it.
fn settle(path: &Path, written: usize) {
    let file = fs::metadata(path).map_or(0, |file| file.len());
    let mut memory = Arena::new(file + written as u64).expect("memory");
    memory.bytes_mut().par_chunks_mut(SHARE).for_each(copy);
}

fn read(path: &Path, ring: Option<&mut Arena>) {
    let file = File::open(path).expect("the file is there");
    let length = file.metadata().expect("its length").len() as usize;
    pieces(length, 1, ring, |at, out| {
        let shares = out.chunks_mut(SHARE).enumerate().par_bridge();
        shares.for_each(|(i, out)| {
            file.read_exact_at(out, (at + i * SHARE) as u64).expect("all of it is read")
        });
    });
}

/// The file, with its matrix under the name `w`.
fn opened(path: &Path, stored: Encoding) -> TensorSet {
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
    TensorSet::of(vec![View { file, tensors: vec![viewed] }])
}

fn touch(bytes: &[u8]) {
    bytes.par_chunks(SHARE).for_each(sum);
}

fn sum(bytes: &[u8]) {
    let words = bytes.as_chunks::<8>().0.iter();
    std::hint::black_box(words.fold(0u64, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word))));
}

fn drop_from_cache(path: &Path) {
    let file = File::open(path).expect("the file is there");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("the system forgets a file");
}
