//! Charts: panels with lines, dots, bands, bars and contours on linear or logarithmic axes.

use super::axis::{Axis, Range};
use super::contour::Grid;
use super::svg::{
    Area, BOLD, EDGED, END, Entry, FAINT, GRID, INK, LARGE_EDGED, MIDDLE, PLAIN, Point, START, Svg,
};

/// The colours of Okabe and Ito, which colour-blind eyes tell apart, without the yellow that white swallows.
pub mod colors {
    pub const BLUE: &str = "#0072b2";
    pub const VERMILION: &str = "#d55e00";
    pub const GREEN: &str = "#009e73";
    pub const PURPLE: &str = "#cc79a7";
    pub const ORANGE: &str = "#e69f00";
    pub const SKY: &str = "#56b4e9";
    pub const BLACK: &str = "#000000";
    pub const GRAY: &str = "#6b6b6b";
}

/// Room to the left of a panel for the numbers of its axis, and to its right.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 22.0;

/// Where titles and names begin, to the left of the panel.
const INDENT: f64 = LEFT - 14.0;

/// The height of a line of text above a panel.
const ROW: f64 = 22.0;

/// The dashes of a solid curve, of a dashed one, and of a line across a panel.
const SOLID: &str = "";
const DASHED: &str = "6 4";
const DOTTED: &str = "3 3";

/// A picture of one or several panels, in rows.
pub struct Chart {
    label: String,
    rows: Vec<Vec<Panel>>,
}

impl Chart {
    /// An empty chart; `label` says what it shows, for those who cannot see it.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            rows: vec![Vec::new()],
        }
    }

    /// One more panel, to the right of the others in its row.
    pub fn panel(mut self, panel: Panel) -> Self {
        self.rows.last_mut().expect("a row").push(panel);
        self
    }

    /// One more panel, below all others.
    pub fn below(mut self, panel: Panel) -> Self {
        self.rows.push(vec![panel]);
        self
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let most = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let width = [640.0, 460.0, 400.0][most.min(3) - 1];
        let inner = width - LEFT - RIGHT;
        let (mut height, mut areas) = (0.0, Vec::new());
        for row in &self.rows {
            let tallest = |of: fn(&Panel) -> f64| row.iter().map(of).fold(0.0, f64::max);
            let top = height + row.iter().map(|p| p.above(inner)).fold(0.0, f64::max);
            for (i, panel) in row.iter().enumerate() {
                let area = Area {
                    left: width * i as f64 + LEFT,
                    top,
                    width: inner,
                    height: tallest(|panel| panel.height),
                };
                areas.push((panel, height, area));
            }
            height = top + tallest(|panel| panel.height) + tallest(Panel::beneath);
        }
        let mut svg = Svg::new(width * most as f64, height, &self.label);
        for (panel, top, area) in areas {
            panel.draw(&mut svg, top, area);
        }
        svg.finish()
    }
}

/// What a series looks like.
enum Shape {
    Line,
    Dots(f64),
    Bars(f64),
    /// Along the upper edge and back along the lower.
    Band,
    /// The lines of a function of the plane at some levels; there are no points.
    Contours(Vec<f64>, Box<dyn Fn(f64, f64) -> f64>),
}

/// Something that is drawn, with a name, or without one where the legend need not tell.
struct Series {
    name: String,
    color: &'static str,
    dashes: &'static str,
    shape: Shape,
    points: Vec<(f64, f64)>,
}

impl Series {
    /// Whether it is drawn beneath all that is not.
    fn is_filled(&self) -> bool {
        matches!(self.shape, Shape::Bars(_) | Shape::Band)
    }

    fn opacity(&self) -> f64 {
        match self.shape {
            Shape::Line | Shape::Contours(..) => 1.0,
            Shape::Dots(_) => 0.85,
            Shape::Bars(_) => 0.75,
            Shape::Band => 0.25,
        }
    }

    /// The character that stands for it in the legend.
    fn mark(&self) -> &'static str {
        match self.shape {
            Shape::Line | Shape::Contours(..) if self.dashes == SOLID => "—",
            Shape::Line | Shape::Contours(..) => "- -",
            Shape::Dots(diameter) if diameter < 4.0 => "•",
            Shape::Dots(_) => "●",
            Shape::Bars(_) | Shape::Band => "■",
        }
    }
}

