//! How the time and the memory of a step grow with the batch, the width, the depth, the latents and the samples.

use std::process::Command;

#[cfg(feature = "simd")]
use crate::machine;
use crate::parts::{bytes, operations};

/// The model at which all but one of them stay.
const BATCH: usize = 128;
const WIDTH: usize = 400;
const LATENT: usize = 20;

/// One measurement: what varies, its value, and the step.
struct Point {
    axis: &'static str,
    value: usize,
    batch: usize,
    widths: Vec<usize>,
    samples: usize,
}

impl Point {
    fn operations(&self) -> [f64; 2] {
        operations(&self.widths, self.batch, self.samples)
    }
}

fn points() -> Vec<Point> {
    let point = |axis, value, batch, hidden: Vec<usize>, latent, samples| Point {
        axis,
        value,
        batch,
        widths: [vec![784], hidden, vec![latent]].concat(),
        samples,
    };
    let usual = || vec![WIDTH];
    let mut points = Vec::new();
    for n in [1, 4, 16, 64, 256, 1024, 4096] {
        points.push(point("batch", n, n, usual(), LATENT, 1));
    }
    for n in [50, 100, 200, 400, 800, 1600, 3200] {
        points.push(point("width", n, BATCH, vec![n], LATENT, 1));
    }
    for n in [1, 2, 4, 8, 16] {
        points.push(point("depth", n, BATCH, vec![WIDTH; n], LATENT, 1));
    }
    for n in [2, 8, 32, 128, 512] {
        points.push(point("latents", n, BATCH, usual(), n, 1));
    }
    for n in [1, 2, 4, 8, 16, 32, 64] {
        points.push(point("samples", n, BATCH, usual(), LATENT, n));
    }
    points
}

/// Prints a line for every point: each in two processes of its own, one for the time and one for the memory.
pub fn print(threads: usize) -> Result<(), String> {
    println!("what grows,value,threads,operations,bytes,median ms,MiB");
    #[cfg(feature = "simd")]
    {
        // What the processor does at most in a millisecond, in operations and in bytes.
        let (peak, bandwidth) = (machine::peak() * 1e6, machine::bandwidth() * 1e6);
        println!("processor,1,1,{peak:.0},{bandwidth:.0},1,0");
    }
    for point in points() {
        let [ms, _] = measure(&point, threads, false)?;
        let [peak, start] = measure(&point, threads, true)?;
        let operations: f64 = point.operations().iter().sum();
        let bytes = bytes(&point.widths, point.batch, point.samples);
        let (axis, value) = (point.axis, point.value);
        println!(
            "{axis},{value},{threads},{operations:.0},{bytes:.0},{ms:.4},{:.2}",
            peak - start
        );
    }
    Ok(())
}

fn measure(point: &Point, threads: usize, memory: bool) -> Result<[f64; 2], String> {
    let widths: Vec<String> = point.widths.iter().map(usize::to_string).collect();
    let steps = (4e10 / point.operations()[1]).clamp(10.0, 400.0);
    let steps = if memory { 5 } else { steps as usize };
    let numbers = [
        ("--batch", point.batch),
        ("--samples", point.samples),
        ("--threads", threads),
        ("--steps", steps),
    ];
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["--layers", &widths.join("-")]);
    command.env("MALLOC_MMAP_THRESHOLD_", "131072");
    for (name, value) in numbers {
        command.args([name, &value.to_string()]);
    }
    if memory {
        command.arg("--memory");
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut figures = line.trim().rsplit(',').map_while(|text| text.parse().ok());
    match (figures.next(), figures.next()) {
        (Some(last), Some(before)) => Ok([before, last]),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
