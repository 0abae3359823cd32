//! What to doubt about the price of a study.

use jiff::civil::Date;

use crate::catalog::age::{STALE_AFTER_DAYS, age_days};
use crate::catalog::gpus;
use crate::cost::rate::{HourlyPrice, Origin};
use crate::metrics::facts::Facts;
use crate::metrics::verdict::{Verdict, Warning};
use crate::record::machine::{Device, DeviceKind};
use crate::record::observation::Purpose;
use crate::study::model::EngineKind;

/// Doubts about the price of what was measured, on `date`; a simulated device has none.
pub(super) fn of(facts: &Facts<'_>, price: Option<&HourlyPrice>, date: Date) -> Vec<Warning> {
    let kind = facts.device.map(|device| device.kind);
    let engine = &facts.session.engine;
    if matches!(engine, EngineKind::Sim(_)) || kind == Some(DeviceKind::Sim) {
        return Vec::new();
    }
    let verdicts = [
        of_price(price, date),
        of_card(facts, price),
        of_energy(facts),
    ];
    let warning = |verdict| Warning {
        point: None,
        verdict,
    };
    verdicts.into_iter().flatten().map(warning).collect()
}

/// Whether a doubt is one of these.
pub(super) const fn is_one(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::PriceMissing
            | Verdict::PriceOld { .. }
            | Verdict::PriceUndated
            | Verdict::PriceOfOther { .. }
            | Verdict::EnergyPriceUnused
    )
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

/// Energy has a price only where it was measured.
fn of_energy(facts: &Facts<'_>) -> Option<Verdict> {
    let price = &facts.session.study.price;
    let given = price.usd_per_kwh.is_some() || price.pue.is_some();
    let mut blocks = facts.blocks.values().flatten();
    let measured = blocks.any(|block| block.purpose == Purpose::Energy);
    (given && !measured).then_some(Verdict::EnergyPriceUnused)
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
    use crate::metrics::fixture::{Script, generation, point};

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
            rested_ns: None,
        };
        assert_eq!(is_other(&device, "h100-sxm"), expected, "{name}");
    }

    #[test]
    fn a_price_of_energy_that_nothing_has_is_doubted() {
        let mut script = Script::new(&[point(1, 100, 3)]);
        let told = |script: &Script| -> Vec<Verdict> {
            let warnings = of(&script.facts(), None, "2026-11-28".parse().unwrap());
            warnings
                .into_iter()
                .map(|warning| warning.verdict)
                .collect()
        };
        assert_eq!(told(&script), [Verdict::PriceMissing]);
        script.session_mut().study.price.usd_per_kwh = Some("0.10".parse().unwrap());
        let unused = Verdict::EnergyPriceUnused;
        assert_eq!(told(&script), [Verdict::PriceMissing, unused]);
        script.block(point(1, 100, 3), vec![generation(1_000, &[1_000; 2])]);
        script.last_block_mut().purpose = Purpose::Energy;
        assert_eq!(told(&script), [Verdict::PriceMissing]);
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