/// One pair of axes and what is drawn in it: first bands and bars, then rules, then all else in its order, then words.
pub struct Panel {
    title: String,
    x: Axis,
    y: Axis,
    height: f64,
    same_scale: bool,
    series: Vec<Series>,
    /// Lines across the panel: the words at a line, where it crosses x or y, and whether it is upright.
    rules: Vec<(String, f64, bool)>,
    words: Vec<(String, (f64, f64))>,
    note: String,
}

impl Panel {
    /// An empty panel.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            height: 300.0,
            same_scale: false,
            series: Vec::new(),
            rules: Vec::new(),
            words: Vec::new(),
            note: String::new(),
        }
    }

    /// Makes the part that data are in so high; by default, 300.
    pub fn height(mut self, height: f64) -> Self {
        self.height = height;
        self
    }

    /// Widens one of the ranges so that a unit is as long along x as along y: circles look round.
    pub fn same_scale(mut self) -> Self {
        self.same_scale = true;
        self
    }

    /// A curve through points; broken where one of them is not a number.
    pub fn line(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, SOLID, Shape::Line, points)
    }

    /// A dashed curve.
    pub fn dashed(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, DASHED, Shape::Line, points)
    }

    /// Dots.
    pub fn dots(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, SOLID, Shape::Dots(6.0), points)
    }

    /// Many dots: small ones.
    pub fn specks(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, SOLID, Shape::Dots(3.0), points)
    }

    /// Bars from 0 to the points, of a width in the units of x.
    pub fn bars(
        self,
        name: &str,
        color: &'static str,
        width: f64,
        points: Vec<(f64, f64)>,
    ) -> Self {
        self.add(name, color, SOLID, Shape::Bars(width), points)
    }

    /// A filled band: at each x, from the first y to the second.
    pub fn band(self, name: &str, color: &'static str, points: Vec<(f64, f64, f64)>) -> Self {
        let upper = points.iter().map(|&(x, _, high)| (x, high));
        let lower = points.iter().rev().map(|&(x, low, _)| (x, low));
        let outline = upper.chain(lower).collect();
        self.add(name, color, SOLID, Shape::Band, outline)
    }

    /// The lines along which a function has one of the levels. Give both axes a range, or data that span it.
    pub fn contours(
        self,
        name: &str,
        color: &'static str,
        levels: Vec<f64>,
        function: impl Fn(f64, f64) -> f64 + 'static,
    ) -> Self {
        let shape = Shape::Contours(levels, Box::new(function));
        self.add(name, color, SOLID, shape, Vec::new())
    }

    /// The same, dashed.
    pub fn dashed_contours(
        self,
        name: &str,
        color: &'static str,
        levels: Vec<f64>,
        function: impl Fn(f64, f64) -> f64 + 'static,
    ) -> Self {
        let shape = Shape::Contours(levels, Box::new(function));
        self.add(name, color, DASHED, shape, Vec::new())
    }

    fn add(
        mut self,
        name: &str,
        color: &'static str,
        dashes: &'static str,
        shape: Shape,
        points: Vec<(f64, f64)>,
    ) -> Self {
        self.series.push(Series {
            name: name.to_owned(),
            color,
            dashes,
            shape,
            points,
        });
        self
    }

    /// A thin dashed line across the panel at x, with a word beside it.
    pub fn vertical(mut self, at: f64, text: &str) -> Self {
        self.rules.push((text.to_owned(), at, true));
        self
    }

    /// A thin dashed line across the panel at y, with a word above its right end.
    pub fn horizontal(mut self, at: f64, text: &str) -> Self {
        self.rules.push((text.to_owned(), at, false));
        self
    }

    /// A bold word in the middle of a point.
    pub fn word(mut self, at: (f64, f64), text: &str) -> Self {
        self.words.push((text.to_owned(), at));
        self
    }

    /// A remark above the right end of the panel.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.note = text.into();
        self
    }

    /// The names of what is drawn, in rows that are as wide as the panel.
    fn legend(&self, width: f64) -> Vec<Vec<Entry>> {
        let (mut rows, mut used) = (Vec::<Vec<Entry>>::new(), f64::INFINITY);
        for series in self.series.iter().filter(|s| !s.name.is_empty()) {
            let entry = Entry {
                mark: series.mark(),
                color: series.color,
                opacity: series.opacity(),
                name: series.name.clone(),
            };
            // The legend may use the room of the y axis's numbers.
            if used + entry.width() > width + INDENT + RIGHT {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += entry.width();
            rows.last_mut().expect("a row").push(entry);
        }
        rows
    }

    /// The room above for the title, the legend and the title of the y axis.
    fn above(&self, width: f64) -> f64 {
        let title = usize::from(!self.title.is_empty());
        18.0 + ROW * (title + self.legend(width).len() + 1) as f64
    }

    /// The room below for the numbers and the title of the x axis.
    fn beneath(&self) -> f64 {
        if self.x.title.is_empty() { 40.0 } else { 62.0 }
    }

    fn draw(&self, svg: &mut Svg, top: f64, area: Area) {
        let view = self.view(area);
        self.draw_axes(svg, &view);
        svg.within(area, |svg| {
            for series in self.series.iter().filter(|s| s.is_filled()) {
                view.draw(svg, series);
            }
            for (_, at, upright) in &self.rules {
                let ends = match upright {
                    true => [(*at, f64::NEG_INFINITY), (*at, f64::INFINITY)],
                    false => [(f64::NEG_INFINITY, *at), (f64::INFINITY, *at)],
                };
                svg.curve(&ends.map(|end| view.end(end)), FAINT, 1.2, DOTTED);
            }
            for series in self.series.iter().filter(|s| !s.is_filled()) {
                view.draw(svg, series);
            }
        });
        self.draw_words(svg, &view);

        let (left, mut y) = (area.left - INDENT, top + 20.0);
        if !self.title.is_empty() {
            svg.text((left, y), START, INK, BOLD, &self.title);
            y += ROW;
        }
        for row in self.legend(area.width) {
            svg.legend((left, y), &row);
            y += ROW;
        }
    }

    /// The words beside rules and at points.
    fn draw_words(&self, svg: &mut Svg, view: &View) {
        let area = view.area;
        for (text, at, upright) in &self.rules {
            let (x, y) = match upright {
                true => view.end((*at, f64::INFINITY)),
                false => view.end((f64::INFINITY, *at)),
            };
            // Beside a line on the side that has more room.
            let (place, anchor) = match upright {
                true if x < area.left + 0.55 * area.width => ((x + 5.0, y + 11.0), START),
                true => ((x - 5.0, y + 11.0), END),
                false => ((x - 5.0, y - 10.0), END),
            };
            svg.text(place, anchor, INK, EDGED, text);
        }
        for (text, at) in &self.words {
            svg.text(view.end(*at), MIDDLE, colors::BLACK, LARGE_EDGED, text);
        }
        if !self.note.is_empty() {
            let above = (area.right(), area.top - 16.0);
            svg.text(above, END, FAINT, PLAIN, &self.note);
        }
    }

    fn draw_axes(&self, svg: &mut Svg, view: &View) {
        let area = view.area;
        let (left, right, bottom) = (area.left, area.right(), area.bottom());
        let wanted = ((area.height / 50.0) as usize).clamp(3, 6);
        for (tick, text) in self.y.numbers(view.y, wanted) {
            let (_, y) = view.put((view.x.low, tick));
            svg.line((left, y), (right, y), GRID);
            svg.text((left - 8.0, y), END, INK, PLAIN, &text);
        }
        let wanted = (area.width / 85.0) as usize;
        for (tick, text) in self.x.numbers(view.x, wanted) {
            let (x, _) = view.put((tick, view.y.low));
            svg.line((x, area.top), (x, bottom), GRID);
            svg.line((x, bottom), (x, bottom + 5.0), FAINT);
            svg.text((x, bottom + 18.0), MIDDLE, INK, PLAIN, &text);
        }
        svg.line((left, bottom), (right, bottom), FAINT);
        let middle = (left + area.width / 2.0, bottom + 44.0);
        svg.text(middle, MIDDLE, INK, PLAIN, &self.x.title);
        // Level, above the numbers: easier to read than upright.
        let above = (left - INDENT, area.top - 16.0);
        svg.text(above, START, INK, PLAIN, &self.y.title);
    }

    /// What the axes show of what is drawn.
    fn view(&self, area: Area) -> View<'_> {
        // Bars have sides, and feet.
        let points = self.series.iter().flat_map(|series| {
            let (half, feet) = match series.shape {
                Shape::Bars(width) => (width / 2.0, Some((f64::NAN, 0.0))),
                _ => (0.0, None),
            };
            let sides = move |&(x, y): &(f64, f64)| [(x - half, y), (x + half, y)];
            series.points.iter().flat_map(sides).chain(feet)
        });
        let (across, up): (Vec<f64>, Vec<f64>) = points.unzip();
        let positive = up.iter().all(|y| *y >= 0.0);
        let (mut x, mut y) = (self.x.shown(across), self.y.shown(up));
        // Nothing floats above the axis that could stand on it.
        if self.y.range.is_none() && !self.y.logarithmic && y.low < 0.0 && positive {
            y.low = 0.0;
        }
        if self.same_scale {
            let unit = (x.span() / area.width).max(y.span() / area.height);
            x = x.at_least(unit * area.width);
            y = y.at_least(unit * area.height);
        }
        View {
            panel: self,
            area,
            x,
            y,
        }
    }
}

