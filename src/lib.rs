//! mtok measures what a million tokens cost.

pub mod clock;
pub mod engine;
pub mod metrics;
pub mod record;
pub mod study;
pub mod telemetry;
pub mod units;
