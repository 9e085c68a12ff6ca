//! The digits that come with the crate.

use elbo::data::{Dataset, Images};
use ndarray::s;

/// The expected numbers were computed in Python from the four original files.
#[test]
fn the_embedded_digits_are_the_first_of_mnist() {
    let mnist = Dataset::embedded();
    for (images, count, first_labels, histogram, sum, ink, black, white) in [
        (
            &mnist.train,
            10_000,
            [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
            [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978],
            262_146_600,
            1_039_729,
            6_337_785,
            50_190,
        ),
        (
            &mnist.test,
            2_000,
            [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
            [175, 234, 219, 207, 217, 179, 178, 205, 192, 194],
            48_335_026,
            191_907,
            1_285_042,
            9_596,
        ),
    ] {
        assert_eq!(images.len(), count);
        assert_eq!((images.height(), images.width()), (28, 28));

        let labels = images.labels().unwrap();
        assert_eq!(labels.slice(s![..10]).to_vec(), first_labels);
        let mut counts = [0; 10];
        labels.iter().for_each(|&l| counts[usize::from(l)] += 1);
        assert_eq!(counts, histogram);

        let pixels = images.pixels();
        let how_many = |condition: fn(u8) -> bool| pixels.iter().filter(|&&p| condition(p)).count();
        assert_eq!(pixels.iter().map(|&p| u64::from(p)).sum::<u64>(), sum);
        assert_eq!(how_many(|p| p >= 128), ink);
        assert_eq!(how_many(|p| p == 0), black);
        assert_eq!(how_many(|p| p == 255), white);
    }

    // Sums of single images, and a line of the first, so that order and orientation count.
    let sums = |images: &Images, indices: [usize; 4]| {
        indices.map(|i| {
            images
                .pixels()
                .row(i)
                .iter()
                .map(|&p| u64::from(p))
                .sum::<u64>()
        })
    };
    assert_eq!(
        sums(&mnist.train, [0, 1, 2, 9_999]),
        [27_525, 31_095, 19_443, 20_613]
    );
    assert_eq!(
        sums(&mnist.test, [0, 1, 2, 1_999]),
        [18_454, 28_850, 9_871, 21_683]
    );
    assert_eq!(
        mnist
            .train
            .pixels()
            .slice(s![0, 5 * 28 + 12..5 * 28 + 24])
            .to_vec(),
        [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
    );
    assert_eq!(mnist.train.labels().unwrap()[9_999], 7);
    assert_eq!(mnist.test.labels().unwrap()[1_999], 5);
}