/// A panel's part of the picture and what it shows, in even units.
struct View<'a> {
    panel: &'a Panel,
    area: Area,
    x: Range,
    y: Range,
}

impl View<'_> {
    /// Where a point in even units is in the picture.
    fn put(&self, (x, y): (f64, f64)) -> Point {
        (
            self.area.left + (x - self.x.low) / self.x.span() * self.area.width,
            self.area.bottom() - (y - self.y.low) / self.y.span() * self.area.height,
        )
    }

    /// Where a point is in the picture, if it has a place.
    fn place(&self, (x, y): (f64, f64)) -> Option<Point> {
        let (x, y) = (self.panel.x.even(x), self.panel.y.even(y));
        (x.is_finite() && y.is_finite()).then(|| self.put((x, y)))
    }

    /// Where a point is in the picture, what has no place at the edges of the panel.
    fn end(&self, (x, y): (f64, f64)) -> Point {
        let end = |axis: &Axis, shown: Range, value: f64| match axis.even(value) {
            even if even.is_finite() => even,
            even if even > 0.0 => shown.high,
            _ => shown.low,
        };
        self.put((end(&self.panel.x, self.x, x), end(&self.panel.y, self.y, y)))
    }

    /// A line's points in the picture, cut where one has no place.
    fn pieces(&self, points: &[(f64, f64)]) -> Vec<Vec<Point>> {
        let places: Vec<_> = points.iter().map(|point| self.place(*point)).collect();
        let pieces = places.split(Option::is_none);
        pieces
            .map(|piece| piece.iter().flatten().copied().collect())
            .filter(|piece: &Vec<_>| !piece.is_empty())
            .collect()
    }

    fn draw(&self, svg: &mut Svg, series: &Series) {
        let (points, color, dashes) = (&series.points, series.color, series.dashes);
        let opacity = series.opacity();
        match &series.shape {
            Shape::Line => {
                for piece in self.pieces(points) {
                    svg.curve(&piece, color, 2.2, dashes);
                }
            }
            Shape::Dots(diameter) => {
                for piece in self.pieces(points) {
                    svg.dots(&piece, color, *diameter, opacity);
                }
            }
            Shape::Bars(width) => {
                for &(x, y) in points.iter().filter(|point| self.place(**point).is_some()) {
                    let (left, top) = self.end((x - width / 2.0, y));
                    // On a logarithmic axis, 0 is at the edge.
                    let (right, bottom) = self.end((x + width / 2.0, 0.0));
                    let outline = [(left, top), (right, top), (right, bottom), (left, bottom)];
                    svg.filled(&outline, color, opacity);
                }
            }
            Shape::Band => svg.filled(&self.pieces(points).concat(), color, opacity),
            Shape::Contours(levels, function) => {
                let (x, y) = (&self.panel.x, &self.panel.y);
                let even = |across, up| function(x.value(across), y.value(up));
                let grid = Grid::of(even, self.x, self.y);
                for line in levels.iter().flat_map(|level| grid.lines(*level)) {
                    let line: Vec<_> = line.into_iter().map(|point| self.put(point)).collect();
                    svg.curve(&line, color, 1.6, dashes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::check;
    use super::*;

    fn empty(x: Axis, y: Axis) -> Panel {
        Panel::new("", x, y)
    }

    fn everything(x: Axis, y: Axis) -> Panel {
        let points = || vec![(1.0, 2.0), (10.0, f64::NAN), (100.0, -3.0), (1000.0, 50.0)];
        let band = vec![(1.0, 0.5, 2.0), (2.0, 1.0, 3.0)];
        Panel::new("a & b", x, y)
            .line("line", colors::BLUE, points())
            .dashed("dashed", colors::GREEN, points())
            .dots("dots", colors::VERMILION, points())
            .specks("", colors::BLACK, points())
            .bars("bars", colors::SKY, 0.8, points())
            .band("band", colors::ORANGE, band)
            .contours("levels", colors::PURPLE, vec![1.0, 2.0], |x, y| {
                x / 300.0 + y
            })
            .dashed_contours("dashed levels", colors::GRAY, vec![0.5], |x, y| x * y)
            .vertical(20.0, "here")
            .horizontal(2.0, "and <here>")
            .word((3.0, 4.0), "a 'word'")
            .note("a & note")
    }

    #[test]
    fn everything_is_well_formed_on_every_axis() {
        let (linear, log) = (Axis::linear, Axis::log);
        let ranges = (linear("x").range(0.0, 10.0), log("y").range(1e-9, 1e9));
        let chart = Chart::new("label")
            .panel(everything(linear("x"), linear("y")).same_scale())
            .panel(everything(log("x"), log("y")))
            .panel(everything(ranges.0, ranges.1))
            .below(empty(linear(""), log("")));
        let svg = chart.svg();
        check(&svg);
        assert_eq!(svg, chart.svg());
        assert!(svg.contains("10⁻⁵") && svg.contains("and &lt;here&gt;"));
    }

    #[test]
    fn a_line_is_cut_where_it_has_no_place() {
        let points = vec![(1.0, 1.0), (2.0, 2.0), (3.0, 0.0), (4.0, 4.0), (5.0, 5.0)];
        let panel = empty(Axis::linear(""), Axis::log("")).line("", colors::BLUE, points);
        let svg = Chart::new("").panel(panel).svg();
        assert_eq!(svg.matches(colors::BLUE).count(), 2, "{svg}");
    }

    #[test]
    fn the_legend_takes_as_many_rows_as_it_needs() {
        let mut panel = empty(Axis::linear("x"), Axis::linear("y"));
        assert!(panel.legend(400.0).is_empty());
        for _ in 0..6 {
            panel = panel.line("a name of thirty characters ..", colors::BLUE, vec![]);
        }
        let rows = panel.legend(400.0).len();
        assert!((3..=6).contains(&rows), "{rows}");
    }

    const AREA: Area = Area {
        left: 100.0,
        top: 10.0,
        width: 200.0,
        height: 50.0,
    };

    #[test]
    fn a_point_is_placed_upright() {
        let (x, y) = (
            Axis::linear("").range(0.0, 4.0),
            Axis::linear("").range(-1.0, 1.0),
        );
        let panel = empty(x, y);
        let view = panel.view(AREA);
        assert_eq!(view.place((0.0, -1.0)), Some((100.0, 60.0)));
        assert_eq!(view.place((4.0, 1.0)), Some((300.0, 10.0)));
        assert_eq!(view.place((1.0, 0.0)), Some((150.0, 35.0)));
        assert_eq!(view.end((f64::INFINITY, f64::NEG_INFINITY)), (300.0, 60.0));
    }

    #[test]
    fn circles_can_be_round() {
        let circle = empty(Axis::linear(""), Axis::linear("").range(-1.0, 1.0)).same_scale();
        let view = circle.view(AREA);
        assert_eq!(view.x.span(), 4.0 * view.y.span());
    }
}
