//! The figures of chapter 3, forward and reverse divergence.

use super::Figure;

/// All of them.
pub fn figures() -> Vec<Figure> {
    Vec::new()
}
