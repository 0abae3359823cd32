//! mtok measures what a million tokens cost.

pub mod clock;
pub mod engine;
pub mod measure;
pub mod record;
pub mod study;
pub mod units;
