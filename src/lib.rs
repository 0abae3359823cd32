#![doc = include_str!("../README.md")]

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod cost;
pub mod engine;
pub mod measure;
pub mod metrics;
pub mod quality;
pub mod record;
pub mod report;
pub mod study;
pub mod telemetry;
pub mod units;
