#![doc = include_str!("../docs/gradients.md")]
