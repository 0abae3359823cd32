//! What was seen: the facts of a run, their schema, and the append-only file that holds them.

pub mod card;
pub mod holder;
pub mod machine;
pub mod observation;
pub mod prompts;
pub mod quantizing;
pub mod schema;
pub mod scoring;
pub mod sensor;
pub mod steps;
pub mod store;
pub mod xid;
