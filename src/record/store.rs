//! The append-only file of a study.
