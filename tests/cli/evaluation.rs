//! `elbo evaluate`, `sample` and `reconstruct` on a trained model.

use std::fs;

use elbo::data::{Binarisation, Dataset};
use elbo::distributions::noise::stream;
use elbo::nn::{Parameters, checkpoint};
use elbo::vae::{Activity, Architecture, Vae, unit_divergences};
use ndarray::{Array2, Axis};
use tempfile::TempDir;

use crate::cli::shared::{elbo, files, refused, small_data, stdout, trained};

#[test]
fn the_model_can_be_evaluated_sampled_and_looked_at() {
    let data = small_data();
    let (out, model) = trained(&data);
    let (data, folder) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let printed = stdout(&elbo(&[
        "evaluate",
        folder,
        "--data",
        data,
        "--samples",
        "200",
    ]));
    let number = |name: &str| -> f64 {
        let line = printed
            .lines()
            .find(|line| line.trim().starts_with(name))
            .expect(&printed);
        let rest = line.trim().strip_prefix(name).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(
        (number("ELBO") - (number("reconstruction") - number("KL"))).abs() < 2e-3,
        "{printed}"
    );
    assert!(number("log p(x)") > number("ELBO"), "{printed}");
    let target = TempDir::new().unwrap();
    let at = |name: &str| target.path().join(name).to_str().unwrap().to_owned();
    let model = model.to_str().unwrap();
    let (picture, arrays) = (at("samples.png"), at("samples.safetensors"));
    let sampled = elbo(&[
        "sample", model, "--out", &picture, "--count", "7", "--arrays", &arrays,
    ]);
    assert!(sampled.status.success());
    let reconstructed = elbo(&[
        "reconstruct",
        folder,
        "--data",
        data,
        "--out",
        &at("pairs.png"),
    ]);
    assert!(reconstructed.status.success());
    let written: Vec<String> = files(target.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(written, ["pairs.png", "samples.png", "samples.safetensors"]);
    let mut read = Parameters::<f32>::new();
    read.add("z", ndarray::Array2::zeros((7, 2)));
    read.add("mean", ndarray::Array2::zeros((7, 48)));
    checkpoint::read(&fs::read(arrays).unwrap(), &mut read).unwrap();
    assert!(
        read.get("mean")
            .unwrap()
            .iter()
            .all(|&x| x > 0.0 && x < 1.0)
    );
}

#[test]
fn one_image_has_no_spread() {
    let data = small_data();
    let (out, _) = trained(&data);
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let arguments = [
        "evaluate",
        out,
        "--data",
        data,
        "--samples",
        "5",
        "--refine",
        "3",
    ];
    let printed = |images: &str| stdout(&elbo(&[&arguments[..], &["--images", images]].concat()));
    let line = |printed: &str, name: &str| {
        let found = printed
            .lines()
            .skip_while(|line| !line.contains("the first"))
            .find(|line| line.trim_start().starts_with(name));
        found.unwrap_or_else(|| panic!("{printed}")).to_owned()
    };
    let (one, two) = (printed("1"), printed("2"));
    assert!(!one.contains("NaN") && !one.contains("inf"), "{one}");
    for name in ["ELBO", "log p(x)", "gap", "amortisation gap"] {
        assert!(!line(&one, name).contains('±'), "{one}");
        assert!(line(&two, name).contains('±'), "{two}");
    }
}

#[test]
fn takes_the_divergence_apart() {
    let data = small_data();
    let (out, _) = trained(&data);
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let printed = |codes: &str| {
        stdout(&elbo(&[
            "evaluate",
            out,
            "--data",
            data,
            "--samples",
            "5",
            "--codes",
            codes,
        ]))
    };
    let number = |printed: &str, name: &str| -> f64 {
        let lines = printed
            .lines()
            .skip_while(|line| !line.contains("the codes of"));
        let mut rest = lines.filter_map(|line| line.trim_start().strip_prefix(name));
        let rest = rest.next().unwrap_or_else(|| panic!("{printed}"));
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let several = printed("4");
    // Each of the three is printed to a thousandth.
    let parts = number(&several, "KL(q̄‖p)") + number(&several, "I(n; z)");
    assert!(
        (parts - number(&several, "KL  ")).abs() < 1.6e-3,
        "{several}"
    );
    assert!(number(&several, "I(n; z)") <= 4f64.ln() + 0.01, "{several}");
    let one = printed("1");
    assert_eq!(number(&one, "I(n; z)"), 0.0, "{one}");
    assert_eq!(number(&one, "KL(q̄‖p)"), number(&one, "KL  "), "{one}");
    assert!(!one.contains("NaN") && !one.contains("inf"), "{one}");
    assert!(one.contains("active units       —"), "{one}");
}

#[test]
fn tells_each_unit() {
    let data = small_data();
    let (out, model) = trained(&data);
    let bytes = fs::read(&model).unwrap();
    let mut parameters = Parameters::<f32>::new();
    let architecture = Architecture {
        dimensions: 48,
        hidden: vec![16],
        latent: 2,
        ..Architecture::default()
    };
    let vae = Vae::new(architecture, &mut parameters, &mut stream(1, "weights", 0));
    checkpoint::read(&bytes, &mut parameters).unwrap();
    // The same, but that the first unit's mean, the first row of the encoder's last layer, does not see the image.
    let mut blind = Parameters::new();
    for (name, value) in parameters.iter() {
        let mut value = value.to_owned().into_owned();
        if value.shape() == [4, 16] {
            value.index_axis_mut(Axis(0), 0).fill(0.0);
        }
        blind.add(name, value);
    }
    let other = out.path().join("blind.safetensors");
    let description = checkpoint::description(&bytes).unwrap();
    fs::write(&other, checkpoint::write(&blind, &description)).unwrap();

    let images = Dataset::from_folder(data.path()).unwrap().test;
    let all: Vec<usize> = (0..images.len()).collect();
    let x: Array2<f32> = images.batch(&all, Binarisation::None, &mut stream(1, "view", 0));
    for (file, parameters, most) in [(&model, &parameters, 2), (&other, &blind, 1)] {
        let codes = vae.codes(parameters, x.view()).as_f64();
        let activity = Activity::of(codes.mean.view()).unwrap();
        assert!(activity.active() <= most);
        let divergences = unit_divergences(&codes).unwrap();
        let units: Vec<String> = (0..2)
            .map(|unit| match activity.is_active(unit) {
                true => format!("{:.2}", divergences[unit]),
                false => format!("({:.2})", divergences[unit]),
            })
            .collect();
        let (file, data) = (file.to_str().unwrap(), data.path().to_str().unwrap());
        let printed = stdout(&elbo(&[
            "evaluate",
            file,
            "--data",
            data,
            "--samples",
            "2",
            "--binarise",
            "none",
        ]));
        let active = format!("active units  {:6} of 2 ", activity.active());
        let listed = format!("KL by unit        {}", units.join(" "));
        assert!(
            printed.contains(&active) && printed.contains(&listed),
            "{printed}"
        );
    }
}

#[test]
fn the_training_files_are_not_read() {
    let data = small_data();
    let (_out, model) = trained(&data);
    let model = model.to_str().unwrap();
    for file in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        fs::remove_file(data.path().join(file)).unwrap();
    }
    let out = TempDir::new().unwrap();
    let picture = out.path().join("picture.png");
    for arguments in [
        vec!["evaluate", model, "--samples", "5"],
        vec!["reconstruct", model, "--out", picture.to_str().unwrap()],
    ] {
        let output = elbo(&arguments);
        assert!(output.status.success(), "{output:?}");
    }
    fs::remove_file(data.path().join("t10k-images-idx3-ubyte")).unwrap();
    let message = refused(&["evaluate", model]);
    assert!(
        message.contains("no t10k-images-idx3-ubyte") && !message.contains("train-images"),
        "{message}"
    );
    assert!(message.contains("`--data` names others"), "{message}");
}
