//! What is asked: the model, the workload, the study and the plan made from them.

pub mod check;
mod decimal_text;
pub mod file;
pub mod hub;
pub mod input;
pub mod model;
mod passing_over;
pub mod plan;
pub mod prompts;
pub mod quality;
pub mod questions;
pub mod spec;
pub mod variant;
pub mod workload;
