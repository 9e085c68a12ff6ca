//! Shapes with known factors: their numbers, outlines, pixels, and who is drawn for what.

use std::collections::HashSet;

use elbo::autodiff::Tape;
use elbo::data::shapes::{AREA, COMBINATIONS, Factors, Outline, VALUES};
use elbo::data::{Shapes, Source};
use ndarray::{Array1, Array2, Ix2};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::common::panics::panic_message;

const OUTLINES: [Outline; 3] = [Outline::Square, Outline::Ellipse, Outline::Heart];

fn shapes(side: usize) -> Shapes {
    Shapes::new(side, &[0])
}

fn image(shapes: &Shapes, factors: [usize; 5]) -> Array1<f64> {
    shapes.image(&Factors(factors))
}

/// The mean place of the pixels that are set: x, y, from the canvas's upper left corner, in pixels.
fn centre_of_mass(image: &Array1<f64>, side: usize) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (at, &pixel) in image.iter().enumerate() {
        sums[0] += pixel * ((at % side) as f64 + 0.5);
        sums[1] += pixel * ((at / side) as f64 + 0.5);
    }
    sums.map(|sum| sum / image.sum())
}

#[test]
fn a_number_and_its_factors_stand_for_each_other() {
    for number in 0..COMBINATIONS {
        assert_eq!(Factors::of(number).number(), number);
    }
    for (number, factors) in [
        (0, [0, 0, 0, 0, 0]),
        (1, [0, 0, 0, 0, 1]),
        (32, [0, 0, 0, 1, 0]),
        (1024, [0, 0, 1, 0, 0]),
        (40 * 1024, [0, 1, 0, 0, 0]),
        (6 * 40 * 1024, [1, 0, 0, 0, 0]),
        (737_279, [2, 5, 39, 31, 31]),
    ] {
        assert_eq!(Factors::of(number), Factors(factors));
    }
}

#[test]
fn what_factors_stand_for() {
    let of = |factors| Factors(factors);
    assert_eq!(of([2, 0, 0, 0, 0]).outline(), Outline::Heart);
    assert_eq!([0, 5].map(|k| of([0, k, 0, 0, 0]).scale()), [0.5, 1.0]);
    assert_eq!(of([0, 0, 10, 0, 0]).direction(), [0.0, 1.0]);
    for k in 0..40 {
        let angle = std::f64::consts::TAU * k as f64 / 40.0;
        let [cos, sin] = of([0, 0, k, 0, 0]).direction();
        assert!((cos - angle.cos()).abs() < 1e-15 && (sin - angle.sin()).abs() < 1e-15);
    }
    assert_eq!(of([0, 0, 0, 0, 31]).centre(), [16.5 / 64.0, 47.5 / 64.0]);
}

#[test]
fn outlines_have_one_area_around_their_centre_of_mass() {
    // A lattice of midpoints; what it misses lies along the outline.
    let (points, reach) = (1200, 0.2);
    let step = 2.0 * reach / points as f64;
    for outline in OUTLINES {
        let (mut area, mut moments, mut farthest) = (0.0, [0.0; 2], 0.0f64);
        for i in 0..points * points {
            let at = [i % points, i / points].map(|k| (k as f64 + 0.5) * step - reach);
            if outline.contains(at) {
                area += step * step;
                moments = [0, 1].map(|k| moments[k] + at[k] * step * step);
                farthest = farthest.max(at[0].hypot(at[1]));
            }
        }
        assert!((area / AREA - 1.0).abs() < 1e-3, "{outline:?}: {area}");
        let off = moments.map(|moment| (moment / AREA).abs());
        assert!(off.iter().all(|off| *off < 1e-4), "{outline:?}: {off:?}");
        let radius = outline.radius();
        assert!(
            farthest <= radius && farthest > radius - 3.0 * step,
            "{outline:?}: {farthest} {radius}"
        );
    }
}

