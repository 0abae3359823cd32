//! What a report of one study says, before it takes a form.

use jiff::civil::Date;
use rayon::prelude::*;

use super::cheapest::Limits;
use super::precision::Precisions;
use super::price_doubt;
use super::provenance::{self, Fact};
use crate::cost::allocation::{Method, USUAL_PRICE_RATIO};
use crate::cost::rate::{HourlyPrice, MethodPrice, PointPrice, phases};
use crate::metrics::card_use::{CardUse, Timeline};
use crate::metrics::doubt;
use crate::metrics::energy::{EnergyPrice, PointEnergy};
use crate::metrics::facts::{Facts, NoSession};
use crate::metrics::fallback;
use crate::metrics::implausible::{self, Implausible};
use crate::metrics::latency::{Drift, Latency, drifts};
use crate::metrics::roofline::{Ceilings, DataSheet, Roofline};
use crate::metrics::unmeasured;
use crate::metrics::verdict::Warning;
use crate::record::card::CardFacts;
use crate::record::machine::{DeviceKind, Peak};
use crate::record::observation::{EndStatus, FailureKind, Load, Record, SkipCause};
use crate::record::quantizing::Quantizing;
use crate::study::model::EngineKind;
use crate::study::questions::{Questions, Utilization};
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::UsdPerHour;

/// Everything that a report depends on.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    /// The facts of one study.
    pub records: &'a [Record],
    /// What an hour of the machine costs, where known.
    pub price: Option<&'a HourlyPrice>,
    /// What the maker says the device can do, where known.
    pub sheet: Option<&'a DataSheet>,
    /// The date against which the price is aged: the run date in files, today on a terminal.
    pub date: Date,
    /// What is asked of the points.
    pub questions: &'a Questions,
}

/// What a report of one study says.
#[derive(Debug, Clone)]
pub struct Document {
    /// Name of the model.
    pub model: String,
    /// The engine in one word.
    pub engine: &'static str,
    /// Name of the device.
    pub device: String,
    /// Whether no device was measured.
    pub simulated: bool,
    /// Kind of the device, where it is on record.
    pub device_kind: Option<DeviceKind>,
    /// What an hour of the machine costs; absent for simulated results.
    pub price: Option<HourlyPrice>,
    /// What energy costs; absent for simulated results and where the study does not say.
    pub energy_price: Option<EnergyPrice>,
    /// What the driver says of the card, where one was watched.
    pub card: Option<CardFacts>,
    /// Power and clocks over the time of one point.
    pub timeline: Option<Timeline>,
    /// Limits under which the cheapest point is sought.
    pub limits: Vec<Limits>,
    /// Shares of the time for which prices are given.
    pub utilizations: Vec<Utilization>,
    /// One row per planned point, in study order.
    pub rows: Vec<Row>,
    /// What precisions save and lose, where quality was asked for.
    pub precisions: Option<Precisions>,
    /// How the model sat on the device, per load.
    pub loads: Vec<Load>,
    /// How quantized weights came about, per load and per comparison of quality.
    pub quantizing: Vec<(Variant, Quantizing)>,
    /// Measured limits of the device.
    pub peaks: Vec<Peak>,
    /// What the maker says the device can do.
    pub sheet: Option<DataSheet>,
    /// Change of the first point of each load.
    pub drifts: Vec<Drift>,
    /// What a reader should doubt.
    pub warnings: Vec<Warning>,
    /// What sensors have read that cannot be, all that `warnings` doubt.
    pub implausible: Vec<Implausible>,
    /// With what, when and how it was measured.
    pub provenance: Vec<Fact>,
}

/// One planned point.
#[derive(Debug, Clone)]
pub struct Row {
    /// The point.
    pub point: PointId,
    /// How it ended.
    pub status: Status,
    /// Why, where it did not end well.
    pub reason: Option<String>,
    /// Why it was not tried, where it was not.
    pub skipped: Option<SkipCause>,
    /// How the model sat on the device.
    pub load: Option<Load>,
    /// What was measured; only for points that ended well or were cut off.
    pub measured: Option<Measured>,
}

/// What was measured at one point, and what it costs.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Times and rates.
    pub latency: Latency,
    /// Beside the limits of the device.
    pub roofline: Option<Roofline>,
    /// At full load.
    pub price: Option<PointPrice>,
    /// By the other methods in use.
    pub methods: Vec<MethodPrice>,
    /// Highest memory use in bytes.
    pub peak_memory: Option<u64>,
    /// Energy of its phases, where the study asks for it.
    pub energy: Option<PointEnergy>,
    /// What the card did.
    pub card_use: Option<CardUse>,
}

