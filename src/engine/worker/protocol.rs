//! What parent and child say to each other: one JSON document per line.

use serde::{Deserialize, Serialize};

use super::{
    BlockOrder, BlockSeen, CheckOrder, Loaded, Order, Refusal, ScoreOrder, StoreOrder, TextOrder,
    Tokenized, WindowSeen,
};
use crate::engine::Capacity;
use crate::engine::text::ReadOrder;
use crate::engine::text::TextSeen;
use crate::engine::text::passages::Passages;
use crate::record::machine::{Device, Peak};
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::Precision;

/// What the parent asks. Every request has one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Open the device and say what it is.
    Identify(Order),
    /// Measure the limits of the device.
    Peaks {
        /// Which device, for which engine.
        order: Order,
        /// Types of the matrices.
        dtypes: Vec<Precision>,
    },
    /// Check a tokenizer and read texts.
    ReadText(ReadOrder),
    /// Cut prompts from these texts from now on.
    Prompts(Passages),
    /// Load a model.
    Load(Order),
    /// Say what the loaded model is.
    Describe,
    /// Make room.
    Reserve(Capacity),
    /// Compare logits.
    Check(CheckOrder),
    /// Run a block.
    Block(BlockOrder),
    /// Cut a text into tokens.
    Tokenize(TextOrder),
    /// Keep the loaded model as the reference.
    SetAside,
    /// Write distributions to a file.
    Store(StoreOrder),
    /// Compare distributions.
    Score(ScoreOrder),
}

/// What the child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// Once a second while something is being done, from another thread: steps so far.
    Progress(u64),
    /// The device.
    Identified(Device),
    /// Limits of the device.
    Peaks(Vec<Peak>),
    /// What came of the texts.
    Text(TextSeen),
    /// The texts are there.
    Prompted,
    /// The model is there.
    Loaded(Loaded),
    /// What the loaded model is.
    Described(EngineFacts),
    /// There is room.
    Reserved,
    /// How far the logits are from the reference.
    Checked(Vec<Accuracy>),
    /// What was seen in the block.
    Block(BlockSeen),
    /// The text as tokens.
    Tokenized(Tokenized),
    /// The model is kept.
    SetAside,
    /// The distributions are written; their rounding error.
    Stored(f64),
    /// What was made of the windows.
    Scored(Vec<WindowSeen>),
    /// It could not be done.
    Refused(Refusal),
}
