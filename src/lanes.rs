//! Loops over slices, compiled for several vector widths and split over threads where they are long.
//!
//! Every entry is computed from its own inputs by the same arithmetic, wherever a slice is cut: the bits depend neither
//! on the vector width nor on the number of threads.

use crate::Scalar;

/// Slices shorter than this stay on one thread: handing half of one to another thread costs about as much as this
/// takes (`cargo bench --bench autodiff -- threads`).
#[cfg(feature = "threads")]
const WORTH_SPLITTING: usize = 1 << 15;

/// A loop body: one function, so that it can be compiled once for each vector width.
trait Kernel {
    fn run(self);
}

/// Runs a loop compiled for the widest vectors that this processor has.
#[inline]
fn vectorised<K: Kernel>(kernel: K) {
    #[cfg(feature = "simd")]
    {
        struct Dispatched<K>(K);
        impl<K: Kernel> pulp::NullaryFnOnce for Dispatched<K> {
            type Output = ();

            #[inline(always)]
            fn call(self) {
                self.0.run();
            }
        }
        pulp::Arch::new().dispatch(Dispatched(kernel));
    }
    #[cfg(not(feature = "simd"))]
    kernel.run();
}

/// Calls `f` on parts of the index range 0..length, on several threads where that is worth it.
///
/// `halve` and `f` are `dyn`, so that the splitting is compiled once for each kind of `work`, not once for each loop.
fn split<A: Send>(
    length: usize,
    work: A,
    halve: &(dyn Fn(A, usize) -> (A, A) + Sync),
    f: &(dyn Fn(A) + Sync),
) {
    #[cfg(feature = "threads")]
    if length >= WORTH_SPLITTING && rayon::current_num_threads() > 1 {
        return halves(length, rayon::current_num_threads(), work, halve, f);
    }
    let _ = (length, halve);
    f(work);
}

/// Cuts the work into as many parts as there are threads.
#[cfg(feature = "threads")]
fn halves<A: Send>(
    length: usize,
    parts: usize,
    work: A,
    halve: &(dyn Fn(A, usize) -> (A, A) + Sync),
    f: &(dyn Fn(A) + Sync),
) {
    if parts < 2 || length < WORTH_SPLITTING / 2 {
        return f(work);
    }
    // Cut at whole cache lines.
    let middle = (length * (parts / 2) / parts)
        .next_multiple_of(64)
        .min(length);
    let (left, right) = halve(work, middle);
    rayon::join(
        || halves(middle, parts / 2, left, halve, f),
        || halves(length - middle, parts - parts / 2, right, halve, f),
    );
}

struct Map<'a, T, F>(&'a [T], &'a mut [T], &'a F);

impl<T: Copy, F: Fn(T) -> T> Kernel for Map<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        for (y, &x) in self.1.iter_mut().zip(self.0) {
            *y = (self.2)(x);
        }
    }
}

/// y ← f(x), entry by entry.
pub(crate) fn map<T: Scalar>(x: &[T], y: &mut [T], f: impl Fn(T) -> T + Sync) {
    assert_eq!(x.len(), y.len(), "slices of one length");
    split(
        x.len(),
        (x, y),
        &|(x, y), middle| {
            let ((x0, x1), (y0, y1)) = (x.split_at(middle), y.split_at_mut(middle));
            ((x0, y0), (x1, y1))
        },
        &|(x, y)| vectorised(Map(x, y, &f)),
    );
}

/// What a loop reads at each entry: an entry of its own, or the same number.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a, T> {
    Entries(&'a [T]),
    Number(T),
}

impl<'a, T: Copy> Operand<'a, T> {
    fn split_at(self, middle: usize) -> (Self, Self) {
        match self {
            Self::Entries(entries) => {
                let (left, right) = entries.split_at(middle);
                (Self::Entries(left), Self::Entries(right))
            }
            Self::Number(_) => (self, self),
        }
    }

    fn fits(self, length: usize) -> bool {
        match self {
            Self::Entries(entries) => entries.len() == length,
            Self::Number(_) => true,
        }
    }
}