/// How a point ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Measured.
    Ok,
    /// Out of memory.
    Oom,
    /// The worker died.
    Crashed,
    /// The worker made no progress.
    Timeout,
    /// The outcome cannot be trusted.
    Invalid,
    /// Not tried.
    Skipped,
    /// The run ended first.
    Interrupted,
}

impl Status {
    /// The word in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Oom => "oom",
            Self::Crashed => "crashed",
            Self::Timeout => "timeout",
            Self::Invalid => "invalid",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<FailureKind> for Status {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Oom => Self::Oom,
            FailureKind::Crashed => Self::Crashed,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::Invalid => Self::Invalid,
        }
    }
}

impl Document {
    /// Concludes what the facts say.
    pub fn new(inputs: &Inputs<'_>) -> Result<Self, NoSession> {
        let facts = Facts::new(inputs.records)?;
        let session = facts.session;
        let device_kind = facts.device.map(|device| device.kind);
        let simulated =
            matches!(session.engine, EngineKind::Sim(_)) || device_kind == Some(DeviceKind::Sim);
        let price = inputs.price.filter(|_| !simulated);
        let ceilings = Ceilings::new(&facts, inputs.sheet);
        let rate = price.map(|price| price.usd_per_hour);
        let points = session.study.sweep.points();
        let row = |point: &PointId| Row::new(&facts, &ceilings, rate, *point);
        let rows = || points.par_iter().map(row).collect::<Vec<Row>>();
        let (rows, drifts) = rayon::join(rows, || drifts(&facts));
        let mut warnings = doubt::of_run(&facts);
        warnings.extend(unmeasured::of(&facts));
        warnings.extend(fallback::of(&facts));
        warnings.extend(price_doubt::of(&facts, price, inputs.date));
        warnings.extend(doubt::of_drifts(&facts, &drifts));
        let implausible = implausible::of(inputs.records);
        warnings.extend(implausible::doubts(&implausible));
        let measured = rows.par_iter().filter_map(|row| row.measured.as_ref());
        warnings.par_extend(measured.flat_map_iter(|measured| {
            doubt::of_point(&facts, &measured.latency, measured.roofline.as_ref())
        }));
        Ok(Self {
            model: session.model.name.clone(),
            engine: engine_word(&session.engine),
            device: facts.device.map_or(String::new(), |d| d.name.clone()),
            simulated,
            device_kind,
            price: price.cloned(),
            energy_price: EnergyPrice::of(&session.study.price).filter(|_| !simulated),
            card: facts.card().cloned(),
            timeline: Timeline::longest(&facts),
            limits: Limits::of(inputs.questions),
            utilizations: inputs.questions.utilizations(),
            loads: facts.loads.values().copied().cloned().collect(),
            quantizing: quantizing(&facts),
            peaks: facts.peaks.iter().copied().cloned().collect(),
            sheet: inputs.sheet.cloned(),
            provenance: provenance::of(&facts),
            precisions: Precisions::new(&facts, &rows),
            implausible,
            drifts,
            warnings,
            rows,
        })
    }
}

fn quantizing(facts: &Facts<'_>) -> Vec<(Variant, Quantizing)> {
    let loads = facts.loads.values();
    let loads = loads.filter_map(|load| Some((load.variant(), load.quantizing?)));
    let scorings = facts.scorings.values();
    let scorings = scorings.filter_map(|(it, _)| Some((it.variant(), it.quantizing?)));
    loads.chain(scorings).collect()
}

/// The engine in one word, without the path of a script.
const fn engine_word(engine: &EngineKind) -> &'static str {
    match engine {
        EngineKind::Decoder => "decoder",
        EngineKind::Stock => "stock",
        EngineKind::Sim(_) => "sim",
    }
}

impl Row {
    fn new(
        facts: &Facts<'_>,
        ceilings: &Ceilings<'_>,
        rate: Option<UsdPerHour>,
        point: PointId,
    ) -> Self {
        let latency = Latency::of(facts, point);
        let (status, reason) = outcome(facts, point, latency.as_ref());
        let shown = match status {
            Status::Ok | Status::Interrupted => latency,
            Status::Oom | Status::Crashed | Status::Timeout | Status::Invalid | Status::Skipped => {
                None
            }
        };
        Self {
            point,
            status,
            reason,
            skipped: facts
                .skips
                .get(&point)
                .filter(|_| status == Status::Skipped)
                .map(|skip| skip.cause),
            load: facts.load_of(point).cloned(),
            measured: shown.map(|latency| Measured::new(facts, ceilings, rate, latency)),
        }
    }
}

