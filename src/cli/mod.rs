//! One file per verb; only here is anything printed.

pub mod breakeven;
