//! How much a template may do: none may hang or fill the memory.

/// Nested parentheses and blocks.
pub(crate) const PARSE_DEPTH: usize = 100;

/// Nested evaluation: blocks, pipelines and templates that invoke templates.
pub(crate) const EXECUTION_DEPTH: usize = 200;

/// Units of work of one execution: a byte that is read, made or written is one, a step is [`STEP`].
pub(crate) const WORK: usize = 1 << 26;

/// Units that every action, command and turn of a loop costs.
pub(crate) const STEP: usize = 128;