impl Measured {
    fn new(
        facts: &Facts<'_>,
        ceilings: &Ceilings<'_>,
        rate: Option<UsdPerHour>,
        latency: Latency,
    ) -> Self {
        let roofline = Roofline::of(facts, &latency, ceilings);
        let floor = roofline.as_ref().and_then(|roofline| roofline.floor);
        Self {
            price: rate.map(|rate| PointPrice::new(rate, &latency, floor.as_ref())),
            methods: rate.map_or(Vec::new(), |rate| by_other_methods(rate, &latency)),
            peak_memory: facts
                .measured(latency.point)
                .filter_map(|block| block.peak_memory_bytes)
                .max(),
            energy: PointEnergy::of(facts, latency.point),
            card_use: CardUse::of(facts, latency.point),
            roofline,
            latency,
        }
    }
}

fn by_other_methods(rate: UsdPerHour, latency: &Latency) -> Vec<MethodPrice> {
    let mut methods = vec![
        Method::OutputOnly,
        Method::TotalTokens,
        Method::FullLoadEachSide,
    ];
    methods.extend(phases(latency).map(Method::TimeShare));
    methods.push(Method::PriceRatio(USUAL_PRICE_RATIO));
    let price = |method| MethodPrice::new(rate, latency, method);
    methods.into_iter().map(price).collect()
}

