//! What is refused, and what the errors say.

use elbo::gradients::{
    Baseline, GaussianParameters, GradientError, best_baseline, categorical_score_gradient,
    pathwise_gradient, score_gradient,
};
use elbo::kl::Nodes;
use ndarray::{Array2, arr1, arr2};

use crate::gradients::shared::univariate;

#[test]
fn says_what_is_wrong() {
    let q = univariate(0.3, -1.0);
    let square = |noise: Array2<f64>, q: &GaussianParameters, baseline: Baseline| {
        score_gradient(q, noise.view(), |_, z| z.square().sum_last(), &baseline).map(|_| ())
    };
    let given = |what, index| Err(GradientError::Given { what, index });
    let noise = || arr2(&[[0.1], [0.2]]);
    assert_eq!(
        square(Array2::zeros((0, 1)), &q, Baseline::None),
        Err(GradientError::NoDraws)
    );
    assert_eq!(
        square(arr2(&[[0.1], [f64::NAN]]), &q, Baseline::None),
        given("noise", 1)
    );
    assert_eq!(
        square(noise(), &univariate(f64::NAN, 0.0), Baseline::None),
        given("mean", 0)
    );
    let infinite = univariate(0.0, f64::NEG_INFINITY);
    assert_eq!(
        square(noise(), &infinite, Baseline::None),
        given("log-variance", 0)
    );
    assert_eq!(
        square(noise(), &q, Baseline::Constant(f64::NAN)),
        given("baseline", 0)
    );
    // A single draw has no others: its baseline is 0.
    let alone = |baseline: &Baseline| {
        let noise = arr2(&[[0.4]]);
        score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), baseline).unwrap()
    };
    assert_eq!(alone(&Baseline::LeaveOneOut), alone(&Baseline::None));
    assert_eq!(
        alone(&Baseline::None).estimate().entries[0].standard_error,
        f64::INFINITY
    );

    let logarithm = score_gradient(
        &q,
        arr2(&[[-9.0]]).view(),
        |_, z| z.ln().sum_last(),
        &Baseline::None,
    );
    let (what, draw) = ("value", 0);
    assert_eq!(logarithm, Err(GradientError::NotFinite { what, draw }));
    let root = pathwise_gradient(
        &univariate(0.0, 0.0),
        arr2(&[[1.0], [0.0]]).view(),
        |_, z| z.sqrt().sum_last(),
    );
    let (what, draw) = ("gradient", 1);
    assert_eq!(root, Err(GradientError::NotFinite { what, draw }));

    let classes = |logits: [f64; 2], z: [f64; 2]| {
        let (logits, z) = (arr1(&logits), arr2(&[[1.0, 0.0], z]));
        categorical_score_gradient(
            logits.view(),
            z.view(),
            |_, z| z.sum_last(),
            &Baseline::None,
        )
        .map(|_| ())
    };
    assert_eq!(classes([0.0, 1.0], [0.0, 1.0]), Ok(()));
    assert_eq!(classes([0.0, f64::NAN], [0.0, 1.0]), given("logits", 1));
    for wrong in [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5], [f64::NAN, 1.0]] {
        assert_eq!(
            classes([0.0, 1.0], wrong),
            Err(GradientError::NotOneHot { draw: 1 })
        );
    }
    let impossible = classes([0.0, f64::NEG_INFINITY], [0.0, 1.0]);
    let (draw, class) = (1, 1);
    assert_eq!(
        impossible,
        Err(GradientError::ImpossibleClass { draw, class })
    );
    // e^-800 is 0 in f64.
    let underflow = classes([0.0, -800.0], [0.0, 1.0]);
    assert_eq!(
        underflow,
        Err(GradientError::ImpossibleClass { draw, class })
    );

    // √μ is 0 at 0, and its gradient is infinite.
    let nodes = Nodes::gauss_hermite(3, 1);
    let zero = univariate(0.0, 0.0);
    let root = best_baseline(&zero, &nodes, |q, z| (q.mean.sqrt() + z * 0.0).sum_last());
    let (what, draw) = ("gradient", 0);
    assert_eq!(root, Err(GradientError::NotFinite { what, draw }));
    let huge = best_baseline(&univariate(0.0, 50.0), &nodes, |q, z| {
        (q.mean * 1e300 + z * 0.0).sum_last()
    });
    assert_eq!(huge, Err(GradientError::Baseline { entry: 0 }));

    let (draw, class, entry) = (3, 2, 1);
    for error in [
        GradientError::NoDraws,
        GradientError::NotOneHot { draw },
        GradientError::ImpossibleClass { draw, class },
        GradientError::Baseline { entry },
    ] {
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
#[should_panic(
    expected = "score_gradient: shapes [2] (mean), [2] (log-variance) and [3, 1] (noise) do not fit"
)]
fn names_the_shapes() {
    let noise = Array2::zeros((3, 1));
    let q = GaussianParameters::standard(2);
    let _ = score_gradient(&q, noise.view(), |_, z| z.sum_last(), &Baseline::None);
}
