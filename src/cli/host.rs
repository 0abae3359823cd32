//! The machine and the program, as far as a record names them.

use std::path::Path;

use super::exit::{CliError, Exit};
use crate::clock::{Clock as _, Monotonic};
use crate::engine::device;
use crate::engine::weights::files;
use crate::record::machine::Host;
use crate::record::observation::Harness;

/// Version of candle that Cargo.toml pins.
const CANDLE: &str = "0.11.1";

/// The machine.
pub(super) fn host() -> Host {
    let system = rustix::system::uname();
    Host {
        cpu: device::host::cpu_name(),
        threads: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_bytes: device::host::memory_bytes(),
        system: format!(
            "{} {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
    }
}

/// Today's date in UTC.
pub(super) fn today() -> jiff::civil::Date {
    let nanoseconds = i128::from(Monotonic.realtime().value());
    jiff::Timestamp::from_nanosecond(nanoseconds).map_or(jiff::civil::Date::ZERO, |now| {
        now.to_zoned(jiff::tz::TimeZone::UTC).date()
    })
}

/// The program.
pub(super) fn harness(executable: &Path) -> Result<Harness, CliError> {
    let present = |text: &'static str| (!text.is_empty()).then(|| text.to_owned());
    let features = if cfg!(feature = "cuda") {
        vec!["cuda".to_owned()]
    } else {
        Vec::new()
    };
    Ok(Harness {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: present(env!("MTOK_COMMIT")),
        dirty: present(env!("MTOK_DIRTY")).map(|text| text == "true"),
        binary_sha256: files::sha256(executable)
            .map_err(|error| CliError::new(Exit::Storage, error))?,
        candle: CANDLE.to_owned(),
        features,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candle_version_is_the_one_in_the_manifest() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("candle-core = \"={CANDLE}\"")));
    }

    #[test]
    fn the_machine_has_a_name_and_memory() {
        let host = host();
        assert!(host.memory_bytes > 0 && host.threads > 0 && !host.cpu.is_empty());
    }
}
