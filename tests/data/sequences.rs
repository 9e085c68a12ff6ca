//! Images that roll and images that move, as sequences.

use std::collections::HashSet;

use elbo::autodiff::Tape;
use elbo::data::{Binarisation, Direction, ImageSequences, Images, Motion, Source, roll};
use ndarray::{Array1, Array2, Array3, Axis, arr1, s};

use crate::common::panics::panic_message;
use crate::common::random::rng;

/// Images of 3 x 4 pixels, each pixel another byte, with the labels 5, 6, ….
fn images(count: usize) -> Images {
    let pixels = Array2::from_shape_fn((count, 12), |(i, j)| (20 * j + i + 1) as u8);
    let labels = Array1::from_shape_fn(count, |i| (5 + i) as u8);
    Images::new(pixels, 3, 4, Some(labels)).unwrap()
}

fn sequences(motion: Motion, binarisation: Binarisation, frames: usize) -> ImageSequences {
    ImageSequences::new(images(3), binarisation, motion, frames)
}

/// A batch with its factors.
fn batch(
    source: &ImageSequences,
    indices: &[usize],
    seed: u64,
) -> (Array3<f64>, Option<Array2<usize>>) {
    let tape = Tape::new();
    let batch = source.batch(&tape, indices, &mut rng(seed));
    let x = batch.data.value().into_owned();
    (x.into_dimensionality().unwrap(), batch.factors)
}

#[test]
fn a_rolling_image_goes_one_pixel_a_frame_and_comes_back_on_the_other_side() {
    let source = sequences(Motion::Rolling, Binarisation::None, 9);
    let indices = [2, 0, 0, 1, 1, 2, 0, 1];
    let (x, factors) = batch(&source, &indices, 81);
    let factors = factors.unwrap();
    assert_eq!(x.dim(), (8, 9, 12));
    assert_eq!(factors.dim(), (8, 2));
    for (row, &index) in indices.iter().enumerate() {
        assert_eq!(factors[[row, 0]], 5 + index);
        let right = factors[[row, 1]] == 1;
        for frame in 0..9 {
            for y in 0..3 {
                for column in 0..4 {
                    // The pixel that stands at `column` now came from there.
                    let from = match right {
                        true => (column + 36 - frame) % 4,
                        false => (column + frame) % 4,
                    };
                    let byte = (20 * (4 * y + from) + index + 1) as f64;
                    assert_eq!(x[[row, frame, 4 * y + column]], byte / 255.0);
                }
            }
        }
    }
}

#[test]
fn both_directions_are_drawn_equally_often_and_anew_each_time() {
    let source = sequences(Motion::Rolling, Binarisation::None, 2);
    let indices = vec![0; 2000];
    let (_, first) = batch(&source, &indices, 82);
    let (first, second) = (first.unwrap(), batch(&source, &indices, 83).1.unwrap());
    let right = first.column(1).sum() as f64;
    assert!((right - 1000.0).abs() < 4.0 * 500f64.sqrt(), "{right}");
    assert_ne!(first, second);
    assert_eq!(first, batch(&source, &indices, 82).1.unwrap());
}

#[test]
fn pixels_are_drawn_once_for_a_sequence() {
    let source = sequences(Motion::Rolling, Binarisation::Stochastic, 4);
    let (x, factors) = batch(&source, &[0, 1, 2, 0, 1, 2], 84);
    let factors = factors.unwrap();
    assert!(x.iter().all(|&pixel| pixel == 0.0 || pixel == 1.0));
    for (sequence, factors) in x.outer_iter().zip(factors.rows()) {
        let direction = Direction::of_factor(factors[1]);
        for frame in 0..4 {
            let mut rolled = Array1::zeros(12);
            roll(
                sequence.row(0),
                4,
                direction.shift(frame),
                rolled.view_mut(),
            );
            assert_eq!(sequence.row(frame), rolled);
        }
    }
    // The same image twice, drawn twice.
    assert_ne!(x.slice(s![1, 0, ..]), x.slice(s![4, 0, ..]));
    let threshold = sequences(Motion::Rolling, Binarisation::Threshold, 1);
    let (x, _) = batch(&threshold, &[1], 84);
    let expected = Array1::from_shape_fn(12, |j| f64::from(u8::from(20 * j + 2 >= 128)));
    assert_eq!(x.slice(s![0, 0, ..]), expected);
}

