//! The canonical document that orch writes for a deterministic producer.
//!
//! Same input, same bytes: time and duration are given, never read. Golden files in `tests/gate/golden/` freeze
//! the text. No stamp stands in it (DESIGN D4).
