//! Charts: panels side by side with lines, dots, bands, bars and contours on linear or logarithmic axes.

use super::axis::{Range, label, ticks};
use super::contour::Grid;
use super::svg::{Anchor, Area, FAINT, GRID, INK, Svg};

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

/// The height of the part that data are in.
const HEIGHT: f64 = 300.0;

/// Room to the left of a panel for the numbers of its axis, and to its right.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 22.0;

/// Room below for the numbers and the title of the x axis.
const BELOW: f64 = 62.0;

/// The height of a line of text above the panels.
const ROW: f64 = 22.0;

/// The width that a character takes at most, on the average of a name.
const LETTER: f64 = 7.6;

/// The mark before a name in the legend.
const SWATCH: f64 = 22.0;

/// A picture of one or several panels.
pub struct Chart {
    label: String,
    panels: Vec<Panel>,
}

impl Chart {
    /// An empty chart; `label` says what it shows, for those who cannot see it.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            panels: Vec::new(),
        }
    }

    /// One more panel, to the right of the others.
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let width = match self.panels.len() {
            0 | 1 => 640.0,
            2 => 460.0,
            _ => 400.0,
        };
        let inner = width - LEFT - RIGHT;
        let rows = self.panels.iter().map(|p| p.legend_rows(inner)).max();
        let titled = self.panels.iter().any(|panel| !panel.title.is_empty());
        // Title, legend, the title of the y axis.
        let top = 18.0 + ROW * (rows.unwrap_or(0) as f64 + 1.0 + f64::from(u8::from(titled)));
        let mut svg = Svg::new(
            width * self.panels.len().max(1) as f64,
            top + HEIGHT + BELOW,
            &self.label,
        );
        for (i, panel) in self.panels.iter().enumerate() {
            let area = Area {
                left: width * i as f64 + LEFT,
                top,
                width: inner,
                height: HEIGHT,
            };
            panel.draw(&mut svg, area);
        }
        svg.finish()
    }
}

/// What an axis shows, and how.
#[derive(Debug, Clone)]
pub struct Axis {
    title: String,
    logarithmic: bool,
    range: Option<Range>,
}

impl Axis {
    /// An axis with equal steps.
    pub fn linear(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            logarithmic: false,
            range: None,
        }
    }

    /// An axis with equal factors; what is not positive is not shown.
    pub fn log(title: impl Into<String>) -> Self {
        Self {
            logarithmic: true,
            ..Self::linear(title)
        }
    }

    /// Shows exactly this range; by default, all of the data and some room.
    pub fn range(self, low: f64, high: f64) -> Self {
        assert!(low < high, "an axis from {low} to {high}");
        Self {
            range: Some(Range { low, high }),
            ..self
        }
    }

    /// A value in the units that are even along the axis, if it has a place there.
    fn even(&self, value: f64) -> Option<f64> {
        let even = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        even.is_finite().then_some(even)
    }

    /// What is shown, in even units.
    fn shown(&self, values: impl IntoIterator<Item = f64>) -> Range {
        if let Some(Range { low, high }) = self.range {
            let end = |value| self.even(value).expect("the ends of an axis are on it");
            return Range {
                low: end(low),
                high: end(high),
            };
        }
        let values = values.into_iter().filter_map(|value| self.even(value));
        Range::of(values)
            .unwrap_or(Range {
                low: 0.0,
                high: 1.0,
            })
            .padded()
    }

    /// Where the axis has numbers, in even units, and the numbers.
    fn ticks(&self, shown: Range, wanted: usize) -> Vec<(f64, String)> {
        if !self.logarithmic {
            let (ticks, step) = ticks(shown, wanted, 0.0);
            return ticks.iter().map(|&t| (t, label(t, step))).collect();
        }
        if shown.span() < 1.5 {
            return fine_ticks(shown);
        }
        let (ticks, _) = ticks(shown, wanted, 1.0);
        ticks.iter().map(|&t| (t, power_of_ten(t))).collect()
    }
}

