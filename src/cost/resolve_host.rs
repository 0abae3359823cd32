//! The self-hosted side in numbers: rate, throughput, memory, and the roofline no engine exceeds.

use super::capacity::{Rates, Work};
use super::case::{Case, HostCase};
use super::conversation::calls;
use super::fleet::{CardRate, FixedCase, FleetCase, SpotCase};
use super::measured::{Measured, MeasuredPoint};
use super::memory::{Fit, Footprint, Room, gib};
use super::owned::OwnedRate;
use super::price_row::number;
use super::regression::Regression;
use super::resolve::{Desk, Used};
use super::roofline::Roofline;
use super::scenario::parse::Refusal;
use super::scenario::self_hosted::{DEFAULT_GPU, DEFAULT_GPUS_PER_REPLICA};
use super::scenario::{FleetMode, SelfHosted};
use super::warning::Warning;
use crate::catalog::book::{GpuCard, Rental};
use crate::study::model::{CacheType, Precision, Shape};
use crate::study::variant::Variant;

/// The name of a machine that a study ran on where neither it nor the scenario names a card.
const MEASURED_MACHINE: &str = "the measured machine";
/// A costed mix further from the measured one than this is worth a warning.
const FAR_MIX: f64 = 0.2;
const BYTES_PER_GB: f64 = 1e9;
const MINUTES_PER_HOUR: f64 = 60.0;

/// What is known of the self-hosted side besides numbers that can be turned.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The card.
    pub card: Option<GpuCard>,
    /// Its id.
    pub gpu: String,
    /// The name of the model card.
    pub model: Option<String>,
    /// The shape.
    pub shape: Option<Shape>,
    /// How weights are held.
    pub precision: Precision,
    /// How keys and values are held.
    pub kv_precision: Precision,
    /// Memory for the engine; the number of cards is that of a replica.
    pub room: Option<Room>,
    /// The roofline at the stated or measured batch size.
    pub roofline: Option<Roofline>,
    /// The measured point, with the study's name.
    pub measured: Option<(String, MeasuredPoint)>,
    /// Time by token over the lengths that the study measured like that point.
    pub regression: Option<Regression>,
    /// Months one is bound.
    pub commitment_months: f64,
}

