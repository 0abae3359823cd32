//! CUDA set-up: a created stream with one owner thread, a pool that keeps its memory, ids through pinned
//! memory, and times by events.

#![expect(
    unsafe_code,
    reason = "pinned memory, pool attributes, the driver's version and the runtime's last error"
)]

use std::ffi::{CStr, c_char, c_int};
use std::fmt::Display;
use std::sync::Arc;

use candle_core::cuda::cudarc::driver::sys::{
    CUdevice_attribute, CUevent_flags, CUmemPool_attribute, CUmemoryPool, cuDriverGetVersion,
};
use candle_core::cuda::cudarc::driver::{
    CudaContext, CudaEvent, CudaStream, PinnedHostSlice, result,
};
use candle_core::cuda::kernels;
use candle_core::{CudaDevice, Device, Storage, Tensor};

use super::target::Target;
use crate::engine::{EngineError, TokenId};
use crate::record::machine;
use crate::units::Nanos;

unsafe extern "C" {
    /// Gives back and forgets the runtime's last error of this thread.
    fn cudaGetLastError() -> c_int;
    /// The name of an error, a constant.
    fn cudaGetErrorName(error: c_int) -> *const c_char;
}

/// Opens a card with its own stream.
pub(super) fn open(ordinal: u32) -> Result<Device, EngineError> {
    let refuse = |reason: String| EngineError::Device {
        reason: format!("cuda:{ordinal}: {reason}"),
    };
    let target = Target::of_ptx(kernels::FILL.ptx());
    // The libraries of a newer toolkit fail on an older driver in words that do not say so.
    let version = driver_version();
    if let Some(reason) = target.zip(version).and_then(|(t, v)| t.refuses_driver(v)) {
        return Err(refuse(reason));
    }
    let device = Device::new_cuda_with_stream(ordinal as usize).map_err(|error| {
        let line = error
            .to_string()
            .lines()
            .next()
            .unwrap_or("no message")
            .to_owned();
        EngineError::Device {
            reason: format!("cuda:{ordinal}: {line}; check nvidia-smi"),
        }
    })?;
    let cuda = device.as_cuda_device()?;
    let card = context(cuda).compute_capability().map_err(driver)?;
    if let Some(reason) = target.and_then(|target| target.refuses_card(card)) {
        return Err(refuse(reason));
    }
    // SAFETY: one thread owns the device, and everything runs on its one stream.
    unsafe { cuda.disable_event_tracking() };
    keep_memory(cuda)?;
    Ok(device)
}

/// Lets the pool keep what is freed, where there is a pool: virtual cards may have none.
fn keep_memory(device: &CudaDevice) -> Result<(), EngineError> {
    if !context(device).has_async_alloc() {
        return Ok(());
    }
    let name = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut keep = u64::MAX;
    // SAFETY: the attribute is a u64, which `keep` is.
    unsafe { result::mem_pool::set_attribute(pool(device)?, name, (&raw mut keep).cast()) }
        .map_err(driver)
}

/// What the driver says of the card.
pub(super) fn facts(device: &CudaDevice) -> Result<machine::Device, EngineError> {
    let context = context(device);
    let attribute = |name| context.attribute(name).map_err(driver);
    let (major, minor) = context.compute_capability().map_err(driver)?;
    let domain = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)?;
    let bus = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)?;
    let slot = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)?;
    let cache = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?;
    let version = super::read("/sys/module/nvidia/version");
    Ok(machine::Device {
        kind: machine::DeviceKind::Cuda,
        name: context.name().map_err(driver)?,
        uuid: Some(uuid(
            context.uuid().map_err(driver)?.bytes.map(|byte| byte as u8),
        )),
        pci_bus_id: Some(format!("{domain:08X}:{bus:02X}:{slot:02X}.0")),
        memory_bytes: context.total_mem().map_err(driver)? as u64,
        last_level_cache_bytes: u64::try_from(cache).ok(),
        compute_capability: Some(format!("{major}.{minor}")),
        driver: Some(version.trim().to_owned()).filter(|version| !version.is_empty()),
        cuda: cuda_version(),
        threads: None,
        card: None,
        before: None,
        rested_ns: None,
    })
}

/// The newest CUDA version that the driver supports.
fn cuda_version() -> Option<String> {
    let version = driver_version()?;
    Some(format!("{}.{}", version / 1000, version % 1000 / 10))
}

/// The same as 1000 · major + 10 · minor.
fn driver_version() -> Option<i32> {
    let mut version = 0;
    // SAFETY: the call writes one integer.
    unsafe { cuDriverGetVersion(&raw mut version) }
        .result()
        .ok()?;
    Some(version)
}

