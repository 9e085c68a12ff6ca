//! A small repository in which nothing is wrong, and how to break one thing in it.

use super::quotes::renumbered;
use super::repository::{CONTENTS, Files, defects};

pub const SOUND_PAGE: &str = r#"# Chapter

![](figures/twice.svg)

**In this chapter**

- [Twice](#double-it)

*On digits.* `elbo evaluate` finds $`-107.61`$ nats.

Words on $`x`$, see [the section](#double-it) and [contents](README.md).

<a id="double-it"></a>

## Twice

**Claim.** $`\bar x = 2 \bar y`$, costs \$0.

```math
y = 2x \tag{1.1}
```

**Code.** [`src/chapter.rs`, lines 4–6](../src/chapter.rs#L4-L6)

```rust,ignore
fn twice(x: f64) -> f64 {
    2.0 * x
}
```

**Check.**

```sh
cargo test double_it
```

<details>
<summary>Found</summary>

It doubles, as [Euler](bibliography.md#euler1748) knew.

</details>

**Exercise.** In [`src/thrice.rs`](../src/thrice.rs) change

```text
3.0 * x
```

to

```text
x
```

<details>
<summary>Answer</summary>

Red: `by_hand`. It is less.

</details>

Some words more, so that the check takes less than a twentieth of them: twice a number is the sum of it and itself, and
half of twice the number is the number again. Both hold for numbers of either sign, and for 0.

| a | b |
|---|---|
| $`p(x \mid z)`$ | `a | b` |
"#;

pub const SOUND_MODULE: &str = r#"#![doc = include_str!("../docs/chapter.md")]

mod inner {
    fn twice(x: f64) -> f64 {
        2.0 * x
    }
    /// See [the notes](crate::chapter#double-it).
    fn other() {}
}
"#;

pub const SOUND_TESTS: &str = "//! docs/chapter.md#double-it: twice 1 is 2.

#[test]
fn by_hand() {}

fn helper() {}
";

pub fn sound() -> Files {
    [
        (
            "README.md",
            "[notes](docs/README.md#notes), [folder](docs)\n\n```text\nELBO -107.607\n```\n",
        ),
        ("docs/digits.txt", "ELBO -107.607\n"),
        (CONTENTS, "# Notes\n\n- [Twice](chapter.md#double-it)\n"),
        ("docs/chapter.md", SOUND_PAGE),
        ("docs/other.md", "A page without a module.\n"),
        (
            "docs/bibliography.md",
            "# Works\n\n- <a id=\"euler1748\"></a>Euler. Cited in [1](chapter.md).\n",
        ),
        ("docs/figures/twice.svg", ""),
        (
            "src/thrice.rs",
            "fn thrice(x: f64) -> f64 {\n    3.0 * x\n}\n",
        ),
        ("src/chapter.rs", SOUND_MODULE),
        (
            "tests/derivations.rs",
            "mod chapter {\n    mod double_it;\n}\n",
        ),
        ("tests/chapter/double_it.rs", SOUND_TESTS),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

/// The sound repository with `old` replaced by `new` in one file.
pub fn with(path: &str, old: &str, new: &str) -> Files {
    let mut files = sound();
    let text = files.get_mut(path).unwrap();
    assert!(text.contains(old), "{path} has no {old:?}");
    *text = text.replacen(old, new, 1);
    files
}

/// Exactly one defect is found, and its message says all of this.
pub fn only_defect(files: &Files, says: &[&str]) {
    let found = defects(files);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in says {
        assert!(found[0].contains(part), "{part:?} is not in {:?}", found[0]);
    }
}

#[test]
fn a_sound_repository_has_no_defects() {
    assert_eq!(defects(&sound()), Vec::<String>::new());
    assert!(renumbered(&sound()).is_empty());
}
