//! What a reader should doubt about the self-hosted side.

use super::capacity::Work;
use super::case::{Case, HostCase};
use super::measured::Measured;
use super::resolve::Desk;
use super::resolve_host::HostFacts;
use super::scenario::{FleetMode, SelfHosted};
use super::traffic::Profile;
use super::warning::Warning;

/// Above this planned load, queues grow long.
const HIGH_TARGET_LOAD: f64 = 0.8;
/// A time-share factor outside these bounds says that the rates do not fit each other.
const KAPPA: std::ops::RangeInclusive<f64> = 0.8..=1.2;

impl Desk<'_> {
    pub(super) fn doubt_host(
        &mut self,
        section: &SelfHosted,
        side: (&HostCase, &HostFacts),
        case: &Case,
        work: &Work,
    ) {
        let (host, facts) = side;
        self.doubt_memory(host, facts, case, work);
        if section.target_load > HIGH_TARGET_LOAD {
            self.warnings.push(Warning::HighTargetLoad {
                load: section.target_load,
            });
        }
        if host.rates.output.is_some()
            && host.rates.input.is_none()
            && host.rates.prefill.is_none()
            && host.rates.goodput.is_none()
        {
            self.warnings.push(Warning::PrefillIgnored);
        }
        if let Some(kappa) = work.kappa(&host.rates)
            && !KAPPA.contains(&kappa)
        {
            self.warnings.push(Warning::Kappa { kappa });
        }
        let followed = section.fleet == FleetMode::Autoscaled;
        if followed && section.owned.is_some() {
            self.warnings.push(Warning::OwnedIsStatic);
        } else if followed && matches!(case.demand.profile, Profile::Peak(_)) {
            self.warnings.push(Warning::NoProfile);
        }
    }

    /// A study of another machine or model says little about this one.
    pub(super) fn doubt_study(&mut self, study: &Measured, facts: &HostFacts, gpus: u32) {
        let card = facts.card.as_ref();
        let was_on = study
            .gpu
            .as_deref()
            .unwrap_or("a machine that is no listed card");
        let another = card.is_some_and(|card| study.gpu.as_ref() != Some(&card.id));
        if another || gpus != study.gpus {
            self.warnings.push(Warning::MeasuredElsewhere {
                study: study.source.clone(),
                measured_gpus: study.gpus,
                measured_on: was_on.to_owned(),
                gpus,
                gpu: facts.gpu.clone(),
            });
        }
        // Names differ by where a model was loaded from; sizes do not.
        let sizes = facts.shape.as_ref().zip(study.shape.as_ref());
        if sizes.is_some_and(|(shape, measured)| shape.parameters() != measured.parameters()) {
            let measured = study.model.as_deref().unwrap_or("another model");
            let model = facts.model.as_deref().unwrap_or("the model here");
            self.warnings.push(Warning::AnotherModelMeasured {
                study: study.source.clone(),
                measured: measured.to_owned(),
                model: model.to_owned(),
            });
        }
        if study.simulated {
            self.warnings.push(Warning::SimulatedStudy {
                study: study.source.clone(),
            });
        }
    }

    fn doubt_memory(&mut self, host: &HostCase, facts: &HostFacts, case: &Case, work: &Work) {
        let Some(fit) = host.fit else { return };
        if !fit.fits() {
            self.warnings.push(Warning::DoesNotFit {
                weights_gib: fit.weights_gib,
                gpus: host.fleet.gpus_per_replica,
                gpu: facts.gpu.clone(),
                kv_gib: fit.kv_gib,
                fewest: facts.fewest_gpus(),
            });
        } else if let (Some(batch), Some(sequences)) =
            (host.batch_size, host.sequences(work, &case.demand))
            && batch > sequences
        {
            self.warnings
                .push(Warning::KvBelowBatch { sequences, batch });
        }
    }
}
