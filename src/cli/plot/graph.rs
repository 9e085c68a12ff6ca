//! A computation as a graph: what was computed from what, with numbers that went forward and numbers that came back.

use super::chart::colors;
use super::svg::{BOLD, EDGED, END, Entry, FAINT, INK, MIDDLE, PLAIN, Point, START, Svg};

/// The size of a box, and the distances between boxes.
const WIDTH: f64 = 136.0;
const HEIGHT: f64 = 82.0;
const COLUMN: f64 = 236.0;
const ROW: f64 = 176.0;
const MARGIN: f64 = 26.0;

/// Room above for the legend.
const ABOVE: f64 = 40.0;

/// One value of a computation.
pub struct Station {
    /// What it is: `u = x w`.
    pub title: String,
    /// Its value.
    pub value: String,
    /// Its cotangent.
    pub cotangent: String,
    /// The stations that it was computed from, which stand before it, each with what is given back to it.
    pub inputs: Vec<(usize, String)>,
}

/// The graph, from left to right; `label` says what it shows, for those who cannot see it.
pub fn graph(label: &str, stations: &[Station]) -> String {
    let places = places(stations);
    let right = places.iter().fold(0.0, |m: f64, p| m.max(p.0));
    let bottom = places.iter().fold(0.0, |m: f64, p| m.max(p.1));
    let (width, height) = (
        right + WIDTH + 2.0 * MARGIN,
        ABOVE + bottom + HEIGHT + 2.0 * MARGIN,
    );
    let mut svg = Svg::new(width, height, label);
    let entry = |color, name: &str| Entry {
        mark: "●",
        color,
        opacity: 1.0,
        name: name.to_owned(),
    };
    let entries = [
        entry(colors::BLUE, "value, computed from left to right"),
        entry(
            colors::VERMILION,
            "cotangent, from right to left; on an arrow: the part that goes back along it",
        ),
    ];
    svg.legend((MARGIN, MARGIN), &entries);
    let corner = |i: usize| (places[i].0 + MARGIN, places[i].1 + MARGIN + ABOVE);
    for (to, station) in stations.iter().enumerate() {
        for (from, given) in &station.inputs {
            arrow(&mut svg, corner(*from), corner(to), given);
        }
    }
    for (i, station) in stations.iter().enumerate() {
        draw(&mut svg, corner(i), station);
    }
    svg.finish()
}

/// Columns by the longest way from the left, rows between those of the inputs.
fn places(stations: &[Station]) -> Vec<Point> {
    let mut places: Vec<Point> = Vec::new();
    let mut first = 0.0;
    for station in stations {
        let before: Vec<Point> = station.inputs.iter().map(|(i, _)| places[*i]).collect();
        if before.is_empty() {
            places.push((0.0, first));
            first += ROW;
            continue;
        }
        let x = before.iter().fold(0.0, |m: f64, p| m.max(p.0)) + COLUMN;
        let y = before.iter().map(|p| p.1).sum::<f64>() / before.len() as f64;
        places.push((x, y));
    }
    places
}

fn arrow(svg: &mut Svg, from: Point, to: Point, given: &str) {
    let start = (from.0 + WIDTH, from.1 + HEIGHT / 2.0);
    let end = (to.0, to.1 + HEIGHT / 2.0);
    let (dx, dy) = (end.0 - start.0, end.1 - start.1);
    let length = dx.hypot(dy);
    let (ux, uy) = (dx / length, dy / length);
    let neck = (end.0 - 11.0 * ux, end.1 - 11.0 * uy);
    let side = |sign: f64| (neck.0 - sign * 5.0 * uy, neck.1 + sign * 5.0 * ux);
    svg.curve(&[start, neck], FAINT, 1.6, "");
    svg.filled(&[end, side(1.0), side(-1.0)], FAINT, 1.0);
    let middle = (start.0 + 0.5 * dx, start.1 + 0.5 * dy);
    svg.text(middle, MIDDLE, colors::VERMILION, EDGED, given);
}

fn draw(svg: &mut Svg, (left, top): Point, station: &Station) {
    let (right, bottom) = (left + WIDTH, top + HEIGHT);
    let outline = [(left, top), (right, top), (right, bottom), (left, bottom)];
    svg.filled(&outline, "#ffffff", 1.0);
    let closed = [outline.as_slice(), &outline[..1]].concat();
    svg.curve(&closed, INK, 1.4, "");
    let title = (left + 12.0, top + 18.0);
    svg.text(title, START, INK, BOLD, &station.title);
    let lines = [
        (42.0, colors::BLUE, "value", &station.value),
        (64.0, colors::VERMILION, "cotangent", &station.cotangent),
    ];
    for (down, color, name, number) in lines {
        svg.text((left + 12.0, top + down), START, INK, PLAIN, name);
        svg.text((right - 12.0, top + down), END, color, PLAIN, number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::check;
    use super::*;

    #[test]
    fn boxes_and_arrows() {
        let station = |title: &str, inputs: &[usize]| Station {
            title: title.to_owned(),
            value: "3".to_owned(),
            cotangent: "-18".to_owned(),
            inputs: inputs.iter().map(|&i| (i, "<6>".to_owned())).collect(),
        };
        let stations = [
            station("x", &[]),
            station("w", &[]),
            station("u & v", &[0, 1]),
        ];
        assert_eq!(
            places(&stations),
            [(0.0, 0.0), (0.0, ROW), (COLUMN, ROW / 2.0)]
        );
        let svg = graph("a graph", &stations);
        check(&svg);
        assert_eq!(svg.matches("&lt;6&gt;").count(), 2);
        check(&graph("nothing", &[]));
    }
}
