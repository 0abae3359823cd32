//! The side of the worker that holds the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{self, Bench};
use super::create::{self, Created};
use super::meter::{self, Meter};
use super::prompts::PromptSource;
use super::score::{self, Sight};
use super::{
    BlockOrder, BlockSeen, CheckOrder, Loaded, Order, Refusal, ScoreOrder, StoreOrder, TextOrder,
    Tokenized, WindowSeen, Worker, WorkerError,
};
use crate::clock::Clock;
use crate::engine::text::passages::Passages;
use crate::engine::{Capacity, Progress};
use crate::record::machine::{Device, DeviceKind, Peak};
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::Precision;
use crate::units::Nanos;

/// Holds an engine and does with it what it is asked.
pub struct Host {
    machine: Arc<dyn Clock>,
    progress: Arc<Progress>,
    loading: Arc<AnonymousPeak>,
    created: Option<Created>,
    /// The model that was set aside as the reference.
    reference: Option<Created>,
    memory: Resident,
    /// What prompts are cut from; they are random ids without it.
    passages: Option<Arc<Passages>>,
}

/// Highest anonymous memory seen while a model is loaded, sampled by another thread.
#[derive(Debug, Default)]
pub(super) struct AnonymousPeak(AtomicU64);

/// Anonymous memory of the process after a load, and its peak during it.
#[derive(Debug, Clone, Copy, Default)]
struct Resident {
    after: Option<u64>,
    peak: Option<u64>,
}

impl AnonymousPeak {
    /// Looks once.
    pub(super) fn sample(&self) -> Option<u64> {
        let bytes = meter::anonymous_bytes()?;
        Some(self.0.fetch_max(bytes, Ordering::Relaxed).max(bytes))
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Host {
    /// A host with nothing loaded, on the machine's clock, counting its steps in `progress`.
    pub fn new(machine: Arc<dyn Clock>, progress: Arc<Progress>) -> Self {
        Self {
            machine,
            progress,
            loading: Arc::default(),
            created: None,
            reference: None,
            memory: Resident::default(),
            passages: None,
        }
    }

    /// The model that is loaded: what the overhead of blocks is measured against.
    pub fn loaded(&mut self) -> Option<&mut Created> {
        self.created.as_mut()
    }

    /// Cuts the prompts of blocks from these texts from now on.
    pub(super) fn cut_prompts_from(&mut self, passages: Passages) {
        self.passages = Some(Arc::new(passages));
    }

    /// Where a sampling thread notes the memory of loading.
    pub(super) fn loading(&self) -> Arc<AnonymousPeak> {
        Arc::clone(&self.loading)
    }

    fn created(&mut self) -> Result<&mut Created, Refusal> {
        self.created.as_mut().ok_or_else(|| Refusal::Invalid {
            reason: "no model is loaded".to_owned(),
        })
    }

    /// The engine's own words, and the memory of the process where it is the engine's.
    fn facts(&mut self) -> Result<EngineFacts, Refusal> {
        let memory = self.memory;
        let created = self.created()?;
        let facts = created.engine.describe();
        Ok(match created.device {
            DeviceKind::Cpu | DeviceKind::Cuda => EngineFacts {
                resident_bytes: memory.after,
                peak_resident_bytes: memory.peak,
                ..facts
            },
            DeviceKind::Sim => facts,
        })
    }
}

impl Worker for Host {
    fn identify(&mut self, order: &Order) -> Result<Device, WorkerError> {
        Ok(create::identify(order)?)
    }

    fn peaks(&mut self, order: &Order, dtypes: &[Precision]) -> Result<Vec<Peak>, WorkerError> {
        let mut created = create::create_peaks(order, &self.machine)?;
        let clock = created.clock.as_ref();
        Ok(created.peaks.peaks(dtypes, clock, &self.progress)?)
    }

    fn load(&mut self, order: &Order) -> Result<Loaded, WorkerError> {
        self.created = None;
        self.loading.reset();
        let created = create::create(order, &self.machine, &self.progress)?;
        let ended = created.clock.now();
        let (started, quantizing) = (created.started, created.quantizing);
        self.memory = Resident {
            peak: self.loading.sample(),
            after: meter::anonymous_bytes(),
        };
        self.created = Some(created);
        Ok(Loaded {
            started,
            duration: ended.since(started.monotonic_ns).unwrap_or(Nanos::new(0)),
            quantizing,
            engine: self.facts()?,
        })
    }

    fn describe(&mut self) -> Result<EngineFacts, WorkerError> {
        Ok(self.facts()?)
    }

    fn reserve(&mut self, capacity: Capacity) -> Result<(), WorkerError> {
        Ok(self.created()?.engine.reserve(capacity)?)
    }

    fn check(&mut self, order: &CheckOrder) -> Result<Vec<Accuracy>, WorkerError> {
        let progress = Arc::clone(&self.progress);
        let created = self.created()?;
        // Short prompts that are only computed with, so random ids serve whatever the study asks for.
        let mut prompts = PromptSource::random(order.seed, created.vocab);
        let mut seen = Vec::with_capacity(order.batches.len());
        for &batch in &order.batches {
            let prompt = prompts.next(batch.max(1) as usize, order.length.max(1) as usize)?;
            seen.push(created.engine.check(&prompt, &progress)?);
        }
        Ok(seen)
    }

    fn block(&mut self, order: &BlockOrder) -> Result<BlockSeen, WorkerError> {
        let progress = Arc::clone(&self.progress);
        let passages = self.passages.clone();
        let created = self.created()?;
        let mut bench = Bench {
            passages: passages.as_deref(),
            engine: created.engine.as_mut(),
            clock: created.clock.as_ref(),
            progress: &progress,
            meter: Meter::of(created.device),
            vocab: created.vocab,
        };
        Ok(block::run(&mut bench, order)?)
    }

    fn tokenize(&mut self, order: &TextOrder) -> Result<Tokenized, WorkerError> {
        Ok(create::tokenize(order)?)
    }

    fn set_aside(&mut self) -> Result<(), WorkerError> {
        self.created()?;
        self.reference = self.created.take();
        Ok(())
    }

    fn store(&mut self, order: &StoreOrder) -> Result<f64, WorkerError> {
        let progress = Arc::clone(&self.progress);
        let mut sight = Sight::of(self.created()?, order.first, &progress);
        Ok(score::store(&mut sight, order)?)
    }

    fn score(&mut self, order: &ScoreOrder) -> Result<Vec<WindowSeen>, WorkerError> {
        let progress = Arc::clone(&self.progress);
        let mut beside = self.reference.take();
        let seen = self.created().and_then(|judged| {
            let mut beside = beside
                .as_mut()
                .map(|it| Sight::of(it, order.first, &progress));
            let mut judged = Sight::of(judged, order.first, &progress);
            Ok(score::score(&mut judged, beside.as_mut(), order)?)
        });
        self.reference = beside;
        Ok(seen?)
    }
}
