//! What a run shows while it measures: a bar on a terminal, plain lines elsewhere.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output;
use super::watch::Watch;
use crate::measure::Event;
use crate::metrics::energy::Phase;
use crate::metrics::stats::Estimate;
use crate::quality::{self, Role};
use crate::record::observation::{Block, Load, Purpose, Record, Skip, SkipCause};
use crate::record::quantizing::Quantizing;
use crate::record::sensor::Sensor;
use crate::report::document::Status;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::telemetry::sampler::Latest;
use crate::units::Seconds;

/// How often the line is drawn again.
const TICK: Duration = Duration::from_millis(500);

/// Shows how a run goes on. In the live line what matters most comes first: a terminal that is too narrow for all
/// of it shows the beginning.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Blocks recorded of the present load, and blocks it is going to have.
    round: u32,
    /// Output throughput of the point that had the last block.
    rate: String,
    /// Points that have blocks.
    begun: HashSet<PointId>,
}

impl Progress {
    /// A display on stderr.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            round: 0,
            rate: String::new(),
            begun: HashSet::new(),
        }
    }

    /// Shows beside the message what the card does, as it is whenever the line is drawn.
    pub(super) fn watch(&self, watch: &Arc<Watch>) {
        let watch = Arc::clone(watch);
        let card = move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
            if let Some(latest) = watch.latest() {
                // A line that cannot be written is not shown.
                let _ = write!(line, "{}  ", live(&latest));
            }
        };
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {card}{wide_msg}");
        if let Ok(style) = style {
            self.bar.set_style(style.with_key("card", card));
        }
    }

    /// Takes notice of what an earlier session has measured.
    pub(super) fn go_on_from(&mut self, before: &[Record]) {
        for record in before {
            if let Record::Block(block) = record {
                self.begin(block);
            }
        }
    }

    fn begin(&mut self, block: &Block) {
        if block.purpose == Purpose::Measure {
            self.begun.insert(block.point);
        }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Loading { variant, launch } => {
                self.line(&format!("loading {variant} (launch {})", launch + 1));
            }
            Event::Untimed { point } => self.message(&format!("untimed pass: {point}")),
            Event::Load(load) => self.line(&loaded(load)),
            Event::Round { round, points } => {
                self.round = *round;
                self.message(&format!(
                    "{}  round {}: {points} points",
                    self.rate,
                    round + 1
                ));
            }
            Event::Block {
                block,
                blocks,
                goal,
                estimate,
                ahead,
            } => {
                self.begin(block);
                self.rate = estimate.map_or_else(String::new, running);
                self.message(&format!(
                    "{}  {} to go  block {blocks} of {goal}  {}",
                    self.rate,
                    duration(*ahead),
                    block.point
                ));
            }
            Event::Drift { point, ahead } => {
                self.message(&format!("drift  {} to go  {point}", duration(*ahead)));
            }
            Event::Energy {
                point,
                phase,
                block,
                blocks,
                ahead,
            } => {
                let phase = word(*phase);
                self.message(&format!(
                    "energy of {phase}  {} to go  block {block} of {blocks}  {point}",
                    duration(*ahead)
                ));
            }
            Event::Failed(failure) => {
                let what = failure
                    .point
                    .map_or_else(|| failure.variant().to_string(), name);
                self.line(&format!("failed {what}: {}", failure.reason));
            }
            Event::Skipped(skip) => {
                let word = left_out(skip, &self.begun);
                self.line(&format!("{word} {}: {}", skip.point, skip.reason));
            }
            Event::WorkerLost { variant, reason } => {
                self.line(&format!("worker of {variant} lost: {reason}"));
            }
        }
    }

    /// Shows how judging goes on.
    pub(super) fn judged(&self, event: &quality::Event<'_>) {
        let name = |variant: Variant, role: Role| match role {
            Role::Reference => format!("reference {variant}"),
            Role::Judged => variant.to_string(),
        };
        match event {
            quality::Event::Loading { variant, role } => {
                self.line(&format!("loading {} for quality", name(*variant, *role)));
            }
            quality::Event::Windows {
                variant,
                role,
                done,
                of,
                ahead,
            } => {
                let (name, ahead) = (name(*variant, *role), duration(*ahead));
                let text = format!("quality of {name}  window {done} of {of}  {ahead} to go");
                self.message(&text);
                if done == of && self.bar.is_hidden() {
                    self.line(&text);
                }
            }
            quality::Event::TwoPasses { reason } => {
                self.line(&format!("two passes over the text: {reason}"));
            }
            quality::Event::Unscored(unscored) => {
                self.line(&format!(
                    "no quality of {}: {}",
                    unscored.variant(),
                    unscored.reason
                ));
            }
        }
    }

    /// Says what stays on the screen.
    pub(super) fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            output::say(text);
        } else {
            self.bar.println(output::printable(text));
        }
    }

    /// Says what the next message replaces; nothing where there is no terminal.
    pub(super) fn message(&self, text: &str) {
        self.bar.set_message(output::printable(text));
    }

    /// Ends the display.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Utilization, power and memory in a few words.
