//! Buffers that outlive the step they were made for.
//!
//! A training step makes and drops the same arrays over and over. Asking the system allocator for them
//! costs page faults on every large array, so a tape keeps what it has freed and hands it out again.

use std::collections::HashMap;

use ndarray::{Array, IxDyn};

use super::Value;
use crate::Scalar;

/// Freed buffers, by their length.
#[derive(Debug, Default)]
pub(super) struct Pool<T> {
    by_length: HashMap<usize, Shelf<T>>,
}

#[derive(Debug)]
struct Shelf<T> {
    free: Vec<Vec<T>>,
    /// How many buffers of this length were taken and have not come back. A buffer that comes back when
    /// none is missing was made elsewhere; it is dropped, so that the pool never outgrows what it lent.
    lent: usize,
}

impl<T: Scalar> Pool<T> {
    /// An array in standard layout whose entries are arbitrary: the caller overwrites every one of them.
    pub(super) fn take(&mut self, shape: &[usize]) -> Array<T, IxDyn> {
        let length = shape.iter().product();
        let shelf = self.by_length.entry(length).or_insert_with(|| Shelf {
            free: Vec::new(),
            lent: 0,
        });
        shelf.lent += 1;
        let buffer = shelf.free.pop().unwrap_or_else(|| vec![T::zero(); length]);
        Array::from_shape_vec(IxDyn(shape), buffer).expect("the shelf holds buffers of this length")
    }

    /// Takes a value back, if nobody else holds it.
    pub(super) fn give(&mut self, value: Value<T>) {
        let Ok(array) = value.try_into_owned_nocopy() else {
            return;
        };
        let (buffer, _) = array.into_raw_vec_and_offset();
        if let Some(shelf) = self.by_length.get_mut(&buffer.len())
            && shelf.lent > 0
        {
            shelf.lent -= 1;
            shelf.free.push(buffer);
        }
    }

    /// How many entries lie free.
    #[cfg(test)]
    pub(super) fn free_entries(&self) -> usize {
        self.by_length
            .iter()
            .map(|(length, shelf)| length * shelf.free.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once() {
        let mut pool = Pool::<f64>::default();
        let value = pool.take(&[3, 4]).into_shared();
        let address = value.as_ptr();
        pool.give(value);
        assert_eq!(pool.free_entries(), 12);
        assert_eq!(pool.take(&[4, 3]).as_ptr(), address);
        assert_eq!(pool.free_entries(), 0);
    }

    #[test]
    fn what_someone_holds_or_made_elsewhere_is_not_kept() {
        let mut pool = Pool::<f64>::default();
        let value = pool.take(&[5]).into_shared();
        let held = value.clone();
        pool.give(value);
        assert_eq!(pool.free_entries(), 0);
        pool.give(held);
        assert_eq!(pool.free_entries(), 5);
        pool.give(Array::zeros(IxDyn(&[5])).into_shared());
        assert_eq!(pool.free_entries(), 5);
    }
}
