//! What the engine costs: elementwise operations against the memory's bandwidth, products against ndarray's, gradients
//! of gradients against gradients.

use std::hint::black_box;

use common::{normal, short};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use elbo::autodiff::{Tape, Value, Var, product};
use elbo::distributions::noise::stream;
use elbo::nn::{Activation, Bound, Initialisation, Mlp, Parameters};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

mod common;

/// A batch of MNIST.
const ROWS: usize = 128;
const COLUMNS: usize = 784;

type Operation = for<'t> fn(Var<'t, f32>) -> Var<'t, f32>;
type Operation2 = for<'t> fn(Var<'t, f32>, Var<'t, f32>) -> Var<'t, f32>;

/// Name, arrays of the batch's size that are read and written, operation.
const UNARY: [(&str, u64, Operation); 9] = [
    ("exp", 2, |x| x.exp()),
    ("expm1", 2, |x| x.expm1()),
    ("ln_1p", 2, |x| x.ln_1p()),
    ("tanh", 2, |x| x.tanh()),
    ("sigmoid", 2, |x| x.sigmoid()),
    ("softplus", 2, |x| x.softplus()),
    ("relu", 2, |x| x.relu()),
    ("sum", 1, |x| x.sum()),
    ("logsumexp", 1, |x| x.logsumexp_axes(&[1])),
];

/// As [`UNARY`], and the rows of the second operand.
const BINARY: [(&str, u64, usize, Operation2); 2] = [
    ("mul", 3, ROWS, |a, b| a * b),
    ("add a row", 2, 1, |a, b| a + b),
];

/// Each operation forward on 128x784 numbers, in bytes read and written per second. `copy`, of as many bytes as `exp`
/// moves, is the floor: an operation that reaches its throughput waits for the memory alone.
fn elementwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("autodiff/elementwise");
    let x = normal(&[ROWS, COLUMNS], 0).mapv(f32::abs).into_shared();
    let array = (size_of::<f32>() * x.len()) as u64;
    let (from, mut to) = (x.as_slice().expect("rows"), vec![0.0; x.len()]);
    group.throughput(Throughput::Bytes(2 * array));
    group.bench_function("copy", |b| {
        b.iter(|| black_box(&mut to).copy_from_slice(black_box(from)));
    });
    let mut tape = Tape::new();
    for (name, arrays, operation) in UNARY {
        group.throughput(Throughput::Bytes(arrays * array));
        group.bench_function(name, |b| {
            b.iter(|| {
                black_box(operation(tape.constant(x.clone())));
                tape.reset();
            });
        });
    }
    for (name, arrays, rows, operation) in BINARY {
        let other = normal(&[rows, COLUMNS], 1);
        group.throughput(Throughput::Bytes(arrays * array));
        group.bench_function(name, |b| {
            b.iter(|| {
                let operands = [&x, &other].map(|value| tape.constant(value.clone()));
                black_box(operation(operands[0], operands[1]));
                tape.reset();
            });
        });
    }
    group.finish();
}

/// A small network's value; its gradient; and the gradient of its gradient's squared length, for which the first
/// backward pass is recorded and differentiated in turn.
fn orders(c: &mut Criterion) {
    let mut group = c.benchmark_group("autodiff/orders");
    let mut parameters = Parameters::<f32>::new();
    let net = Mlp::new(
        &mut parameters,
        "net",
        &[32, 64, 64, 1],
        Activation::Tanh,
        Initialisation::Glorot,
        &mut stream(1, "weights", 0),
    );
    let x = normal(&[32, 32], 0);
    let mut tape = Tape::new();
    group.bench_function("value", |b| {
        b.iter(|| {
            black_box(loss(&net, &parameters.bind_constant(&tape), &x));
            tape.reset();
        });
    });
    group.bench_function("gradient", |b| {
        b.iter(|| parameters.value_and_gradients(&mut tape, |p| (loss(&net, p, &x), ())));
    });
    group.bench_function("gradient of the gradient", |b| {
        b.iter(|| {
            parameters.value_and_gradients(&mut tape, |p| {
                let gradients = p.tape().differentiable_gradients(loss(&net, p, &x));
                let squares = p
                    .vars()
                    .iter()
                    .map(|&var| gradients.wrt(var).square().sum());
                (squares.reduce(|a, b| a + b).expect("parameters"), ())
            })
        });
    });
    group.finish();
}

