//! What may stand under `[self_hosted]`.

use super::check::{Checked, amount, each, each_given, one_of, positive, share, within};
use super::parse::Refusal;
use super::{Owned, SelfHosted};

/// Rates of the card and of the engine: exclusive keys and ranges.
pub(super) fn rates(prefix: &str, s: &SelfHosted) -> Checked {
    one_of(
        prefix,
        &[
            ("usd_per_gpu_hour", s.usd_per_gpu_hour.is_some()),
            ("rental", s.rental.is_some()),
            ("owned", s.owned.is_some()),
        ],
    )?;
    each_given(prefix, &[("usd_per_gpu_hour", s.usd_per_gpu_hour)], amount)?;
    let stated = [
        ("output_tokens_per_second", s.output_tokens_per_second),
        ("input_tokens_per_second", s.input_tokens_per_second),
        ("prefill_tokens_per_second", s.prefill_tokens_per_second),
        ("decode_tokens_per_second", s.decode_tokens_per_second),
        ("requests_per_second", s.requests_per_second),
        ("batch_size", s.batch_size),
    ];
    each_given(prefix, &stated, positive)?;
    for (key, value) in &stated[..5] {
        one_of(
            prefix,
            &[("results", s.results.is_some()), (key, value.is_some())],
        )?;
    }
    for (present, absent) in [
        ("prefill_tokens_per_second", "decode_tokens_per_second"),
        ("decode_tokens_per_second", "prefill_tokens_per_second"),
        ("input_tokens_per_second", "output_tokens_per_second"),
    ] {
        let given = |key| {
            stated
                .iter()
                .any(|(name, value)| *name == key && value.is_some())
        };
        if given(present) && !given(absent) {
            let problem = format!("`{present}` needs `{absent}`: they are measured as a pair");
            return Err(Refusal::new(format!("{prefix}.{present}"), problem));
        }
    }
    s.slo.as_ref().map_or(Ok(()), |slo| {
        each_given(
            &format!("{prefix}.slo"),
            &[("ttft_ms", slo.ttft_ms), ("tpot_ms", slo.tpot_ms)],
            positive,
        )
    })
}

/// The fleet, its people and its power.
pub(super) fn fleet(prefix: &str, s: &SelfHosted) -> Checked {
    let at = |key: &str| format!("{prefix}.{key}");
    counts(prefix, s)?;
    within(&at("target_load"), s.target_load, 0.01, 1.0)?;
    within(
        &at("gpu_memory_utilization"),
        s.gpu_memory_utilization,
        0.01,
        1.0,
    )?;
    within(
        &at("cold_start_minutes"),
        s.cold_start_minutes,
        0.0,
        1_440.0,
    )?;
    within(
        &at("amortization_months"),
        s.amortization_months,
        0.1,
        1_200.0,
    )?;
    within(&at("commitment_months"), s.commitment_months, 0.0, 1_200.0)?;
    each(
        prefix,
        &[
            ("overhead_gib_per_gpu", s.overhead_gib_per_gpu),
            ("reserved_usd_per_gpu_hour", s.reserved_usd_per_gpu_hour),
            ("storage_usd_per_month", s.storage_usd_per_month),
            ("fixed_usd_per_month", s.fixed_usd_per_month),
            ("one_off_usd", s.one_off_usd),
            ("staff.fte", s.staff.fte),
            ("staff.usd_per_year", s.staff.usd_per_year),
            ("updates.per_year", s.updates.per_year),
            ("updates.engineer_days", s.updates.engineer_days),
            ("updates.parallel_hours", s.updates.parallel_hours),
            (
                "egress.bytes_per_output_token",
                s.egress.bytes_per_output_token,
            ),
            ("egress.usd_per_gb", s.egress.usd_per_gb),
            ("spot.usd_per_gpu_hour", s.spot.usd_per_gpu_hour),
        ],
        amount,
    )?;
    spot_and_reserved(prefix, s)?;
    s.owned
        .as_ref()
        .map_or(Ok(()), |owned_section| owned(&at("owned"), owned_section))
}

/// Replicas and cards, which come whole.
fn counts(prefix: &str, s: &SelfHosted) -> Checked {
    let at = |key: &str| format!("{prefix}.{key}");
    if let Some(gpus) = s.gpus_per_replica {
        within(&at("gpus_per_replica"), f64::from(gpus), 1.0, 1e5)?;
    }
    within(&at("min_replicas"), f64::from(s.min_replicas), 0.0, 1e6)?;
    within(
        &at("redundant_replicas"),
        f64::from(s.redundant_replicas),
        0.0,
        1e6,
    )?;
    within(
        &at("reserved_base_replicas"),
        f64::from(s.reserved_base_replicas),
        0.0,
        1e6,
    )?;
    if let Some(quantum) = s.billing_quantum_gpus {
        within(&at("billing_quantum_gpus"), f64::from(quantum), 1.0, 1e5)?;
    }
    Ok(())
}

/// Cards at other rates, which must be stated.
fn spot_and_reserved(prefix: &str, s: &SelfHosted) -> Checked {
    let at = |key: &str| format!("{prefix}.{key}");
    share(&at("spot.share"), s.spot.share)?;
    share(&at("spot.fallback"), s.spot.fallback)?;
    within(&at("spot.lost_work"), s.spot.lost_work, 0.0, 0.99)?;
    if s.spot.share > 0.0 && s.spot.usd_per_gpu_hour <= 0.0 {
        return Err(Refusal::new(
            at("spot.share"),
            "a spot share needs spot.usd_per_gpu_hour",
        ));
    }
    if s.reserved_base_replicas > 0 && s.reserved_usd_per_gpu_hour <= 0.0 {
        return Err(Refusal::new(
            at("reserved_base_replicas"),
            "reserved replicas need reserved_usd_per_gpu_hour",
        ));
    }
    Ok(())
}

fn owned(prefix: &str, o: &Owned) -> Checked {
    let at = |key: &str| format!("{prefix}.{key}");
    one_of(
        prefix,
        &[
            ("usd_per_kwh", o.usd_per_kwh.is_some()),
            (
                "colocation_usd_per_kw_month",
                o.colocation_usd_per_kw_month.is_some(),
            ),
        ],
    )?;
    each(
        prefix,
        &[("purchase_usd", o.purchase_usd), ("kw", o.kw)],
        amount,
    )?;
    each_given(
        prefix,
        &[
            ("usd_per_kwh", o.usd_per_kwh),
            ("colocation_usd_per_kw_month", o.colocation_usd_per_kw_month),
        ],
        amount,
    )?;
    within(&at("tax_and_setup"), o.tax_and_setup, 0.0, 10.0)?;
    within(&at("gpus"), f64::from(o.gpus), 1.0, 1e5)?;
    within(&at("years"), o.years, 0.1, 100.0)?;
    share(&at("resale"), o.resale)?;
    within(&at("cost_of_capital"), o.cost_of_capital, 0.0, 10.0)?;
    within(&at("pue"), o.pue, 1.0, 10.0)?;
    within(
        &at("maintenance_per_year"),
        o.maintenance_per_year,
        0.0,
        10.0,
    )
}
