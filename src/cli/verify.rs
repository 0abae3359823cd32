//! `mtok verify`: whether a record is intact and every number derivable.

use super::args::VerifyArgs;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::{output, reports};
use crate::record::observation::Record;
use crate::record::store::{self, StoreError};
use crate::units::Watts;

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Locked { .. } => Exit::Locked,
            StoreError::Exists { .. } | StoreError::Io { .. } => Exit::Storage,
            StoreError::NewerSchema { .. } => Exit::Input,
            StoreError::Malformed { .. } => Exit::NotValid,
        };
        let full = matches!(
            &error,
            StoreError::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull
        );
        let refused = Self::new(exit, error);
        if full {
            return refused.hint("make room; --resume goes on with what was measured");
        }
        refused
    }
}

/// A card may exceed its limit for moments, but not over a block of 10 s.
const BEYOND_LIMIT: f64 = 1.2;

/// Prints what was found.
pub(super) fn run(args: &VerifyArgs) -> Result<Exit, CliError> {
    let file = StudyFolder::new(args.folder.clone()).record();
    let verification = store::verify(&file)?;
    for finding in &verification.findings {
        output::say(&format!(
            "{}:{}: {}",
            file.display(),
            finding.line,
            finding.problem
        ));
    }
    if let Some(bytes) = verification.torn_bytes {
        output::say(&format!(
            "{}: the last line is torn ({bytes} bytes), as a crash leaves it; nothing before it is lost",
            file.display()
        ));
    }
    if verification.records == 0 {
        output::say(&format!("{}: holds no record", file.display()));
        return Ok(Exit::NotValid);
    }
    if !verification.findings.is_empty() {
        return Ok(Exit::NotValid);
    }
    let energies = energies(&store::read(&file)?)?;
    for problem in &energies.impossible {
        output::say(&format!("{}: {problem}", file.display()));
    }
    if !energies.impossible.is_empty() {
        return Ok(Exit::NotValid);
    }
    let derived = if energies.asked == 0 {
        String::new()
    } else {
        format!(
            ", {} of {} energies derivable",
            energies.derived, energies.asked
        )
    };
    output::data(&format!(
        "{} records, intact{derived}\n",
        verification.records
    ))?;
    Ok(Exit::Success)
}

/// What the energy blocks of a record give.
#[derive(Default)]
struct Energies {
    asked: usize,
    derived: usize,
    impossible: Vec<String>,
}

/// Derives every energy again, and holds it against what the card may draw.
fn energies(records: &[Record]) -> Result<Energies, CliError> {
    let asks = reports::identity(records)
        .0
        .is_some_and(|session| session.study.measure.energy);
    if !asks {
        return Ok(Energies::default());
    }
    let document = reports::conclude(records, None)?;
    let limit = document.card.as_ref().and_then(|card| card.power_limit_mw);
    let limit = limit.map(|milliwatts| Watts::new(milliwatts as f64 / 1e3));
    let mut energies = Energies::default();
    for row in &document.rows {
        let Some(energy) = row.measured.as_ref().and_then(|m| m.energy.as_ref()) else {
            continue;
        };
        for phase in [&energy.prefill, &energy.decode] {
            energies.asked += 1;
            let Ok(seen) = phase else { continue };
            let Ok(power) = seen.power() else { continue };
            energies.derived += 1;
            if limit.is_some_and(|limit| power > limit * BEYOND_LIMIT) {
                energies.impossible.push(format!(
                    "{}: {:.0} W in {:?} are more than the card's limit allows",
                    row.point,
                    power.value(),
                    seen.phase
                ));
            }
        }
    }
    Ok(energies)
}
