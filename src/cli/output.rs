//! Files that are either whole or not there: nothing that a run leaves behind is half-written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::{Builder, NamedTempFile};

/// Writes a file by way of a temporary one in the same folder, which takes the name `path` only once it is complete
/// and on the disk.
///
/// Whatever goes wrong on the way (an error of `write`, a full disk, a crash), a file that was at `path` before is
/// still there, unharmed. A symbolic link is followed. What is not a regular file (a folder, a device) is refused: the
/// renaming would put a file in its place.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    prepare(path, write)?.publish()
}

/// A file that is complete and on the disk, but has not its name yet; dropped, it leaves nothing behind.
pub struct Prepared {
    path: PathBuf,
    target: PathBuf,
    file: NamedTempFile,
}

impl Prepared {
    /// Gives it its name.
    pub fn publish(self) -> Result<()> {
        let Self { path, target, file } = self;
        file.persist(&target)
            .map_err(|error| refusal(&path, &error.error))?;
        Ok(())
    }
}

/// The first half of [`write_atomically`].
pub fn prepare(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Prepared> {
    let target = resolved(path).map_err(|error| refusal(path, &error))?;
    let permissions = match fs::metadata(&target) {
        Ok(found) if !found.is_file() => {
            bail!("cannot write {}: it is not a regular file", path.display())
        }
        // The renaming needs no permission of the file itself, so the question is asked here.
        Ok(found) if found.permissions().readonly() => {
            bail!("cannot write {}: it is read-only", path.display())
        }
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(refusal(path, &error)),
    };

    let mut file = temporary_in(&folder_of(&target)).map_err(|error| refusal(path, &error))?;
    fill(file.as_file_mut(), write).with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(permissions) = permissions {
        file.as_file()
            .set_permissions(permissions)
            .map_err(|error| refusal(path, &error))?;
    }
    Ok(Prepared {
        path: path.to_path_buf(),
        target,
        file,
    })
}

fn refusal(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow!("cannot write {}: {}", path.display(), reason(error))
}

/// Where a path leads when all links are followed, also where nothing is there yet.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    // As many links as Linux follows.
    for _ in 0..40 {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let Ok(link) = fs::read_link(&path) else {
            // Not there, but its folder may be, under another name.
            let folder = fs::canonicalize(folder_of(&path))?;
            return Ok(match path.file_name() {
                Some(name) => folder.join(name),
                None => folder,
            });
        };
        path = folder_of(&path).join(link);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Refuses files of which two are the same: one would replace the other. What cannot be told is left to the writing.
pub fn ensure_distinct<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
    let mut seen = Vec::new();
    for path in paths {
        let Ok(resolved) = resolved(path) else {
            continue;
        };
        ensure!(
            !seen.contains(&resolved),
            "cannot write {}: the same file is named twice, or it is the model itself",
            path.display()
        );
        seen.push(resolved);
    }
    Ok(())
}

/// Refuses a file of the data that are read, alone or in their folder.
pub fn ensure_not_data(out: &Path, data: Option<&Path>) -> Result<()> {
    let (Some(data), Ok(out_resolved)) = (data, fs::canonicalize(out)) else {
        // Nothing is there yet that could be lost.
        return Ok(());
    };
    let inside = fs::canonicalize(data).is_ok_and(|data| out_resolved.starts_with(data));
    ensure!(
        !inside,
        "cannot write {}: it is a file of the data in {}",
        out.display(),
        data.display()
    );
    Ok(())
}

/// Creates a folder (and those above it) unless it is there, and makes sure that files can be written in it: better to
/// learn it now than after an hour of training.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        bail!("cannot use {} as a folder: it is a file", path.display());
    }
    fs::create_dir_all(path).map_err(|error| {
        anyhow!(
            "cannot create the folder {}: {}",
            path.display(),
            reason(&error)
        )
    })?;
    // A real file, written and removed again: permission bits alone do not tell of read-only or full disks.
    let probe = || -> io::Result<()> {
        let mut file = temporary_in(path)?;
        file.as_file_mut().write_all(b"?")?;
        file.as_file().sync_all()
    };
    probe().map_err(|error| {
        anyhow!(
            "cannot write in the folder {}: {}",
            path.display(),
            reason(&error)
        )
    })
}

/// What every temporary file's name begins with.
const TEMPORARY: &str = ".elbo-";

