//! The three shapes, by formulas.

use std::f64::consts::PI;

/// What is drawn. Around its centre of mass, at scale 1 and angle 0, in units of the canvas's side; all three have the same
/// [`AREA`], so that the number of pixels tells the scale and not the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outline {
    /// |u|, |v| ≤ a/2 with a² = [`AREA`].
    Square,
    /// (u/a)² + (v/b)² ≤ 1 with a = 1.6 b and πab = [`AREA`].
    Ellipse,
    /// A square of side 2h that stands on a corner, with a half-disc of radius h on each of its upper sides; (4 + π) h² =
    /// [`AREA`].
    Heart,
}

/// The area of every shape at scale 1: that of a square whose side is 0.27.
pub const AREA: f64 = 0.27 * 0.27;

/// a/b of the ellipse.
const RATIO: f64 = 1.6;

impl Outline {
    /// Is a point, u to the right and v upwards, in the shape?
    pub fn contains(self, [u, v]: [f64; 2]) -> bool {
        match self {
            Self::Square => 2.0 * u.abs().max(v.abs()) <= AREA.sqrt(),
            Self::Ellipse => {
                let b = (AREA / (PI * RATIO)).sqrt();
                let (u, v) = (u / (RATIO * b), v / b);
                u * u + v * v <= 1.0
            }
            Self::Heart => {
                let h = (AREA / (4.0 + PI)).sqrt();
                // Along the two upper sides, from the centre of the square.
                let (p, q) = ((v + u) * 0.5f64.sqrt(), (v - u) * 0.5f64.sqrt());
                let (p, q) = (p / h + HEART_SHIFT, q / h + HEART_SHIFT);
                let disc = |p: f64, q: f64| (p - 1.0) * (p - 1.0) + q * q <= 1.0;
                p.abs().max(q.abs()) <= 1.0 || disc(p, q) || disc(q, p)
            }
        }
    }

    /// How far the farthest point is from the centre.
    pub fn radius(self) -> f64 {
        match self {
            Self::Square => (0.5 * AREA).sqrt(),
            Self::Ellipse => (AREA * RATIO / PI).sqrt(),
            // The lower corner.
            Self::Heart => (AREA / (4.0 + PI)).sqrt() * (1.0 + HEART_SHIFT) * 2.0f64.sqrt(),
        }
    }
}

/// How far the heart's centre of mass is from its square's centre, in units of h along each upper side: a half-disc of area
/// π h²/2 has its own at h + 4h/3π there, and the whole has the area (4 + π) h².
const HEART_SHIFT: f64 = (0.5 * PI + 2.0 / 3.0) / (4.0 + PI);
