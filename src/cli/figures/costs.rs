//! The figures of the page on what each equation costs, from measurements that stand beside them.

use super::Figure;
use crate::cli::plot::{Axis, Chart, Panel, colors};

/// What `cargo bench --bench step -- --growth` printed.
const MEASURED: &str = include_str!("../../../docs/costs.csv");

/// All of them.
pub fn figures() -> Vec<Figure> {
    let measured = measured();
    vec![growth(&measured), roofline(&measured)]
}

/// A line of the measurements: what grows and to what, and what a step then takes.
struct Step {
    grows: String,
    value: f64,
    operations: f64,
    bytes: f64,
    milliseconds: f64,
    mebibytes: f64,
}

fn measured() -> Vec<Step> {
    let step = |line: &str| {
        let (grows, numbers) = line.split_once(',').expect("a name and numbers");
        let numbers: Vec<f64> = numbers
            .split(',')
            .map(|n| n.parse().expect("a number"))
            .collect();
        Step {
            grows: grows.to_owned(),
            value: numbers[0],
            operations: numbers[2],
            bytes: numbers[3],
            milliseconds: numbers[4],
            mebibytes: numbers[5],
        }
    };
    MEASURED.lines().skip(1).map(step).collect()
}

/// What grows, and how it is drawn.
const AXES: [(&str, &str); 5] = [
    ("batch", colors::BLUE),
    ("width", colors::VERMILION),
    ("depth", colors::GREEN),
    ("latents", colors::PURPLE),
    ("samples", colors::ORANGE),
];

/// Time and memory of a step as one of its sizes grows.
fn growth(measured: &[Step]) -> Figure {
    let panel = |title: &str, unit: &str, of: fn(&Step) -> f64| {
        let panel = Panel::new(title, Axis::log("size of what grows"), Axis::log(unit));
        AXES.iter().fold(panel, |panel, (name, color)| {
            let steps = measured.iter().filter(|step| step.grows == *name);
            let points: Vec<_> = steps.map(|step| (step.value, of(step))).collect();
            panel
                .line(name, color, points.clone())
                .dots("", color, points)
        })
    };
    let label =
        "Time and memory of a training step against batch, width, depth, latents and samples";
    let chart = Chart::new(label)
        .panel(panel("time", "milliseconds per step", |step| {
            step.milliseconds
        }))
        .panel(panel("memory", "MiB at the peak", |step| step.mebibytes));
    Figure {
        name: "costs-growth",
        svg: chart.svg(),
    }
}

/// How near the steps come to what the processor can do.
fn roofline(measured: &[Step]) -> Figure {
    let rate = |step: &Step| step.operations / step.milliseconds / 1e6;
    let intensity = |step: &Step| step.operations / step.bytes;
    let panel = Panel::new(
        "",
        Axis::log("operations per byte").range(0.1, 100.0),
        Axis::log("10⁹ operations per second").range(5.0, 200.0),
    );
    let roof = measured.iter().filter(|step| step.grows == "processor");
    let panel = roof.fold(panel, |panel, processor| {
        let (peak, ridge) = (rate(processor), intensity(processor));
        let line = vec![
            (ridge / 10.0, peak / 10.0),
            (ridge, peak),
            (100.0 * ridge, peak),
        ];
        panel.line("roof: memory, then arithmetic", colors::GRAY, line)
    });
    let panel = AXES.iter().fold(panel, |panel, (name, color)| {
        let steps = measured.iter().filter(|step| step.grows == *name);
        panel.dots(
            name,
            color,
            steps.map(|step| (intensity(step), rate(step))).collect(),
        )
    });
    let label =
        "The rate of a training step against its operations per byte, beneath the processor's roof";
    Figure {
        name: "costs-roofline",
        svg: Chart::new(label).panel(panel).svg(),
    }
}
