//! What is asked: the model, the workload, the study and the plan made from them.

mod decimal_text;
pub mod hub;
pub mod input;
pub mod model;
pub mod plan;
pub mod prompts;
pub mod quality;
pub mod spec;
pub mod variant;
pub mod workload;
