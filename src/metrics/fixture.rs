//! A small synthetic record for tests: a study whose facts are written down by hand.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::facts::Facts;
use crate::record::card::Sensors;
use crate::record::machine::{Device, DeviceKind, Host, Limit, Peak};
use crate::record::observation::{
    Accuracy, Block, CpuUse, End, EndStatus, EngineFacts, Failure, FailureKind, Generation,
    Harness, Load, Model, Moment, Purpose, Record, Session, Skip, SkipCause,
};
use crate::study::model::{DeviceChoice, EngineKind, Family, ModelSource, Precision, Shape};
use crate::study::questions::Questions;
use crate::study::spec::{Measure, Price, Study, Sweep};
use crate::study::workload::PointId;
use crate::units::{Nanos, Seconds};

/// The record under construction.
pub(crate) struct Script {
    pub(crate) records: Vec<Record>,
    round: u32,
}

/// A point in q8_0.
pub(crate) fn point(batch: u32, isl: u32, osl: u32) -> PointId {
    let count = |n| NonZeroU32::new(n).unwrap();
    PointId {
        precision: Precision::Q8_0,
        kv: None,
        batch: count(batch),
        isl: count(isl),
        osl: count(osl),
    }
}

/// A generation without a tail.
pub(crate) fn generation(first: u64, rest: &[u64]) -> Generation {
    let steps = std::iter::once(first).chain(rest.iter().copied());
    Generation {
        t0_ns: Nanos::new(0),
        steps_ns: steps.map(Nanos::new).collect(),
        tail_ns: Nanos::new(0),
        device_ns: None,
    }
}

/// Four readings of each sensor, ten nanoseconds apart and always the same.
pub(crate) fn columns(readings: &[(&str, u64)]) -> Sensors {
    Sensors {
        period_ns: Nanos::new(10),
        at_ns: [0, 10, 20, 30].map(Nanos::new).to_vec(),
        columns: readings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), vec![Some(*value); 4]))
            .collect(),
        absent: BTreeMap::new(),
    }
}

pub(crate) fn moment(seconds: u64) -> Moment {
    Moment {
        monotonic_ns: Nanos::new(seconds * 1_000_000_000),
        realtime_ns: Nanos::new((1_700_000_000 + seconds) * 1_000_000_000),
    }
}

impl Script {
    /// A session, a CPU and one q8_0 load with 1 GB read per step and 1 kB of KV per token.
    pub(crate) fn new(points: &[PointId]) -> Self {
        let mut script = Self {
            records: vec![
                Record::Session(Box::new(session(points))),
                Record::Device(Box::new(device())),
            ],
            round: 0,
        };
        script.load(0, 0);
        script
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts::new(&self.records).unwrap()
    }

    pub(crate) fn session_mut(&mut self) -> &mut Session {
        match &mut self.records[0] {
            Record::Session(session) => session,
            other => panic!("{other:?} is no session"),
        }
    }

    pub(crate) fn device_mut(&mut self) -> &mut Device {
        match &mut self.records[1] {
            Record::Device(device) => device,
            other => panic!("{other:?} is no device"),
        }
    }

    pub(crate) fn last_block_mut(&mut self) -> &mut Block {
        match self.records.last_mut() {
            Some(Record::Block(block)) => block,
            other => panic!("{other:?} is no block"),
        }
    }

    pub(crate) fn load(&mut self, load: u32, launch: u32) {
        self.records.push(Record::Load(Box::new(Load {
            load,
            launch,
            precision: Precision::Q8_0,
            kv: None,
            engine: engine_facts(),
            started: moment(1),
            duration_ns: Nanos::new(2_000_000_000),
            quantizing: None,
            accuracy: vec![Accuracy {
                batch: 1,
                relative_error: Some(0.001),
                bound: 0.02,
                reference_on: None,
            }],
        })));
    }

    pub(crate) fn block(&mut self, point: PointId, generations: Vec<Generation>) {
        self.block_in(0, point, generations);
    }

    pub(crate) fn block_in(&mut self, load: u32, point: PointId, generations: Vec<Generation>) {
        self.push_block(load, point, Purpose::Measure, generations);
    }

    pub(crate) fn drift(&mut self, point: PointId, generations: Vec<Generation>) {
        self.push_block(0, point, Purpose::Drift, generations);
    }

    fn push_block(
        &mut self,
        load: u32,
        point: PointId,
        purpose: Purpose,
        generations: Vec<Generation>,
    ) {
        let busy: Nanos = generations.iter().map(|g| g.steps_ns.sum()).sum();
        self.records.push(Record::Block(Box::new(Block {
            load,
            point,
            purpose,
            serves: None,
            round: self.round,
            started: moment(10),
            generations,
            repeated: 0,
            output_sha256: "00".repeat(32),
            cpu: CpuUse {
                wall_ns: busy,
                worker_ns: Nanos::new(2 * busy.value()),
                parent_ns: Nanos::new(0),
                steal_ns: Some(Nanos::new(0)),
            },
            peak_memory_bytes: Some(2_000_000_000),
            sensors: None,
        })));
        self.round += 1;
    }

