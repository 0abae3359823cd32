//! Bought cards: capital recovery, maintenance, energy or colocation, per card and hour.

use super::scenario::Owned;
use super::scenario::self_hosted::DEFAULT_USD_PER_KWH;

/// Hours of a year without leap day.
const HOURS_PER_YEAR: f64 = 8_760.0;
const MONTHS_PER_YEAR: f64 = 12.0;

/// What one owned card costs in each hour of its life, used or not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OwnedRate {
    /// Purchase, tax and set-up, less resale, with interest.
    pub capital_usd_per_gpu_hour: f64,
    /// Maintenance.
    pub maintenance_usd_per_gpu_hour: f64,
    /// Energy, where it is paid by the kWh.
    pub energy_usd_per_gpu_hour: f64,
    /// Colocation per month, which contains the energy.
    pub colocation_usd_per_gpu_month: f64,
}

/// The yearly payment per dollar of debt over `years`: `i(1 + i)^Y / ((1 + i)^Y − 1)`, 1/Y at no
/// interest.
pub fn capital_recovery_factor(interest: f64, years: f64) -> f64 {
    if interest <= 0.0 {
        return 1.0 / years;
    }
    let growth = (1.0 + interest).powf(years);
    interest * growth / (growth - 1.0)
}

impl OwnedRate {
    /// The rate of a section.
    pub fn new(owned: &Owned) -> Self {
        let gpus = f64::from(owned.gpus);
        let capital = owned.purchase_usd * (1.0 + owned.tax_and_setup);
        let resale = capital * owned.resale / (1.0 + owned.cost_of_capital).powf(owned.years);
        let yearly =
            (capital - resale) * capital_recovery_factor(owned.cost_of_capital, owned.years);
        let kw = owned.kw / gpus;
        let (energy, colocation) = if let Some(price) = owned.colocation_usd_per_kw_month {
            (0.0, kw * price)
        } else {
            let price = owned.usd_per_kwh.unwrap_or(DEFAULT_USD_PER_KWH);
            (kw * owned.pue * price, 0.0)
        };
        Self {
            capital_usd_per_gpu_hour: yearly / (HOURS_PER_YEAR * gpus),
            maintenance_usd_per_gpu_hour: owned.maintenance_per_year * capital
                / (HOURS_PER_YEAR * gpus),
            energy_usd_per_gpu_hour: energy,
            colocation_usd_per_gpu_month: colocation,
        }
    }

    /// One card for a month: capital, maintenance and colocation per calendar month, energy for the
    /// hours of the calendar in use.
    pub fn usd_per_gpu_month(&self, hours_per_month: f64) -> f64 {
        let calendar_month = HOURS_PER_YEAR / MONTHS_PER_YEAR;
        (self.capital_usd_per_gpu_hour + self.maintenance_usd_per_gpu_hour) * calendar_month
            + self.colocation_usd_per_gpu_month
            + self.energy_usd_per_gpu_hour * hours_per_month
    }
}