fn loss<'t>(net: &Mlp, p: &Bound<'t, f32>, x: &Value<f32>) -> Var<'t, f32> {
    net.forward(p, p.tape().constant(x.clone())).square().mean()
}

/// C ← αAB + βC.
type Product = fn(f32, ArrayView2<'_, f32>, ArrayView2<'_, f32>, f32, &mut ArrayViewMut2<'_, f32>);

const PRODUCTS: [(&str, Product); 2] = [
    ("elbo", product),
    ("ndarray", |alpha, a, b, beta, c| {
        general_mat_mul(alpha, &a, &b, beta, c);
    }),
];

/// Inputs and outputs of the layers of the VAE 784-400-20, encoder first.
const LAYERS: [(usize, usize); 4] = [(784, 400), (400, 40), (20, 400), (400, 784)];

/// The eleven products of a step of the VAE 784-400-20, by the crate's `product` and by ndarray's own, in floating-point
/// operations per second: forward XWᵀ, then ĀᵀX for the weight and ĀW for the data, which the first layer does not need.
///
/// Both use every thread that they are given: `RAYON_NUM_THREADS=1 MATMUL_NUM_THREADS=1` compares them on one.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("autodiff/product");
    for batch in [128, 1024] {
        for (layer, (inputs, outputs)) in LAYERS.into_iter().enumerate() {
            group.throughput(Throughput::Elements((2 * batch * inputs * outputs) as u64));
            let x = matrix(batch, inputs);
            let a = matrix(batch, outputs);
            let weight = matrix(outputs, inputs);
            let id = |name: &str, kind: &str| {
                BenchmarkId::new(format!("{inputs}x{outputs} {kind}/{name}"), batch)
            };
            for (name, product) in PRODUCTS {
                let mut run = |kind, left, right| {
                    multiply(&mut group, id(name, kind), product, left, right);
                };
                run("forward", x.view(), weight.t());
                run("weight", a.t(), x.view());
                if layer > 0 {
                    run("data", a.view(), weight.view());
                }
            }
        }
    }
    group.finish();
}

fn matrix(rows: usize, columns: usize) -> Array2<f32> {
    let value = normal(&[rows, columns], 0).into_owned();
    value.into_dimensionality().expect("two axes")
}

fn multiply(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    product: Product,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
) {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    group.bench_function(id, |bencher| {
        bencher.iter(|| product(1.0, a, b, 0.0, &mut black_box(&mut c).view_mut()));
    });
}

/// A cheap loop (the sum of two arrays), a dear one (tanh) and a product on one thread and on two, ever larger: where two
/// begin to pay is the threshold below which the crate leaves a loop or a product on one.
#[cfg(feature = "threads")]
fn threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("autodiff/threads");
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        let mut run = |name: &str, size: usize, operation: Operation2, shape: &[usize]| {
            let (x, y) = (normal(shape, 0), normal(shape, 1));
            let id = BenchmarkId::new(format!("{name}/{threads}"), size);
            group.bench_function(id, |b| {
                b.iter_custom(|times| pool.install(|| time(operation, [&x, &y], times)));
            });
        };
        for length in (14..=18).map(|power| 1 << power) {
            run("add", length, |x, y| x + y, &[length]);
            run("tanh", length, |x, _| x.tanh(), &[length]);
        }
        for width in [64_usize, 96, 128, 192, 256] {
            run("product", width.pow(3), |x, y| x.matmul(y), &[width, width]);
        }
    }
    group.finish();
}

#[cfg(feature = "threads")]
fn time(operation: Operation2, operands: [&Value<f32>; 2], times: u64) -> std::time::Duration {
    let mut tape = Tape::new();
    let start = std::time::Instant::now();
    for _ in 0..times {
        let [x, y] = operands.map(|value| tape.constant(value.clone()));
        black_box(operation(x, y));
        tape.reset();
    }
    start.elapsed()
}

#[cfg(not(feature = "threads"))]
fn threads(_: &mut Criterion) {}

criterion_group! { name = benches; config = short(); targets = elementwise, orders, products, threads }
criterion_main!(benches);
