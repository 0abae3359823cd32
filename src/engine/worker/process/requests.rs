//! What a child process can be asked.

use super::Process;
use crate::engine::Capacity;
use crate::engine::text::passages::Passages;
use crate::engine::text::{ReadOrder, TextSeen};
use crate::engine::worker::meter;
use crate::engine::worker::protocol::{Reply, Request};
use crate::engine::worker::{
    BlockOrder, BlockSeen, CheckOrder, Loaded, Order, ScoreOrder, StoreOrder, TextOrder, Tokenized,
    WindowSeen, Worker, WorkerError,
};
use crate::record::machine::{Device, Peak};
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::Precision;

/// Unwraps the one reply that answers a request.
macro_rules! answer {
    ($process:ident, $request:expr, $pattern:pat => $value:expr) => {
        match $process.ask($request)? {
            $pattern => Ok($value),
            other => Err($process.confused(&format_args!("unexpected {other:?}"))),
        }
    };
}

impl Process {
    /// Checks a tokenizer and reads texts.
    pub(in crate::engine::worker) fn read_text(
        &mut self,
        order: &ReadOrder,
    ) -> Result<TextSeen, WorkerError> {
        let request = Request::ReadText(order.clone());
        answer!(self, &request, Reply::Text(seen) => seen)
    }

    /// Gives the child the texts that its prompts are cut from.
    pub(super) fn hand_over(&mut self, passages: &Passages) -> Result<(), WorkerError> {
        let request = Request::Prompts(passages.clone());
        answer!(self, &request, Reply::Prompted => ())
    }
}

impl Worker for Process {
    fn identify(&mut self, order: &Order) -> Result<Device, WorkerError> {
        let request = Request::Identify(order.clone());
        answer!(self, &request, Reply::Identified(device) => device)
    }

    fn peaks(&mut self, order: &Order, dtypes: &[Precision]) -> Result<Vec<Peak>, WorkerError> {
        let request = Request::Peaks {
            order: order.clone(),
            dtypes: dtypes.to_vec(),
        };
        answer!(self, &request, Reply::Peaks(peaks) => peaks)
    }

    fn load(&mut self, order: &Order) -> Result<Loaded, WorkerError> {
        let request = Request::Load(order.clone());
        answer!(self, &request, Reply::Loaded(loaded) => loaded)
    }

    fn describe(&mut self) -> Result<EngineFacts, WorkerError> {
        answer!(self, &Request::Describe, Reply::Described(facts) => facts)
    }

    fn reserve(&mut self, capacity: Capacity) -> Result<(), WorkerError> {
        answer!(self, &Request::Reserve(capacity), Reply::Reserved => ())
    }

    fn check(&mut self, order: &CheckOrder) -> Result<Vec<Accuracy>, WorkerError> {
        let request = Request::Check(order.clone());
        answer!(self, &request, Reply::Checked(seen) => seen)
    }

    /// Runs a block in the child; this process only waits, and what it spent is noted.
    fn block(&mut self, order: &BlockOrder) -> Result<BlockSeen, WorkerError> {
        let request = Request::Block(order.clone());
        let before = meter::processor_time();
        let seen: Result<BlockSeen, WorkerError> =
            answer!(self, &request, Reply::Block(seen) => seen);
        let mut seen = seen?;
        if let Some(spent) = meter::processor_time().since(before) {
            seen.cpu.parent_ns = spent;
        }
        Ok(seen)
    }

    fn tokenize(&mut self, order: &TextOrder) -> Result<Tokenized, WorkerError> {
        let request = Request::Tokenize(order.clone());
        answer!(self, &request, Reply::Tokenized(seen) => seen)
    }

    fn set_aside(&mut self) -> Result<(), WorkerError> {
        answer!(self, &Request::SetAside, Reply::SetAside => ())
    }

    fn store(&mut self, order: &StoreOrder) -> Result<f64, WorkerError> {
        let request = Request::Store(order.clone());
        answer!(self, &request, Reply::Stored(error) => error)
    }

    fn score(&mut self, order: &ScoreOrder) -> Result<Vec<WindowSeen>, WorkerError> {
        let request = Request::Score(order.clone());
        answer!(self, &request, Reply::Scored(seen) => seen)
    }
}
