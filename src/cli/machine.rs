//! The machine that a plan is for.

use super::exit::{CliError, Exit};
use super::pricing::{self, Priced};
use super::watch;
use super::{args, output};
use crate::catalog::Catalog;
use crate::catalog::book::GpuCard;
use crate::catalog::gpus;
use crate::engine::device;
use crate::record::card::CardFacts;
use crate::study::model::{DeviceChoice, EngineKind};
use crate::study::plan::Machine;
use crate::study::spec::{Price, Study, Target};
use crate::telemetry::Probe as _;
use crate::telemetry::card::Choice;
use crate::telemetry::nvml;
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
    let host = device::facts(&device::open(DeviceChoice::Cpu)?)?;
    let machine = Machine {
        target: Target::Cpu,
        memory: Bytes::new(host.memory_bytes as f64),
        bandwidth: None,
        arithmetic: None,
    };
    let runs_here = match study.engine {
        EngineKind::Decoder | EngineKind::Stock => Some(&host),
        EngineKind::Sim(_) => None,
    };
    Ok((machine, pricing::look_up(&study.price, runs_here, catalog)?))
}

fn of_sheet(card: &GpuCard) -> Machine {
    let sheet = pricing::data_sheet(card);
    Machine {
        target: Target::Cuda,
        memory: Bytes::new((card.vram_mib << 20) as f64),
        bandwidth: sheet.bandwidth,
        arithmetic: sheet.matmul.values().copied().reduce(FlopPerSecond::max),
    }
}

/// The card in this machine: its memory from the driver, its speed and price where the catalog knows it.
fn of_driver(study: &Study, catalog: &Catalog) -> Result<(Machine, Priced), CliError> {
    let ordinal = match study.device {
        DeviceChoice::Cuda(ordinal) => ordinal,
        DeviceChoice::Auto | DeviceChoice::Cpu => 0,
    };
    let refuse = |why: String| {
        CliError::new(
            Exit::Device,
            anyhow::anyhow!("failed to plan for cuda:{ordinal}: {why}"),
        )
        .hint("name the card with --gpu, for example --gpu h100-sxm")
    };
    let choice = Choice::Ordinal {
        ordinal: ordinal as usize,
        visibility: watch::visibility(),
    };
    let waiting = |most| output::say(&watch::waiting(most));
    let probe = nvml::open(&watch::access(), &choice, &waiting)
        .map_err(|reason| refuse(reason.to_string()))?;
    let CardFacts {
        name: Some(name),
        memory_bytes: Some(memory),
        ..
    } = probe.facts()
    else {
        return Err(refuse("the driver does not say its memory".to_owned()));
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
        bandwidth: sheet.and_then(|machine| machine.bandwidth),
        arithmetic: sheet.and_then(|machine| machine.arithmetic),
    };
    Ok((machine, pricing::look_up(&price, None, catalog)?))
}
