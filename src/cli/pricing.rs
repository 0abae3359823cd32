//! What an hour of the measured device costs, and what its maker says it can do.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::exit::{CliError, Exit};
use crate::catalog::Catalog;
use crate::catalog::book::{Commitment, GpuCard, NotFound, PriceBook as _, Rental};
use crate::catalog::gpus;
use crate::cost::rate::{HourlyPrice, Origin};
use crate::metrics::roofline::DataSheet;
use crate::record::machine::{Device, DeviceKind};
use crate::study::model::Precision;
use crate::study::spec::Price;
use crate::units::{BytesPerSecond, FlopPerSecond, UsdPerHour};

/// The price and the data sheet of a device.
#[derive(Debug, Clone, Default)]
pub(super) struct Priced {
    /// What an hour costs, where anybody says.
    pub(super) price: Option<HourlyPrice>,
    /// What the maker says, where the card is known.
    pub(super) sheet: Option<DataSheet>,
}

/// A device in its host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    /// What was measured, or would be.
    pub(super) device: &'a Device,
    /// Threads of the host that may be used: what is rented, however many of them an engine takes.
    pub(super) threads: u32,
}

impl From<NotFound> for CliError {
    fn from(error: NotFound) -> Self {
        Self::new(Exit::Input, error)
    }
}

/// The card of an id, or an error that names those that there are.
pub(super) fn card(id: &str, catalog: &Catalog) -> Result<GpuCard, CliError> {
    catalog.gpu(id).map_err(|error| {
        let known: Vec<String> = catalog.gpus().into_iter().map(|card| card.id).collect();
        CliError::from(error).hint(format!("the cards are {}", known.join(", ")))
    })
}

/// Looks up the card that `asked` names or that the device is, and its price: the user's rate where
/// there is one, else the cheapest on-demand offer of the catalog.
pub(super) fn look_up(
    asked: &Price,
    placed: Option<Placed<'_>>,
    catalog: &Catalog,
) -> Result<Priced, CliError> {
    let device = placed.map(|placed| placed.device);
    if let Some(scripted) = device.filter(|device| device.kind == DeviceKind::Sim) {
        // Nobody rents it out. One that is called like a card is held against what that card can do.
        return Ok(Priced {
            price: None,
            sheet: recognise(scripted).as_ref().map(data_sheet),
        });
    }
    let card = match &asked.gpu {
        Some(id) => Some(card(id, catalog)?),
        None => device.and_then(recognise),
    };
    let offer = match (&card, placed) {
        (Some(card), _) => cheapest(catalog.rentals_of(&card.id)),
        (None, Some(placed)) if placed.device.kind == DeviceKind::Cpu => {
            cpu_offer(placed.threads, catalog)
        }
        (None, _) => None,
    };
    let price = match asked.usd_per_hour {
        Some(rate) => Some(user_rate(rate)?),
        None => offer.map(|offer| catalog_rate(&offer)).transpose()?,
    };
    // The sheet is of what was measured, whatever it is priced as.
    let sheet = match device {
        Some(device) if device.kind != DeviceKind::Cuda => None,
        Some(device) => recognise(device).or(card),
        None => card,
    };
    Ok(Priced {
        price,
        sheet: sheet.as_ref().map(data_sheet),
    })
}

/// The card of the catalog that a device is, or is scripted as.
fn recognise(device: &Device) -> Option<GpuCard> {
    match device.kind {
        DeviceKind::Cuda | DeviceKind::Sim => {
            gpus::recognise(&device.name, device.memory_bytes).cloned()
        }
        DeviceKind::Cpu => None,
    }
}

/// The cheapest offer by the hour, one card at a time where anyone rents it out so.
fn cheapest(mut offers: Vec<Rental>) -> Option<Rental> {
    offers.retain(|offer| offer.commitment == Commitment::OnDemand);
    offers.sort_by_key(|offer| (offer.quantum_gpus, offer.usd_per_gpu_hour));
    offers.into_iter().next()
}

/// The cheapest rented machine with at least as many vCPUs as the host has threads, and no more of them
/// than needed.
fn cpu_offer(threads: u32, catalog: &Catalog) -> Option<Rental> {
    let machines = catalog.rentals().iter().filter_map(|row| {
        let vcpus: u32 = row
            .gpu
            .strip_prefix("cpu-")?
            .strip_suffix("vcpu")?
            .parse()
            .ok()?;
        (vcpus >= threads).then_some((vcpus, row.gpu.as_str()))
    });
    let (_, machine) = machines.min()?;
    cheapest(catalog.rentals_of(machine))
}

fn user_rate(rate: Decimal) -> Result<HourlyPrice, CliError> {
    Ok(HourlyPrice {
        usd_per_hour: dollars(rate)?,
        label: "the user's rate".to_owned(),
        source: "--usd-per-hour or price.usd_per_hour".to_owned(),
        as_of: None,
        origin: Origin::User,
    })
}

