//! GPM samples and the metrics between two of them.

use std::ffi::c_uint;
use std::sync::Mutex;

use nvml_wrapper_sys::bindings as sys;
use sys::{nvmlDevice_t, nvmlReturn_t};

use super::{INVALID, NOT_SUPPORTED, ask, ask_card, ask_device, put};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(
    device: nvmlDevice_t,
    out: *mut sys::nvmlGpmSupport_t,
) -> nvmlReturn_t {
    ask_card("nvmlGpmQueryDeviceSupport", device, |_, card| {
        put(
            out,
            sys::nvmlGpmSupport_t {
                version: sys::NVML_GPM_SUPPORT_VERSION,
                isSupportedDevice: c_uint::from(card.gpm),
            },
        )
    })
}

/// A GPM sample: whose, and when.
type Sample = Mutex<Option<(usize, u64)>>;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(out: *mut sys::nvmlGpmSample_t) -> nvmlReturn_t {
    ask("nvmlGpmSampleAlloc", |_| {
        let sample: Box<Sample> = Box::default();
        put(out, Box::into_raw(sample).cast())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleFree(sample: sys::nvmlGpmSample_t) -> nvmlReturn_t {
    ask("nvmlGpmSampleFree", |_| {
        // SAFETY: made by `nvmlGpmSampleAlloc` and freed once, by the caller's contract.
        drop(unsafe { Box::from_raw(sample.cast::<Sample>()) });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleGet(
    device: nvmlDevice_t,
    sample: sys::nvmlGpmSample_t,
) -> nvmlReturn_t {
    ask_device("nvmlGpmSampleGet", device, |driver, target| {
        if !target.card.gpm || target.slice.is_some() {
            return Err(NOT_SUPPORTED);
        }
        // SAFETY: made by `nvmlGpmSampleAlloc` and not yet freed, by the caller's contract.
        let sample = unsafe { &*sample.cast::<Sample>() };
        *sample.lock().map_err(|_| INVALID)? = Some((target.index, driver.now_ms()));
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut sys::nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    ask("nvmlGpmMetricsGet", |driver| {
        if request.is_null() {
            return Err(INVALID);
        }
        // SAFETY: not null, and by the caller's contract an initialized request.
        let request = unsafe { &mut *request };
        let taken = |sample: sys::nvmlGpmSample_t| {
            // SAFETY: made by `nvmlGpmSampleAlloc` and not yet freed, by the caller's contract.
            let sample = unsafe { &*sample.cast::<Sample>() };
            sample.lock().ok().and_then(|taken| *taken).ok_or(INVALID)
        };
        let ((_, first), (index, second)) = (taken(request.sample1)?, taken(request.sample2)?);
        if second < first {
            return Err(INVALID);
        }
        let sensors = &driver.script.cards[index].sensors;
        for metric in &mut request.metrics[..request.numMetrics as usize] {
            let series = match metric.metricId {
                2 => Ok(&sensors.gpm_sm_activity_permille),
                3 => Ok(&sensors.gpm_sm_occupancy_permille),
                5 => Ok(&sensors.gpm_tensor_activity_permille),
                10 => Ok(&sensors.gpm_dram_bandwidth_permille),
                _ => Err(NOT_SUPPORTED),
            };
            let symbol = format!("gpm:{}", metric.metricId);
            let series = driver.suffer(&symbol, Some(index)).and(series);
            metric.nvmlReturn = series.err().unwrap_or(sys::nvmlReturn_enum_NVML_SUCCESS);
            metric.value = series.map_or(0.0, |series| {
                let mean = u32::try_from(series.mean(first, second));
                f64::from(mean.unwrap_or(u32::MAX)) / 10.0
            });
        }
        Ok(())
    })
}
