//! With what, when and how a study was measured, as labelled lines.

use crate::metrics::facts::Facts;
use crate::record::machine::{Device, Host};
use crate::record::observation::{Harness, Model, Session};

/// One labelled line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// Its value.
    pub value: String,
}

/// Digits of a hash that a reader compares.
const SHOWN_HASH: usize = 16;

/// Everything that identifies the run.
pub(crate) fn of(facts: &Facts<'_>) -> Vec<Fact> {
    let session = facts.session;
    let mut lines = vec![fact("run date", session.run_date.to_string())];
    lines.extend(of_model(&session.model));
    lines.push(fact("prompts", session.prompts.to_string()));
    lines.push(fact("engine", session.engine.to_string()));
    lines.extend(facts.device.map(of_device).unwrap_or_default());
    lines.extend(of_host(&session.host));
    lines.extend(of_harness(&session.harness));
    lines.extend(of_study(session));
    lines
}

fn fact(label: &'static str, value: impl Into<String>) -> Fact {
    Fact {
        label,
        value: value.into(),
    }
}

fn of_model(model: &Model) -> Vec<Fact> {
    let weights = if model.random_weights {
        "seeded random numbers of the model's shape: its speed, not its text"
    } else {
        "from the checkpoint"
    };
    let mut lines = vec![
        fact("model", format!("{} ({})", model.name, model.source)),
        fact("weights", weights),
        fact("parameters", model.shape.parameters().to_string()),
    ];
    for (file, hash) in &model.files {
        lines.push(fact("file", format!("{file} sha256 {}", short(hash))));
    }
    lines
}

fn of_device(device: &Device) -> Vec<Fact> {
    let memory = bytes(device.memory_bytes);
    let mut lines = vec![fact("device", format!("{}, {memory}", device.name))];
    let optional = [
        ("last-level cache", device.last_level_cache_bytes.map(bytes)),
        ("compute capability", device.compute_capability.clone()),
        ("driver", device.driver.clone()),
        ("CUDA of the driver", device.cuda.clone()),
        ("threads", device.threads.map(|n| n.to_string())),
        ("card", device.uuid.clone()),
    ];
    for (label, value) in optional {
        lines.extend(value.map(|value| fact(label, value)));
    }
    lines
}

fn of_host(host: &Host) -> Vec<Fact> {
    let memory = bytes(host.memory_bytes);
    vec![
        fact(
            "host",
            format!("{}, {} threads, {memory}", host.cpu, host.threads),
        ),
        fact("system", host.system.as_str()),
    ]
}

fn of_harness(harness: &Harness) -> Vec<Fact> {
    let commit = harness.commit.as_deref().map_or("unknown", short);
    let state = match harness.dirty {
        Some(true) => " with changes",
        Some(false) => "",
        None => ", changes unknown",
    };
    let features = match harness.features.as_slice() {
        [] => "none".to_owned(),
        features => features.join(", "),
    };
    vec![
        fact(
            "mtok",
            format!("{} commit {commit}{state}", harness.version),
        ),
        fact(
            "executable",
            format!("sha256 {}", short(&harness.binary_sha256)),
        ),
        fact("candle", harness.candle.as_str()),
        fact("features", features),
    ]
}

fn of_study(session: &Session) -> Vec<Fact> {
    let measure = &session.study.measure;
    vec![
        fact("seed", measure.seed.to_string()),
        fact("launches", measure.launches.to_string()),
        fact(
            "blocks",
            format!(
                "{} to {} of at least {} s per point, aimed at ± {} %",
                measure.min_blocks,
                measure.max_blocks,
                measure.min_block_seconds.value(),
                measure.target_ci * 100.0
            ),
        ),
        fact(
            "price catalog",
            format!("sha256 {}", short(&session.catalog_sha256)),
        ),
    ]
}

fn short(hash: &str) -> &str {
    hash.get(..SHOWN_HASH).unwrap_or(hash)
}

/// Bytes in the decimal unit that leaves at least one digit before the point.
pub(crate) fn bytes(count: u64) -> String {
    let (size, unit) = match count {
        0..1_000 => return format!("{count} B"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        1_000_000_000.. => (1e9, "GB"),
    };
    format!("{:.2} {unit}", count as f64 / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_a_digit_before_the_point() {
        let written = [999, 1_000, 32_000_000, 80_000_000_000].map(bytes);
        assert_eq!(written, ["999 B", "1.00 kB", "32.00 MB", "80.00 GB"]);
    }
}
