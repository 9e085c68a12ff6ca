//! The matrix product, the one door through which every product of the crate goes.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::Scalar;

/// C ← αAB + βC. The operands may be transposed views or any other strided ones: nothing is copied. With β = 0, C is
/// overwritten whatever it held.
///
/// The first of these that the features allow does it: the system's BLAS (`blas`), the AVX kernels of faer (`avx`, on by
/// default, for x86-64 alone), the gemm crate (`gemm`), or ndarray's own product, which is matrixmultiply's.
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
    backend::product(alpha, a, b, beta, c.view_mut());
}

#[cfg(any(
    feature = "blas",
    not(any(all(feature = "avx", target_arch = "x86_64"), feature = "gemm"))
))]
mod backend {
    //! ndarray's product, on its threads or BLAS's.

    use ndarray::linalg::general_mat_mul;
    use ndarray::{ArrayView2, ArrayViewMut2};

    use crate::Scalar;

    // The system's library, for ndarray to call. Nothing of it is called from here.
    #[cfg(feature = "blas")]
    #[link(name = "openblas")]
    unsafe extern "C" {}

    pub(super) fn product<T: Scalar>(
        alpha: T,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        beta: T,
        mut c: ArrayViewMut2<'_, T>,
    ) {
        general_mat_mul(alpha, &a, &b, beta, &mut c);
    }
}

#[cfg(all(
    not(feature = "blas"),
    any(all(feature = "avx", target_arch = "x86_64"), feature = "gemm")
))]
mod backend {
    //! The product of faer's kernels or of the gemm crate, which take raw pointers.
    //!
    //! Both have threads of their own, but spend more on them than there is to gain in products of a few hundred rows
    //! (gemm packs one operand on one thread, the other in a parallel loop, and multiplies in a second). C is cut here
    //! instead, each part a product on one thread, so that the threads meet once. An entry of C is summed in the same order
    //! wherever C is cut.

    use ndarray::{ArrayView2, ArrayViewMut2};

    use crate::Scalar;
    #[cfg(all(feature = "avx", target_arch = "x86_64"))]
    use crate::lanes;

    pub(super) fn product<T: Scalar>(
        alpha: T,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        beta: T,
        c: ArrayViewMut2<'_, T>,
    ) {
        #[cfg(feature = "threads")]
        split::product(rayon::current_num_threads(), alpha, a, b, beta, c);
        #[cfg(not(feature = "threads"))]
        on_one_thread(alpha, a, b, beta, c);
    }

    #[cfg(feature = "threads")]
    mod split {
        use ndarray::Axis;

        use super::*;

        /// Multiplications and additions below which a product stays on one thread: some 10 µs of work
        /// (`cargo bench --bench autodiff -- threads`).
        const WORTH_SPLITTING: usize = 1 << 19;

        /// Parts end at a multiple of this: a whole vector of the widest kernels.
        const VECTOR: usize = 16;

        /// The fewest rows or columns of a part. With 64 of both or fewer, the gemm crate cuts the sum over k elsewhere
        /// and so rounds it otherwise.
        const LEAST: usize = 96;

        /// The product in as many parts as there are threads, cut along the longer side of C.
        pub(super) fn product<T: Scalar>(
            parts: usize,
            alpha: T,
            a: ArrayView2<'_, T>,
            b: ArrayView2<'_, T>,
            beta: T,
            c: ArrayViewMut2<'_, T>,
        ) {
            let (rows, columns) = c.dim();
            let length = rows.max(columns);
            let middle = (length * (parts / 2) / parts).next_multiple_of(VECTOR);
            let worth = rows * columns * a.ncols() >= WORTH_SPLITTING;
            if parts < 2 || !worth || middle < LEAST || length - middle < LEAST {
                return on_one_thread(alpha, a, b, beta, c);
            }
            let (fewer, rest) = (parts / 2, parts - parts / 2);
            if rows >= columns {
                let (above, below) = a.split_at(Axis(0), middle);
                let (c_above, c_below) = c.split_at(Axis(0), middle);
                rayon::join(
                    || product(fewer, alpha, above, b, beta, c_above),
                    || product(rest, alpha, below, b, beta, c_below),
                );
            } else {
                let (left, right) = b.split_at(Axis(1), middle);
                let (c_left, c_right) = c.split_at(Axis(1), middle);
                rayon::join(
                    || product(fewer, alpha, a, left, beta, c_left),
                    || product(rest, alpha, a, right, beta, c_right),
                );
            }
        }
    }