    pub(crate) fn peak(&mut self, of: Limit, work: u64, times: &[u64]) {
        self.records.push(Record::Peak(Peak {
            of,
            work,
            times_ns: times.iter().copied().map(Nanos::new).collect(),
        }));
    }

    pub(crate) fn fail(&mut self, point: PointId, kind: FailureKind, reason: &str) {
        self.records.push(Record::Failure(Failure {
            load: Some(0),
            point: Some(point),
            precision: point.precision,
            kv: point.kv,
            kind,
            reason: reason.to_owned(),
            stderr: Vec::new(),
        }));
    }

    pub(crate) fn skip(&mut self, point: PointId, cause: SkipCause, reason: &str) {
        self.records.push(Record::Skip(Skip {
            point,
            cause,
            reason: reason.to_owned(),
        }));
    }

    pub(crate) fn last_end_mut(&mut self) -> &mut End {
        match self.records.last_mut() {
            Some(Record::End(end)) => end,
            other => panic!("{other:?} is no end"),
        }
    }

    pub(crate) fn end(&mut self, status: EndStatus) {
        let at = moment(100);
        self.records.push(Record::End(End {
            status,
            at,
            after: None,
            lost: None,
            workers_lost: Vec::new(),
        }));
    }
}

fn session(points: &[PointId]) -> Session {
    Session {
        schema: 1,
        started: moment(0),
        run_date: jiff::civil::date(2026, 11, 23),
        harness: Harness {
            version: "0.1.0".to_owned(),
            commit: Some("0123456789abcdef".to_owned()),
            dirty: Some(false),
            binary_sha256: "ab".repeat(32),
            candle: "0.11.1".to_owned(),
            features: Vec::new(),
        },
        engine: EngineKind::Decoder,
        model: model(),
        study: study(points),
        prompts: crate::record::prompts::PromptFacts::RandomIds,
        catalog_sha256: "cd".repeat(32),
        host: Host {
            cpu: "Test CPU".to_owned(),
            threads: 2,
            memory_bytes: 8_000_000_000,
            system: "Linux 6.1".to_owned(),
        },
    }
}

fn model() -> Model {
    Model {
        source: ModelSource::Tiny,
        name: "tiny".to_owned(),
        family: Family::Llama,
        shape: Shape {
            layers: 2,
            hidden: 64,
            ffn: 128,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            vocab: 256,
            tied_embeddings: false,
            qkv_bias: false,
            qk_norm: false,
            rope_theta: 10_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            context: 4_096,
            sliding_window: None,
        },
        random_weights: true,
        native: Precision::F32,
        files: BTreeMap::new(),
    }
}

/// A study over the axes of `points`.
fn study(points: &[PointId]) -> Study {
    fn axis<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
        values.fold(Vec::new(), |mut seen, value| {
            if !seen.contains(&value) {
                seen.push(value);
            }
            seen
        })
    }
    Study {
        source: ModelSource::Tiny,
        engine: EngineKind::Decoder,
        device: DeviceChoice::Cpu,
        imatrix: None,
        sweep: Sweep {
            precision: axis(points.iter().map(|p| p.precision)),
            kv: None,
            batch: axis(points.iter().map(|p| p.batch)),
            isl: axis(points.iter().map(|p| p.isl)),
            osl: axis(points.iter().map(|p| p.osl)),
        },
        prompts: crate::study::prompts::PromptChoice::RandomIds,
        measure: Measure {
            target_ci: 0.03,
            min_blocks: 3,
            max_blocks: 40,
            min_block_seconds: Seconds::new(0.5),
            max_seconds: Seconds::new(10.0),
            warmup_seconds: Seconds::new(2.0),
            launches: 1,
            seed: 1,
            energy: false,
        },
        price: Price::default(),
        report: Questions::default(),
        quality: None,
    }
}

fn device() -> Device {
    Device {
        kind: DeviceKind::Cpu,
        name: "Test CPU".to_owned(),
        uuid: None,
        pci_bus_id: None,
        memory_bytes: 8_000_000_000,
        last_level_cache_bytes: Some(32_000_000),
        compute_capability: None,
        driver: None,
        cuda: None,
        threads: Some(2),
        card: None,
        before: None,
        rested_ns: None,
    }
}

fn engine_facts() -> EngineFacts {
    EngineFacts {
        weight_type: "q8_0".to_owned(),
        bits_per_weight: 8.5,
        activation_dtype: "f32".to_owned(),
        kv_dtype: "f32".to_owned(),
        weight_bytes: 1_100_000_000,
        weight_bytes_per_step: 1_000_000_000,
        kv_bytes_per_token: 1_000,
        kv_allocated_bytes: 10_000_000,
        flop_per_token: 2_000_000_000,
        flop_per_token_and_context: 1_000,
        resident_bytes: Some(1_200_000_000),
        peak_resident_bytes: Some(1_300_000_000),
    }
}