/// Removes the temporary files that a killed run left in its folder. Another run that writes there at this moment would lose
/// what it is writing, but two runs in one folder replace each other's results anyway.
pub fn remove_temporaries(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A folder that may just have been made: it goes again when nothing came of the work and nothing is in it.
pub struct Created {
    made: Option<PathBuf>,
}

impl Created {
    /// Creates a folder as [`create_folder`] does, and removes what a killed run left there unfinished.
    pub fn folder(path: &Path) -> Result<Self> {
        let new = !path.exists();
        create_folder(path)?;
        remove_temporaries(path);
        Ok(Self {
            made: new.then(|| path.to_path_buf()),
        })
    }

    /// Something came of the work.
    pub fn keep(mut self) {
        self.made = None;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // Only an empty folder can be removed so.
            let _ = fs::remove_dir(path);
        }
    }
}

/// Hands `file` to `write`, and returns once everything is on the disk.
fn fill(file: &mut File, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut buffered = BufWriter::new(&mut *file);
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.sync_all()?;
    Ok(())
}

/// A temporary file in `folder`, removed when dropped.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY);
    // Temporary files are private unless told otherwise; what we leave behind should have the mode of any other file,
    // which the umask of the person takes its share from.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// The folder that a file is in, `.` for a bare name.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Why the system said no, in words, and without the name of our temporary file.
fn reason(error: &io::Error) -> String {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::NotFound => "no such folder".into(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a part of this path is a file, not a folder".into()
        }
        ErrorKind::StorageFull => "no space left on the disk".into(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::tempdir;

    /// The names in a folder, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn text(content: &'static str) -> impl FnOnce(&mut dyn Write) -> Result<()> {
        move |w| Ok(w.write_all(content.as_bytes())?)
    }

    #[test]
    fn a_file_is_written_and_written_again() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("metrics.json");
        write_atomically(&path, text("one")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write_atomically(&path, text("2")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2");
        assert_eq!(names(folder.path()), ["metrics.json"]);
    }

    #[test]
    fn a_writer_that_fails_half_way_leaves_the_old_file() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("weights");
        write_atomically(&path, text("good")).unwrap();
        let error = write_atomically(&path, |w| {
            // More than any buffer holds, so that some of it reaches the temporary file.
            w.write_all(&[b'x'; 1 << 20])?;
            bail!("the weights ran out")
        })
        .unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "good");
        assert_eq!(names(folder.path()), ["weights"]);
        let line = format!("{error:#}");
        assert!(line.contains("weights: the weights ran out"), "{line}");
    }

    #[test]
    fn errors_are_one_line_that_names_the_path() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();

        for (path, said) in [
            (file.join("below"), "is a file, not a folder"),
            (folder.path().join("missing/x"), "no such folder"),
            (folder.path().to_path_buf(), "not a regular file"),
        ] {
            let line = format!("{:#}", write_atomically(&path, text("")).unwrap_err());
            assert!(line.contains(said), "{line}");
            assert!(line.contains(path.to_str().unwrap()), "{line}");
            assert!(!line.contains('\n') && !line.contains(".elbo-"), "{line}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused_and_survives() {
        use std::os::unix::fs::FileTypeExt;
        let device = Path::new("/dev/null");
        write_atomically(device, text("gone")).unwrap_err();
        assert!(fs::metadata(device).unwrap().file_type().is_char_device());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_the_mode_is_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("file", &link).unwrap();
        write_atomically(&link, text("new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_what_is_not_there_yet_is_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("second", at("first")).unwrap();
        symlink("file", at("second")).unwrap();
        write_atomically(&at("first"), text("new")).unwrap();
        assert!(fs::symlink_metadata(at("first")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("second")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("file")).unwrap().is_file());
        symlink("round", at("round")).unwrap();
        write_atomically(&at("round"), text("")).unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_mode_of_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempdir().unwrap();
        let (plain, ours) = (folder.path().join("plain"), folder.path().join("ours"));
        fs::write(&plain, "").unwrap();
        write_atomically(&ours, text("")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_file_is_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempdir().unwrap();
        let path = folder.path().join("kept");
        fs::write(&path, "kept").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let error = write_atomically(&path, text("new")).unwrap_err();
        assert!(error.to_string().contains("read-only"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    }

    #[test]
    fn folders_are_created_with_those_above_them() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        assert!(path.is_dir());
        assert!(names(&path).is_empty());
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = create_folder(&file).unwrap_err().to_string();
        assert!(error.contains("it is a file"), "{error}");
        let error = create_folder(&file.join("below")).unwrap_err().to_string();
        assert!(error.contains("is a file, not a folder"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_files_is_refused() {
        for path in ["/proc", "/proc/elbo"] {
            let error = create_folder(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(path) && !error.contains(".elbo-"), "{error}");
        }
    }
}
