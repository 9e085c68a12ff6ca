//! Lines along which a function of the plane has one value.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::Range;

/// Cells of the grid along each axis: fine enough that straight pieces look round.
const CELLS: usize = 120;

/// An edge of the grid: from the node (column, row) to the right, or upward.
type Edge = (usize, usize, bool);

/// A function at the nodes of a grid over a rectangle.
pub struct Grid {
    x: Range,
    y: Range,
    /// Row by row, from the lowest y up.
    values: Vec<f64>,
}

impl Grid {
    /// Evaluates `f` at every node.
    pub fn of(f: impl Fn(f64, f64) -> f64, x: Range, y: Range) -> Self {
        let at = |range: Range, i: usize| range.low + range.span() * i as f64 / CELLS as f64;
        let nodes = (0..=CELLS).flat_map(|row| (0..=CELLS).map(move |column| (column, row)));
        let values = nodes.map(|(column, row)| f(at(x, column), at(y, row)));
        Self {
            x,
            y,
            values: values.collect(),
        }
    }

    /// The lines of a level, each as the points that it runs through; a closed line ends where it began. Cells with
    /// a corner that is not a number have none.
    pub fn lines(&self, level: f64) -> Vec<Vec<(f64, f64)>> {
        let mut neighbours: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
        for row in 0..CELLS {
            for column in 0..CELLS {
                for (from, to) in self.pieces(column, row, level) {
                    neighbours.entry(from).or_default().push(to);
                    neighbours.entry(to).or_default().push(from);
                }
            }
        }
        // Lines that end at the border are followed from an end; what is left are loops.
        let ends = neighbours.iter().filter(|(_, next)| next.len() == 1);
        let starts: Vec<Edge> = ends
            .map(|(edge, _)| *edge)
            .chain(neighbours.keys().copied())
            .collect();
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        for start in starts {
            let line = follow(start, &neighbours, &mut seen);
            if line.len() > 1 {
                lines.push(line.iter().map(|e| self.crossing(*e, level)).collect());
            }
        }
        lines
    }

    /// The straight pieces of a level in one cell, by the edges that they join ("marching squares").
    fn pieces(&self, column: usize, row: usize, level: f64) -> Vec<(Edge, Edge)> {
        let corners = [
            self.value(column, row),
            self.value(column + 1, row),
            self.value(column + 1, row + 1),
            self.value(column, row + 1),
        ];
        if corners.iter().any(|value| !value.is_finite()) {
            return Vec::new();
        }
        // Bottom, right, top, left: the edge i is between the corners i and i + 1.
        let edges = [
            (column, row, false),
            (column + 1, row, true),
            (column, row + 1, false),
            (column, row, true),
        ];
        let above = corners.map(|value| value > level);
        let crossed: Vec<usize> = (0..4).filter(|&i| above[i] != above[(i + 1) % 4]).collect();
        match crossed[..] {
            [a, b] => vec![(edges[a], edges[b])],
            // A saddle: the value in the middle says which corners belong together.
            [_, _, _, _] => {
                let middle = corners.iter().sum::<f64>() / 4.0 > level;
                match above[0] == middle {
                    true => vec![(edges[0], edges[1]), (edges[2], edges[3])],
                    false => vec![(edges[3], edges[0]), (edges[1], edges[2])],
                }
            }
            _ => Vec::new(),
        }
    }

    fn value(&self, column: usize, row: usize) -> f64 {
        self.values[row * (CELLS + 1) + column]
    }

    /// Where an edge meets the level, if the function is linear along it.
    fn crossing(&self, (column, row, upward): Edge, level: f64) -> (f64, f64) {
        let (right, up) = if upward { (0, 1) } else { (1, 0) };
        let (a, b) = (
            self.value(column, row),
            self.value(column + right, row + up),
        );
        let way = (level - a) / (b - a);
        let at = |range: Range, i: usize, way: f64| {
            range.low + range.span() * (i as f64 + way) / CELLS as f64
        };
        (
            at(self.x, column, way * right as f64),
            at(self.y, row, way * up as f64),
        )
    }
}

/// The edges that a line crosses from `start` on, as far as they have not been seen.
fn follow(
    start: Edge,
    neighbours: &BTreeMap<Edge, Vec<Edge>>,
    seen: &mut BTreeSet<Edge>,
) -> Vec<Edge> {
    let mut line = Vec::new();
    let mut next = Some(start).filter(|edge| !seen.contains(edge));
    while let Some(edge) = next {
        seen.insert(edge);
        line.push(edge);
        next = neighbours[&edge]
            .iter()
            .copied()
            .find(|edge| !seen.contains(edge));
    }
    // Back at the start: a loop is closed.
    if line.len() > 2 && neighbours[&start].contains(&line[line.len() - 1]) {
        line.push(start);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Range = Range::new(-2.0, 2.0);

    #[test]
    fn a_circle_is_one_closed_line() {
        let lines = Grid::of(|x, y| x * x + y * y, SQUARE, SQUARE).lines(1.0);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].first(), lines[0].last());
        assert!(lines[0].len() > 200);
        for (x, y) in &lines[0] {
            assert!((x.hypot(*y) - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn lines_end_at_the_border_and_saddles_do_not_cross() {
        let slope = Grid::of(|x, y| x + 0.3 * y, SQUARE, SQUARE);
        assert_eq!(slope.lines(0.1).len(), 1);
        assert!(slope.lines(99.0).is_empty());
        let saddle = Grid::of(|x, y| x * y, SQUARE, SQUARE);
        assert_eq!(saddle.lines(0.3).len(), 2);
        // The middle of the saddle is in the middle of a cell.
        let shifted = Range::new(-2.0 + 4.0 / 240.0, 2.0 + 4.0 / 240.0);
        assert_eq!(Grid::of(|x, y| x * y, shifted, shifted).lines(0.0).len(), 2);
    }

    #[test]
    fn what_is_no_number_has_no_line() {
        assert!(
            Grid::of(|_, _| f64::NAN, SQUARE, SQUARE)
                .lines(0.0)
                .is_empty()
        );
        let half = |x: f64, y: f64| if x < 0.0 { f64::NAN } else { y };
        assert_eq!(Grid::of(half, SQUARE, SQUARE).lines(0.1).len(), 1);
    }
}
