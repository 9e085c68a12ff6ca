//! Opening and reading regular files.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::DataError;

/// Opens a regular file. Devices and pipes are refused before they are opened, because reading them may never end.
pub(super) fn open(path: &Path) -> Result<File, DataError> {
    let unreadable = |cause| DataError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err(DataError::NotAFile {
            path: path.to_owned(),
        });
    }
    if !kind.is_file() {
        return Err(DataError::NotRegular {
            path: path.to_owned(),
        });
    }
    File::open(path).map_err(unreadable)
}

/// The next `most` bytes, or all that are left. Memory is allocated as they arrive, not for `most` at once.
pub(super) fn read_at_most(source: &mut dyn Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
