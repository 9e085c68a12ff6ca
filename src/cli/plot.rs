//! Plots, written as SVG: vector graphics that any browser shows, in the size of the page.
//!
//! The few shapes that the plots need are written by hand. The same data always give the same bytes, which the figures
//! of the notes are compared by; coordinates keep their decimals (a curve of a thousand epochs is smooth), ten thousand
//! points stay small, contours can be dashed, and the text flows in whatever font and size the page has.

mod axis;
mod chart;
mod contour;
mod curve;
mod diagram;
mod graph;
mod scatter;
mod strips;
mod svg;

pub use axis::Axis;
pub use chart::{Chart, Panel, colors};
pub use curve::{Epoch, Terms, training_curve};
pub use diagram::{Arrow, Flow, Kind, Node, diagram};
pub use graph::{Station, graph};
pub use scatter::latent_scatter;
pub use strips::{Strip, strips};
pub use svg::Escaped;
