//! The program that says which sections a filter names, on two sections of one chapter and one of another.

use crate::contents::{Request, Section, answer, sections_of, tests_of};

const PAGE: &str = r#"# 3 Divergence

<a id="kl-gaussian"></a>

## Between Gaussians

See [below](#kl-gaussian-standard).

<a id="kl-gaussian-standard"></a>

## To the standard one

Text.
"#;

fn notes() -> Vec<Section> {
    let mut sections = sections_of("kl", PAGE);
    sections.extend(sections_of("gradients", "<a id=\"adam\"></a>\n\n## Adam\n"));
    let text = "#[test]\nfn by_hand() {}\n\nfn helper() {}\n\n#[test]\n#[should_panic]\nfn of_nothing() {}\n";
    for section in &mut sections {
        let module = format!("{}::{}", section.chapter, section.slug.replace('-', "_"));
        section.tests = tests_of(&module, text);
    }
    sections
}

fn answer_to(arguments: &[&str]) -> Result<String, String> {
    let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
    answer(&Request::new(&arguments), &notes())
}

/// The slugs of the sections that are printed.
fn named(arguments: &[&str]) -> Vec<String> {
    let text = answer_to(arguments).unwrap();
    let slug = |line: &str| line.split(':').next().unwrap().to_owned();
    text.lines().map(slug).collect()
}

#[test]
fn a_filter_lists_the_sections_that_it_names() {
    assert_eq!(
        answer_to(&["kl_gaussian_standard"]).unwrap(),
        "kl-gaussian-standard: \"To the standard one\", docs/kl.md#kl-gaussian-standard, checked by \
         tests/kl/kl_gaussian_standard.rs\n"
    );
    assert_eq!(
        named(&["gaussian"]),
        ["kl-gaussian", "kl-gaussian-standard"]
    );
    assert_eq!(named(&["kl::"]), ["kl-gaussian", "kl-gaussian-standard"]);
    assert_eq!(
        named(&["adam", "standard"]),
        ["kl-gaussian-standard", "adam"]
    );
    assert_eq!(named(&["standard::by_hand"]), ["kl-gaussian-standard"]);
    // No section is named, though tests of some are selected.
    for other in [
        "by_hand",
        "helper",
        "a_test_of_the_engine",
        "adam::helper",
        "adam::by_foot",
    ] {
        assert_eq!(named(&[other]), [""; 0], "{other}");
    }
}

#[test]
fn without_a_filter_it_counts() {
    for arguments in [&[][..], &["--nocapture"], &["--skip", "adam"]] {
        let text = answer_to(arguments).unwrap();
        assert!(text.starts_with("3 sections in 2 chapters"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

#[test]
fn a_filter_in_hyphens_is_told_what_to_type() {
    for (filter, spelt) in [
        ("kl-gaussian-standard", "kl_gaussian_standard"),
        ("kl-gauss", "kl_gauss"),
    ] {
        let advice = answer_to(&[filter, "--nocapture"]).unwrap_err();
        assert!(
            advice.ends_with(&format!("type `cargo test {spelt}`")),
            "{advice}"
        );
        assert!(answer_to(&["adam", filter, "--quiet"]).is_err());
    }
    assert_eq!(named(&["no-section"]), [""; 0]);
    // With --exact a section's name alone selects nothing.
    let advice = answer_to(&["--exact", "adam"]).unwrap_err();
    assert!(advice.ends_with("without --exact"), "{advice}");
    assert_eq!(named(&["--exact", "gradients::adam::by_hand"]), ["adam"]);
}

#[test]
fn the_options_of_a_test_program_are_no_filters() {
    for arguments in [
        &["--skip", "kl", "gaussian"][..],
        &["--list", "gaussian"],
        &["--list", "--format", "terse"],
        &["--format=json", "gaussian"],
        &["-q", "gaussian"],
    ] {
        assert_eq!(answer_to(arguments).unwrap(), "", "{arguments:?}");
    }
    let options = [
        "--test-threads",
        "2",
        "--color=always",
        "--logfile",
        "gaussian",
        "-Z",
        "kl",
    ];
    assert_eq!(
        named(&[&options[..], &["adam", "--nocapture"]].concat()),
        ["adam"]
    );
    assert_eq!(named(&["gaussian", "--skip=standard"]), ["kl-gaussian"]);
}
