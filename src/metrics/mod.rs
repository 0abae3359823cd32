//! What the facts say: estimates with intervals, the hardware's limits, doubts, and comparisons.

pub mod energy;
