//! What is told: one document model and its renderings. A report is a function of its inputs alone.

pub mod bars;
pub mod breakeven;
pub mod chart;
pub mod cheapest;
pub mod columns;
pub mod comparison;
pub mod csv;
pub mod document;
pub(crate) mod escape;
#[cfg(test)]
pub(crate) mod example;
pub(crate) mod frontier;
pub mod html;
pub mod json;
pub mod markdown;
pub(crate) mod number;
pub(crate) mod pictures;
pub mod precision;
mod price_doubt;
pub mod provenance;
pub mod section;
mod sentence;
pub mod terminal;
pub(crate) mod timeline;
mod unbeaten;
