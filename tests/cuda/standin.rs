//! The stand-in: built with the system's C++ compiler from the kernels that tests launch, and opened before anybody looks
//! for the driver.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;

use libloading::Library;
use zoetrope_kernels::cuda::source::{LIBRARY, library};
use zoetrope_kernels::cuda::{HostCompiler, HostFolder, Source, Variant};

use crate::variants::variants;

/// The stand-in, held by one test at a time: there is one driver in a process.
pub struct StandIn {
    library: Library,
    _alone: MutexGuard<'static, ()>,
}

const FLAGS: [&str; 2] = ["-O1", "-fPIC"];

static ALONE: Mutex<()> = Mutex::new(());

/// In the environment of a process that is there for one test: the path of the library.
const APART: &str = "ZOETROPE_STAND_IN";

/// The library, built once; nothing, and words that say so, where no compiler is.
fn built() -> Option<&'static PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let path = BUILT.get_or_init(|| match std::env::var_os(APART) {
        Some(path) => Some(path.into()),
        None => HostCompiler::find().map(|compiler| build(&compiler, &variants())),
    });
    if path.is_none() {
        println!("skipped: no C++ compiler to build the stand-in driver with");
    }
    path.as_ref()
}

impl StandIn {
    /// The stand-in with the functions of all tests, as a card of capability 8.0; nothing where no compiler is, and then
    /// the test says that it is skipped.
    pub fn open() -> Option<StandIn> {
        let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let path = built()?;
        // SAFETY: the library was just built from our sources; its initializers fill a table.
        let library = unsafe { Library::new(path) }.expect("the stand-in is a library");
        let stand_in = StandIn { library, _alone: alone };
        let fresh = [
            ("version", 13_000),
            ("count", 1),
            ("capability", 80),
            ("processors", 3),
            ("integrated", 0),
            ("total", 16 << 30),
        ];
        fresh.into_iter().chain([("launches_left", -1), ("seed", 1)]).for_each(|(n, v)| stand_in.set(n, v));
        Some(stand_in)
    }

    /// As [`StandIn::open`], for a test that takes long: it runs in a process of its own, beside others, and nothing is
    /// returned here. Whoever calls has done no work before.
    pub fn apart() -> Option<StandIn> {
        let thread = thread::current();
        // Of a single thread, tests run on the main one, and one after the other.
        let test = thread.name().filter(|name| *name != "main" && std::env::var_os(APART).is_none());
        let Some(test) = test else { return StandIn::open() };
        let path = built()?;
        let mut child = Command::new(std::env::current_exe().expect("this program's path"));
        let child = child.args(["--exact", test, "--nocapture"]).env(APART, path);
        let output = child.output().expect("this program can be started");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{test} failed in its own process");
        None
    }

    /// Sets what kind of card and driver it is, and how it behaves.
    pub fn set(&self, name: &str, value: i64) {
        let name = std::ffi::CString::new(name).expect("a name");
        // SAFETY: the function has this type in kernels/cuda/host/calls.h.
        let answer = unsafe {
            let set: libloading::Symbol<'_, unsafe extern "C" fn(*const std::ffi::c_char, i64) -> i32> =
                self.library.get(b"standin_set").expect("the stand-in has it");
            set(name.as_ptr(), value)
        };
        assert_eq!(answer, 0, "the stand-in knows {name:?}");
    }
}

/// Compiles a file for every source, and links them with the driver's calls; what is there from the same texts
/// and compiler is kept.
fn build(compiler: &HostCompiler, variants: &[Variant]) -> PathBuf {
    let mut by_source: BTreeMap<Source, Vec<&Variant>> = BTreeMap::new();
    variants.iter().for_each(|v| by_source.entry(v.cuda.source).or_default().push(v));
    let (path, sources) =
        (Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-in"), by_source.keys().copied());
    let folder =
        HostFolder::new(compiler, &path, sources, LIBRARY, &FLAGS).expect("the target folder can be written");
    // The longest first, so that no core waits for it at the end.
    let mut units: Vec<(String, String)> =
        by_source.iter().map(|(s, v)| (s.name.replace('.', "_"), library(v))).collect();
    units.sort_by_key(|(_, text)| Reverse(text.len()));
    let (next, stamp) = (AtomicUsize::new(0), |name| path.join(format!("{name}.stamp")));
    let compile_all = || {
        while let Some((name, text)) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made_of = format!("{}{text}", folder.made_of());
            let (from, to) = (format!("{name}.cpp"), format!("{name}.o"));
            let kept = fs::read_to_string(stamp(name)).is_ok_and(|old| old == made_of);
            if !kept || !path.join(&to).exists() {
                write(&path.join(&from), text);
                run(compiler, &path, &[&FLAGS[..], &["-c", &from, "-o", &to]].concat());
                write(&stamp(name), &made_of);
            }
        }
    };
    // As many at a time as there are cores.
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(compile_all)));
    });
    // The name under which the driver's library is asked for first: whoever asks now gets this one.
    let objects = units.iter().map(|(name, _)| format!("{name}.o")).collect::<Vec<_>>();
    let objects = objects.iter().map(String::as_str).chain(folder.objects());
    let link = ["-shared", "-Wl,-soname,libcuda.so", "-o", "libcuda.so"];
    run(compiler, &path, &link.into_iter().chain(objects).collect::<Vec<_>>());
    path.join("libcuda.so")
}

fn run(compiler: &HostCompiler, folder: &Path, args: &[&str]) {
    let output = compiler.run(folder, args).expect("the compiler starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file has a folder"))
        .expect("the target folder can be written");
    fs::write(path, text).expect("the target folder can be written");
}