fn live(latest: &Latest) -> String {
    let shown = |sensor: Sensor, scale: f64, unit: &str| match latest.value(sensor) {
        Some(value) => format!("{:.0} {unit}", value as f64 * scale),
        None => format!("— {unit}"),
    };
    let power = match latest.value(Sensor::PowerInstant) {
        Some(_) => Sensor::PowerInstant,
        None => Sensor::Power,
    };
    [
        shown(Sensor::GpuUtilization, 1.0, "%"),
        shown(power, 1e-3, "W"),
        shown(Sensor::MemoryUsed, 1e-9, "GB"),
    ]
    .join("  ")
}

fn name(point: PointId) -> String {
    point.to_string()
}

/// The output throughput of a point so far, with its interval once there are blocks enough for one.
fn running(estimate: Estimate<f64>) -> String {
    let rate = format!("{:.0} output tok/s", estimate.value.recip());
    match estimate.relative_half_width() {
        Some(half) => format!("{rate} ± {:.1} %", half * 100.0),
        None => rate,
    }
}

/// What the report will call a point that is left out: one that the time asked for cut short has blocks.
fn left_out(skip: &Skip, begun: &HashSet<PointId>) -> &'static str {
    match skip.cause {
        SkipCause::OutOfTime if begun.contains(&skip.point) => Status::Interrupted.word(),
        SkipCause::OutOfTime
        | SkipCause::DoesNotFit
        | SkipCause::BeyondContext
        | SkipCause::OomDominated
        | SkipCause::Unsupported
        | SkipCause::LoadFailed => Status::Skipped.word(),
    }
}

/// A load in one line.
fn loaded(load: &Load) -> String {
    let gib = load.engine.weight_bytes as f64 / f64::from(1_u32 << 30);
    let seconds = load.duration_ns.seconds().value();
    let quantizing = match load.quantizing {
        Some(Quantizing::Done { duration_ns }) => {
            let seconds = duration_ns.seconds().value();
            format!(", of which quantizing {seconds:.1} s")
        }
        Some(Quantizing::Kept) => ", quantized before".to_owned(),
        None => String::new(),
    };
    format!(
        "loaded {}: {:.2} bits per weight, {gib:.3} GiB, in {seconds:.1} s{quantizing}",
        load.variant(),
        load.engine.bits_per_weight
    )
}

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "prefill",
        Phase::Decode => "decode",
    }
}

fn duration(seconds: Seconds) -> String {
    let seconds = seconds.value().max(0.0).round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::stats::Sample;
    use crate::telemetry::sensor::{Absence, Reading};
    use crate::units::Nanos;

    #[test]
    fn the_running_estimate_has_an_interval_from_the_second_block_on() {
        let shown = |blocks: &[f64]| {
            let sample = Sample::new(blocks.to_vec()).unwrap();
            running(sample.mean_estimate())
        };
        assert_eq!(shown(&[0.004]), "250 output tok/s");
        // t(0.975, 1) = 12.706; s/√2 = 0.0001.
        assert_eq!(shown(&[0.0039, 0.0041]), "250 output tok/s ± 31.8 %");
    }

    #[test]
    fn the_live_line_shows_what_answers_and_a_dash_for_the_rest() {
        let mut reading = Reading::default();
        reading.set(Sensor::GpuUtilization, Ok(97));
        reading.set(Sensor::Power, Ok(411_600));
        reading.set(Sensor::PowerInstant, Err(Absence::NotSupported));
        let latest = Latest::after(None, Nanos::new(1), &reading);
        assert_eq!(live(&latest), "97 %  412 W  — GB");
    }
}
