//! The sections about the card: what it did in each phase, and what energy its tokens took.

use std::collections::BTreeMap;

use super::{Align, Section, Table};
use crate::metrics::card_use::{CardUse, PhaseUse};
use crate::metrics::energy::{NoEnergy, Phase, PointEnergy};
use crate::metrics::throttling::Throttling;
use crate::record::card::CardFacts;
use crate::report::document::{Document, Measured, Row};
use crate::report::number;
use crate::units::{JoulesPerToken, UsdPerMtok, Watts};

/// Rows whose sensors were looked for.
fn watched(document: &Document) -> impl Iterator<Item = (&Row, &CardUse)> {
    let rows = document.rows.iter();
    rows.filter_map(|row| Some((row, row.measured.as_ref()?.card_use.as_ref()?)))
}

pub(super) fn card_use(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    watched(document).next()?;
    let mut table = Table::new([
        ("point", Left),
        ("phase", Left),
        ("GPU busy", Right),
        ("memory busy", Right),
        ("power W", Right),
        ("SM MHz", Right),
        ("memory MHz", Right),
        ("max °C", Right),
        ("memory GB", Right),
        ("worker GB", Right),
        ("throttled", Right),
        ("PCIe in MB/s", Right),
        ("PCIe out MB/s", Right),
        ("SM active", Right),
        ("SM occupied", Right),
        ("tensor active", Right),
        ("DRAM busy", Right),
    ]);
    for (row, card_use) in watched(document).filter(|(_, card_use)| card_use.has_readings()) {
        for (phase, seen) in [("prefill", &card_use.prefill), ("decode", &card_use.decode)] {
            table
                .rows
                .push(phase_row(&row.point.to_string(), phase, seen));
        }
    }
    let mut notes = vec![
        "Means over the time of each phase; the driver averages power and utilization over up to a second, so much shorter phases show a mixture.".to_owned(),
    ];
    notes.extend(document.card.as_ref().map(limits));
    notes.extend(cost(document));
    notes.extend(absent(document));
    Some(Section {
        title: "What the card did",
        notes,
        table: (!table.rows.is_empty()).then_some(table),
    })
}

fn phase_row(point: &str, phase: &str, seen: &PhaseUse) -> Vec<String> {
    let share = |share: Option<f64>| {
        share.map_or(number::ABSENT.to_owned(), |share| {
            format!("{:.1} %", share * 100.0)
        })
    };
    let whole =
        |value: Option<f64>| value.map_or(number::ABSENT.to_owned(), |value| format!("{value:.0}"));
    let gigabytes = |bytes: Option<u64>| {
        bytes.map_or(number::ABSENT.to_owned(), |bytes| {
            format!("{:.2}", bytes as f64 / 1e9)
        })
    };
    let megabytes = |rate: Option<f64>| number::optional(rate.map(|rate| rate / 1e6));
    vec![
        point.to_owned(),
        phase.to_owned(),
        share(seen.gpu_utilization),
        share(seen.memory_utilization),
        number::optional(seen.power_watts),
        whole(seen.sm_clock_mhz),
        whole(seen.memory_clock_mhz),
        whole(seen.temperature_c.map(|celsius| celsius as f64)),
        gigabytes(seen.memory_used_bytes),
        gigabytes(seen.process_memory_bytes),
        seen.throttling
            .as_ref()
            .map_or(number::ABSENT.to_owned(), throttled),
        megabytes(seen.pcie_rx),
        megabytes(seen.pcie_tx),
        share(seen.sm_activity),
        share(seen.sm_occupancy),
        share(seen.tensor_activity),
        share(seen.dram_bandwidth),
    ]
}

/// The longest share of time in which the card held itself back, and why it did.
fn throttled(throttling: &Throttling) -> String {
    match throttling.main() {
        Some(main) => format!("{:.1} % {}", main.share * 100.0, main.reason.words()),
        None => "0.0 %".to_owned(),
    }
}

