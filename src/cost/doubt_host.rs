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
            self.warnings.push(Warning::new(
                "high_target_load",
                format!(
                    "replicas are planned for {:.0} % load",
                    section.target_load * 100.0
                ),
                "queues grow without bound near 100 %; plan for 60 to 80 %",
            ));
        }
        if host.rates.output.is_some()
            && host.rates.input.is_none()
            && host.rates.prefill.is_none()
            && host.rates.goodput.is_none()
        {
            self.warnings.push(Warning::new(
                "prefill_ignored",
                "only an output rate is given, so reading the prompts costs nothing here",
                "give input_tokens_per_second as well, or prefill and decode rates",
            ));
        }
        if let Some(kappa) = work.kappa(&host.rates)
            && !KAPPA.contains(&kappa)
        {
            self.warnings.push(Warning::new(
                "kappa",
                format!(
                    "prefill and decode rates explain {:.2} of the measured time",
                    1.0 / kappa
                ),
                "measure prefill and decode at the batch size and lengths of the mix",
            ));
        }
        let followed = section.fleet == FleetMode::Autoscaled;
        if followed && section.owned.is_some() {
            self.warnings.push(Warning::new(
                "owned_is_static",
                "bought cards cost the same whether they run or not; the fleet counts as static",
                "remove `fleet = \"autoscaled\"`",
            ));
        } else if followed && matches!(case.demand.profile, Profile::Peak(_)) {
            self.warnings.push(Warning::new(
                "no_profile",
                "an autoscaled fleet follows hours, and only the peak is given: it counts as static",
                "give traffic.hourly or a trace",
            ));
        }
    }

    /// A study of another machine or model says little about this one.
    pub(super) fn doubt_study(&mut self, study: &Measured, facts: &HostFacts, gpus: u32) {
        let remedy = "measure the very machine and model that would serve";
        let card = facts.card.as_ref();
        let was_on = study
            .gpu
            .as_deref()
            .unwrap_or("a machine that is no listed card");
        let another = card.is_some_and(|card| study.gpu.as_ref() != Some(&card.id));
        if another || gpus != study.gpus {
            self.warnings.push(Warning::new(
                "measured_elsewhere",
                format!(
                    "{} was measured on {} x {was_on}, and a replica here is {gpus} x {}",
                    study.source, study.gpus, facts.gpu
                ),
                remedy,
            ));
        }
        // Names differ by where a model was loaded from; sizes do not.
        let sizes = facts.shape.as_ref().zip(study.shape.as_ref());
        if sizes.is_some_and(|(shape, measured)| shape.parameters() != measured.parameters()) {
            let measured = study.model.as_deref().unwrap_or("another model");
            let model = facts.model.as_deref().unwrap_or("the model here");
            self.warnings.push(Warning::new(
                "another_model_measured",
                format!("{} measured {measured}, not {model}", study.source),
                remedy,
            ));
        }
        if study.simulated {
            self.warnings.push(Warning::new(
                "simulated_study",
                format!(
                    "the times of {} come from a script: nothing was measured",
                    study.source
                ),
                remedy,
            ));
        }
    }

    fn doubt_memory(&mut self, host: &HostCase, facts: &HostFacts, case: &Case, work: &Work) {
        let Some(fit) = host.fit else { return };
        if !fit.fits() {
            let fewest = facts.fewest_gpus();
            self.warnings.push(Warning::new(
                "does_not_fit",
                format!(
                    "the weights take {:.1} GiB and {} x {} leave {:.1} GiB for the cache",
                    fit.weights_gib, host.fleet.gpus_per_replica, facts.gpu, fit.kv_gib
                ),
                match fewest {
                    Some(gpus) => format!("use {gpus} of these cards, or fewer bits per weight"),
                    None => "use larger cards or fewer bits per weight".to_owned(),
                },
            ));
        } else if let (Some(batch), Some(sequences)) =
            (host.batch_size, host.sequences(work, &case.demand))
            && batch > sequences
        {
            self.warnings.push(Warning::new(
                "kv_below_batch",
                format!(
                    "the cache surely holds {sequences} sequences, fewer than a batch of {batch}"
                ),
                "lower batch_size, add cards, or hold keys and values in fewer bits",
            ));
        }
    }
}
