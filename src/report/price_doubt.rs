//! What to doubt about the price of a study.

use jiff::civil::Date;

use crate::catalog::age::{STALE_AFTER_DAYS, age_days};
use crate::catalog::gpus;
use crate::cost::rate::{HourlyPrice, Origin};
use crate::metrics::facts::Facts;
use crate::metrics::verdict::{Verdict, Warning};
use crate::record::machine::{Device, DeviceKind};
use crate::study::model::EngineKind;

/// Doubts about the price of what was measured, on `date`; a simulated device has none.
pub(super) fn of(facts: &Facts<'_>, price: Option<&HourlyPrice>, date: Date) -> Vec<Warning> {
    let kind = facts.device.map(|device| device.kind);
    let engine = &facts.session.engine;
    if matches!(engine, EngineKind::Sim(_)) || kind == Some(DeviceKind::Sim) {
        return Vec::new();
    }
    let verdicts = [of_price(price, date), of_card(facts, price)];
    let warning = |verdict| Warning {
        point: None,
        verdict,
    };
    verdicts.into_iter().flatten().map(warning).collect()
}

fn of_price(price: Option<&HourlyPrice>, date: Date) -> Option<Verdict> {
    let Some(price) = price else {
        return Some(Verdict::PriceMissing);
    };
    match (price.as_of, price.origin) {
        (Some(as_of), _) => {
            let days = age_days(as_of, date);
            (days > STALE_AFTER_DAYS).then(|| Verdict::PriceOld { days: days.into() })
        }
        (None, Origin::Catalog) => Some(Verdict::PriceUndated),
        (None, Origin::User) => None,
    }
}

/// A study that names a card is priced as that card, whatever it ran on.
fn of_card(facts: &Facts<'_>, price: Option<&HourlyPrice>) -> Option<Verdict> {
    let asked = facts.session.study.price.gpu.as_ref()?;
    let device = facts.device?;
    let from_catalog = price.is_some_and(|price| price.origin == Origin::Catalog);
    (from_catalog && is_other(device, asked)).then(|| Verdict::PriceOfOther {
        card: asked.clone(),
        device: device.name.clone(),
    })
}

/// Whether a device is known to be no card of this id.
fn is_other(device: &Device, id: &str) -> bool {
    match device.kind {
        DeviceKind::Cpu => true,
        DeviceKind::Cuda => {
            gpus::recognise(&device.name, device.memory_bytes).is_some_and(|card| card.id != id)
        }
        DeviceKind::Sim => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn other(kind: DeviceKind, name: &str, expected: bool) {
        let device = Device {
            kind,
            name: name.to_owned(),
            uuid: None,
            pci_bus_id: None,
            memory_bytes: 81_559 << 20,
            last_level_cache_bytes: None,
            compute_capability: None,
            driver: None,
            cuda: None,
            threads: None,
            card: None,
            before: None,
        };
        assert_eq!(is_other(&device, "h100-sxm"), expected, "{name}");
    }

    #[test]
    fn only_what_is_known_to_be_something_else_is_doubted() {
        other(DeviceKind::Cuda, "NVIDIA H100 80GB HBM3", false);
        other(DeviceKind::Cuda, "NVIDIA H100 PCIe", true);
        other(DeviceKind::Cuda, "NVIDIA H100 of a strange maker", false);
        other(DeviceKind::Cpu, "AMD EPYC", true);
        other(DeviceKind::Sim, "simulated device", false);
    }
}
