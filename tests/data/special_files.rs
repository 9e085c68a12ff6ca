//! Paths that are neither files nor folders must be refused, not waited on.

use elbo::data::{DataError, idx};

#[cfg(unix)]
fn refused(path: &std::path::Path) {
    let error = idx::read_images(path).unwrap_err();
    assert!(matches!(error, DataError::NotRegular { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(
        message.contains("found a device, a pipe or a socket"),
        "{message}"
    );
    #[cfg(feature = "cli")]
    {
        use elbo::data::{Dataset, OpenOptions};
        let error = Dataset::open(path, &OpenOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[cfg(unix)]
#[test]
fn devices_are_refused() {
    for path in ["/dev/zero", "/dev/null", "/dev/random"] {
        refused(path.as_ref());
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_sockets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    refused(&socket);
    let pipe = folder.path().join("train-images-idx3-ubyte");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    refused(&pipe);
    // And a link to one.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    refused(&link);
}

/// The pipe stands where one of the four files belongs.
#[cfg(unix)]
#[test]
fn a_pipe_in_a_folder_is_refused() {
    use elbo::data::Dataset;
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let pipe = folder.path().join("train-images-idx3-ubyte");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let error = Dataset::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::NotRegular { path } if path == pipe));
}