#[test]
fn rolling_is_cyclic_and_undone_by_its_reverse() {
    let image = arr1(&[1, 2, 3, 4, 5, 6]);
    let rolled = |shift| {
        let mut to = Array1::zeros(6);
        roll(image.view(), 3, shift, to.view_mut());
        to
    };
    assert_eq!(rolled(1), arr1(&[3, 1, 2, 6, 4, 5]));
    assert_eq!(rolled(-1), arr1(&[2, 3, 1, 5, 6, 4]));
    assert_eq!(rolled(-7), rolled(-1));
    assert_eq!(rolled(300), image);
    for direction in [Direction::Left, Direction::Right] {
        assert_eq!(Direction::of_factor(direction.factor()), direction);
        assert_eq!(direction.reversed().shift(5), -direction.shift(5));
    }
    assert_eq!(Direction::Right.shift(5), 5);
}

/// The place of the image's black-to-white corner on a canvas: where its only column and line of ink begin.
fn place(frame: ndarray::ArrayView1<'_, f64>, canvas: usize) -> (usize, usize) {
    let ink: Vec<usize> = (0..frame.len()).filter(|&i| frame[i] > 0.0).collect();
    let top = ink.iter().map(|i| i / canvas).min().unwrap();
    let left = ink.iter().map(|i| i % canvas).min().unwrap();
    (top, left)
}

#[test]
fn a_moving_image_stays_whole_moves_straight_and_bounces() {
    let (canvas, frames) = (40, 30);
    let source = sequences(Motion::Moving { canvas }, Binarisation::None, frames);
    let (x, factors) = batch(&source, &[0; 60], 85);
    assert_eq!(x.dim(), (60, frames, canvas * canvas));
    assert_eq!(factors.unwrap(), Array2::from_elem((60, 1), 5));
    let (room_y, room_x) = ((canvas - 3) as f64, (canvas - 4) as f64);
    let mut bounces = 0;
    for sequence in x.outer_iter() {
        let places: Vec<[f64; 2]> = sequence
            .outer_iter()
            .map(|frame| {
                let (top, left) = place(frame, canvas);
                for y in 0..3 {
                    for column in 0..4 {
                        let byte = (20 * (4 * y + column) + 1) as f64;
                        let pixel = frame[(top + y) * canvas + left + column];
                        assert_eq!(pixel, byte / 255.0);
                    }
                }
                assert_eq!(frame.iter().filter(|&&pixel| pixel > 0.0).count(), 12);
                [top as f64 / room_y, left as f64 / room_x]
            })
            .collect();
        let steps: Vec<[f64; 2]> = (places.windows(2))
            .map(|pair| [0, 1].map(|i| pair[1][i] - pair[0][i]))
            .collect();
        // Truncated to pixels, each place is wrong by less than one.
        let error = 2.0 / room_y.min(room_x);
        for (step, pair) in steps.iter().zip(places.windows(2)) {
            let is_inside = |[y, x]: [f64; 2]| {
                let free = 0.11..0.89;
                free.contains(&y) && free.contains(&x)
            };
            if is_inside(pair[0]) {
                let length = step[0].hypot(step[1]);
                assert!((length - 0.1).abs() < 1.5 * error, "{length}");
            }
        }
        for axis in 0..2 {
            let signs = steps
                .iter()
                .map(|step| step[axis])
                .filter(|s| s.abs() > error);
            let signs: Vec<bool> = signs.map(|s| s > 0.0).collect();
            bounces += signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
            // It turns round only at an edge.
            for (step, pair) in steps.windows(2).enumerate() {
                if pair[0][axis] * pair[1][axis] < 0.0 && pair[0][axis].abs() > error {
                    let at = places[step + 1][axis];
                    assert!(!(0.15..0.85).contains(&at), "turned at {at}");
                }
            }
        }
    }
    assert!(bounces > 60, "{bounces}");
}

