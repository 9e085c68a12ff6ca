//! The latent plane: where the encoder puts the images of each class.

use anyhow::{Result, ensure};
use ndarray::ArrayView2;

use super::axis::{Frame, Range, ticks};
use super::svg::{Area, Entry, GRID, Svg};

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

/// The width of the plot.
const WIDTH: f64 = 640.0;

/// The side of the square that the points are in.
const SIDE: f64 = 540.0;

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

    let frame = frame(&points);
    let mut svg = Svg::new(
        WIDTH,
        680.0,
        "Latent plane: the mean code of every image, coloured by its label",
    );
    draw_axes(&mut svg, &frame);
    draw_points(&mut svg, &frame, &points);
    Ok(svg.finish())
}

/// A square around all points and the bulk of the prior, the same length on both axes.
fn frame(points: &[(u8, (f64, f64))]) -> Frame {
    let around = |coordinate: fn(&(u8, (f64, f64))) -> f64| {
        let values = points.iter().map(coordinate).chain([-2.0, 2.0]);
        Range::of(values)
            .unwrap_or(Range {
                low: -2.0,
                high: 2.0,
            })
            .padded()
    };
    let (x, y) = (around(|point| point.1.0), around(|point| point.1.1));
    let half = x.span().max(y.span()) / 2.0;
    let square = |range: Range| {
        let middle = range.low + range.span() / 2.0;
        Range {
            low: middle - half,
            high: middle + half,
        }
    };
    Frame {
        area: Area {
            left: 78.0,
            top: 72.0,
            width: SIDE,
            height: SIDE,
        },
        x: square(x),
        y: square(y),
    }
}

/// Draws the grid, the axes, and the circle that 86 % of the prior is in.
fn draw_axes(svg: &mut Svg, frame: &Frame) {
    let (ticks, step) = ticks(frame.x, 6, 0.0);
    for &tick in &ticks {
        let (x, _) = frame.place((tick, 0.0));
        svg.line((x, frame.area.top), (x, frame.area.bottom()), GRID);
    }
    frame.draw_y(svg, 6, "latent coordinate z₂");
    frame.draw_x(svg, &ticks, step, "latent coordinate z₁");
}

/// Draws the points, a tag on the middle of each class, and the legend above.
fn draw_points(svg: &mut Svg, frame: &Frame, points: &[(u8, (f64, f64))]) {
    let classes: Vec<u8> = (0..=u8::MAX)
        .filter(|class| points.iter().any(|(label, _)| label == class))
        .collect();
    let color = |class: u8| COLORS[usize::from(class) % COLORS.len()];
    let of_class = |points: &[(u8, (f64, f64))], class: u8| -> Vec<(f64, f64)> {
        let chosen = points.iter().filter(|(label, _)| *label == class);
        chosen.map(|(_, point)| *point).collect()
    };
    // Fewer points may be larger.
    let diameter = if points.len() > 2000 { 4.0 } else { 6.0 };

    svg.within(frame.area, |svg| {
        for round in points.chunks(ROUND) {
            for &class in &classes {
                let places: Vec<_> = of_class(round, class)
                    .into_iter()
                    .map(|point| frame.place(point))
                    .collect();
                if !places.is_empty() {
                    svg.dots(&places, color(class), diameter, 0.7);
                }
            }
        }
        let (centre, (edge, _)) = (frame.place((0.0, 0.0)), frame.place((2.0, 0.0)));
        let radius = edge - centre.0;
        svg.ring(centre, radius);
        svg.tag((centre.0, centre.1 + radius + 16.0), 0.9, "prior, 2σ");
        for &class in &classes {
            svg.tag(
                frame.place(median(of_class(points, class))),
                1.4,
                &class.to_string(),
            );
        }
    });

    let names: Vec<String> = classes.iter().map(u8::to_string).collect();
    let entries: Vec<Entry> = classes
        .iter()
        .zip(&names)
        .map(|(class, name)| (color(*class), name.as_str()))
        .collect();
    // More names than one line takes would run out of the picture; the tags name them all.
    svg.legend(
        (frame.area.left, 24.0),
        "",
        &entries[..entries.len().min(COLORS.len())],
    );
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
    use super::super::svg::check::well_formed;
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn each_point_is_drawn_in_its_place_and_colour() {
        let codes = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let svg = latent_scatter(codes.view(), &[0, 1, 1]).unwrap();
        well_formed(&svg);
        // The axes are symmetric: the first point is in the centre of the square.
        let centre = (78.0 + SIDE / 2.0, 72.0 + SIDE / 2.0);
        assert!(svg.contains(&format!(
            r#"<path d="M{} {}h0" fill="none" stroke="{}""#,
            centre.0, centre.1, COLORS[0]
        )));
        assert_eq!(svg.matches("h0").count(), 3);
        assert_eq!(
            svg.matches(COLORS[1]).count(),
            2,
            "the points and the legend"
        );
        assert!(!svg.contains(COLORS[2]));
    }

    #[test]
    fn no_more_points_than_can_be_seen() {
        let codes = Array2::from_shape_fn((25_000, 2), |(i, j)| (i * (j + 3)) as f32 % 7.0);
        let labels: Vec<u8> = (0..25_000).map(|i| (i % 10) as u8).collect();
        let svg = latent_scatter(codes.view(), &labels).unwrap();
        well_formed(&svg);
        let drawn = svg.matches("h0").count();
        assert!((5_000..=MOST).contains(&drawn), "{drawn}");
    }

    #[test]
    fn codes_astray_are_left_out() {
        let codes = array![[0.0, f32::NAN], [f32::MAX, -f32::MAX], [f32::INFINITY, 0.0]];
        let svg = latent_scatter(codes.view(), &[0, 250, 2]).unwrap();
        well_formed(&svg);
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