    /// C ← αAB + βC, for shapes that fit.
    #[cfg(all(feature = "avx", target_arch = "x86_64"))]
    fn on_one_thread<T: Scalar>(
        alpha: T,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        beta: T,
        mut c: ArrayViewMut2<'_, T>,
    ) {
        let ((m, k), n) = (a.dim(), b.ncols());
        if alpha == T::one() && beta == T::zero() {
            let is_done = match (m, n) {
                (_, 1) => rows_by_vector(a, b, c.view_mut()),
                (1, _) => rows_by_vector(b.t(), a.t(), c.view_mut().reversed_axes()),
                _ => false,
            };
            if is_done {
                return;
            }
        }
        match avx::instructions() {
            Some(instructions) if m * n * k > SMALL => {
                avx::product(instructions, alpha, a, b, beta, c);
            }
            _ => ndarray::linalg::general_mat_mul(alpha, &a, &b, beta, &mut c),
        }
    }

    /// Multiplications and additions up to which ndarray's own product is as fast.
    #[cfg(all(feature = "avx", target_arch = "x86_64"))]
    const SMALL: usize = 16 * 16 * 16;

    /// C ← AB for a column B, if A lies in memory row after row: the kernels would have to pack it, which takes longer
    /// than the product. False if it lies otherwise, or B or C is not contiguous.
    #[cfg(all(feature = "avx", target_arch = "x86_64"))]
    fn rows_by_vector<T: Scalar>(
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        mut c: ArrayViewMut2<'_, T>,
    ) -> bool {
        match (a.as_slice(), b.as_slice(), c.as_slice_mut()) {
            (Some(a), Some(b), Some(c)) if !b.is_empty() => {
                lanes::row_dots(a, b, c);
                true
            }
            _ => false,
        }
    }

    #[cfg(all(feature = "avx", target_arch = "x86_64"))]
    mod avx {
        //! The kernels that faer multiplies with on this architecture, without the rest of faer.

        use std::ptr::{from_ref, null};

        use ndarray::{ArrayView2, ArrayViewMut2};
        use private_gemm_x86::{Accum, DType, DstKind, IType, InstrSet};

        use super::strides;
        use crate::Scalar;

        /// The widest instructions that both this processor and the kernels have.
        pub(super) fn instructions() -> Option<InstrSet> {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                Some(InstrSet::Avx512)
            } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                Some(InstrSet::Avx256)
            } else {
                None
            }
        }

        /// C ← αAB + βC, for shapes that fit and are not 0, with instructions that the processor has.
        #[allow(unsafe_code)]
        pub(super) fn product<T: Scalar>(
            instructions: InstrSet,
            alpha: T,
            a: ArrayView2<'_, T>,
            b: ArrayView2<'_, T>,
            beta: T,
            mut c: ArrayViewMut2<'_, T>,
        ) {
            if beta != T::zero() && beta != T::one() {
                c *= beta;
            }
            let into = match beta == T::zero() {
                true => Accum::Replace,
                false => Accum::Add,
            };
            let number = match size_of::<T>() {
                4 => DType::F32,
                _ => DType::F64,
            };
            let ((m, k), n) = (a.dim(), b.ncols());
            let [a_row, a_column] = strides(a.strides());
            let [b_row, b_column] = strides(b.strides());
            let [c_row, c_column] = strides(c.strides());
            // SAFETY: each pointer and its strides come from a live view of m x k, k x n and m x n entries, which the
            // caller has checked to fit. `c` is borrowed exclusively, so that it overlaps neither `a` nor `b`. T is f32
            // or f64: `Scalar` is implemented for no other type and, by its private supertrait, cannot be.
            unsafe {
                private_gemm_x86::gemm(
                    number,
                    IType::U64,
                    instructions,
                    m,
                    n,
                    k,
                    c.as_mut_ptr().cast(),
                    c_row,
                    c_column,
                    // All rows and columns of C, in order.
                    null(),
                    null(),
                    DstKind::Full,
                    into,
                    a.as_ptr().cast(),
                    a_row,
                    a_column,
                    false,
                    // No diagonal between A and B.
                    null(),
                    0,
                    b.as_ptr().cast(),
                    b_row,
                    b_column,
                    false,
                    from_ref(&alpha).cast(),
                    1,
                );
            }
        }
    }

    /// C ← αAB + βC, for shapes that fit.
    #[cfg(not(all(feature = "avx", target_arch = "x86_64")))]
    #[allow(unsafe_code)]
    fn on_one_thread<T: Scalar>(
        alpha: T,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        beta: T,
        mut c: ArrayViewMut2<'_, T>,
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
                gemm::Parallelism::None,
            );
        }
    }

    fn strides(strides: &[isize]) -> [isize; 2] {
        [strides[0], strides[1]]
    }
}
