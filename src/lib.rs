//! mtok measures what a million tokens cost.

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod cost;
pub mod engine;
pub mod record;
pub mod study;
pub mod units;
