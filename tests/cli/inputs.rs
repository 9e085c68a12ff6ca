//! Bad data and bad models are one line on stderr, and leave nothing.

use std::fs;

use elbo::nn::{Parameters, checkpoint};
use tempfile::TempDir;

use crate::cli::shared::{elbo, header, refused, small_data, stdout, trained, write_labels};

#[test]
fn bad_data_is_one_line_and_leaves_nothing() {
    let out = TempDir::new().unwrap();
    let results = out.path().join("results");
    let try_training = |data: &TempDir| {
        let data = data.path().to_str().unwrap();
        let message = refused(&["train", "--data", data, "--out", results.to_str().unwrap()]);
        assert!(!results.exists(), "{message}: something was left behind");
        message
    };

    let data = small_data();
    fs::remove_file(data.path().join("train-labels-idx1-ubyte")).unwrap();
    let message = try_training(&data);
    assert!(message.contains("train-labels-idx1-ubyte"), "{message}");

    let data = small_data();
    let images = data.path().join("train-images-idx3-ubyte");
    let whole = fs::read(&images).unwrap();
    fs::remove_file(&images).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &whole).unwrap();
    let compressed = gzip.finish().unwrap();
    let half = &compressed[..compressed.len() / 2];
    fs::write(data.path().join("train-images-idx3-ubyte.gz"), half).unwrap();
    let message = try_training(&data);
    assert!(
        message.contains("train-images-idx3-ubyte.gz") && message.contains("gzip"),
        "{message}"
    );

    let data = small_data();
    let mut wrong = whole.clone();
    wrong[3] = 1;
    fs::write(data.path().join("train-images-idx3-ubyte"), wrong).unwrap();
    let message = try_training(&data);
    assert!(
        message.contains("magic") && message.contains("0x00000803"),
        "{message}"
    );

    let data = small_data();
    write_labels(data.path(), "train", 95);
    let message = try_training(&data);
    assert!(
        message.contains("96") && message.contains("95"),
        "{message}"
    );
}

#[test]
fn images_that_no_model_could_be_read_for_are_refused_before_the_work() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    for kind in ["train", "t10k"] {
        let mut images = header(&[0x0803, 2, 257, 256]);
        images.resize(images.len() + 2 * 257 * 256, 7);
        fs::write(
            data.path().join(format!("{kind}-images-idx3-ubyte")),
            images,
        )
        .unwrap();
        write_labels(data.path(), kind, 2);
    }
    let results = out.path().join("results");
    let (data, out) = (data.path().to_str().unwrap(), results.to_str().unwrap());
    let message = refused(&["train", "--data", data, "--out", out, "--hidden", "4"]);
    assert!(
        message.contains("257x256") && message.contains("65536"),
        "{message}"
    );
    assert!(!results.exists());
}

