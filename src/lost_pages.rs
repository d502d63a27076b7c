//! The last words of a command whose model file is cut short, or whose disk fails, while it is read where it is mapped.
//!
//! The system then sends SIGBUS, which ends a process without a word. A file that changes is noticed at many other moments
//! (`runtime/src/map.rs`); this is for what happens between them.

#![allow(unsafe_code)]

/// Has SIGBUS in a mapped model file end the program with an error that names the file, and exit code 3.
#[cfg(unix)]
pub fn watch() {
    // SAFETY: a handler must do only what is safe in a signal's handler. This one reads memory, tries a lock without
    // waiting for it, writes to a file descriptor and ends the process, or puts the default action back; it allocates
    // nothing and cannot panic. Where it cannot be installed, SIGBUS is what it is without it.
    let _ = unsafe { signal_hook_registry::register_sigaction(libc::SIGBUS, say) };
}

#[cfg(not(unix))]
pub fn watch() {}

#[cfg(unix)]
fn say(info: &libc::siginfo_t) {
    // SAFETY: a SIGBUS of the system has an address; of one that another process sends it is any number, which is only
    // compared.
    let address = unsafe { info.si_addr() }.addr();
    let said = zoetrope_runtime::file_at(address, |name| {
        write("error: ");
        write(name);
        write(
            ": cannot be read any more: it was cut short, or its disk fails\n  help  model files must stay as they are \
             until the command ends\n",
        );
    });
    if said {
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(crate::failure::Kind::ModelFiles as i32) }
    }
    // SAFETY: the fault is none of ours: when this returns, it happens again and has its usual end.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

#[cfg(unix)]
fn write(text: &str) {
    // SAFETY: the text is as long as is said. Nobody may be there to read it.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::process::Command;

    use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};

    const FILE: &str = "ZOETROPE_TEST_LOST_PAGES";

    /// Run by the test below, in a process of its own.
    #[test]
    #[ignore = "ends its process"]
    fn reads_a_file_that_is_cut_short() {
        super::watch();
        let path = std::env::var_os(FILE).expect("the test below names it");
        let file = TensorFile::open(Path::new(&path)).unwrap();
        let bytes = file.get("x").unwrap().bytes;
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        unreachable!("{sum}: the pages are lost");
    }

    #[test]
    fn a_file_that_is_cut_short_while_it_is_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let bytes = vec![1; 1 << 20];
        let tensor = NewTensor { name: "x", dtype: FileDtype::U8, shape: &[1 << 20], bytes: &bytes };
        std::fs::write(&path, write_tensors(&[], &[tensor])).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--ignored",
            "--exact",
            "lost_pages::tests::reads_a_file_that_is_cut_short",
            "--nocapture",
        ]);
        let output = child.env(FILE, &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(&format!("error: {}: cannot be read any more", path.display())), "{text}");
    }
}
