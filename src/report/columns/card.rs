//! The columns of what the card did in each phase, and of the energy that it took.

use super::Cells;
use crate::metrics::card_use::{CardUse, PhaseUse};
use crate::metrics::energy::Phase;
use crate::metrics::throttling::Throttling;
use crate::report::document::{Document, Measured};
use crate::units::{JoulesPerToken, Watts};

/// The phases with the words for their columns and for the side of the price that they are.
const PHASES: [(Phase, &str, &str); 2] = [
    (Phase::Prefill, "prefill", "input"),
    (Phase::Decode, "decode", "output"),
];

impl Cells {
    /// Means over the time of each phase.
    pub(super) fn card_use(&mut self, card_use: Option<&CardUse>) {
        let nothing = PhaseUse::default();
        for (phase, name, _) in PHASES {
            let seen = card_use.map_or(&nothing, |card_use| match phase {
                Phase::Prefill => &card_use.prefill,
                Phase::Decode => &card_use.decode,
            });
            let throttled = |share: fn(&Throttling) -> f64| seen.throttling.as_ref().map(share);
            let numbers = [
                ("gpu_utilization", seen.gpu_utilization),
                ("memory_utilization", seen.memory_utilization),
                ("power_watts", seen.power_watts),
                ("sm_clock_mhz", seen.sm_clock_mhz),
                ("memory_clock_mhz", seen.memory_clock_mhz),
                ("temperature_c", seen.temperature_c.map(|c| c as f64)),
                (
                    "memory_used_bytes",
                    seen.memory_used_bytes.map(|b| b as f64),
                ),
                (
                    "process_memory_bytes",
                    seen.process_memory_bytes.map(|b| b as f64),
                ),
                ("processes", seen.processes.map(|count| count as f64)),
                ("throttled_for_power", throttled(|t| t.power)),
                ("throttled_for_heat", throttled(|t| t.thermal)),
                ("throttled_by_hardware", throttled(|t| t.hardware)),
                ("pcie_rx_bytes_per_second", seen.pcie_rx),
                ("pcie_tx_bytes_per_second", seen.pcie_tx),
                ("sm_activity", seen.sm_activity),
                ("sm_occupancy", seen.sm_occupancy),
                ("tensor_activity", seen.tensor_activity),
                ("dram_bandwidth_utilization", seen.dram_bandwidth),
            ];
            for (column, number) in numbers {
                self.number(format!("{name}_{column}"), number);
            }
        }
        let cost = card_use.map(|card_use| card_use.cost).unwrap_or_default();
        self.number("sampler_cpu_share", cost.sampler);
        self.number("parent_cpu_share", cost.parent);
    }

    pub(super) fn energy(&mut self, document: &Document, measured: Option<&Measured>) {
        let energy = measured.and_then(|m| m.energy.as_ref());
        let idle = energy.and_then(|energy| energy.idle.clone().ok());
        for (phase, name, side) in PHASES {
            let seen = energy.and_then(|energy| energy.of_phase(phase).as_ref().ok());
            let gross = seen.and_then(|seen| seen.gross().ok());
            let net = seen.zip(idle).and_then(|(seen, idle)| seen.net(idle).ok());
            let method = seen.and_then(|seen| seen.energy.best().ok());
            let disagreement = seen.and_then(|seen| seen.energy.disagreement());
            let cost = gross.zip(document.energy_price);
            let value = JoulesPerToken::value;
            self.number(format!("{name}_joules_per_token"), gross.map(value));
            self.number(format!("{name}_net_joules_per_token"), net.map(value));
            self.text(
                &format!("{name}_energy_method"),
                method.map(|(_, method)| method.word()),
            );
            self.number(format!("{name}_energy_disagreement"), disagreement);
            self.number(
                format!("usd_per_mtok_{side}_energy"),
                cost.map(|(gross, price)| price.of_phase(gross).value()),
            );
        }
        self.number("idle_watts", idle.map(Watts::value));
    }
}