struct Zip<'a, T, F>(Operand<'a, T>, Operand<'a, T>, &'a mut [T], &'a F);

impl<T: Copy, F: Fn(T, T) -> T> Kernel for Zip<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Self(a, b, y, f) = self;
        match (a, b) {
            (Operand::Entries(a), Operand::Entries(b)) => {
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = f(a, b);
                }
            }
            (Operand::Entries(a), Operand::Number(b)) => {
                for (y, &a) in y.iter_mut().zip(a) {
                    *y = f(a, b);
                }
            }
            (Operand::Number(a), Operand::Entries(b)) => {
                for (y, &b) in y.iter_mut().zip(b) {
                    *y = f(a, b);
                }
            }
            (Operand::Number(a), Operand::Number(b)) => y.fill(f(a, b)),
        }
    }
}

/// y ← f(a, b), entry by entry; a or b may be one number for all.
pub(crate) fn zip_operands<T: Scalar>(
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    assert!(a.fits(y.len()) && b.fits(y.len()), "slices of one length");
    split(
        y.len(),
        (a, b, y),
        &|(a, b, y), middle| {
            let ((a0, a1), (b0, b1)) = (a.split_at(middle), b.split_at(middle));
            let (y0, y1) = y.split_at_mut(middle);
            ((a0, b0, y0), (a1, b1, y1))
        },
        &|(a, b, y)| vectorised(Zip(a, b, y, &f)),
    );
}

/// y ← f(a, b), entry by entry.
pub fn zip<T: Scalar>(a: &[T], b: &[T], y: &mut [T], f: impl Fn(T, T) -> T + Sync) {
    zip_operands(Operand::Entries(a), Operand::Entries(b), y, f);
}

struct Update<'a, T, F>(&'a mut [T], &'a [T], &'a F);

impl<T: Copy, F: Fn(T, T) -> T> Kernel for Update<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        for (y, &a) in self.0.iter_mut().zip(self.1) {
            *y = (self.2)(*y, a);
        }
    }
}

/// y ← f(y, a), entry by entry.
pub fn update<T: Scalar>(y: &mut [T], a: &[T], f: impl Fn(T, T) -> T + Sync) {
    assert_eq!(a.len(), y.len(), "slices of one length");
    split(
        a.len(),
        (y, a),
        &|(y, a), middle| {
            let ((y0, y1), (a0, a1)) = (y.split_at_mut(middle), a.split_at(middle));
            ((y0, a0), (y1, a1))
        },
        &|(y, a)| vectorised(Update(y, a, &f)),
    );
}

struct Rows<'a, T, F> {
    rows: &'a mut [T],
    row: &'a [T],
    f: &'a F,
}

impl<T: Copy, F: Fn(T, T) -> T> Kernel for Rows<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        for y in self.rows.chunks_exact_mut(self.row.len()) {
            for (y, &a) in y.iter_mut().zip(self.row) {
                *y = (self.f)(*y, a);
            }
        }
    }
}

/// y ← f(y, a), for every row y of a matrix and one row a.
pub fn update_rows<T: Scalar>(matrix: &mut [T], row: &[T], f: impl Fn(T, T) -> T + Sync) {
    if row.is_empty() {
        return;
    }
    let width = row.len();
    split(
        matrix.len(),
        matrix,
        &|matrix, middle| matrix.split_at_mut(middle / width * width),
        &|rows| vectorised(Rows { rows, row, f: &f }),
    );
}

/// Sums run in so many lanes, which are added up at the end.
const LANES: usize = 16;

struct RowSums<'a, T, F> {
    a: &'a [T],
    b: &'a [T],
    sums: &'a mut [T],
    f: &'a F,
}