/// Ticks at 1, 2 and 5 times the powers of ten.
fn fine_ticks(shown: Range) -> Vec<(f64, String)> {
    let decades = shown.low.floor() as i32..=shown.high.ceil() as i32;
    let values = decades.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| (digit, power)));
    values
        .map(|(digit, power)| (digit * 10f64.powi(power), 10f64.powi(power)))
        .filter(|(value, _)| shown.contains(value.log10()))
        .map(|(value, step)| (value.log10(), label(value, step)))
        .collect()
}

/// 10 with an exponent; the powers near 1 as they are.
fn power_of_ten(exponent: f64) -> String {
    let exponent = exponent.round() as i32;
    if (-2..=3).contains(&exponent) {
        return label(10f64.powi(exponent), 10f64.powi(exponent));
    }
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
    };
    let exponent: String = exponent.to_string().chars().map(raised).collect();
    format!("10{exponent}")
}

/// What a series looks like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Line(&'static str),
    Dots(f64),
    Bars(f64),
    Band,
}

/// Points with a name, or without one where the legend need not tell.
struct Series {
    name: String,
    color: &'static str,
    shape: Shape,
    points: Vec<(f64, f64)>,
    /// The lower edge of a band.
    lower: Vec<(f64, f64)>,
}

/// The lines of a function of the plane.
struct Contours {
    name: String,
    color: &'static str,
    dashes: &'static str,
    levels: Vec<f64>,
    function: Box<dyn Fn(f64, f64) -> f64>,
}

/// A straight line across the panel.
struct Rule {
    vertical: bool,
    at: f64,
    text: String,
}

/// One pair of axes and what is drawn in it: first bands and bars, then rules, contours, lines, dots, words.
pub struct Panel {
    title: String,
    x: Axis,
    y: Axis,
    same_scale: bool,
    series: Vec<Series>,
    contours: Vec<Contours>,
    rules: Vec<Rule>,
}

impl Panel {
    /// An empty panel.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            same_scale: false,
            series: Vec::new(),
            contours: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Widens one of the ranges so that a unit is as long along x as along y: circles look round.
    pub fn same_scale(mut self) -> Self {
        self.same_scale = true;
        self
    }