#[test]
fn moving_images_start_anywhere_and_go_anywhere() {
    let canvas = 40;
    let source = sequences(Motion::Moving { canvas }, Binarisation::None, 2);
    let (x, _) = batch(&source, &vec![0; 1500], 86);
    let (mut places, mut quadrants) = (HashSet::new(), [0; 4]);
    let mut mean = [0.0, 0.0];
    for sequence in x.outer_iter() {
        let [from, to] = [0, 1].map(|frame| place(sequence.row(frame), canvas));
        places.insert(from);
        mean[0] += from.0 as f64 / 1500.0;
        mean[1] += from.1 as f64 / 1500.0;
        quadrants[2 * usize::from(to.0 > from.0) + usize::from(to.1 > from.1)] += 1;
    }
    assert!(places.len() > 700, "{}", places.len());
    // Truncated, so that the mean lies half a pixel below the middle of the room.
    for (mean, room) in mean.into_iter().zip([37.0, 36.0f64]) {
        let standard_error = room / 12f64.sqrt() / 1500f64.sqrt();
        assert!(
            (mean - (room / 2.0 - 0.5)).abs() < 4.0 * standard_error,
            "{mean}"
        );
    }
    assert!(quadrants.iter().all(|&count| count > 200), "{quadrants:?}");
}

#[test]
fn the_draws_are_the_seeds_and_those_of_single_precision_the_same() {
    for motion in [Motion::Rolling, Motion::Moving { canvas: 12 }] {
        let source = sequences(motion, Binarisation::Stochastic, 5);
        let (double, _) = batch(&source, &[0, 1, 2], 87);
        assert_eq!(double, batch(&source, &[0, 1, 2], 87).0);
        assert_ne!(double, batch(&source, &[0, 1, 2], 88).0);
        let tape = Tape::<f32>::new();
        let single = source.batch(&tape, &[0, 1, 2], &mut rng(87)).data.value();
        assert_eq!(single, double.mapv(|x| x as f32).into_dyn());
        assert_eq!(Source::<f64>::len(&source), 3);
    }
}

#[test]
fn half_the_size_is_the_mean_of_four_pixels() {
    // 3 x 5 pixels: the last line and the last column have no partner.
    let pixels = Array2::from_shape_vec(
        (1, 15),
        vec![0, 1, 10, 20, 9, 0, 1, 30, 41, 9, 9, 9, 9, 9, 9],
    );
    let labels = Some(arr1(&[7]));
    let half = Images::new(pixels.unwrap(), 3, 5, labels).unwrap().halved();
    assert_eq!((half.height(), half.width()), (1, 2));
    // 2/4 rounds up; 101/4 is 25.25.
    assert_eq!(
        half.pixels(),
        Array2::from_shape_vec((1, 2), vec![1, 25]).unwrap()
    );
    assert_eq!(half.labels().unwrap(), arr1(&[7]));
    let white = Images::new(Array2::from_elem((2, 16), 255), 4, 4, None).unwrap();
    assert_eq!(white.halved().pixels(), Array2::from_elem((2, 4), 255));
    assert!(white.halved().labels().is_none());
    let line = Images::new(Array2::zeros((1, 4)), 1, 4, None).unwrap();
    assert!(panic_message(|| drop(line.halved())).contains("1 x 4"));
}

#[test]
fn without_labels_the_direction_is_all_that_is_known() {
    let pixels = images(2).pixels().to_owned();
    let images = || Images::new(pixels.clone(), 3, 4, None).unwrap();
    let of = |motion| {
        let source = ImageSequences::new(images(), Binarisation::None, motion, 3);
        batch(&source, &[0, 1, 1], 89).1
    };
    assert_eq!(of(Motion::Rolling).unwrap().len_of(Axis(1)), 1);
    assert!(of(Motion::Moving { canvas: 9 }).is_none());
}

#[test]
fn refuses_no_frames_and_a_canvas_that_is_too_small() {
    let none = panic_message(|| drop(sequences(Motion::Rolling, Binarisation::None, 0)));
    assert!(none.contains("at least one frame"), "{none}");
    let motion = Motion::Moving { canvas: 3 };
    let small = panic_message(|| drop(sequences(motion, Binarisation::None, 2)));
    assert!(
        small.contains("3 x 4 pixels, found one of 3 x 3"),
        "{small}"
    );
    // As large as the image: it cannot move.
    let tight = sequences(Motion::Moving { canvas: 4 }, Binarisation::None, 5);
    let (x, _) = batch(&tight, &[0], 90);
    assert_eq!(tight.frame(), (4, 4));
    assert!(
        x.outer_iter()
            .all(|sequence| place(sequence.row(4), 4).1 == 0)
    );
}
