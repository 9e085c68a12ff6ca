//! Parameters in a safetensors file, which PyTorch, JAX and NumPy read.
//!
//! Each parameter is a tensor under its own name; a description of the model, any text, travels in the file's
//! metadata under the key `elbo`.

use std::collections::HashMap;
use std::fmt;

use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Parameters;

/// The only key of the metadata. One key, because a map of several is written in no certain order, and the same
/// parameters are to give the same bytes.
const KEY: &str = "elbo";

/// Why parameters could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not a whole safetensors file.
    NotSafetensors(String),
    /// A safetensors file that this crate did not write.
    NoDescription,
    /// A parameter of the model is not in the file.
    Missing(String),
    /// A tensor of the file is not in the model.
    Unexpected(String),
    /// A tensor of another type than f32.
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// A tensor of another shape than the model's parameter.
    Shape {
        /// The tensor.
        name: String,
        /// The parameter's shape.
        expected: Vec<usize>,
        /// The tensor's.
        found: Vec<usize>,
    },
    /// A tensor with entries that are NaN or infinite.
    NotFinite(String),
    /// The parts of a training state contradict each other, or cannot be written as text; this is what is wrong.
    Inconsistent(String),
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSafetensors(reason) => {
                write!(
                    f,
                    "expected a safetensors file, found something else or only a part of one ({reason})"
                )
            }
            Self::NoDescription => write!(
                f,
                "expected a model written by elbo, found a safetensors file without its description (metadata key `{KEY}`)"
            ),
            Self::Missing(name) => write!(
                f,
                "the file holds another architecture: expected a tensor `{name}`, found none"
            ),
            Self::Unexpected(name) => write!(
                f,
                "the file holds another architecture: tensor `{name}` has no place in the model"
            ),
            Self::Type { name, found } => {
                write!(f, "tensor `{name}`: expected type F32, found {found}")
            }
            Self::Shape {
                name,
                expected,
                found,
            } => write!(
                f,
                "the file holds another architecture: tensor `{name}`: expected shape {expected:?}, found {found:?}"
            ),
            Self::NotFinite(name) => {
                write!(f, "tensor `{name}` has entries that are NaN or infinite")
            }
            Self::Inconsistent(what) => write!(f, "expected the state of a training, found {what}"),
        }
    }
}

impl std::error::Error for CheckpointError {}

/// The bytes of a safetensors file with every parameter and a description of the model.
///
/// The same parameters and description give the same bytes.
pub fn write(parameters: &Parameters<f32>, description: &str) -> Vec<u8> {
    let bytes: Vec<(&str, &[usize], Vec<u8>)> = parameters
        .iter()
        .map(|(name, value)| {
            let bytes = value.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, value.shape(), bytes)
        })
        .collect();
    let tensors = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        (*name, view.expect("as many bytes as the shape needs"))
    });
    let metadata = HashMap::from([(KEY.to_owned(), description.to_owned())]);
    safetensors::serialize(tensors, Some(metadata)).expect("the names and shapes are valid")
}

/// The description in the bytes of a safetensors file.
///
/// # Errors
/// If these are not the bytes of a whole safetensors file, or there is no description in it.
pub fn description(bytes: &[u8]) -> Result<String, CheckpointError> {
    parse(bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
    (metadata.metadata().as_ref())
        .and_then(|entries| entries.get(KEY).cloned())
        .ok_or(CheckpointError::NoDescription)
}

/// Sets every parameter from the bytes of a safetensors file.
///
/// # Errors
/// If these are not the bytes of a whole safetensors file, or its tensors are not the parameters: by name, type and
/// shape. The parameters are then as they were.
pub fn read(bytes: &[u8], parameters: &mut Parameters<f32>) -> Result<(), CheckpointError> {
    let file = parse(bytes)?;
    let mut values = Vec::with_capacity(parameters.len());
    for (name, value) in parameters.iter() {
        let tensor = file
            .tensor(name)
            .map_err(|_| CheckpointError::Missing(name.to_owned()))?;
        values.push((name.to_owned(), array(name, &tensor, value.shape())?));
    }
    let mut names: Vec<&str> = file.names();
    names.sort_unstable();
    if let Some(name) = names
        .into_iter()
        .find(|name| parameters.get(name).is_none())
    {
        return Err(CheckpointError::Unexpected(name.to_owned()));
    }
    for (name, value) in values {
        parameters
            .set(&name, value)
            .expect("name and shape were checked");
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, CheckpointError> {
    SafeTensors::deserialize(bytes).map_err(not_safetensors)
}

fn not_safetensors(error: safetensors::SafeTensorError) -> CheckpointError {
    CheckpointError::NotSafetensors(error.to_string())
}

fn array(
    name: &str,
    tensor: &TensorView<'_>,
    shape: &[usize],
) -> Result<ArrayD<f32>, CheckpointError> {
    if tensor.dtype() != Dtype::F32 {
        return Err(CheckpointError::Type {
            name: name.to_owned(),
            found: format!("{:?}", tensor.dtype()),
        });
    }
    if tensor.shape() != shape {
        return Err(CheckpointError::Shape {
            name: name.to_owned(),
            expected: shape.to_vec(),
            found: tensor.shape().to_vec(),
        });
    }
    let (words, _) = tensor.data().as_chunks::<4>();
    let entries: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    if !entries.iter().all(|x| x.is_finite()) {
        return Err(CheckpointError::NotFinite(name.to_owned()));
    }
    Ok(ArrayD::from_shape_vec(IxDyn(shape), entries).expect("as many entries as the shape needs"))
}
