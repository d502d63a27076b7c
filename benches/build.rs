//! How long the plans take to compile and a build takes: `cargo bench --bench build`, with `-- --cargo` also the cold
//! and the incremental build of a preset.
//!
//! Every plan is compiled in a process of its own, so that its peak memory is its own; times are medians of three.

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use zoetrope_compiler::emit::emit;
use zoetrope_compiler::targets::compile_target;
use zoetrope_model_spec::target::{PRESETS, Target};

/// The preset whose build is timed.
const BUILT: &str = "res-1080p";
const TURNS: usize = 3;

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
        let mut runs: Vec<Vec<f64>> = (0..TURNS)
            .map(|_| {
                let out = Command::new(&this).args(["--compile", name]).output().expect("it runs itself");
                let text = String::from_utf8_lossy(&out.stdout).into_owned();
                text.split_whitespace().map(|n| n.parse().expect("numbers")).collect()
            })
            .collect();
        runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [seconds, peak, launches, rust, tables] = runs[TURNS / 2][..] else { panic!("five numbers") };
        let (peak, rust, tables) = (peak / 1e3, rust / 1e3, tables / 1e3);
        println!("{name:<20} {seconds:>9.2} {peak:>9.0} {launches:>9} {rust:>10.0} {tables:>10.0}");
    }
}

fn builds() {
    let target = env::temp_dir().join(format!("zoetrope-build-{}", std::process::id()));
    let build = |what: &str| {
        let start = Instant::now();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let done = Command::new(cargo)
            .args(["build", "--release", "--quiet", "--features", BUILT])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .expect("cargo runs");
        assert!(done.success(), "the build of {BUILT} failed");
        println!("cargo build --release --features {BUILT}, {what}: {:.1} s", start.elapsed().as_secs_f64());
    };
    build("cold");
    for file in ["zoetrope", "zoetropec"] {
        let bytes = fs::metadata(target.join("release").join(file)).map_or(0, |m| m.len());
        println!("{file}: {:.1} MB", bytes as f64 / 1e6);
    }
    let blobs = fs::read_dir(target.join("machine-code")).map_or(0, Iterator::count);
    println!("functions compiled to machine code: {blobs} (none where NVRTC is not found)");
    build("nothing changed");
    for file in ["kernels/src/linear/mod.rs", "src/commands/plan.rs"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let now = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
        fs::File::open(&path).and_then(|f| f.set_times(now)).expect("the time of a file can be set");
        build(&format!("{file} touched"));
    }
    fs::remove_dir_all(&target).expect("the target folder can be removed");
}