impl<T: Scalar, F: Fn(T, T) -> T> Kernel for RowSums<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let width = self.a.len() / self.sums.len();
        let rows = self.a.chunks_exact(width).zip(self.b.chunks_exact(width));
        for (sum, (a, b)) in self.sums.iter_mut().zip(rows) {
            let mut lanes = [T::zero(); LANES];
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES {
                    lanes[lane] += (self.f)(a[lane], b[lane]);
                }
            }
            let rest: T = a_rest
                .iter()
                .zip(b_rest)
                .map(|(&a, &b)| (self.f)(a, b))
                .sum();
            *sum = lanes.into_iter().sum::<T>() + rest;
        }
    }
}

/// Σ f(a, b) over each of as many rows as there are sums.
pub fn row_sums<T: Scalar>(a: &[T], b: &[T], sums: &mut [T], f: impl Fn(T, T) -> T + Sync) {
    if a.is_empty() || sums.is_empty() {
        sums.fill(T::zero());
        return;
    }
    let width = a.len() / sums.len();
    assert!(
        a.len() == b.len() && width * sums.len() == a.len(),
        "rows of one length"
    );
    split(
        a.len(),
        (a, b, sums),
        &|(a, b, sums), middle| {
            let rows = middle / width;
            let ((a0, a1), (b0, b1)) = (a.split_at(rows * width), b.split_at(rows * width));
            let (s0, s1) = sums.split_at_mut(rows);
            ((a0, b0, s0), (a1, b1, s1))
        },
        &|(a, b, sums)| {
            if !sums.is_empty() {
                vectorised(RowSums { a, b, sums, f: &f });
            }
        },
    );
}

#[cfg(all(feature = "avx", target_arch = "x86_64"))]
struct RowDots<'a, T> {
    rows: &'a [T],
    x: &'a [T],
    dots: &'a mut [T],
}

#[cfg(all(feature = "avx", target_arch = "x86_64"))]
impl<T: Scalar> Kernel for RowDots<'_, T> {
    #[inline(always)]
    fn run(self) {
        /// Several vectors of the widest kind: one addition need not wait for the one before.
        const LANES: usize = 64;
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        for (dot, row) in (self.dots.iter_mut()).zip(self.rows.chunks_exact(self.x.len())) {
            let mut lanes = [T::zero(); LANES];
            let (row, row_rest) = row.as_chunks::<LANES>();
            for (a, x) in row.iter().zip(x) {
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * x[lane];
                }
            }
            for (lane, (&a, &x)) in lanes.iter_mut().zip(row_rest.iter().zip(x_rest)) {
                *lane += a * x;
            }
            // Halves onto halves: one after the other, 64 additions would take longer than the row.
            let mut half = LANES / 2;
            while half > 0 {
                for lane in 0..half {
                    lanes[lane] += lanes[lane + half];
                }
                half /= 2;
            }
            *dot = lanes[0];
        }
    }
}

/// Σ a x over each row a of a matrix with as many rows as there are dots, and one row x.
#[cfg(all(feature = "avx", target_arch = "x86_64"))]
pub(crate) fn row_dots<T: Scalar>(rows: &[T], x: &[T], dots: &mut [T]) {
    assert_eq!(rows.len(), x.len() * dots.len(), "rows of one length");
    vectorised(RowDots { rows, x, dots });
}

struct FoldRows<'a, T, F> {
    rows: &'a [T],
    start: T,
    folds: &'a mut [T],
    f: &'a F,
}

impl<T: Scalar, F: Fn(T, T) -> T> Kernel for FoldRows<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let rows = self.rows.chunks_exact(self.rows.len() / self.folds.len());
        for (fold, row) in self.folds.iter_mut().zip(rows) {
            let mut lanes = [self.start; LANES];
            let (row, rest) = row.as_chunks::<LANES>();
            for x in row {
                for lane in 0..LANES {
                    lanes[lane] = (self.f)(lanes[lane], x[lane]);
                }
            }
            let lanes = lanes.into_iter().fold(self.start, self.f);
            *fold = rest.iter().copied().fold(lanes, self.f);
        }
    }
}