/// How a point ended and why.
fn outcome(
    facts: &Facts<'_>,
    point: PointId,
    latency: Option<&Latency>,
) -> (Status, Option<String>) {
    if let Some(failure) = facts.failures.get(&point) {
        return (failure.kind.into(), Some(failure.reason.clone()));
    }
    if let Some(skip) = facts.skips.get(&point) {
        // What the time asked for cut short has some of its blocks.
        let cut_short = skip.cause == SkipCause::OutOfTime && latency.is_some();
        let status = if cut_short {
            Status::Interrupted
        } else {
            Status::Skipped
        };
        return (status, Some(skip.reason.clone()));
    }
    let complete = match facts.end {
        Some(EndStatus::Complete) => true,
        Some(EndStatus::Interrupted) | None => false,
    };
    let enough = facts.session.study.measure.min_blocks as usize;
    match latency {
        Some(latency) if complete || latency.blocks >= enough => (Status::Ok, None),
        Some(latency) => {
            let reason = format!("the run ended after {} blocks", latency.blocks);
            (Status::Interrupted, Some(reason))
        }
        None if facts.measured(point).next().is_some() => {
            let reason = "no generation kept the timing contract".to_owned();
            (Status::Invalid, Some(reason))
        }
        None => match facts
            .failed_loads
            .iter()
            .rfind(|failure| failure.variant() == point.variant())
        {
            Some(failure) => (failure.kind.into(), Some(failure.reason.clone())),
            None => (
                Status::Interrupted,
                Some("the run ended before this point".to_owned()),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::metrics::verdict::Verdict;
    use crate::record::observation::{Failure, Skip};
    use crate::report::example::{document, document_at, price, script};

    fn statuses(script: &Script) -> Vec<&'static str> {
        let rows = document(script).rows;
        rows.iter().map(|row| row.status.word()).collect()
    }

    #[test]
    fn every_planned_point_ends_in_one_state_in_study_order() {
        let document = document(&script());
        let rows: Vec<_> = document
            .rows
            .iter()
            .map(|row| {
                (
                    row.point.batch.get(),
                    row.status.word(),
                    row.measured.is_some(),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                (1, "ok", true),
                (2, "ok", true),
                (4, "oom", false),
                (8, "skipped", false)
            ]
        );
    }

    #[test]
    fn a_run_that_was_cut_off_leaves_interrupted_points() {
        let points = [1, 2].map(|batch| point(batch, 10, 2));
        let mut script = Script::new(&points);
        script.block(points[0], vec![generation(100, &[100])]);
        assert_eq!(statuses(&script), ["interrupted", "interrupted"]);
        script.block(points[0], vec![generation(100, &[100])]);
        script.block(points[0], vec![generation(100, &[100])]);
        assert_eq!(statuses(&script), ["ok", "interrupted"]);
        script.end(EndStatus::Interrupted);
        assert_eq!(statuses(&script), ["ok", "interrupted"]);
    }

    #[test]
    fn a_point_that_time_cut_short_is_interrupted_until_it_is_gone_on_with() {
        let points = [1, 2].map(|batch| point(batch, 10, 2));
        let mut script = Script::new(&points);
        script.block(points[0], vec![generation(100, &[100])]);
        for point in points {
            script.records.push(Record::Skip(Skip {
                point,
                cause: SkipCause::OutOfTime,
                reason: "no time".to_owned(),
            }));
        }
        script.end(EndStatus::Complete);
        assert_eq!(statuses(&script), ["interrupted", "skipped"]);
        let rows = document(&script).rows;
        assert_eq!(rows[0].reason.as_deref(), Some("no time"));
        assert!(rows[0].measured.is_some() && rows[0].skipped.is_none());
        script.block(points[0], vec![generation(100, &[100])]);
        assert_eq!(statuses(&script), ["ok", "skipped"]);
    }

    #[test]
    fn a_failed_load_fails_all_points_of_its_precision() {
        let points = [1, 2].map(|batch| point(batch, 10, 2));
        let mut script = Script::new(&points);
        script.records.push(Record::Failure(Failure {
            load: None,
            point: None,
            precision: points[0].precision,
            kv: None,
            kind: FailureKind::Crashed,
            reason: "signal 9".to_owned(),
            stderr: Vec::new(),
        }));
        script.end(EndStatus::Complete);
        assert_eq!(statuses(&script), ["crashed", "crashed"]);
    }

    #[test]
    fn blocks_after_a_failure_replace_it_and_a_failure_after_blocks_stands() {
        let point = point(1, 10, 2);
        let mut script = Script::new(&[point]);
        script.fail(point, FailureKind::Timeout, "no progress");
        script.block(point, vec![generation(100, &[100])]);
        script.end(EndStatus::Complete);
        assert_eq!(statuses(&script), ["ok"]);
        script.fail(point, FailureKind::Crashed, "signal 11");
        assert_eq!(statuses(&script), ["crashed"]);
    }

    #[test]
    fn generations_that_break_the_contract_make_a_point_invalid() {
        let point = point(1, 10, 2);
        let mut script = Script::new(&[point]);
        script.block(point, vec![generation(100, &[])]);
        script.end(EndStatus::Complete);
        assert_eq!(statuses(&script), ["invalid"]);
    }

    #[test]
    fn simulated_results_carry_no_price() {
        let mut script = script();
        script.session_mut().engine = EngineKind::Sim("script.toml".into());
        let document = document(&script);
        assert!(document.simulated);
        assert_eq!(document.price, None);
        assert!(document.rows[0].measured.as_ref().unwrap().price.is_none());
        let codes: Vec<_> = document.warnings.iter().map(|w| w.verdict.code()).collect();
        assert_eq!(codes, ["simulated"]);
    }

    #[test]
    fn a_simulated_device_is_simulated_whatever_the_engine() {
        let mut script = script();
        script.device_mut().kind = DeviceKind::Sim;
        assert!(document(&script).simulated);
    }

    #[test]
    fn an_old_price_is_aged_against_the_date_of_the_report() {
        let age = |as_of| {
            let price = HourlyPrice {
                as_of: Some(as_of),
                ..price()
            };
            let document = document_at(&script(), Some(&price));
            document.warnings.first().map(|w| w.verdict.clone())
        };
        assert_eq!(age(date(2026, 8, 24)), Some(Verdict::PriceOld { days: 91 }));
        assert_eq!(age(date(2026, 8, 25)), None);
    }

    #[test]
    fn a_missing_price_is_a_warning_and_no_error() {
        let document = document_at(&script(), None);
        assert_eq!(document.warnings[0].verdict, Verdict::PriceMissing);
        assert!(document.rows[0].measured.is_some());
    }

    #[test]
    fn a_record_without_a_session_is_refused() {
        let script = script();
        let [_, device, ..] = script.records.as_slice() else {
            panic!("the example begins with a session and a device");
        };
        let inputs = Inputs {
            records: std::slice::from_ref(device),
            price: None,
            sheet: None,
            date: date(2026, 11, 23),
            questions: &Questions::default(),
        };
        assert_eq!(Document::new(&inputs).unwrap_err(), NoSession);
    }
}
