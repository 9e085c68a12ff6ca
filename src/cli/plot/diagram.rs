//! Boxes and arrows: what depends on what, and which way gradients flow.

use super::chart::colors;
use super::svg::{BOLD, Entry, FAINT, INK, MIDDLE, PLAIN, Point, Svg};

/// The size of a node.
const WIDTH: f64 = 152.0;
const HEIGHT: f64 = 58.0;

/// How far an arrow that goes back runs beside the one that goes forward.
const BESIDE: f64 = 11.0;

/// What a node stands for, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Computed from what leads to it, or given.
    Computed,
    /// Drawn at random.
    Random,
    /// A term of the objective.
    Objective,
}

/// A node: its middle in the picture, a title and a line beneath it.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub kind: Kind,
    pub at: Point,
    pub title: &'static str,
    pub note: &'static str,
}

impl Node {
    /// A node whose middle is at (x, y).
    pub fn new(kind: Kind, x: f64, y: f64, title: &'static str, note: &'static str) -> Self {
        Self {
            kind,
            at: (x, y),
            title,
            note,
        }
    }
}

/// Which way an arrow points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// From what is used to what is computed.
    Forward,
    /// A gradient on its way back.
    Back,
    /// A gradient that cannot go back.
    Blocked,
}

/// An arrow between two nodes, by their numbers.
#[derive(Debug, Clone, Copy)]
pub struct Arrow {
    pub flow: Flow,
    pub from: usize,
    pub to: usize,
}

/// A text on its own, such as the title of a part.
pub type Caption = (Point, &'static str);

/// The whole picture; `label` says what it shows, for those who cannot see it.
pub fn diagram(
    (width, height): Point,
    label: &str,
    captions: &[Caption],
    nodes: &[Node],
    arrows: &[Arrow],
) -> String {
    let mut svg = Svg::new(width, height, label);
    let entry = |mark, color, name: &str| Entry {
        mark,
        color,
        opacity: 1.0,
        name: name.to_owned(),
    };
    // What is not there needs no explanation, and where all arrows mean the same, neither do they.
    let random = nodes.iter().any(|node| node.kind == Kind::Random);
    let back = arrows.iter().any(|arrow| arrow.flow == Flow::Back);
    let entries: Vec<Entry> = [
        (random, entry("●", colors::ORANGE, "drawn at random")),
        (random || back, entry("→", FAINT, "computed from")),
        (back, entry("→", colors::VERMILION, "gradient")),
    ]
    .into_iter()
    .filter_map(|(shown, entry)| shown.then_some(entry))
    .collect();
    svg.legend((24.0, 24.0), &entries);
    for (at, text) in captions {
        svg.text(*at, super::svg::START, INK, BOLD, text);
    }
    for arrow in arrows {
        draw_arrow(&mut svg, nodes, arrow);
    }
    for node in nodes {
        draw_node(&mut svg, node);
    }
    svg.finish()
}

/// Where the line from the middle of a box towards `to` leaves the box.
fn border(at: Point, to: Point) -> Point {
    let (dx, dy) = (to.0 - at.0, to.1 - at.1);
    let reach = |half: f64, d: f64| {
        if d == 0.0 {
            f64::INFINITY
        } else {
            half / d.abs()
        }
    };
    let t = reach(WIDTH / 2.0 + 3.0, dx).min(reach(HEIGHT / 2.0 + 3.0, dy));
    (at.0 + t * dx, at.1 + t * dy)
}

fn draw_arrow(svg: &mut Svg, nodes: &[Node], arrow: &Arrow) {
    let (a, b) = (nodes[arrow.from].at, nodes[arrow.to].at);
    let length = (b.0 - a.0).hypot(b.1 - a.1);
    let (ux, uy) = ((b.0 - a.0) / length, (b.1 - a.1) / length);
    let aside = if arrow.flow == Flow::Forward {
        0.0
    } else {
        BESIDE
    };
    let shift = |p: Point| (p.0 - aside * uy, p.1 + aside * ux);
    let (start, end) = (shift(border(a, b)), shift(border(b, a)));
    let color = if arrow.flow == Flow::Forward {
        FAINT
    } else {
        colors::VERMILION
    };
    let dashes = if arrow.flow == Flow::Forward {
        ""
    } else {
        "6 4"
    };
    let neck = (end.0 - 10.0 * ux, end.1 - 10.0 * uy);
    svg.curve(&[start, neck], color, 1.8, dashes);
    let side = |sign: f64| (neck.0 - sign * 5.0 * uy, neck.1 + sign * 5.0 * ux);
    svg.filled(&[end, side(1.0), side(-1.0)], color, 1.0);
    let middle = ((start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0);
    if arrow.flow == Flow::Blocked {
        svg.text(middle, MIDDLE, colors::VERMILION, BOLD, "✕");
    }
}

fn draw_node(svg: &mut Svg, node: &Node) {
    let (x, y) = node.at;
    let (left, right) = (x - WIDTH / 2.0, x + WIDTH / 2.0);
    let (top, bottom) = (y - HEIGHT / 2.0, y + HEIGHT / 2.0);
    let outline = [(left, top), (right, top), (right, bottom), (left, bottom)];
    let (fill, edge) = match node.kind {
        Kind::Computed => ("#ffffff", INK),
        Kind::Random => ("#fdf0d5", colors::ORANGE),
        Kind::Objective => ("#e3f0f8", colors::BLUE),
    };
    svg.filled(&outline, fill, 1.0);
    let closed = [outline.as_slice(), &outline[..1]].concat();
    svg.curve(&closed, edge, 1.8, "");
    svg.text((x, y - 11.0), MIDDLE, INK, BOLD, node.title);
    svg.text((x, y + 12.0), MIDDLE, FAINT, PLAIN, node.note);
}

#[cfg(test)]
mod tests {
    use super::super::svg::check;
    use super::*;

    #[test]
    fn nodes_and_arrows() {
        let node = |at, kind| Node {
            kind,
            at,
            title: "z & x",
            note: "a < b",
        };
        let nodes = [
            node((90.0, 90.0), Kind::Computed),
            node((90.0, 240.0), Kind::Random),
            node((400.0, 240.0), Kind::Objective),
        ];
        let arrow = |flow, from, to| Arrow { flow, from, to };
        let arrows = [
            arrow(Flow::Forward, 0, 1),
            arrow(Flow::Back, 2, 1),
            arrow(Flow::Blocked, 1, 0),
        ];
        let svg = diagram(
            (500.0, 300.0),
            "a picture",
            &[((20.0, 60.0), "part")],
            &nodes,
            &arrows,
        );
        check(&svg);
        assert_eq!(svg.matches("z &amp; x").count(), 3);
        // The lines end at the borders of the boxes.
        assert_eq!(border((0.0, 0.0), (100.0, 0.0)).0, WIDTH / 2.0 + 3.0);
        assert_eq!(border((0.0, 0.0), (0.0, -100.0)).1, -HEIGHT / 2.0 - 3.0);
    }
}