    /// A curve through points; broken where one of them is not a number.
    pub fn line(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, Shape::Line(""), points, Vec::new())
    }

    /// A dashed curve.
    pub fn dashed(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, Shape::Line("6 4"), points, Vec::new())
    }

    /// Dots.
    pub fn dots(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, Shape::Dots(6.0), points, Vec::new())
    }

    /// Many dots: small ones.
    pub fn specks(self, name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Self {
        self.add(name, color, Shape::Dots(3.0), points, Vec::new())
    }

    /// Bars from 0 to the points, of a width in the units of x.
    pub fn bars(
        self,
        name: &str,
        color: &'static str,
        width: f64,
        points: Vec<(f64, f64)>,
    ) -> Self {
        self.add(name, color, Shape::Bars(width), points, Vec::new())
    }

    /// A filled band: at each x, from the first y to the second.
    pub fn band(self, name: &str, color: &'static str, points: Vec<(f64, f64, f64)>) -> Self {
        let lower = points.iter().map(|&(x, low, _)| (x, low)).collect();
        let upper = points.iter().map(|&(x, _, high)| (x, high)).collect();
        self.add(name, color, Shape::Band, upper, lower)
    }

    fn add(
        mut self,
        name: &str,
        color: &'static str,
        shape: Shape,
        points: Vec<(f64, f64)>,
        lower: Vec<(f64, f64)>,
    ) -> Self {
        self.series.push(Series {
            name: name.to_owned(),
            color,
            shape,
            points,
            lower,
        });
        self
    }

    /// The lines along which a function has one of the levels. Give both axes a range, or data that span it.
    pub fn contours(
        self,
        name: &str,
        color: &'static str,
        levels: Vec<f64>,
        function: impl Fn(f64, f64) -> f64 + 'static,
    ) -> Self {
        self.add_contours(name, color, "", levels, function)
    }

    /// The same, dashed.
    pub fn dashed_contours(
        self,
        name: &str,
        color: &'static str,
        levels: Vec<f64>,
        function: impl Fn(f64, f64) -> f64 + 'static,
    ) -> Self {
        self.add_contours(name, color, "6 4", levels, function)
    }

    fn add_contours(
        mut self,
        name: &str,
        color: &'static str,
        dashes: &'static str,
        levels: Vec<f64>,
        function: impl Fn(f64, f64) -> f64 + 'static,
    ) -> Self {
        self.contours.push(Contours {
            name: name.to_owned(),
            color,
            dashes,
            levels,
            function: Box::new(function),
        });
        self
    }

    /// A thin dashed line across the panel at x, with a word beside it.
    pub fn vertical(mut self, at: f64, text: &str) -> Self {
        self.rules.push(Rule {
            vertical: true,
            at,
            text: text.to_owned(),
        });
        self
    }

    /// A thin dashed line across the panel at y, with a word above its right end.
    pub fn horizontal(mut self, at: f64, text: &str) -> Self {
        self.rules.push(Rule {
            vertical: false,
            at,
            text: text.to_owned(),
        });
        self
    }

    fn draw(&self, svg: &mut Svg, area: Area) {
        let view = self.view(area);
        self.draw_axes(svg, &view);
        svg.within(area, |svg| {
            self.draw_filled(svg, &view);
            for rule in &self.rules {
                let ends = match rule.vertical {
                    true => [(rule.at, f64::NEG_INFINITY), (rule.at, f64::INFINITY)],
                    false => [(f64::NEG_INFINITY, rule.at), (f64::INFINITY, rule.at)],
                };
                if let [Some(a), Some(b)] = ends.map(|end| view.end(end)) {
                    svg.curve(&[a, b], FAINT, 1.2, "3 3");
                }
            }
            for contours in &self.contours {
                let grid = Grid::of(
                    |x, y| (contours.function)(view.x.value(x), view.y.value(y)),
                    view.x.shown,
                    view.y.shown,
                );
                for line in contours.levels.iter().flat_map(|level| grid.lines(*level)) {
                    let line: Vec<_> = line.into_iter().map(|point| view.put(point)).collect();
                    svg.curve(&line, contours.color, 1.6, contours.dashes);
                }
            }
            for series in &self.series {
                match series.shape {
                    Shape::Line(dashes) => {
                        for piece in view.pieces(&series.points) {
                            svg.curve(&piece, series.color, 2.2, dashes);
                        }
                    }
                    Shape::Dots(diameter) => {
                        let points = view.pieces(&series.points).concat();
                        svg.dots(&points, series.color, diameter, 0.85);
                    }
                    Shape::Bars(_) | Shape::Band => {}
                }
            }
        });
        self.draw_words(svg, &view);
        self.draw_legend(svg, area);
    }

    /// Bars and bands, which all else is drawn upon.
    fn draw_filled(&self, svg: &mut Svg, view: &View) {
        for series in &self.series {
            match series.shape {
                Shape::Bars(width) => {
                    for &(x, y) in &series.points {
                        let ends = [
                            view.place((x - width / 2.0, y)),
                            view.end((x + width / 2.0, view.y.floor())),
                        ];
                        if let [Some(a), Some(b)] = ends {
                            let outline = [a, (b.0, a.1), b, (a.0, b.1)];
                            svg.filled(&outline, series.color, 0.75);
                        }
                    }
                }
                Shape::Band => {
                    let edges = series.points.iter().chain(series.lower.iter().rev());
                    let outline: Vec<_> = edges.filter_map(|point| view.place(*point)).collect();
                    svg.filled(&outline, series.color, 0.25);
                }
                Shape::Line(_) | Shape::Dots(_) => {}
            }
        }
    }

    /// The words beside rules and at points.
    fn draw_words(&self, svg: &mut Svg, view: &View) {
        let area = view.area;
        for rule in &self.rules {
            if rule.vertical {
                let Some((x, y)) = view.end((rule.at, f64::INFINITY)) else {
                    continue;
                };
                // On the side that has more room.
                match x < area.left + 0.55 * area.width {
                    true => svg.label((x + 5.0, y + 11.0), Anchor::Start, &rule.text),
                    false => svg.label((x - 5.0, y + 11.0), Anchor::End, &rule.text),
                }
            } else if let Some((x, y)) = view.end((f64::INFINITY, rule.at)) {
                svg.label((x - 5.0, y - 10.0), Anchor::End, &rule.text);
            }
        }
    }

    fn draw_axes(&self, svg: &mut Svg, view: &View) {
        let area = view.area;
        let wanted = (area.height / 50.0) as usize;
        for (tick, text) in self.y.ticks(view.y.shown, wanted) {
            let (_, y) = view.put((view.x.shown.low, tick));
            svg.line((area.left, y), (area.right(), y), GRID);
            svg.text((area.left - 8.0, y), Anchor::End, INK, &text);
        }
        let wanted = (area.width / 85.0) as usize;
        for (tick, text) in self.x.ticks(view.x.shown, wanted) {
            let (x, _) = view.put((tick, view.y.shown.low));
            svg.line((x, area.top), (x, area.bottom()), GRID);
            svg.line((x, area.bottom()), (x, area.bottom() + 5.0), FAINT);
            svg.text((x, area.bottom() + 18.0), Anchor::Middle, INK, &text);
        }
        let (left, right) = ((area.left, area.bottom()), (area.right(), area.bottom()));
        svg.line(left, right, FAINT);
        let middle = area.left + area.width / 2.0;
        let below = area.bottom() + 44.0;
        svg.text((middle, below), Anchor::Middle, INK, &self.x.title);
        // Level, above the numbers: easier to read than upright.
        let start = area.left - LEFT + 14.0;
        svg.text((start, area.top - 16.0), Anchor::Start, INK, &self.y.title);
    }

    /// The title, and below it the names of what is drawn.
    fn draw_legend(&self, svg: &mut Svg, area: Area) {
        let (left, mut y) = (area.left - LEFT + 14.0, 20.0);
        if !self.title.is_empty() {
            svg.heading((left, y), &self.title);
            y += ROW;
        }
        for (row, x, entry) in self.legend(area.width) {
            let (x, y) = (left + x, y + ROW * row as f64);
            let ends = [(x, y), (x + SWATCH, y)];
            match entry.shape {
                Shape::Line(dashes) => svg.curve(&ends, entry.color, 2.2, dashes),
                Shape::Dots(diameter) => {
                    svg.dots(&[(x + SWATCH / 2.0, y)], entry.color, diameter, 0.85);
                }
                Shape::Bars(_) | Shape::Band => {
                    let opacity = match entry.shape {
                        Shape::Band => 0.25,
                        _ => 0.75,
                    };
                    let (top, bottom) = (y - 6.0, y + 6.0);
                    let (a, b) = (x + 3.0, x + SWATCH - 3.0);
                    let outline = [(a, top), (b, top), (b, bottom), (a, bottom)];
                    svg.filled(&outline, entry.color, opacity);
                }
            }
            svg.text((x + SWATCH + 6.0, y), Anchor::Start, INK, entry.name);
        }
    }

    /// The named things: each with its row and its place in the row.
    fn legend(&self, width: f64) -> Vec<(usize, f64, Entry<'_>)> {
        let contours = self.contours.iter().map(|contours| Entry {
            name: &contours.name,
            color: contours.color,
            shape: Shape::Line(contours.dashes),
        });
        let series = self.series.iter().map(|series| Entry {
            name: &series.name,
            color: series.color,
            shape: series.shape,
        });
        let (mut row, mut x) = (0, 0.0);
        let mut placed = Vec::new();
        for entry in contours.chain(series).filter(|e| !e.name.is_empty()) {
            let wide = SWATCH + 6.0 + LETTER * entry.name.chars().count() as f64;
            // The legend may use the room of the y axis's numbers.
            if x > 0.0 && x + wide > width + LEFT - 14.0 {
                (row, x) = (row + 1, 0.0);
            }
            placed.push((row, x, entry));
            x += wide + 18.0;
        }
        placed
    }

    fn legend_rows(&self, width: f64) -> usize {
        self.legend(width).last().map_or(0, |(row, ..)| row + 1)
    }

    /// What the axes show of what is drawn.
    fn view(&self, area: Area) -> View {
        let points = || {
            let series = self.series.iter();
            series.flat_map(|series| series.points.iter().chain(&series.lower))
        };
        let bars = || {
            self.series.iter().filter_map(|series| match series.shape {
                Shape::Bars(width) => Some((width, &series.points)),
                _ => None,
            })
        };
        let sides = bars().flat_map(|(width, points)| {
            points
                .iter()
                .flat_map(move |(x, _)| [x - width / 2.0, x + width / 2.0])
        });
        let feet = bars().map(|_| 0.0);
        let mut x = self.x.shown(points().map(|point| point.0).chain(sides));
        let mut y = self.y.shown(points().map(|point| point.1).chain(feet));
        // Bars stand on the axis.
        let free = self.y.range.is_none() && !self.y.logarithmic;
        if free && y.low < 0.0 && points().all(|(_, y)| *y >= 0.0) {
            y.low = 0.0;
        }
        if self.same_scale {
            let unit = (x.span() / area.width).max(y.span() / area.height);
            x = x.at_least(unit * area.width);
            y = y.at_least(unit * area.height);
        }
        let scale = |axis: &Axis, shown| Scale {
            logarithmic: axis.logarithmic,
            shown,
        };
        View {
            area,
            x: scale(&self.x, x),
            y: scale(&self.y, y),
        }
    }
}

