//! Networks: named parameters, dense layers, initialisation, optimisers.
//!
//! Parameters live outside the tape, in [`Parameters`]; a layer holds their numbers. For a step they are
//! bound to a tape, the gradients come back as plain arrays, and an optimiser applies them. The loop is the
//! same for every model:
//!
//! ```
//! use elbo::autodiff::Tape;
//! use elbo::nn::{Activation, Adam, Initialisation, Mlp, Parameters};
//! use ndarray::{Array2, array};
//! use rand::{SeedableRng, rngs::StdRng};
//!
//! // Fits XOR.
//! let mut rng = StdRng::seed_from_u64(3);
//! let mut parameters = Parameters::<f64>::new();
//! let net = Mlp::new(&mut parameters, "xor", &[2, 8, 1], Activation::Tanh, Initialisation::Glorot, &mut rng);
//! let x = array![[0., 0.], [0., 1.], [1., 0.], [1., 1.]];
//! let y = array![[0.], [1.], [1.], [0.]];
//!
//! let (mut tape, mut adam) = (Tape::new(), Adam::new(0.03));
//! let mut last = f64::INFINITY;
//! for _ in 0..500 {
//!     let (loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
//!         let tape = p.tape();
//!         let error = net.forward(p, tape.constant(x.clone())) - tape.constant(y.clone());
//!         let loss = error.square().mean();
//!         (loss, loss.item())
//!     });
//!     adam.step(&mut parameters, &gradients);
//!     last = loss;
//! }
//! assert!(last < 1e-3, "{last}");
//! ```

#[cfg(feature = "cli")]
pub mod checkpoint;
mod dense;
mod gru;
mod initialisation;
mod model;
mod optimiser;
mod parameters;
mod schedule;

pub use dense::{Activation, Dense, Mlp, UnknownActivation, dense};
pub use gru::Gru;
pub use initialisation::Initialisation;
pub use model::{Batch, Model, Objective, Step};
pub use optimiser::{Adam, Sgd};
pub use parameters::{Bound, Mismatch, ParameterGradients, ParameterId, Parameters};
pub use schedule::Schedule;