/// f(… f(f(start, x₀), x₁) …) over the entries x of each of as many rows as there are folds, for an f that does not mind
/// the order.
pub(crate) fn fold_rows<T: Scalar>(
    rows: &[T],
    start: T,
    folds: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    if rows.is_empty() || folds.is_empty() {
        folds.fill(start);
        return;
    }
    let width = rows.len() / folds.len();
    assert_eq!(width * folds.len(), rows.len(), "rows of one length");
    split(
        rows.len(),
        (rows, folds),
        &|(rows, folds), middle| {
            let count = middle / width;
            let (r0, r1) = rows.split_at(count * width);
            let (f0, f1) = folds.split_at_mut(count);
            ((r0, f0), (r1, f1))
        },
        &|(rows, folds)| {
            if !folds.is_empty() {
                let f = &f;
                vectorised(FoldRows {
                    rows,
                    start,
                    folds,
                    f,
                });
            }
        },
    );
}

struct FoldColumns<'a, T, F> {
    rows: &'a [T],
    width: usize,
    first: usize,
    folds: &'a mut [T],
    f: &'a F,
}

impl<T: Scalar, F: Fn(T, T) -> T> Kernel for FoldColumns<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let columns = self.first..self.first + self.folds.len();
        for row in self.rows.chunks_exact(self.width) {
            for (fold, &x) in self.folds.iter_mut().zip(&row[columns.clone()]) {
                *fold = (self.f)(*fold, x);
            }
        }
    }
}

/// f(… f(f(start, x₀), x₁) …) down each column of a matrix with as many columns as there are folds.
pub fn fold_columns<T: Scalar>(
    rows: &[T],
    start: T,
    folds: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    folds.fill(start);
    let width = folds.len();
    if width == 0 {
        return;
    }
    let height = rows.len() / width;
    assert_eq!(width * height, rows.len(), "rows of one length");
    // Cut between columns, so that each sum runs over its rows in order.
    split(
        rows.len(),
        (0, folds),
        &|(first, folds): (usize, &mut [T]), middle| {
            let (f0, f1) = folds.split_at_mut(middle / height);
            let cut = first + f0.len();
            ((first, f0), (cut, f1))
        },
        &|(first, folds)| {
            let f = &f;
            vectorised(FoldColumns {
                rows,
                width,
                first,
                folds,
                f,
            });
        },
    );
}

struct WeightedRows<'a, T, F> {
    weights: &'a [T],
    a: &'a [T],
    b: &'a [T],
    y: &'a mut [T],
    f: &'a F,
}

impl<T: Scalar, F: Fn(T, T) -> T> Kernel for WeightedRows<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let width = self.y.len() / self.weights.len();
        let rows = self.a.chunks_exact(width).zip(self.b.chunks_exact(width));
        let targets = self.y.chunks_exact_mut(width).zip(self.weights);
        for ((y, &weight), (a, b)) in targets.zip(rows) {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = weight * (self.f)(a, b);
            }
        }
    }
}

/// y ← w f(a, b), entry by entry, with one weight w for each row.
pub(crate) fn weighted_rows<T: Scalar>(
    weights: &[T],
    (a, b): (&[T], &[T]),
    y: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    if y.is_empty() {
        return;
    }
    let width = y.len() / weights.len();
    assert!(
        a.len() == y.len() && b.len() == y.len() && width * weights.len() == y.len(),
        "rows of one length, and a weight for each"
    );
    split(
        y.len(),
        (weights, a, b, y),
        &|(weights, a, b, y), middle| {
            let rows = middle / width;
            let cut = rows * width;
            let ((w0, w1), (a0, a1)) = (weights.split_at(rows), a.split_at(cut));
            let ((b0, b1), (y0, y1)) = (b.split_at(cut), y.split_at_mut(cut));
            ((w0, a0, b0, y0), (w1, a1, b1, y1))
        },
        &|(weights, a, b, y)| {
            if !y.is_empty() {
                vectorised(WeightedRows {
                    weights,
                    a,
                    b,
                    y,
                    f: &f,
                });
            }
        },
    );
}

struct Update3<'a, T, F> {
    targets: [&'a mut [T]; 3],
    a: &'a [T],
    f: &'a F,
}

