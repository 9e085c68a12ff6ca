//! What the fuzz targets share: bytes as a file on disk, since files are what the readers take.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static SEEN: AtomicUsize = AtomicUsize::new(0);

/// Counts the bytes that a target has taken, and reports every ten million.
pub fn count(bytes: &[u8]) {
    const REPORT: usize = 10_000_000;
    let before = SEEN.fetch_add(bytes.len(), Relaxed);
    let now = before + bytes.len();
    if now / REPORT > before / REPORT {
        eprintln!("{now} bytes taken");
    }
}

/// A folder of this process, in memory where the system has such a place.
pub fn scratch() -> PathBuf {
    thread_local!(static FOLDER: OnceCell<PathBuf> = const { OnceCell::new() });
    FOLDER.with(|folder| {
        let path = folder.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
            let path = parent.join(format!("elbo-fuzz-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a scratch folder can be made");
            path
        });
        path.clone()
    })
}

/// The bytes as a file of this name in the scratch folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    fs::write(&path, bytes).expect("the scratch folder can be written");
    path
}

/// An error must be one line that a person can read.
pub fn one_line(error: &dyn std::fmt::Display) {
    let text = format!("{error:#}");
    assert!(!text.is_empty() && !text.contains('\n'), "not one line: {text:?}");
}
