//! Error messages about files and the arrays in them.

use std::{fmt, path::Path};

use super::DataError;

/// What an error is about: a file, or an array in it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub path: &'a Path,
    pub array: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub fn file(path: &'a Path) -> Self {
        Self { path, array: None }
    }

    pub fn unusable(
        self,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: &'static str,
    ) -> DataError {
        DataError::Unusable {
            path: self.path.to_owned(),
            array: self.array.map(excerpt),
            expected: expected.into(),
            found: found.into(),
            remedy,
        }
    }

    /// Reading or decompressing failed before the end.
    pub fn corrupt(self, cause: &dyn fmt::Display) -> DataError {
        self.unusable(
            "an intact file",
            format!("a truncated or corrupt one ({cause})"),
            "save or download it again",
        )
    }
}

/// Text from a file, escaped and shortened to fit on a line.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 80;
    let text = text.trim();
    let beginning: String = text.chars().take(LONGEST).collect();
    let end = if beginning.len() < text.len() {
        "..."
    } else {
        ""
    };
    format!("{}{end}", beginning.escape_debug())
}

/// Names, as many as fit on a line.
pub(super) fn list<T: AsRef<str>>(names: &[T]) -> String {
    const MOST: usize = 8;
    let mut shown: Vec<String> = (names.iter().take(MOST))
        .map(|name| excerpt(name.as_ref()))
        .collect();
    if shown.is_empty() {
        return "nothing".to_owned();
    }
    if names.len() > MOST {
        shown.push(format!("{} more", names.len() - MOST));
    }
    shown.join(", ")
}