impl<T: Scalar, F: Fn([T; 3], T) -> [T; 3]> Kernel for Update3<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let [x, y, z] = self.targets;
        update3_loop(x, y, z, self.a, self.f);
    }
}

/// A function of its own, whose arguments the compiler knows not to overlap: in the fields of a struct it does not.
#[inline(always)]
fn update3_loop<T: Scalar>(
    x: &mut [T],
    y: &mut [T],
    z: &mut [T],
    a: &[T],
    f: &impl Fn([T; 3], T) -> [T; 3],
) {
    let length = a.len();
    let (x, y, z) = (&mut x[..length], &mut y[..length], &mut z[..length]);
    for i in 0..length {
        [x[i], y[i], z[i]] = f([x[i], y[i], z[i]], a[i]);
    }
}

/// (x, y, z) ← f(x, y, z, a), entry by entry, in one pass.
pub fn update3<T: Scalar>(targets: [&mut [T]; 3], a: &[T], f: impl Fn([T; 3], T) -> [T; 3] + Sync) {
    assert!(
        targets.iter().all(|target| target.len() == a.len()),
        "slices of one length"
    );
    split(
        a.len(),
        (targets, a),
        &|([x, y, z], a), middle| {
            let ((x0, x1), (y0, y1)) = (x.split_at_mut(middle), y.split_at_mut(middle));
            let ((z0, z1), (a0, a1)) = (z.split_at_mut(middle), a.split_at(middle));
            (([x0, y0, z0], a0), ([x1, y1, z1], a1))
        },
        &|(targets, a)| vectorised(Update3 { targets, a, f: &f }),
    );
}

struct Transpose<'a, T> {
    columns: &'a [T],
    height: usize,
    first: usize,
    rows: &'a mut [T],
}

impl<T: Copy> Kernel for Transpose<'_, T> {
    #[inline(always)]
    fn run(self) {
        /// Tiles of so many rows and columns: a cache line of f32 either way.
        const TILE: usize = 16;
        let width = self.columns.len() / self.height;
        for (tile, rows) in self.rows.chunks_mut(TILE * width).enumerate() {
            let first = self.first + tile * TILE;
            for left in (0..width).step_by(TILE) {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    let columns = self.columns[left * self.height..].chunks_exact(self.height);
                    for (y, column) in row[left..].iter_mut().zip(columns).take(TILE) {
                        *y = column[first + i];
                    }
                }
            }
        }
    }
}

/// rows ← the matrix of `height` rows whose columns stand one after the other in `columns`.
pub(crate) fn transpose<T: Scalar>(columns: &[T], height: usize, rows: &mut [T]) {
    assert_eq!(columns.len(), rows.len(), "slices of one length");
    if rows.is_empty() {
        return;
    }
    let width = rows.len() / height;
    assert_eq!(width * height, rows.len(), "columns of one length");
    split(
        rows.len(),
        (0, rows),
        &|(first, rows): (usize, &mut [T]), middle| {
            let cut = middle / width;
            let (top, bottom) = rows.split_at_mut(cut * width);
            ((first, top), (first + cut, bottom))
        },
        &|(first, rows)| {
            vectorised(Transpose {
                columns,
                height,
                first,
                rows,
            });
        },
    );
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ShapeBuilder};

    /// Heights and widths around a tile, and one that is split over threads.
    #[test]
    fn transpose_by_index() {
        for (height, width) in [
            (1, 1),
            (1, 40),
            (40, 1),
            (15, 17),
            (16, 32),
            (33, 47),
            (259, 301),
        ] {
            let matrix = Array2::from_shape_fn((height, width).f(), |(i, j)| (i * 1000 + j) as f32);
            let columns = matrix.as_slice_memory_order().expect("contiguous");
            let mut rows = vec![0.0; height * width];
            super::transpose(columns, height, &mut rows);
            assert!(matrix.iter().eq(&rows), "{height} rows, {width} columns");
        }
    }
}