impl Desk<'_> {
    /// The self-hosted side of a case that has its workload already.
    pub(super) fn host(
        &mut self,
        section: &SelfHosted,
        case: &Case,
    ) -> Result<(HostCase, HostFacts), Refusal> {
        let calls = calls(&case.demand);
        let work = Work::new(&case.demand, &calls, case.api.as_ref());
        let study = self.study(section)?;
        let measured = match &study {
            Some(study) => Some(self.point(section, study, &work)?),
            None => None,
        };
        let rental = self.rental(section)?;
        let (gpu, card) = self.machine(section, rental.as_ref(), study.as_ref())?;
        let gpus = section
            .gpus_per_replica
            .or(study.as_ref().map(|study| study.gpus))
            .unwrap_or(DEFAULT_GPUS_PER_REPLICA);
        let mut facts = self.facts(section, (&gpu, card, gpus), study.as_ref(), measured)?;
        if let Some(study) = &study {
            self.doubt_study(study, &facts, gpus);
        }
        let fleet = self.fleet(section, gpus, rental.as_ref(), &gpu)?;
        let host = HostCase {
            rates: rates(section, &facts),
            batch_size: section
                .batch_size
                .or(facts.measured.as_ref().map(|(_, point)| point.batch)),
            fit: facts.fit(gpus),
            fleet,
        };
        if host.rates.basis().is_none() {
            let problem = "the throughput is missing; give output_tokens_per_second, requests_per_second or results";
            return Err(Refusal::new("self_hosted", problem)
                .with_hint("measure it: `mtok run` writes a study that `results` can name"));
        }
        facts.roofline = facts.roofline_at(gpus, host.batch_size);
        super::claim::refuse_impossible(section, &host, &facts, &work)?;
        self.doubt_host(section, (&host, &facts), case, &work);
        Ok((host, facts))
    }

    /// The machine of a replica and, where it is a listed card, its sheet.
    fn machine(
        &self,
        section: &SelfHosted,
        rental: Option<&Rental>,
        study: Option<&Measured>,
    ) -> Result<(String, Option<GpuCard>), Refusal> {
        let stated = section
            .gpu
            .clone()
            .or_else(|| rental.map(|rental| rental.gpu.clone()))
            .or_else(|| study.and_then(|study| study.gpu.clone()));
        // A study on a machine that is no listed card was not measured on the default card.
        let assumed = if study.is_some() {
            MEASURED_MACHINE
        } else {
            DEFAULT_GPU
        };
        let gpu = stated.unwrap_or_else(|| assumed.to_owned());
        match self.sources.book.gpu(&gpu) {
            Ok(card) => Ok((gpu, Some(card))),
            // What rents out a whole machine names no card.
            Err(missing) if section.gpu.is_some() => {
                Err(Refusal::new("self_hosted.gpu", missing.to_string()))
            }
            Err(_) => Ok((gpu, None)),
        }
    }

    fn study(&self, section: &SelfHosted) -> Result<Option<Measured>, Refusal> {
        let Some(path) = &section.results else {
            return Ok(None);
        };
        let read = self.sources.evidence.measured(path);
        read.map(Some)
            .map_err(|problem| Refusal::new("self_hosted.results", problem))
    }

    /// The cheapest measured point that meets the objective.
    fn point(
        &mut self,
        section: &SelfHosted,
        study: &Measured,
        work: &Work,
    ) -> Result<MeasuredPoint, Refusal> {
        let slo = section.slo.clone().unwrap_or_default();
        let Some(point) = study.cheapest(work, &slo, section.precision) else {
            let problem = format!(
                "none of the {} measured points of {} meets the objective",
                study.points.len(),
                study.source
            );
            return Err(Refusal::new("self_hosted.results", problem)
                .with_hint("loosen `slo`, change `precision`, or measure smaller batches"));
        };
        self.used.push(Used {
            key: "self_hosted.results".to_owned(),
            name: format!("{} batch {}", point.variant(), point.batch),
            value: point.output_tokens_per_second.value,
            unit: "output tokens/s",
            source: study.source.clone(),
            date: study.date,
            measured: !study.simulated,
        });
        let distance = point.distance(work);
        if distance > FAR_MIX {
            self.warnings.push(Warning::MixDiffers {
                distance,
                isl: point.isl,
                osl: point.osl,
            });
        }
        if point.output_tokens_per_second.repetitions < 2 {
            self.warnings.push(Warning::SingleRun);
        }
        Ok(point.clone())
    }

    fn rental(&mut self, section: &SelfHosted) -> Result<Option<Rental>, Refusal> {
        let Some(id) = &section.rental else {
            return Ok(None);
        };
        let key = "self_hosted.rental";
        let rental = self
            .sources
            .book
            .rental(id)
            .map_err(|missing| Refusal::new(key, missing.to_string()))?;
        let rate = number(rental.usd_per_gpu_hour);
        self.note(
            "self_hosted.usd_per_gpu_hour",
            id,
            (rate, "USD/GPU-h"),
            &rental.provenance,
        );
        Ok(Some(rental))
    }

    fn facts(
        &self,
        section: &SelfHosted,
        cards: (&str, Option<GpuCard>, u32),
        study: Option<&Measured>,
        measured: Option<MeasuredPoint>,
    ) -> Result<HostFacts, Refusal> {
        let (gpu, card, gpus) = cards;
        let shape = match &section.model {
            Some(name) => Some(
                self.sources
                    .evidence
                    .card(name)
                    .map_err(|problem| Refusal::new("self_hosted.model", problem))?
                    .shape,
            ),
            None => study.and_then(|study| study.shape.clone()),
        };
        let precision = measured.as_ref().map(|point| point.precision);
        let cache = measured.as_ref().and_then(|point| point.kv);
        Ok(HostFacts {
            room: card.as_ref().map(|card| Room {
                gpus: f64::from(gpus),
                gib_per_gpu: gib(card),
                utilization: section.gpu_memory_utilization,
                overhead_gib_per_gpu: section.overhead_gib_per_gpu,
            }),
            card,
            gpu: gpu.to_owned(),
            model: section
                .model
                .clone()
                .or_else(|| study.and_then(|study| study.model.clone())),
            shape,
            precision: precision.or(section.precision).unwrap_or(Precision::F16),
            kv_precision: cache.map_or(section.kv_precision, CacheType::precision),
            roofline: None,
            regression: study
                .zip(measured.as_ref())
                .and_then(|(study, point)| study.regression(point)),
            measured: study.map(|study| study.source.clone()).zip(measured),
            commitment_months: section.commitment_months,
        })
    }

    fn fleet(
        &self,
        s: &SelfHosted,
        gpus: u32,
        rental: Option<&Rental>,
        gpu: &str,
    ) -> Result<FleetCase, Refusal> {
        let (rate, quantum) = match (s.usd_per_gpu_hour, rental, &s.owned) {
            (Some(usd_per_gpu_hour), _, _) => (CardRate::Rented { usd_per_gpu_hour }, 1),
            (None, Some(rental), _) => (
                CardRate::Rented {
                    usd_per_gpu_hour: number(rental.usd_per_gpu_hour),
                },
                rental.quantum_gpus.max(1),
            ),
            // A bought machine is paid for with all its cards.
            (None, None, Some(owned)) => (CardRate::Owned(OwnedRate::new(owned)), owned.gpus),
            (None, None, None) => return Err(self.no_rate(gpu)),
        };
        // Bought cards cost the same whether they run or not.
        let mode = match rate {
            CardRate::Rented { .. } => s.fleet,
            CardRate::Owned(_) => FleetMode::Static,
        };
        Ok(FleetCase {
            gpus_per_replica: f64::from(gpus),
            rate,
            spot: SpotCase {
                share: s.spot.share,
                usd_per_gpu_hour: s.spot.usd_per_gpu_hour,
                lost_work: s.spot.lost_work,
                fallback: s.spot.fallback,
            },
            target_load: s.target_load,
            redundant: f64::from(s.redundant_replicas),
            min_replicas: f64::from(s.min_replicas),
            quantum: f64::from(s.billing_quantum_gpus.unwrap_or(quantum)),
            mode,
            cold_start_hours: s.cold_start_minutes / MINUTES_PER_HOUR,
            reserved: f64::from(s.reserved_base_replicas),
            reserved_usd_per_gpu_hour: s.reserved_usd_per_gpu_hour,
            fixed: FixedCase {
                fte: s.staff.fte,
                fte_usd_per_year: s.staff.usd_per_year,
                updates_per_year: s.updates.per_year,
                update_engineer_days: s.updates.engineer_days,
                update_parallel_hours: s.updates.parallel_hours,
                storage_usd: s.storage_usd_per_month,
                other_usd: s.fixed_usd_per_month,
                one_off_usd: s.one_off_usd,
                amortization_months: s.amortization_months,
            },
            egress_usd_per_token: s.egress.bytes_per_output_token / BYTES_PER_GB
                * s.egress.usd_per_gb,
        })
    }

    fn no_rate(&self, gpu: &str) -> Refusal {
        let problem = "the rate is missing; give usd_per_gpu_hour, rental or [self_hosted.owned]";
        let offers: Vec<String> = self
            .sources
            .book
            .rentals_of(gpu)
            .iter()
            .map(|rental| format!("{} ({} USD/GPU-h)", rental.id, rental.usd_per_gpu_hour))
            .collect();
        let hint = if offers.is_empty() {
            format!("no offer of {gpu} is known")
        } else {
            format!("offers of {gpu}: {}", offers.join(", "))
        };
        Refusal::new("self_hosted", problem).with_hint(hint)
    }
}

