//! The device that an engine runs on: choosing it, describing it, and reading ids back from it.

#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod host;
#[cfg(any(feature = "cuda", test))]
mod target;

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{EngineError, TokenId};
use crate::record::machine;
use crate::study::model::DeviceChoice;
use crate::units::Nanos;

/// Opens the chosen device.
pub(crate) fn open(choice: DeviceChoice) -> Result<Device, EngineError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if cfg!(feature = "cuda") => open_cuda(0),
        DeviceChoice::Auto => Ok(Device::Cpu),
        DeviceChoice::Cuda(ordinal) => open_cuda(ordinal),
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: u32) -> Result<Device, EngineError> {
    cuda::open(ordinal)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: u32) -> Result<Device, EngineError> {
    Err(EngineError::Device {
        reason: format!("cuda:{ordinal} needs a build with --features cuda; or take --device cpu"),
    })
}

/// What the record says of a device.
pub(crate) fn facts(device: &Device) -> Result<machine::Device, EngineError> {
    match device {
        Device::Cpu => Ok(cpu_facts()),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::facts(device),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(unknown_device()),
        Device::Metal(_) => Err(unknown_device()),
    }
}

fn unknown_device() -> EngineError {
    EngineError::Device {
        reason: "neither a CPU nor a CUDA device of this build".to_owned(),
    }
}

fn cpu_facts() -> machine::Device {
    machine::Device {
        kind: machine::DeviceKind::Cpu,
        name: host::cpu_name(),
        uuid: None,
        pci_bus_id: None,
        memory_bytes: host::memory_bytes(),
        last_level_cache_bytes: last_level_cache(Path::new("/sys/devices/system/cpu/cpu0/cache")),
        compute_capability: None,
        driver: None,
        cuda: None,
        threads: u32::try_from(candle_core::utils::barrier_pool().n_workers() + 1).ok(),
        card: None,
        before: None,
        rested_ns: None,
    }
}

/// The text of a file that the kernel provides, empty when it does not.
fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|_| String::new())
}

/// The first number on the line that begins with `key`.
fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Size of the highest cache level below a `cpuN/cache` folder of sysfs.
fn last_level_cache(folder: &Path) -> Option<u64> {
    let levels = (0..8).filter_map(|index| {
        let cache = folder.join(format!("index{index}"));
        let level: u32 = read(cache.join("level")).trim().parse().ok()?;
        Some((level, cache_size(read(cache.join("size")).trim())?))
    });
    levels.max().map(|(_, bytes)| bytes)
}

/// Bytes of a size such as `32768K`.
fn cache_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Memory of this process, where the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessMemory {
    /// Resident memory that is no file, in bytes.
    pub(crate) anonymous: Option<u64>,
    /// Highest resident memory so far, mapped files included, in bytes.
    pub(crate) peak: Option<u64>,
}

/// Memory of this process now.
pub(crate) fn process_memory() -> ProcessMemory {
    let status = read("/proc/self/status");
    let bytes = |key| number_after(&status, key).map(|kib| kib * 1024);
    ProcessMemory {
        anonymous: bytes("RssAnon:"),
        peak: bytes("VmHWM:"),
    }
}

/// High-water mark of the device's memory pool since the last call; `None` on a CPU.
pub(crate) fn peak_memory(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::peak_memory(device),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => None,
        Device::Cpu | Device::Metal(_) => None,
    }
}

/// Gives back memory that the device's pool holds unused; whether it did.
pub(crate) fn trim(device: &Device) -> bool {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::trim(device),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => false,
        Device::Cpu | Device::Metal(_) => false,
    }
}

/// Refuses what was computed when some kernel was never launched: those that candle compiles ahead report
/// a failed launch to nobody.
pub(crate) fn launched(device: &Device) -> Result<(), EngineError> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => cuda::launched(),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(unknown_device()),
        Device::Cpu | Device::Metal(_) => Ok(()),
    }
}

/// The line by which ids come back to the host, and the device's own stopwatch beside it.
pub(crate) struct Line {
    #[cfg(feature = "cuda")]
    cuda: Option<cuda::Line>,
}

impl Line {
    /// A line for `batch` ids per step.
    #[cfg(feature = "cuda")]
    pub(crate) fn new(device: &Device, batch: usize) -> Result<Self, EngineError> {
        let cuda = match device {
            Device::Cuda(device) => Some(cuda::Line::new(device, batch)?),
            Device::Cpu | Device::Metal(_) => None,
        };
        Ok(Self { cuda })
    }