/// A line of the legend.
struct Entry<'a> {
    name: &'a str,
    color: &'static str,
    shape: Shape,
}

/// How values lie along an axis.
struct Scale {
    logarithmic: bool,
    /// In even units.
    shown: Range,
}

impl Scale {
    fn even(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => value.log10(),
            false => value,
        }
    }

    fn value(&self, even: f64) -> f64 {
        match self.logarithmic {
            true => 10f64.powf(even),
            false => even,
        }
    }

    /// Where bars stand.
    fn floor(&self) -> f64 {
        match self.logarithmic {
            true => f64::NEG_INFINITY,
            false => 0.0,
        }
    }
}

/// A panel's part of the picture and what it shows.
struct View {
    area: Area,
    x: Scale,
    y: Scale,
}

impl View {
    /// Where a point in even units is in the picture.
    fn put(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (area, across, up) = (self.area, self.x.shown, self.y.shown);
        (
            area.left + (x - across.low) / across.span() * area.width,
            area.bottom() - (y - up.low) / up.span() * area.height,
        )
    }

    /// Where a point is in the picture, if it has a place.
    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let (x, y) = (self.x.even(x), self.y.even(y));
        (x.is_finite() && y.is_finite()).then(|| self.put((x, y)))
    }

    /// The same, with the infinities at the edges of the panel.
    fn end(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let end = |scale: &Scale, value: f64| match value {
            f64::NEG_INFINITY => scale.shown.low,
            f64::INFINITY => scale.shown.high,
            value => scale.even(value),
        };
        let (x, y) = (end(&self.x, x), end(&self.y, y));
        (x.is_finite() && y.is_finite()).then(|| self.put((x, y)))
    }

    /// A line's points in the picture, cut where one has no place.
    fn pieces(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let places: Vec<_> = points.iter().map(|point| self.place(*point)).collect();
        places
            .split(Option::is_none)
            .map(|piece| piece.iter().flatten().copied().collect())
            .filter(|piece: &Vec<_>| !piece.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::check::well_formed;
    use super::*;

    fn everything(x: Axis, y: Axis) -> Panel {
        let points = || vec![(1.0, 2.0), (10.0, f64::NAN), (100.0, -3.0), (1000.0, 50.0)];
        Panel::new("a & b", x, y)
            .line("line", colors::BLUE, points())
            .dashed("dashed", colors::GREEN, points())
            .dots("dots", colors::VERMILION, points())
            .specks("", colors::BLACK, points())
            .bars("bars", colors::SKY, 0.8, points())
            .band(
                "band",
                colors::ORANGE,
                vec![(1.0, 0.5, 2.0), (2.0, 1.0, 3.0)],
            )
            .contours("levels", colors::PURPLE, vec![1.0, 2.0], |x, y| {
                x / 300.0 + y
            })
            .dashed_contours("dashed levels", colors::GRAY, vec![0.5], |x, y| x * y)
            .vertical(20.0, "here")
            .horizontal(2.0, "and <here>")
    }

    #[test]
    fn everything_is_well_formed_on_every_axis() {
        let (linear, log) = (Axis::linear, Axis::log);
        let chart = Chart::new("label")
            .panel(everything(linear("x"), linear("y")).same_scale())
            .panel(everything(log("x"), log("y")))
            .panel(everything(
                linear("x").range(0.0, 10.0),
                log("y").range(1e-9, 1e9),
            ))
            .panel(Panel::new("", linear(""), log("")));
        let svg = chart.svg();
        well_formed(&svg);
        assert_eq!(svg, chart.svg());
        assert!(svg.contains("10⁻⁵") && svg.contains("and &lt;here&gt;"));
    }

    #[test]
    fn a_line_is_cut_where_it_has_no_place() {
        let points = vec![(1.0, 1.0), (2.0, 2.0), (3.0, 0.0), (4.0, 4.0), (5.0, 5.0)];
        let panel = Panel::new("", Axis::linear(""), Axis::log("")).line("", colors::BLUE, points);
        let svg = Chart::new("").panel(panel).svg();
        assert_eq!(svg.matches(colors::BLUE).count(), 2, "{svg}");
    }

    #[test]
    fn the_legend_takes_as_many_rows_as_it_needs() {
        let mut panel = Panel::new("", Axis::linear("x"), Axis::linear("y"));
        for _ in 0..6 {
            panel = panel.line("a name of thirty characters ..", colors::BLUE, vec![]);
        }
        let rows = panel.legend_rows(400.0);
        assert!((3..=6).contains(&rows), "{rows}");
        assert_eq!(
            Panel::new("", Axis::linear(""), Axis::log("")).legend_rows(400.0),
            0
        );
    }

    #[test]
    fn numbers_of_logarithmic_axes() {
        let numbers = |low: f64, high: f64| -> Vec<String> {
            let shown = Range {
                low: low.log10(),
                high: high.log10(),
            };
            let ticks = Axis::log("").ticks(shown, 5);
            ticks.into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(numbers(1.0, 10.0), ["1", "2", "5", "10"]);
        assert_eq!(numbers(0.01, 0.1), ["0.01", "0.02", "0.05", "0.1"]);
        assert_eq!(numbers(1.0, 1e5), ["1", "10", "100", "1000", "10⁴", "10⁵"]);
        assert_eq!(numbers(1e-12, 1.0)[0], "10⁻¹²");
    }

    #[test]
    fn circles_can_be_round() {
        let circle = Panel::new("", Axis::linear(""), Axis::linear("").range(-1.0, 1.0));
        let area = Area {
            left: 0.0,
            top: 0.0,
            width: 600.0,
            height: 300.0,
        };
        let view = circle.same_scale().view(area);
        assert_eq!(view.x.shown.span(), 2.0 * view.y.shown.span());
    }
}