#[test]
fn bad_models_are_one_line() {
    let data = small_data();
    let (out, model) = trained(&data);
    let bytes = fs::read(&model).unwrap();
    let other = out.path().join("other.safetensors");
    let picture = out.path().join("picture.png");
    let refuse = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        let message = refused(&[
            "sample",
            other.to_str().unwrap(),
            "--out",
            picture.to_str().unwrap(),
        ]);
        assert!(message.contains("other.safetensors"), "{message}");
        assert!(!picture.exists());
        message
    };

    let message = refuse(&bytes[..bytes.len() - 5]);
    assert!(message.contains("only a part"), "{message}");
    let message = refuse(b"");
    assert!(message.contains("expected a safetensors file"), "{message}");
    let message = refuse(b"\xff\xff\xff\xff\xff\xff\xff\x7fnonsense");
    assert!(message.contains("expected a safetensors file"), "{message}");

    // The description of one architecture around the weights of another.
    let described = checkpoint::description(&bytes).unwrap();
    let wider = described.replace("\"hidden\":[16]", "\"hidden\":[17]");
    assert_ne!(described, wider);
    let mut weights = Parameters::<f32>::new();
    for (name, shape) in [
        ("encoder.0.weight", vec![16, 48]),
        ("encoder.0.bias", vec![16]),
        ("encoder.2.weight", vec![4, 16]),
        ("encoder.2.bias", vec![4]),
        ("decoder.0.weight", vec![16, 2]),
        ("decoder.0.bias", vec![16]),
        ("decoder.2.weight", vec![48, 16]),
        ("decoder.2.bias", vec![48]),
    ] {
        weights.add(name, ndarray::ArrayD::<f32>::zeros(shape));
    }
    checkpoint::read(&bytes, &mut weights).expect("these are the names and shapes of the file");
    let message = refuse(&checkpoint::write(&weights, &wider));
    assert!(
        message.contains("another architecture") && message.contains("[17, 48]"),
        "{message}"
    );
    let message = refuse(&checkpoint::write(&weights, "not JSON"));
    assert!(
        message.contains("expected a model that `elbo train` wrote"),
        "{message}"
    );
    let huge = described.replace("\"hidden\":[16]", "\"hidden\":[1000000000000]");
    let message = refuse(&checkpoint::write(&weights, &huge));
    assert!(message.contains("widths"), "{message}");
    let deeper = described.replace("\"hidden\":[16]", "\"hidden\":[16,16]");
    let message = refuse(&checkpoint::write(&weights, &deeper));
    assert!(message.contains("another architecture"), "{message}");
    let later = described.replace("\"format\":2", "\"format\":3");
    let message = refuse(&checkpoint::write(&weights, &later));
    assert!(message.contains("another version"), "{message}");
    weights
        .set("encoder.0.bias", ndarray::Array1::from_elem(16, f32::NAN))
        .unwrap();
    let message = refuse(&checkpoint::write(&weights, &described));
    assert!(
        message.contains("encoder.0.bias") && message.contains("NaN"),
        "{message}"
    );

    // Images of another size than the model's.
    let larger = TempDir::new().unwrap();
    for (kind, count) in [("train", 3u32), ("t10k", 2)] {
        let mut images = header(&[0x0803, count, 28, 28]);
        images.resize(images.len() + 784 * count as usize, 7);
        fs::write(
            larger.path().join(format!("{kind}-images-idx3-ubyte")),
            images,
        )
        .unwrap();
        write_labels(larger.path(), kind, count);
    }
    let larger = larger.path().to_str().unwrap();
    let message = refused(&["evaluate", model.to_str().unwrap(), "--data", larger]);
    assert!(
        message.contains("8x6") && message.contains("28x28"),
        "{message}"
    );
    // Without `--data`, the data are those of the training.
    let output = elbo(&["evaluate", model.to_str().unwrap(), "--images", "5"]);
    assert!(stdout(&output).contains("40 test images"));
    let message = refused(&["sample", "/no/such/model"]);
    assert!(message.contains("/no/such/model"), "{message}");
}

#[test]
fn descriptions_of_huge_models_are_refused_before_the_work() {
    let data = small_data();
    let (out, model) = trained(&data);
    let bytes = fs::read(&model).unwrap();
    let described = checkpoint::description(&bytes).unwrap();
    let other = out.path().join("other.safetensors");
    for (from, to, reason) in [
        ("\"hidden\":[16]", "\"hidden\":[65536,65536]", "weights"),
        ("\"hidden\":[16]", "\"hidden\":[8000,8000]", "too small"),
        ("\"samples\":1", "\"samples\":1000000000000000", "65536"),
        ("\"samples\":1", "\"samples\":65536", "too many at once"),
    ] {
        let changed = described.replace(from, to);
        assert_ne!(described, changed);
        let mut weights = Parameters::<f32>::new();
        weights.add("encoder.0.bias", ndarray::Array1::zeros(16));
        fs::write(&other, checkpoint::write(&weights, &changed)).unwrap();
        let message = refused(&["sample", other.to_str().unwrap()]);
        assert!(message.contains(reason), "{message}");
    }
}
