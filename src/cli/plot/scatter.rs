//! The latent plane: where the encoder puts the images of each class.

use anyhow::{Result, ensure};
use ndarray::ArrayView2;

use super::axis::{Axis, Range};
use super::chart::{Chart, Panel, colors};

/// The "muted" colours of Paul Tol and a dark gray, which colour-blind eyes tell apart, in an order that keeps digits
/// which look alike (4 and 9, 3 and 5 and 8) far apart in colour.
const COLORS: [&str; 10] = [
    "#332288", "#cc6677", "#117733", "#88ccee", "#999933", "#882255", "#44aa99", "#ddcc77",
    "#4d4d4d", "#aa4499",
];

/// The most points that are drawn: more only hide each other.
const MOST: usize = 10_000;

/// So many points are drawn class by class before the next so many, lest the last class cover all others.
const ROUND: usize = 250;

/// Fewer points may be larger.
const MANY: usize = 2000;

/// The side of the square that the points are in.
const SIDE: f64 = 552.0;

/// An SVG of two-dimensional codes, one a row of `codes`, coloured by label, with the same scale along both axes.
///
/// Codes that are not finite are left out; of more than ten thousand, an even choice is drawn. Labels from 10 on take
/// the colours of their last digit.
pub fn latent_scatter(codes: ArrayView2<f32>, labels: &[u8]) -> Result<String> {
    ensure!(
        codes.ncols() == 2,
        "codes of {} dimensions do not fit in a plane",
        codes.ncols()
    );
    ensure!(
        codes.nrows() == labels.len(),
        "{} codes cannot have {} labels",
        codes.nrows(),
        labels.len()
    );
    let stride = codes.nrows().div_ceil(MOST).max(1);
    let points: Vec<(u8, (f64, f64))> = codes
        .rows()
        .into_iter()
        .zip(labels)
        .step_by(stride)
        .map(|(code, label)| (*label, (f64::from(code[0]), f64::from(code[1]))))
        .filter(|(_, (x, y))| x.is_finite() && y.is_finite())
        .collect();
    ensure!(!points.is_empty(), "no codes to show");

    // Around all points and the bulk of the prior.
    let axis = |title: &str, coordinate: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(|(_, point)| coordinate(point));
        let shown = Range::of(values.chain([-2.0, 2.0]))
            .expect("numbers")
            .padded();
        Axis::linear(title).range(shown.low, shown.high)
    };
    let x = axis("latent coordinate z₁", |point| point.0);
    let y = axis("latent coordinate z₂", |point| point.1);
    let panel = Panel::new("", x, y).height(SIDE).same_scale();
    let label = "Latent plane: the mean code of every image, coloured by its label";
    Ok(Chart::new(label).panel(draw(panel, &points)).svg())
}

/// Adds the points, the circle that 86 % of the prior is in, and the label of each class in its middle.
fn draw(mut panel: Panel, points: &[(u8, (f64, f64))]) -> Panel {
    let of_class = |points: &[(u8, (f64, f64))], class: u8| -> Vec<(f64, f64)> {
        let chosen = points.iter().filter(|(label, _)| *label == class);
        chosen.map(|(_, point)| *point).collect()
    };
    let mut classes: Vec<u8> = points.iter().map(|(label, _)| *label).collect();
    classes.sort_unstable();
    classes.dedup();
    let color = |class: u8| COLORS[usize::from(class) % COLORS.len()];
    // More names than one line takes say nothing: their colours come again. The words name them all.
    for class in classes.iter().take(COLORS.len()) {
        panel = panel.dots(&class.to_string(), color(*class), Vec::new());
    }
    for round in points.chunks(ROUND) {
        for &class in &classes {
            let chosen = of_class(round, class);
            panel = match points.len() > MANY {
                true => panel.specks("", color(class), chosen),
                false => panel.dots("", color(class), chosen),
            };
        }
    }
    let angles = (0..=180).map(|i| f64::from(2 * i).to_radians());
    let circle = angles.map(|angle| (2.0 * angle.cos(), 2.0 * angle.sin()));
    panel = panel.dashed("prior, 2σ", colors::BLACK, circle.collect());
    classes.iter().fold(panel, |panel, class| {
        panel.word(median(of_class(points, *class)), &class.to_string())
    })
}

/// The point with half of the others on either side, along each axis.
fn median(points: Vec<(f64, f64)>) -> (f64, f64) {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    (middle(x), middle(y))
}

#[cfg(test)]
mod tests {
    use super::super::svg::check;
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn each_point_is_drawn_in_its_place_and_colour() {
        let codes = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let svg = latent_scatter(codes.view(), &[0, 1, 1]).unwrap();
        check(&svg);
        // The axes are symmetric: the first point is in the centre of the square, under one row of names.
        let centre = (66.0 + SIDE / 2.0, 18.0 + 2.0 * 22.0 + SIDE / 2.0);
        assert!(svg.contains(&format!(
            r#"<path d="M{} {}h0" fill="none" stroke="{}""#,
            centre.0, centre.1, COLORS[0]
        )));
        assert_eq!(svg.matches("h0").count(), 3);
        assert_eq!(
            svg.matches(COLORS[1]).count(),
            3,
            "the points, and the legend twice"
        );
        assert!(!svg.contains(COLORS[2]));
    }

    #[test]
    fn no_more_points_than_can_be_seen() {
        let codes = Array2::from_shape_fn((25_000, 2), |(i, j)| (i * (j + 3)) as f32 % 7.0);
        let labels: Vec<u8> = (0..25_000).map(|i| (i % 10) as u8).collect();
        let svg = latent_scatter(codes.view(), &labels).unwrap();
        check(&svg);
        let drawn = svg.matches("h0").count();
        assert!((5_000..=MOST).contains(&drawn), "{drawn}");
    }

    #[test]
    fn codes_astray_are_left_out() {
        let codes = array![[0.0, f32::NAN], [f32::MAX, -f32::MAX], [f32::INFINITY, 0.0]];
        let svg = latent_scatter(codes.view(), &[0, 250, 2]).unwrap();
        check(&svg);
        assert_eq!(svg.matches("h0").count(), 1);
        assert!(latent_scatter(codes.slice(ndarray::s![..1, ..]), &[0]).is_err());
    }

    #[test]
    fn what_is_no_labelled_plane_is_refused() {
        assert!(latent_scatter(Array2::zeros((3, 3)).view(), &[0; 3]).is_err());
        assert!(latent_scatter(Array2::zeros((3, 2)).view(), &[0; 2]).is_err());
        assert!(latent_scatter(Array2::zeros((0, 2)).view(), &[]).is_err());
    }
}