fn catalog_rate(offer: &Rental) -> Result<HourlyPrice, CliError> {
    let region = offer
        .region
        .as_ref()
        .map(|region| format!(", {region}"))
        .unwrap_or_default();
    Ok(HourlyPrice {
        usd_per_hour: dollars(offer.usd_per_gpu_hour)?,
        label: format!(
            "{} at {}, on demand{region} ({})",
            offer.gpu, offer.provider, offer.id
        ),
        source: offer.provenance.source.clone(),
        as_of: Some(offer.provenance.as_of),
        origin: Origin::Catalog,
    })
}

fn dollars(decimal: Decimal) -> Result<UsdPerHour, CliError> {
    decimal
        .try_into()
        .map(UsdPerHour::new)
        .map_err(|error| CliError::new(Exit::Input, error))
}

/// The card's sheet in the form that `metrics` takes.
pub(super) fn data_sheet(card: &GpuCard) -> DataSheet {
    let rate = |precision: Precision| {
        card.flop_per_second(precision.word())
            .map(|rate| (precision, FlopPerSecond::new(rate)))
    };
    DataSheet {
        card: card.name.clone(),
        bandwidth: Some(BytesPerSecond::new(card.bandwidth_bytes_per_second as f64)),
        matmul: [Precision::F32, Precision::F16, Precision::Bf16]
            .into_iter()
            .filter_map(rate)
            .collect::<BTreeMap<_, _>>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: DeviceKind, name: &str) -> Device {
        Device {
            kind,
            name: name.to_owned(),
            uuid: None,
            pci_bus_id: None,
            memory_bytes: 81_559 << 20,
            last_level_cache_bytes: None,
            compute_capability: None,
            driver: None,
            cuda: None,
            threads: Some(1),
            card: None,
            before: None,
            rested_ns: None,
        }
    }

    fn priced(asked: &Price, device: &Device, threads: u32) -> Priced {
        let placed = Placed { device, threads };
        look_up(asked, Some(placed), &Catalog::bundled()).unwrap()
    }

    fn label(asked: &Price, device: &Device, threads: u32) -> Option<String> {
        priced(asked, device, threads)
            .price
            .map(|price| price.label)
    }

    #[test]
    fn a_card_is_recognised_and_priced_with_a_date() {
        let card = device(DeviceKind::Cuda, "NVIDIA H100 80GB HBM3");
        let priced = priced(&Price::default(), &card, 16);
        assert!(priced.price.is_some_and(|price| price.as_of.is_some()));
        assert!(priced.sheet.is_some_and(|sheet| sheet.bandwidth.is_some()));
    }

    #[test]
    fn a_cpu_is_priced_as_the_smallest_machine_that_has_its_threads() {
        let cpu = device(DeviceKind::Cpu, "x");
        let text = label(&Price::default(), &cpu, 3).unwrap();
        assert!(text.starts_with("cpu-4vcpu"), "{text}");
        assert_eq!(label(&Price::default(), &cpu, 500), None);
    }

    #[test]
    fn a_cpu_has_no_data_sheet_of_a_card() {
        let asked = Price {
            gpu: Some("h100-sxm".to_owned()),
            ..Price::default()
        };
        let sheet = |kind| priced(&asked, &device(kind, "x"), 2).sheet;
        assert!(sheet(DeviceKind::Cuda).is_some());
        assert_eq!(sheet(DeviceKind::Cpu), None);
    }

    #[test]
    fn the_users_rate_wins() {
        let asked = Price {
            gpu: None,
            usd_per_hour: Some(Decimal::new(250, 2)),
            ..Price::default()
        };
        let text = label(&asked, &device(DeviceKind::Cpu, "x"), 2).unwrap();
        assert_eq!(text, "the user's rate");
    }

    #[test]
    fn an_unknown_card_id_is_an_input_error() {
        let asked = Price {
            gpu: Some("h1000".to_owned()),
            ..Price::default()
        };
        let error = look_up(&asked, None, &Catalog::bundled()).unwrap_err();
        assert_eq!(error.exit, Exit::Input);
        let said = error.error.to_string();
        assert!(said.contains("near it: h100-"), "{said}");
        let hint = error.hint.unwrap();
        assert!(hint.starts_with("the cards are a100-"), "{hint}");
        assert!(hint.contains("h100-sxm") && hint.contains("l40s"), "{hint}");
    }

    #[test]
    fn a_scripted_device_has_no_price() {
        let asked = Price {
            gpu: None,
            usd_per_hour: Some(Decimal::ONE),
            ..Price::default()
        };
        assert_eq!(label(&asked, &device(DeviceKind::Sim, "sim"), 2), None);
    }

    #[test]
    fn a_device_that_is_scripted_as_a_card_has_its_data_sheet_and_no_price() {
        let priced = |name| priced(&Price::default(), &device(DeviceKind::Sim, name), 2);
        let card = priced("NVIDIA H100 80GB HBM3");
        let bandwidth = card.sheet.unwrap().bandwidth.unwrap();
        assert!((bandwidth.value() - 3.35e12).abs() < 1e9);
        assert!(card.price.is_none());
        assert_eq!(priced("simulated device").sheet, None);
    }
}
