//! mtok measures what a million tokens cost.

pub mod cli;
pub mod clock;
pub mod engine;
pub mod record;
pub mod study;
pub mod units;
