//! A session record for tests that write files.

use mtok::clock::{Clock, Monotonic};
use mtok::record::machine::Host;
use mtok::record::observation::{Harness, Model, Moment, Session};
use mtok::record::schema;
use mtok::study::model::{Family, ModelSource, Precision, Shape};
use mtok::study::spec::Study;

/// The session of a study.
pub(crate) fn of(study: &Study) -> Session {
    Session {
        schema: schema::VERSION,
        started: Moment {
            monotonic_ns: Monotonic.now(),
            realtime_ns: Monotonic.realtime(),
        },
        run_date: "2026-11-23".parse().unwrap(),
        harness: Harness {
            version: "0".to_owned(),
            commit: None,
            dirty: None,
            binary_sha256: "ab".repeat(32),
            candle: "0".to_owned(),
            features: Vec::new(),
        },
        engine: study.engine.clone(),
        model: Model {
            source: ModelSource::Tiny,
            name: "tiny".to_owned(),
            family: Family::Llama,
            shape: Shape {
                layers: 1,
                hidden: 64,
                ffn: 64,
                heads: 1,
                kv_heads: 1,
                head_dim: 64,
                vocab: 64,
                tied_embeddings: true,
                qkv_bias: false,
                qk_norm: false,
                rope_theta: 1e4,
                rope_scaling: None,
                norm_eps: 1e-5,
                context: 512,
                sliding_window: None,
            },
            random_weights: true,
            native: Precision::F32,
            files: std::collections::BTreeMap::new(),
        },
        study: study.clone(),
        prompts: mtok::record::prompts::PromptFacts::RandomIds,
        catalog_sha256: "cd".repeat(32),
        host: Host {
            cpu: "a processor".to_owned(),
            threads: 2,
            memory_bytes: 1 << 30,
            system: "Linux".to_owned(),
        },
    }
}