/// What the card could do at most, as its driver sets it.
fn limits(card: &CardFacts) -> String {
    let clock = |clock: Option<u64>| match clock {
        Some(clock) => format!("{clock} MHz"),
        None => number::ABSENT.to_owned(),
    };
    let watts = match card.power_limit_mw {
        Some(limit) => format!("{} W", limit / 1_000),
        None => number::ABSENT.to_owned(),
    };
    let switch = |on: Option<bool>| match on {
        Some(true) => "on",
        Some(false) => "off",
        None => number::ABSENT,
    };
    format!(
        "The driver allows {watts}, SM {} and memory {}; ECC {}, MIG {}, persistence {}.",
        clock(card.max_sm_clock_mhz),
        clock(card.max_memory_clock_mhz),
        switch(card.ecc),
        switch(card.mig),
        switch(card.persistence)
    )
}

/// The highest share of time that sampling took at any point.
fn cost(document: &Document) -> Option<String> {
    let highest = |share: fn(&CardUse) -> Option<f64>| {
        let shares = watched(document).filter_map(|(_, card_use)| share(card_use));
        shares.reduce(f64::max)
    };
    let sampler = highest(|card_use| card_use.cost.sampler)?;
    let parent = highest(|card_use| card_use.cost.parent)?;
    Some(format!(
        "Sampling took up to {:.2} % of one processor, the whole measuring process up to {:.2} % within timed blocks.",
        sampler * 100.0,
        parent * 100.0
    ))
}

/// Each reason for which sensors are absent, and at how many points; at the others the table shows them.
fn absent(document: &Document) -> Vec<String> {
    let mut points: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (sensor, reason) in watched(document).flat_map(|(_, card_use)| &card_use.absent) {
        *points.entry((reason, sensor)).or_default() += 1;
    }
    let mut alike: BTreeMap<(&str, usize), Vec<&str>> = BTreeMap::new();
    for ((reason, sensor), points) in points {
        alike.entry((reason, points)).or_default().push(sensor);
    }
    let all = watched(document).count();
    let sentence = |((reason, points), sensors): ((&str, usize), Vec<&str>)| {
        let at = if points < all {
            format!(" at {points} of {all} points")
        } else {
            String::new()
        };
        format!("Absent{at}: {}; {reason}.", sensors.join(", "))
    };
    alike.into_iter().map(sentence).collect()
}

pub(super) fn energy(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("phase", Left),
        ("J/token", Right),
        ("J/token net of idle", Right),
        ("mean W", Right),
        ("tokens", Right),
        ("from", Left),
        ("integral against counter", Right),
        ("$/Mtok energy", Right),
        ("$/Mtok rental", Right),
    ]);
    let mut idle = None;
    for row in &document.rows {
        let Some((measured, energy)) = with_energy(row) else {
            continue;
        };
        idle = idle.or(Some(&energy.idle));
        let price = measured.price.as_ref();
        let input = price.map(|price| price.input.value);
        let output = price
            .and_then(|price| price.output)
            .map(|price| price.value);
        for (phase, rental) in [(Phase::Prefill, input), (Phase::Decode, output)] {
            let cells = energy_cells(document, energy, phase);
            let name = match phase {
                Phase::Prefill => "prefill, per input token",
                Phase::Decode => "decode, per output token",
            };
            let mut line = vec![row.point.to_string(), name.to_owned()];
            line.extend(cells);
            line.push(number::optional(rental.map(UsdPerMtok::value)));
            table.rows.push(line);
        }
    }
    let notes = vec![
        "From blocks of one phase alone of at least 10 s; the card's counter counts where it was renewed 20 times, and integrated power is held against it.".to_owned(),
        at_rest(idle?),
        price_of_energy(document),
    ];
    Some(Section {
        title: "Energy",
        notes,
        table: Some(table),
    })
}

fn at_rest(idle: &Result<Watts, NoEnergy>) -> String {
    match idle {
        Ok(watts) => format!(
            "At rest, before the first worker, the card drew {:.1} W.",
            watts.value()
        ),
        Err(reason) => format!("Net of idle is —: {reason}."),
    }
}

fn with_energy(row: &Row) -> Option<(&Measured, &PointEnergy)> {
    let measured = row.measured.as_ref()?;
    Some((measured, measured.energy.as_ref()?))
}

