//! The machine that a plan is for.

use super::exit::{CliError, Exit};
use super::pricing::{self, Placed, Priced};
use super::{args, host, output, watch};
use crate::catalog::Catalog;
use crate::catalog::book::GpuCard;
use crate::catalog::gpus;
use crate::engine::device;
use crate::record::card::CardFacts;
use crate::study::model::{DeviceChoice, EngineKind};
use crate::study::plan::Machine;
use crate::study::plan::speed::{Origin, Speed};
use crate::study::spec::{Price, Study, Target};
use crate::telemetry::Probe as _;
use crate::telemetry::card::{Choice, Unmatched};
use crate::telemetry::nvml;
use crate::telemetry::unavailable::Unavailable;
use crate::units::{Bytes, FlopPerSecond};

/// The machine that `study` is planned for and what an hour of it costs: the card that is asked for, else
/// the card that the driver shows, else this host. Nothing is opened but the driver's library.
pub(super) fn planned(study: &Study, catalog: &Catalog) -> Result<(Machine, Priced), CliError> {
    match (&study.price.gpu, args::target(Some(study.device))) {
        (Some(id), _) => {
            let machine = of_sheet(&pricing::card(id, catalog)?);
            Ok((machine, pricing::look_up(&study.price, None, catalog)?))
        }
        (None, Target::Cuda) => of_driver(study, catalog),
        (None, Target::Cpu) => of_host(study, catalog),
    }
}

/// This machine without a card: its memory, and what a run on it is priced at.
fn of_host(study: &Study, catalog: &Catalog) -> Result<(Machine, Priced), CliError> {
    let cpu = device::facts(&device::open(DeviceChoice::Cpu)?)?;
    // A script says itself how long everything takes.
    let runs_here = match study.engine {
        EngineKind::Decoder | EngineKind::Stock => Some(Placed {
            device: &cpu,
            threads: host::host().threads,
        }),
        EngineKind::Sim(_) => None,
    };
    let machine = Machine {
        target: Target::Cpu,
        memory: Bytes::new(cpu.memory_bytes as f64),
        speed: runs_here.map(|placed| Speed::assumed(placed.threads)),
    };
    Ok((machine, pricing::look_up(&study.price, runs_here, catalog)?))
}

fn of_sheet(card: &GpuCard) -> Machine {
    let sheet = pricing::data_sheet(card);
    let speed = || {
        let rates = sheet.matmul.values().copied();
        Some(Speed {
            read: sheet.bandwidth?,
            matmul: rates.reduce(FlopPerSecond::max)?,
            origin: Origin::Known,
        })
    };
    Machine {
        target: Target::Cuda,
        memory: Bytes::new((card.vram_mib << 20) as f64),
        speed: speed(),
    }
}

/// The card in this machine: its memory from the driver, its speed and price where the catalog knows it.
fn of_driver(study: &Study, catalog: &Catalog) -> Result<(Machine, Priced), CliError> {
    let ordinal = match study.device {
        DeviceChoice::Cuda(ordinal) => ordinal,
        DeviceChoice::Auto | DeviceChoice::Cpu => 0,
    };
    let facts = visible(ordinal)?;
    let CardFacts {
        name: Some(name),
        memory_bytes: Some(memory),
        ..
    } = &facts
    else {
        return Err(refuse(ordinal, "the driver does not say its memory"));
    };
    let known = gpus::recognise(name, *memory);
    let price = Price {
        gpu: known.map(|card| card.id.clone()),
        ..study.price.clone()
    };
    let sheet = known.map(of_sheet);
    let machine = Machine {
        target: Target::Cuda,
        memory: Bytes::new(*memory as f64),
        speed: sheet.and_then(|machine| machine.speed),
    };
    Ok((machine, pricing::look_up(&price, None, catalog)?))
}

/// What the driver says of the card that CUDA calls by this number. Where it is not known which one that is, any
/// of several alike is as good for a plan.
fn visible(ordinal: u32) -> Result<CardFacts, CliError> {
    let visibility = watch::visibility();
    let waiting = |most| output::say(&watch::waiting(most));
    let choice = Choice::Ordinal {
        ordinal: ordinal as usize,
        visibility: visibility.clone(),
    };
    let refused = match nvml::open(&watch::access(), &choice, &waiting) {
        Ok(probe) => return Ok(probe.facts().clone()),
        Err(Unavailable::Unmatched(ambiguous @ Unmatched::Ambiguous { .. })) => ambiguous,
        Err(reason) => return Err(refuse(ordinal, &reason.to_string())),
    };
    let seen = nvml::look_around(&watch::access(), &visibility, &waiting)
        .map_err(|reason| refuse(ordinal, &reason.to_string()))?;
    let cards: Vec<&CardFacts> = seen.cards.iter().map(|seen| &seen.facts).collect();
    match cards.as_slice() {
        [first, others @ ..] if seen.silent.is_empty() && are_alike(first, others) => {
            Ok((*first).clone())
        }
        different => {
            let names: Vec<&str> = different.iter().map(|card| name(card)).collect();
            let why = format!("{refused}: {}", names.join(", "));
            let error = refuse(ordinal, &why);
            Err(error.hint(format!("{}, or name the card with --gpu", refused.remedy())))
        }
    }
}

/// Whether a plan is the same for all of these cards.
fn are_alike(first: &CardFacts, others: &[&CardFacts]) -> bool {
    let kind = |card: &CardFacts| (card.name.clone(), card.memory_bytes);
    others.iter().all(|other| kind(other) == kind(first))
}

fn name(card: &CardFacts) -> &str {
    card.name.as_deref().unwrap_or("—")
}

fn refuse(ordinal: u32, why: &str) -> CliError {
    let error = anyhow::anyhow!("failed to plan for cuda:{ordinal}: {why}");
    CliError::new(Exit::Device, error).hint("name the card with --gpu, for example --gpu h100-sxm")
}