impl HostFacts {
    /// What runs: as the measured point was loaded, else the precision with the engine's own cache.
    pub fn variant(&self) -> Variant {
        let measured = self.measured.as_ref();
        measured.map_or(Variant::from(self.precision), |(_, point)| point.variant())
    }

    fn fit(&self, gpus: u32) -> Option<Fit> {
        let footprint = self.footprint(gpus)?;
        Some(footprint.fit(self.room?))
    }

    /// What the model takes on a number of cards.
    pub fn footprint(&self, gpus: u32) -> Option<Footprint> {
        let shape = self.shape.as_ref()?;
        Some(Footprint::of(
            shape,
            self.precision,
            self.kv_precision,
            gpus,
        ))
    }

    /// The fewest of these cards that hold the model and a useful cache.
    pub fn fewest_gpus(&self) -> Option<u32> {
        self.footprint(1)?.fewest_gpus(self.room?)
    }

    fn roofline_at(&self, gpus: u32, batch_size: Option<f64>) -> Option<Roofline> {
        Some(Roofline::new(
            self.card.as_ref()?,
            f64::from(gpus),
            (self.shape.as_ref()?, self.precision),
            batch_size?,
        ))
    }
}

fn rates(section: &SelfHosted, facts: &HostFacts) -> Rates {
    if let Some((_, point)) = &facts.measured {
        return point.rates();
    }
    Rates {
        output: section.output_tokens_per_second,
        input: section.input_tokens_per_second,
        prefill: section.prefill_tokens_per_second,
        decode: section.decode_tokens_per_second,
        goodput: section.requests_per_second,
    }
}
