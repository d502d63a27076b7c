//! How long the plans take to compile and a build takes: `cargo bench --bench build`, with `-- --cargo` also the cold
//! and the incremental build of a preset.
//!
//! Every plan is compiled in a process of its own, so that its peak memory is its own; times are medians of three.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use zoetrope_compiler::emit::emit;
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::target::{PRESETS, Target};

/// The preset whose build is timed.
const BUILT: &str = "res-1080p";
const RUNS: usize = 3;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().position(|a| a == "--compile") {
        Some(at) => compile(&args[at + 1]),
        None => {
            plans();
            if args.iter().any(|a| a == "--cargo") {
                builds();
            }
        }
    }
}

/// Compiles and emits one preset; prints seconds, peak memory in kB, launches, and bytes of Rust and of tables.
fn compile(name: &str) {
    let target = Target::preset(name).expect("a preset's name");
    let start = Instant::now();
    let plan = compile_target(&target, Path::new("")).expect("a preset compiles");
    let seconds = start.elapsed().as_secs_f64();
    let emitted = emit(&plan, "tables").expect("a plan is emitted");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB").trim().to_string();
    let launches: usize = plan.phases.iter().map(|p| p.launches().count()).sum();
    println!(
        "{seconds} {} {launches} {} {}",
        peak.trim_end_matches(" kB"),
        emitted.rust.len(),
        emitted.tables.len()
    );
}

fn plans() {
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>10} {:>10}",
        "plan", "seconds", "peak MB", "launches", "Rust kB", "tables kB"
    );
    let this = env::current_exe().expect("this program has a path");
    for (name, _) in PRESETS {
        let mut runs: Vec<Vec<f64>> = (0..RUNS)
            .map(|_| {
                let out = Command::new(&this).args(["--compile", name]).output().expect("it runs itself");
                let text = String::from_utf8_lossy(&out.stdout).into_owned();
                text.split_whitespace().map(|n| n.parse().expect("numbers")).collect()
            })
            .collect();
        runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [seconds, peak, launches, rust, tables] = runs[RUNS / 2][..] else { panic!("five numbers") };
        let (peak, rust, tables) = (peak / 1e3, rust / 1e3, tables / 1e3);
        println!("{name:<20} {seconds:>9.2} {peak:>9.0} {launches:>9} {rust:>10.0} {tables:>10.0}");
    }
}

fn builds() {
    let target = env::temp_dir().join(format!("zoetrope-build-{}", std::process::id()));
    // Of its own, so that all machine code is compiled.
    let cache = target.join("cache");
    let build = |what: &str| {
        let start = Instant::now();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let done = Command::new(cargo)
            .args(["build", "--release", "--quiet", "--features", BUILT])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", &target)
            .env("ZOETROPE_CACHE", &cache)
            .status()
            .expect("cargo runs");
        assert!(done.success(), "the build of {BUILT} failed");
        println!("cargo build --release --features {BUILT}, {what}: {:.1} s", start.elapsed().as_secs_f64());
    };
    let touch = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let now = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
        fs::File::open(&path).and_then(|f| f.set_times(now)).expect("the time of a file can be set");
    };
    build("cold");
    for file in ["zoetrope", "zoetropec"] {
        let bytes = fs::metadata(target.join("release").join(file)).map_or(0, |m| m.len());
        println!("{file}: {:.1} MB", bytes as f64 / 1e6);
    }
    machine_code(&target.join("release"));
    build("nothing changed");
    for file in ["kernels/src/linear/mod.rs", "src/commands/plan.rs"] {
        touch(file);
        build(&format!("{file} touched"));
    }
    if cache.exists() {
        fs::remove_dir_all(&cache).expect("compiled functions can be removed");
        touch("generated/build/main.rs");
        build("all machine code compiled again");
    }
    fs::remove_dir_all(&target).expect("the target folder can be removed");
}

/// Functions, bytes of their machine code, and bytes as stored, by architecture: from the list that the build made.
fn machine_code(profile: &Path) {
    let crates = fs::read_dir(profile.join("build")).expect("a build has scripts").flatten();
    let lists = crates.filter_map(|folder| fs::read_to_string(folder.path().join("out/plans.rs")).ok());
    let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for list in lists {
        // As in: image("90a", "linear_a45f3158e9f4", 81920, 4096, 16384),
        let rows = list.lines().filter_map(|line| line.trim().strip_prefix("image(")?.strip_suffix("),"));
        for row in rows {
            let words: Vec<&str> = row.split(", ").collect();
            let [arch, _, _, stored, bytes] = words[..] else { panic!("five fields") };
            let number = |word: &str| word.parse::<u64>().expect("a number");
            let sum = sums.entry(arch.trim_matches('"').to_string()).or_default();
            *sum = [sum[0] + 1, sum[1] + number(bytes), sum[2] + number(stored)];
        }
    }
    if sums.is_empty() {
        println!("machine code: none, because NVRTC was not found (docs/cards.md)");
        return;
    }
    println!("{:<13} {:>9} {:>9} {:>13}", "machine code", "functions", "MB", "compressed MB");
    let all = sums.values().fold([0; 3], |all, sum| [0, 1, 2].map(|i| all[i] + sum[i]));
    let rows = sums.into_iter().map(|(arch, sum)| (format!("sm_{arch}"), sum));
    for (name, [functions, bytes, stored]) in rows.chain([("all".to_string(), all)]) {
        println!("{name:<13} {functions:>9} {:>9.1} {:>13.1}", bytes as f64 / 1e6, stored as f64 / 1e6);
    }
}
