//! What differs between two runs besides their numbers: card, driver, engine, program and settings.

use super::comparison::Difference;
use super::facts::Facts;

/// What stands for a fact that a side does not have.
const UNKNOWN: &str = "—";

/// Every difference, the weightiest first.
pub(crate) fn between(base: &Facts<'_>, new: &Facts<'_>) -> Vec<Difference> {
    let pairs = listed(base).into_iter().zip(listed(new));
    pairs
        .filter(|(base, new)| base.value != new.value)
        .map(|(base, new)| Difference {
            what: base.what,
            base: base.value,
            new: new.value,
        })
        .collect()
}

/// One fact that should be the same on both sides.
struct Circumstance {
    what: &'static str,
    value: String,
}

fn listed(facts: &Facts<'_>) -> Vec<Circumstance> {
    let mut all = of_device(facts);
    all.extend(of_card(facts));
    all.extend(of_session(facts));
    all.extend(of_settings(facts));
    all
}

fn item(what: &'static str, value: Option<String>) -> Circumstance {
    let value = value.unwrap_or_else(|| UNKNOWN.to_owned());
    Circumstance { what, value }
}

fn of_device(facts: &Facts<'_>) -> Vec<Circumstance> {
    let device = facts.device;
    let threads = device.and_then(|d| d.threads).map(|n| n.to_string());
    vec![
        item("device", device.map(|d| d.name.clone())),
        item("card", device.and_then(|d| d.uuid.clone())),
        item("driver", device.and_then(|d| d.driver.clone())),
        item("CUDA", device.and_then(|d| d.cuda.clone())),
        item("threads", threads),
    ]
}

/// How the driver has set the card.
fn of_card(facts: &Facts<'_>) -> Vec<Circumstance> {
    let card = facts.card();
    let number = |value: Option<u64>, unit: &str| value.map(|value| format!("{value} {unit}"));
    let switch = |on: Option<bool>| on.map(|on| if on { "on" } else { "off" }.to_owned());
    let slice = card.and_then(|card| card.mig_uuid.clone());
    vec![
        item("MIG slice", slice),
        item("NVML", card.and_then(|card| card.nvml.clone())),
        item(
            "power limit",
            card.and_then(|card| number(card.power_limit_mw, "mW")),
        ),
        item(
            "highest SM clock",
            card.and_then(|card| number(card.max_sm_clock_mhz, "MHz")),
        ),
        item(
            "highest memory clock",
            card.and_then(|card| number(card.max_memory_clock_mhz, "MHz")),
        ),
        item("ECC", card.and_then(|card| switch(card.ecc))),
        item("MIG", card.and_then(|card| switch(card.mig))),
        item(
            "persistence",
            card.and_then(|card| switch(card.persistence)),
        ),
    ]
}

fn of_session(facts: &Facts<'_>) -> Vec<Circumstance> {
    let session = facts.session;
    let (harness, model) = (&session.harness, &session.model);
    let files: Vec<String> = model
        .files
        .iter()
        .map(|(k, v)| format!("{k} {v}"))
        .collect();
    vec![
        item("engine", Some(session.engine.to_string())),
        item("model", Some(model.name.clone())),
        item("prompts", Some(session.prompts.to_string())),
        item("random weights", Some(model.random_weights.to_string())),
        item("model files", Some(files.join(", "))),
        item("mtok", Some(harness.version.clone())),
        item("commit", harness.commit.clone()),
        item("executable", Some(harness.binary_sha256.clone())),
        item("candle", Some(harness.candle.clone())),
        item("features", Some(harness.features.join(", "))),
        item("host", Some(session.host.cpu.clone())),
        item("system", Some(session.host.system.clone())),
    ]
}

fn of_settings(facts: &Facts<'_>) -> Vec<Circumstance> {
    let measure = &facts.session.study.measure;
    let number = |value: f64| Some(value.to_string());
    vec![
        item("seed", Some(measure.seed.to_string())),
        item("launches", Some(measure.launches.to_string())),
        item("min_blocks", Some(measure.min_blocks.to_string())),
        item("max_blocks", Some(measure.max_blocks.to_string())),
        item("target_ci", number(measure.target_ci)),
        item(
            "min_block_seconds",
            number(measure.min_block_seconds.value()),
        ),
        item("max_seconds", number(measure.max_seconds.value())),
        item("warmup_seconds", number(measure.warmup_seconds.value())),
        item("energy", Some(measure.energy.to_string())),
    ]
}
