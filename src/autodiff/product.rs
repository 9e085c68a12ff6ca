//! The matrix product, the one door through which every product of the crate goes.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::Scalar;

/// C ← αAB + βC. The operands may be transposed views or any other strided ones: nothing is copied. With β = 0, C is
/// overwritten whatever it held.
///
/// The product is the system's BLAS with the feature `blas`, else the `gemm` crate's with the feature of that name (on by
/// default), else ndarray's own, which is matrixmultiply's.
///
/// # Panics
/// If the shapes do not fit.
pub fn product<T: Scalar>(
    alpha: T,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    c: &mut ArrayViewMut2<'_, T>,
) {
    assert!(
        a.ncols() == b.nrows() && c.dim() == (a.nrows(), b.ncols()),
        "product: shapes {:?} and {:?} into {:?} do not fit",
        a.shape(),
        b.shape(),
        c.shape()
    );
    #[cfg(all(feature = "gemm", not(feature = "blas")))]
    packed::product(alpha, &a, &b, beta, c);
    #[cfg(any(feature = "blas", not(feature = "gemm")))]
    ndarray::linalg::general_mat_mul(alpha, &a, &b, beta, c);
}

// The system's library, for ndarray to call. Nothing of it is called from here.
#[cfg(feature = "blas")]
#[link(name = "openblas")]
unsafe extern "C" {}

#[cfg(all(feature = "gemm", not(feature = "blas")))]
mod packed {
    //! The call into the `gemm` crate, which takes raw pointers.

    use ndarray::{ArrayView2, ArrayViewMut2};

    use crate::Scalar;

    /// Multiplications and additions below which a product stays on one thread.
    #[cfg(feature = "threads")]
    const WORTH_SPLITTING: usize = 1 << 21;

    /// C ← αAB + βC, for shapes that fit.
    #[allow(unsafe_code)]
    pub(super) fn product<T: Scalar>(
        alpha: T,
        a: &ArrayView2<'_, T>,
        b: &ArrayView2<'_, T>,
        beta: T,
        c: &mut ArrayViewMut2<'_, T>,
    ) {
        let ((m, k), n) = (a.dim(), b.ncols());
        let ([a_row, a_column], [b_row, b_column]) = (strides(a.strides()), strides(b.strides()));
        let [c_row, c_column] = strides(c.strides());
        // SAFETY: each pointer and its strides come from a live view of m x k, k x n and m x n entries, which the caller
        // has checked to fit. `c` is borrowed exclusively, so that it overlaps neither `a` nor `b`. T is f32 or f64: `Scalar`
        // is implemented for no other type and, by its private supertrait, cannot be.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                c_column,
                c_row,
                beta != T::zero(),
                a.as_ptr(),
                a_column,
                a_row,
                b.as_ptr(),
                b_column,
                b_row,
                beta,
                alpha,
                false,
                false,
                false,
                parallelism(m * n * k),
            );
        }
    }

    fn strides(strides: &[isize]) -> [isize; 2] {
        [strides[0], strides[1]]
    }

    #[cfg(feature = "threads")]
    fn parallelism(work: usize) -> gemm::Parallelism {
        match rayon::current_num_threads() {
            threads if threads > 1 && work >= WORTH_SPLITTING => gemm::Parallelism::Rayon(threads),
            _ => gemm::Parallelism::None,
        }
    }

    #[cfg(not(feature = "threads"))]
    fn parallelism(_: usize) -> gemm::Parallelism {
        gemm::Parallelism::None
    }
}