/// Fails when a kernel of the runtime was not launched since the last call on this thread.
pub(super) fn launched() -> Result<(), EngineError> {
    // SAFETY: the call takes nothing and gives back a number.
    let error = unsafe { cudaGetLastError() };
    if error == 0 {
        return Ok(());
    }
    // SAFETY: the name of any number is a constant string with its end, or null.
    let name = unsafe {
        let name = cudaGetErrorName(error);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy())
    };
    Err(EngineError::Device {
        reason: format!(
            "a kernel was not launched: error {error} of the CUDA runtime, {}",
            name.as_deref().unwrap_or("without a name")
        ),
    })
}

/// `GPU-` and the bytes in groups, as NVML writes it.
fn uuid(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    format!("GPU-{}", groups.join("-"))
}

/// High-water mark of the pool, which is reset.
pub(super) fn peak_memory(device: &CudaDevice) -> Option<u64> {
    let pool = pool(device).ok()?;
    let name = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    let mut peak = 0_u64;
    // SAFETY: the attribute is a u64, which `peak` is.
    unsafe { result::mem_pool::get_attribute(pool, name, (&raw mut peak).cast()) }.ok()?;
    let mut zero = 0_u64;
    // SAFETY: the attribute is a u64, which `zero` is; zero resets the mark.
    unsafe { result::mem_pool::set_attribute(pool, name, (&raw mut zero).cast()) }.ok()?;
    Some(peak)
}

/// Gives back what the pool holds unused; whether it did.
pub(super) fn trim(device: &CudaDevice) -> bool {
    let idle = device.cuda_stream().synchronize().is_ok();
    let Ok(pool) = pool(device) else { return false };
    // SAFETY: the pool is the device's own and lives as long as it.
    idle && unsafe { result::mem_pool::trim_to(pool, 0) }.is_ok()
}

fn context(device: &CudaDevice) -> Arc<CudaContext> {
    Arc::clone(device.cuda_stream().context())
}

fn pool(device: &CudaDevice) -> Result<CUmemoryPool, EngineError> {
    let context = context(device);
    context.bind_to_thread().map_err(driver)?;
    // SAFETY: the context holds a valid device.
    unsafe { result::device::get_default_mem_pool(context.cu_device()) }.map_err(driver)
}

fn driver(error: impl Display) -> EngineError {
    EngineError::from(candle_core::Error::Msg(error.to_string()))
}

/// Pinned memory for the ids of one step, and the events around a generation.
pub(super) struct Line {
    stream: Arc<CudaStream>,
    host: PinnedHostSlice<TokenId>,
    begin: Option<CudaEvent>,
    last: Option<CudaEvent>,
}

impl Line {
    /// A line for `batch` ids per step.
    pub(super) fn new(device: &CudaDevice, batch: usize) -> Result<Self, EngineError> {
        let stream = device.cuda_stream();
        // SAFETY: `read` copies `batch` ids into it before it looks. Without flags the host reads it
        // through its caches; write-combined memory would be slow to read.
        let host = unsafe { stream.context().alloc_pinned_with_flags(batch, 0) }.map_err(driver)?;
        Ok(Self {
            stream,
            host,
            begin: None,
            last: None,
        })
    }

    /// Marks the beginning on the stream.
    pub(super) fn start(&mut self) -> Result<(), EngineError> {
        self.begin = Some(self.mark()?);
        Ok(())
    }

    /// Copies `ids` to the host and waits for them.
    pub(super) fn read(&mut self, ids: &Tensor) -> Result<Vec<TokenId>, EngineError> {
        {
            let (storage, layout) = ids.storage_and_layout();
            let (Storage::Cuda(cuda), Some((start, end))) =
                (&*storage, layout.contiguous_offsets())
            else {
                return Err(EngineError::Device {
                    reason: "ids are not on the card".to_owned(),
                });
            };
            let view = cuda.as_cuda_slice::<TokenId>()?.slice(start..end);
            self.stream
                .memcpy_dtoh(&view, &mut self.host)
                .map_err(driver)?;
        }
        let done = self.mark()?;
        done.synchronize().map_err(driver)?;
        self.last = Some(done);
        Ok(self.host.as_slice().map_err(driver)?.to_vec())
    }

    /// Time between the first mark and the last ids.
    pub(super) fn finish(&mut self) -> Result<Option<Nanos>, EngineError> {
        let (Some(begin), Some(last)) = (self.begin.take(), self.last.take()) else {
            return Ok(None);
        };
        let milliseconds = begin.elapsed_ms(&last).map_err(driver)?;
        Ok(Some(Nanos::new(
            (f64::from(milliseconds) * 1e6).round() as u64
        )))
    }

    /// An event with a time on the stream.
    fn mark(&self) -> Result<CudaEvent, EngineError> {
        self.stream
            .record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
            .map_err(driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_as_nvml_writes_it() {
        let bytes = std::array::from_fn(|index| index as u8 * 17);
        assert_eq!(uuid(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }
}