    /// A line for `batch` ids per step.
    #[cfg(not(feature = "cuda"))]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the CUDA build allocates pinned memory here"
    )]
    pub(crate) fn new(_device: &Device, _batch: usize) -> Result<Self, EngineError> {
        Ok(Self {})
    }

    /// Starts the device's stopwatch.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(
            clippy::unnecessary_wraps,
            clippy::unused_self,
            reason = "CUDA has a stopwatch"
        )
    )]
    pub(crate) fn start(&mut self) -> Result<(), EngineError> {
        #[cfg(feature = "cuda")]
        if let Some(line) = &mut self.cuda {
            return line.start();
        }
        Ok(())
    }

    /// Waits for `ids`, `[batch]`, and returns them the moment that they are there.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(clippy::unused_self, reason = "CUDA has a line")
    )]
    pub(crate) fn read(&mut self, ids: &Tensor) -> Result<Vec<TokenId>, EngineError> {
        #[cfg(feature = "cuda")]
        if let Some(line) = &mut self.cuda {
            return line.read(ids);
        }
        Ok(ids.to_vec1()?)
    }

    /// Device time from `start` to the last ids read, where the device has a stopwatch.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(
            clippy::unnecessary_wraps,
            clippy::unused_self,
            reason = "CUDA has a stopwatch"
        )
    )]
    pub(crate) fn finish(&mut self) -> Result<Option<Nanos>, EngineError> {
        #[cfg(feature = "cuda")]
        if let Some(line) = &mut self.cuda {
            return line.finish();
        }
        Ok(None)
    }
}

impl From<candle_core::Error> for EngineError {
    /// Candle passes errors of the driver on as text only; running out of memory is told by theirs.
    fn from(error: candle_core::Error) -> Self {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or("no message").to_owned();
        // Of the driver, cuBLAS and cuRAND.
        let out_of_memory = [
            "OUT_OF_MEMORY",
            "out of memory",
            "ALLOC_FAILED",
            "ALLOCATION_FAILED",
        ];
        if out_of_memory.iter().any(|mark| text.contains(mark)) {
            Self::OutOfMemory { detail: line }
        } else {
            Self::Device { reason: line }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_kernel_are_read_with_their_unit() {
        assert_eq!(cache_size("32768K"), Some(32 << 20));
        assert_eq!(cache_size("2M"), Some(2 << 20));
        assert_eq!(cache_size("64"), Some(64));
        assert_eq!(cache_size("64Q"), None);
        assert_eq!(cache_size(""), None);
        assert_eq!(
            number_after("A: 1 kB\nVmHWM:\t  20 kB\n", "VmHWM:"),
            Some(20)
        );
    }

    #[test]
    fn the_highest_cache_level_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (index, level, size) in [(0, "1", "32K"), (1, "3", "8M"), (2, "2", "512K")] {
            let cache = folder.path().join(format!("index{index}"));
            std::fs::create_dir(&cache).unwrap();
            std::fs::write(cache.join("level"), level).unwrap();
            std::fs::write(cache.join("size"), size).unwrap();
        }
        assert_eq!(last_level_cache(folder.path()), Some(8 << 20));
    }

    #[test]
    fn a_cpu_is_described_without_the_words_of_a_card() {
        let device = facts(&open(DeviceChoice::Cpu).unwrap()).unwrap();
        assert_eq!(device.kind, machine::DeviceKind::Cpu);
        assert!(!device.name.is_empty());
        assert!(device.threads.is_some_and(|threads| threads >= 1));
        assert_eq!(
            (device.uuid, device.pci_bus_id, device.cuda),
            (None, None, None)
        );
    }

    #[test]
    fn errors_of_the_driver_become_out_of_memory_by_their_text() {
        let error = |text: &str| EngineError::from(candle_core::Error::Msg(text.to_owned()));
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "CurandError(CURAND_STATUS_ALLOCATION_FAILED)",
        ] {
            assert!(
                matches!(error(text), EngineError::OutOfMemory { .. }),
                "{text}"
            );
        }
        assert!(matches!(
            error("shape mismatch"),
            EngineError::Device { .. }
        ));
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_card_without_the_feature_is_refused_with_the_remedy() {
        let error = open(DeviceChoice::Cuda(1)).unwrap_err().to_string();
        assert_eq!(
            error,
            "device: cuda:1 needs a build with --features cuda; or take --device cpu"
        );
    }
}
