//! The break-even from scenario to decision, on a small price book.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it stands"
)]
#![expect(
    clippy::float_cmp,
    reason = "whole replicas, cards and copied values are exact"
)]

mod closed_form;
mod contract;
mod fixture;
mod golden;
mod guide;
mod hostile;
mod keys;
mod laws;
mod properties;
