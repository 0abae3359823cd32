//! Records of a small run, for the tests of this folder.

use std::num::NonZeroU32;

use crate::record::machine::{Device, DeviceKind, Host};
use crate::record::observation::{
    Block, CpuUse, End, EndStatus, EngineFacts, Generation, Harness, Load, Model, Moment, Purpose,
    Record, Session,
};
use crate::record::scoring::{Pairing, Reference, Scoring, Text, Window};
use crate::study::file::StudyFile;
use crate::study::model::{EngineKind, Family, ModelSource, Precision, Shape};
use crate::study::spec::Target;
use crate::study::workload::PointId;
use crate::units::Nanos;

pub(super) fn moment(nanoseconds: u64) -> Moment {
    Moment {
        monotonic_ns: Nanos::new(nanoseconds),
        realtime_ns: Nanos::new(1_790_000_000_000_000_000 + nanoseconds),
    }
}

/// A point of the default study of the tiny model.
pub(super) fn point() -> PointId {
    let count = |n| NonZeroU32::new(n).unwrap();
    PointId {
        precision: Precision::F32,
        kv: None,
        batch: count(4),
        isl: count(128),
        osl: count(32),
    }
}

pub(super) fn session() -> Session {
    let study = StudyFile::default().resolved(Target::Cpu).unwrap();
    Session {
        schema: crate::record::schema::VERSION,
        started: moment(1),
        run_date: "2026-11-23".parse().unwrap(),
        harness: Harness {
            version: "0.1.0".to_owned(),
            commit: None,
            dirty: None,
            binary_sha256: "ab".repeat(32),
            candle: "0.11.1".to_owned(),
            features: Vec::new(),
        },
        engine: EngineKind::Decoder,
        model: Model {
            source: ModelSource::Tiny,
            name: "tiny".to_owned(),
            family: Family::Llama,
            shape: shape(),
            random_weights: true,
            native: Precision::F32,
            files: std::collections::BTreeMap::new(),
        },
        study,
        prompts: crate::record::prompts::PromptFacts::RandomIds,
        catalog_sha256: "cd".repeat(32),
        host: Host {
            cpu: "a processor".to_owned(),
            threads: 2,
            memory_bytes: 8 << 30,
            system: "Linux 6".to_owned(),
        },
    }
}

fn shape() -> Shape {
    Shape {
        layers: 2,
        hidden: 64,
        ffn: 128,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        vocab: 256,
        tied_embeddings: true,
        qkv_bias: false,
        qk_norm: false,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        context: 512,
        sliding_window: None,
    }
}

pub(super) fn device() -> Device {
    Device {
        kind: DeviceKind::Cpu,
        name: "a processor".to_owned(),
        uuid: None,
        pci_bus_id: None,
        memory_bytes: 8 << 30,
        last_level_cache_bytes: None,
        compute_capability: None,
        driver: None,
        cuda: None,
        threads: Some(2),
        card: None,
        before: None,
        rested_ns: None,
    }
}

pub(super) fn load(number: u32) -> Load {
    Load {
        load: number,
        launch: 0,
        precision: Precision::F32,
        kv: None,
        engine: EngineFacts {
            weight_type: "f32".to_owned(),
            bits_per_weight: 32.0,
            activation_dtype: "f32".to_owned(),
            kv_dtype: "f32".to_owned(),
            weight_bytes: 1 << 20,
            weight_bytes_per_step: 1 << 20,
            kv_bytes_per_token: 512,
            kv_allocated_bytes: 1 << 16,
            flop_per_token: 1 << 19,
            flop_per_token_and_context: 512,
            resident_bytes: None,
            peak_resident_bytes: None,
        },
        started: moment(10),
        duration_ns: Nanos::new(5),
        quantizing: None,
        accuracy: Vec::new(),
    }
}

/// A block of eight generations in the given load.
pub(super) fn block(load: u32, round: u32) -> Block {
    let start = 1_000 + u64::from(round) * 1_000_000_000;
    let generations = (0..8u64)
        .map(|n| Generation {
            t0_ns: Nanos::new(start + n * 40_000_000),
            steps_ns: (0..32).map(|k| Nanos::new(1_000_000 + k)).collect(),
            tail_ns: Nanos::new(100),
            device_ns: None,
        })
        .collect();
    Block {
        load,
        point: point(),
        purpose: Purpose::Measure,
        serves: None,
        round,
        started: moment(start),
        generations,
        repeated: 0,
        output_sha256: "0f".repeat(32),
        cpu: CpuUse {
            wall_ns: Nanos::new(320_000_000),
            worker_ns: Nanos::new(320_000_000),
            parent_ns: Nanos::new(1_000),
            steal_ns: Some(Nanos::new(0)),
        },
        peak_memory_bytes: Some(2 << 20),
        sensors: None,
    }
}

/// A comparison over a text of two windows of four tokens, one prediction each.
pub(super) fn scoring(number: u32) -> Scoring {
    Scoring {
        scoring: number,
        precision: Precision::Q8_0,
        kv: None,
        engine: load(0).engine,
        reference: Reference {
            source: ModelSource::Tiny,
            precision: Precision::F32,
            engine: load(0).engine,
        },
        text: Text {
            name: "bundled".to_owned(),
            sha256: "ef".repeat(32),
            bytes: 30,
            tokens: 9,
            begin: None,
            context: 4,
            stride: 4,
            first: 2,
            windows: 2,
        },
        pairing: Pairing::Stored { error: 1e-5 },
        started: moment(10),
        load_ns: Nanos::new(5),
        quantizing: None,
    }
}

/// One window of a comparison.
pub(super) fn window(scoring: u32, window: u32) -> Window {
    Window {
        scoring,
        window,
        surprise: 2.5,
        surprise_reference: 2.25,
        delta_p: -0.125,
        delta_p_squared: 0.015_625,
        same_top: 1,
        divergence_nano: vec![1_500],
    }
}

/// A whole run with this many blocks.
pub(super) fn run(blocks: u32) -> Vec<Record> {
    let mut records = vec![
        Record::Session(Box::new(session())),
        Record::Device(Box::new(device())),
        Record::Load(Box::new(load(0))),
    ];
    records.extend((0..blocks).map(|round| Record::Block(Box::new(block(0, round)))));
    records.push(Record::End(End {
        status: EndStatus::Complete,
        at: moment(9),
        after: None,
        lost: None,
        workers_lost: Vec::new(),
    }));
    records
}