fn price_of_energy(document: &Document) -> String {
    match document.energy_price {
        Some(price) => format!(
            "Energy at {} USD per kWh and a PUE of {}; it is part of a rental, not on top of it.",
            price.usd_per_kilowatt_hour.value(),
            price.pue.value()
        ),
        None if document.simulated => "A simulated result has no price.".to_owned(),
        None => "The cost of energy is —: give --usd-per-kwh and --pue.".to_owned(),
    }
}

/// The cells from J/token to the cost of energy.
fn energy_cells(document: &Document, energy: &PointEnergy, phase: Phase) -> Vec<String> {
    let seen = match energy.of_phase(phase) {
        Ok(seen) => seen,
        Err(reason) => return without(reason),
    };
    let (joules, method) = match seen.energy.best() {
        Ok(best) => best,
        Err(reason) => return without(&reason),
    };
    let gross = seen.gross().ok();
    let net = energy.idle.clone().and_then(|idle| seen.net(idle));
    let cost = gross.zip(document.energy_price);
    let cost = cost.map(|(gross, price)| price.of_phase(gross).value());
    let disagreement = seen.energy.disagreement();
    let from = match &seen.energy.counter {
        Ok(_) => method.word().replace('_', " "),
        Err(reason) => format!("{} ({reason})", method.word().replace('_', " ")),
    };
    vec![
        number::optional(gross.map(JoulesPerToken::value)),
        beyond_idle(net),
        number::plain((joules / seen.duration).value()),
        format!("{:.0}", seen.tokens.value()),
        from,
        disagreement.map_or(number::ABSENT.to_owned(), |d| {
            format!("{:+.1} %", d * 100.0)
        }),
        number::optional(cost),
    ]
}

/// Energy net of idle. That a card drew nothing beyond it is a finding about this phase; what idle power lacks is
/// told above the table.
fn beyond_idle(net: Result<JoulesPerToken, NoEnergy>) -> String {
    match net {
        Ok(net) => number::plain(net.value()),
        Err(reason @ NoEnergy::BelowIdle) => format!("{} ({reason})", number::ABSENT),
        Err(_) => number::ABSENT.to_owned(),
    }
}

fn without(reason: &NoEnergy) -> Vec<String> {
    let mut cells = vec![number::ABSENT.to_owned(); 7];
    cells[4] = format!("{} ({reason})", number::ABSENT);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::card_use::SamplingCost;
    use crate::metrics::throttling::tests::throttling;
    use crate::report::example::{document, script};

    #[test]
    fn net_energy_of_a_card_that_drew_no_more_than_at_rest_says_so() {
        let told = beyond_idle(Err(NoEnergy::BelowIdle));
        assert_eq!(told, "— (the card drew no more than when idle)");
        assert_eq!(beyond_idle(Ok(JoulesPerToken::new(0.5))), "0.5000");
        assert_eq!(beyond_idle(Err(NoEnergy::NoSensors)), "—");
    }

    #[test]
    fn the_reason_for_throttling_stands_beside_its_share() {
        assert_eq!(throttled(&throttling(&[4, 4, 0x24, 0])), "75.0 % power cap");
        assert_eq!(throttled(&throttling(&[0, 1])), "0.0 %");
    }

    #[test]
    fn what_only_some_points_lack_is_not_absent_from_all() {
        let mut document = document(&script());
        let lacking = |sensors: &[&str]| CardUse {
            prefill: PhaseUse::default(),
            decode: PhaseUse::default(),
            absent: sensors
                .iter()
                .map(|&sensor| (sensor.to_owned(), "not read".to_owned()))
                .collect(),
            cost: SamplingCost::default(),
        };
        let lacks = [lacking(&["pcie_rx_kbps", "xid"]), lacking(&["xid"])];
        let measured = document
            .rows
            .iter_mut()
            .filter_map(|row| row.measured.as_mut());
        for (measured, card_use) in measured.zip(lacks) {
            measured.card_use = Some(card_use);
        }
        assert_eq!(
            absent(&document),
            [
                "Absent at 1 of 2 points: pcie_rx_kbps; not read.",
                "Absent: xid; not read."
            ]
        );
    }
}