/// Is the centre of pixel (x, y) in the shape? Written with corners, foci and discs.
fn expected(factors: &Factors, side: usize, x: usize, y: usize) -> bool {
    let centre = factors.centre();
    // To the right and upwards from the shape's centre.
    let p = [
        (x as f64 + 0.5) / side as f64 - centre[0],
        centre[1] - (y as f64 + 0.5) / side as f64,
    ];
    let angle = std::f64::consts::TAU * factors.0[2] as f64 / 40.0;
    let turned = |[u, v]: [f64; 2]| {
        [
            angle.cos() * u - angle.sin() * v,
            angle.sin() * u + angle.cos() * v,
        ]
    };
    let distance = |q: [f64; 2]| (p[0] - q[0]).hypot(p[1] - q[1]);
    let inside = |corners: [[f64; 2]; 4]| {
        (0..4).all(|i| {
            let (a, b) = (turned(corners[i]), turned(corners[(i + 1) % 4]));
            (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) >= -1e-12
        })
    };
    let scale = factors.scale();
    match factors.outline() {
        Outline::Square => {
            let h = 0.135 * scale;
            inside([[-h, -h], [h, -h], [h, h], [-h, h]])
        }
        Outline::Ellipse => {
            let b = (0.0729 / (1.6 * std::f64::consts::PI)).sqrt() * scale;
            let (a, focus) = (1.6 * b, b * (1.6f64 * 1.6 - 1.0).sqrt());
            distance(turned([focus, 0.0])) + distance(turned([-focus, 0.0])) <= 2.0 * a + 1e-12
        }
        Outline::Heart => {
            let h = (0.0729 / (4.0 + std::f64::consts::PI)).sqrt() * scale;
            let half_disc = 0.5 * std::f64::consts::PI;
            let shift = (half_disc + 2.0 / 3.0) / (4.0 + std::f64::consts::PI) * 2f64.sqrt() * h;
            let r = 2f64.sqrt() * h;
            let corners = [[0.0, -r], [r, 0.0], [0.0, r], [-r, 0.0]].map(|[u, v]| [u, v - shift]);
            let lobe = |side: f64| turned([side * 0.5 * r, 0.5 * r - shift]);
            inside(corners)
                || [1.0, -1.0]
                    .iter()
                    .any(|&side| distance(lobe(side)) <= h + 1e-12)
        }
    }
}

#[test]
fn a_pixel_is_set_if_its_centre_is_in_the_shape() {
    let mut rng = StdRng::seed_from_u64(3);
    for side in [32, 64] {
        let shapes = shapes(side);
        for _ in 0..400 {
            let factors = Factors::of(rng.random_range(0..COMBINATIONS));
            let drawn: Array1<f64> = shapes.image(&factors);
            for (at, &pixel) in drawn.iter().enumerate() {
                let inside = expected(&factors, side, at % side, at / side);
                assert_eq!(
                    pixel,
                    f64::from(inside),
                    "{factors:?}, pixel {at} of {side}"
                );
            }
        }
    }
}

#[test]
fn the_number_of_pixels_tells_the_scale() {
    for side in [32, 64] {
        let shapes = shapes(side);
        for shape in 0..3 {
            for scale in 0..6 {
                let counts = (0..160)
                    .map(|k| image(&shapes, [shape, scale, k % 40, k / 40 % 2, k / 80]).sum());
                let mean = counts.sum::<f64>() / 160.0;
                let exact = AREA * (Factors([0, scale, 0, 0, 0]).scale() * side as f64).powi(2);
                assert!(
                    (mean / exact - 1.0).abs() < 0.03,
                    "{shape} {scale}: {mean} {exact}"
                );
            }
        }
    }
}

#[test]
fn which_turns_change_nothing() {
    let shapes = shapes(64);
    for scale in 0..6 {
        let at = |shape: usize, k: usize| image(&shapes, [shape, scale, k % 40, 9, 20]);
        for k in 0..40 {
            assert_eq!(at(0, k), at(0, k + 10), "a quarter turn of a square");
            assert_eq!(at(1, k), at(1, k + 20), "a half turn of an ellipse");
            assert_ne!(at(1, k), at(1, k + 10), "a quarter turn of an ellipse");
            for other in 1..40 {
                assert_ne!(at(2, k), at(2, k + other), "a turn of a heart");
            }
        }
    }
}

#[test]
fn orientations_turn_anticlockwise() {
    // The heart's lower corner is its farthest point.
    let shapes = shapes(64);
    for (k, direction) in [
        (0, [0.0, 1.0]),
        (10, [1.0, 0.0]),
        (20, [0.0, -1.0]),
        (30, [-1.0, 0.0]),
    ] {
        let heart = image(&shapes, [2, 5, k, 16, 16]);
        let set = heart.iter().enumerate().filter(|&(_, &pixel)| pixel > 0.0);
        let places = set.map(|(at, _)| [at % 64, at / 64].map(|c| c as f64 - 32.0));
        let farthest = places.max_by(|a, b| (a[0].hypot(a[1])).total_cmp(&b[0].hypot(b[1])));
        let [x, y] = farthest.unwrap();
        let length = x.hypot(y);
        assert!((x / length - direction[0]).abs() < 0.1 && (y / length - direction[1]).abs() < 0.1);
    }
}

#[test]
fn a_position_moves_the_centre_of_mass() {
    for side in [32, 64] {
        let shapes = shapes(side);
        for shape in 0..3 {
            let at = |x, y| centre_of_mass(&image(&shapes, [shape, 5, 7, x, y]), side);
            // A whole pixel is exact; in between, the same outline meets other pixel centres.
            let whole = 64 / side;
            let [origin, right, down] = [at(4, 6), at(4 + whole, 6), at(4, 6 + whole)];
            assert!(
                (right[0] - origin[0] - 1.0).abs() < 1e-12 && (right[1] - origin[1]).abs() < 1e-12
            );
            assert!(
                (down[1] - origin[1] - 1.0).abs() < 1e-12 && (down[0] - origin[0]).abs() < 1e-12
            );
            for (x, y) in [(0, 0), (5, 30), (31, 31)] {
                let exact = Factors([shape, 5, 7, x, y])
                    .centre()
                    .map(|c| c * side as f64);
                let off = [0, 1].map(|k| (at(x, y)[k] - exact[k]).abs());
                assert!(off[0] < 0.2 && off[1] < 0.2, "{shape} at {x}, {y}: {off:?}");
            }
        }
    }
}

