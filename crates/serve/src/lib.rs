//! Placeholder of a crate being laid out.