#[test]
fn no_shape_leaves_the_canvas() {
    for side in [32, 64] {
        let shapes = shapes(side);
        for form in 0..VALUES[0] * VALUES[1] * VALUES[2] {
            let [shape, scale, k, ..] = Factors::of(form * 1024).0;
            // The corners of the positions, in the same place within a pixel.
            let whole = image(&shapes, [shape, scale, k, 1, 1]).sum();
            for (x, y) in [(1, 31), (31, 1), (31, 31)] {
                let corner = image(&shapes, [shape, scale, k, x, y]);
                assert_eq!(corner.sum(), whole);
                let edge = (0..side)
                    .flat_map(|i| [i, i * side, i * side + side - 1, side * (side - 1) + i]);
                assert!(edge.into_iter().all(|at| corner[at] == 0.0));
            }
        }
    }
}

fn batch(shapes: &Shapes, count: usize, seed: u64) -> (Array2<f32>, Array2<usize>) {
    let tape = Tape::new();
    let indices: Vec<usize> = (0..count).collect();
    let batch = shapes.batch(&tape, &indices, &mut StdRng::seed_from_u64(seed));
    let images = batch.data.value().into_owned();
    (
        images.into_dimensionality::<Ix2>().unwrap(),
        batch.factors.unwrap(),
    )
}

fn numbers(factors: &Array2<usize>) -> Vec<usize> {
    let rows = factors.rows().into_iter();
    rows.map(|row| Factors(std::array::from_fn(|k| row[k])).number())
        .collect()
}

#[test]
fn what_is_held_out_is_never_drawn() {
    let [train, test] = Shapes::split(32, 4000, 300_000);
    assert_eq!(
        (Source::<f32>::len(&train), Source::<f32>::len(&test)),
        (4000, 300_000)
    );
    assert_eq!(train.combinations(), COMBINATIONS - 300_000);
    let held_out: HashSet<usize> = (0..300_000).map(|i| test.factors(i).number()).collect();
    assert_eq!(held_out.len(), 300_000);
    let (_, factors) = batch(&train, 4000, 1);
    let drawn = numbers(&factors);
    assert!(drawn.iter().all(|number| !held_out.contains(number)));
    // Each shape as often as any other, within 4 standard errors, in both sets.
    let tested: Vec<usize> = (0..4000).map(|i| test.factors(i).number()).collect();
    for set in [&drawn, &tested] {
        let hearts = set.iter().filter(|&&n| n >= 2 * COMBINATIONS / 3).count();
        let off = (hearts as f64 - 4000.0 / 3.0).abs();
        assert!(
            off < 4.0 * (4000.0f64 * 2.0 / 9.0).sqrt(),
            "{hearts} hearts"
        );
    }
    let again = Shapes::split(32, 4000, 300_000);
    assert_eq!(numbers(&batch(&again[1], 50, 0).1), tested[..50]);
}

#[test]
fn the_same_seed_draws_the_same_bits() {
    let [train, test] = Shapes::split(64, 100, 50);
    assert_eq!(batch(&train, 100, 5), batch(&train, 100, 5));
    assert_ne!(batch(&train, 100, 5).1, batch(&train, 100, 6).1);
    assert_eq!(batch(&test, 50, 5), batch(&test, 50, 6));
    // The factors are those of the images.
    for set in [&train, &test] {
        let (images, factors) = batch(set, 50, 7);
        for (image, number) in images.rows().into_iter().zip(numbers(&factors)) {
            assert_eq!(image, set.image::<f32>(&Factors::of(number)));
            assert!(image.iter().all(|&pixel| pixel == 0.0 || pixel == 1.0));
        }
    }
}

#[test]
fn what_is_not_there_is_not_drawn() {
    let said = |f: fn()| panic_message(f);
    assert!(said(|| drop(Shapes::new(48, &[0]))).contains("32 or 64 pixels, found 48"));
    assert!(said(|| drop(Shapes::new(32, &[COMBINATIONS]))).contains("no combination 737280"));
    assert!(said(|| assert!(Factors::of(COMBINATIONS).0[0] < 3)).contains("737280"));
    assert!(said(|| assert!(Factors([0, 6, 0, 0, 0]).number() > 0)).contains("no such factors"));
    assert!(said(|| drop(Shapes::split(32, 1, COMBINATIONS))).contains("cannot be held out"));
    assert!(
        said(|| drop(batch(&Shapes::new(32, &[0]), 2, 0)))
            .contains("there are 1 data, found index 1")
    );
}
