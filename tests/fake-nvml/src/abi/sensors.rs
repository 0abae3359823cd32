//! What a card shows and how it is set.

use std::ffi::{c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings as sys;
use sys::{nvmlDevice_t, nvmlReturn_t};

use super::{INVALID, NOT_FOUND, NOT_SUPPORTED, ask_card, ask_device, put, put_u32};
use crate::state::{Code, Driver};

/// The fields behind `nvmlDeviceGetFieldValues`.
const POWER_AVERAGE: c_uint = 185;
const POWER_INSTANT: c_uint = 186;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: nvmlDevice_t,
    out: *mut sys::nvmlMemory_v2_t,
) -> nvmlReturn_t {
    ask_device("nvmlDeviceGetMemoryInfo_v2", device, |driver, target| {
        let now = driver.now_ms();
        let (total, used) = match target.slice {
            Some(slice) => (slice.memory_bytes, slice.memory_used_bytes.at(now)),
            None => (
                target.card.memory_bytes,
                target.card.sensors.memory_used_bytes.at(now),
            ),
        };
        put(
            out,
            sys::nvmlMemory_v2_t {
                version: (size_of::<sys::nvmlMemory_v2_t>() | (2 << 24)) as c_uint,
                total,
                reserved: 0,
                free: total.saturating_sub(used),
                used,
            },
        )
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: nvmlDevice_t,
    out: *mut sys::nvmlUtilization_t,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetUtilizationRates", device, |driver, card| {
        let now = driver.now_ms();
        put(
            out,
            sys::nvmlUtilization_t {
                gpu: card.sensors.gpu_percent.at(now) as c_uint,
                memory: card.sensors.memory_percent.at(now) as c_uint,
            },
        )
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEnergyConsumption(
    device: nvmlDevice_t,
    out: *mut c_ulonglong,
) -> nvmlReturn_t {
    if let Ok(driver) = Driver::loaded() {
        driver.tick();
    }
    let symbol = "nvmlDeviceGetTotalEnergyConsumption";
    ask_card(symbol, device, |driver, card| {
        put(out, card.sensors.energy_mj.at(driver.now_ms()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(
    device: nvmlDevice_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetPowerUsage", device, |driver, card| {
        put_u32(driver, out, &card.sensors.power_mw)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    count: c_int,
    values: *mut sys::nvmlFieldValue_t,
) -> nvmlReturn_t {
    let symbol = "nvmlDeviceGetFieldValues";
    ask_device(symbol, device, |driver, target| {
        if values.is_null() || count < 0 {
            return Err(INVALID);
        }
        // SAFETY: not null, and by the caller's contract `count` initialized fields.
        let values =
            unsafe { std::slice::from_raw_parts_mut(values, count.cast_unsigned() as usize) };
        for value in values {
            let sensors = &target.card.sensors;
            let series = match value.fieldId {
                POWER_AVERAGE => Ok(&sensors.power_average_mw),
                POWER_INSTANT => Ok(&sensors.power_instant_mw),
                _ => Err(NOT_SUPPORTED),
            };
            let symbol = format!("field:{}", value.fieldId);
            let series =
                driver
                    .suffer(&symbol, Some(target.index))
                    .and(if target.slice.is_some() {
                        Err(NOT_SUPPORTED)
                    } else {
                        series
                    });
            value.timestamp = driver.now_ms().cast_signed() * 1_000;
            value.valueType = sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT;
            value.nvmlReturn = series.err().unwrap_or(sys::nvmlReturn_enum_NVML_SUCCESS);
            value.value.uiVal = series.map_or(0, |series| series.at(driver.now_ms()) as c_uint);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(
    device: nvmlDevice_t,
    _sensor: sys::nvmlTemperatureSensors_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetTemperature", device, |driver, card| {
        put_u32(driver, out, &card.sensors.temperature_c)
    })
}

/// The clock of a domain, after the faults of that domain.
fn clock<T>(driver: &Driver, domain: sys::nvmlClockType_t, of: [T; 2]) -> Result<T, Code> {
    driver.suffer(&format!("clock:{domain}"), None)?;
    let [sm, memory] = of;
    match domain {
        sys::nvmlClockType_enum_NVML_CLOCK_SM => Ok(sm),
        sys::nvmlClockType_enum_NVML_CLOCK_MEM => Ok(memory),
        _ => Err(NOT_SUPPORTED),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetClockInfo(
    device: nvmlDevice_t,
    domain: sys::nvmlClockType_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetClockInfo", device, |driver, card| {
        let of = [&card.sensors.sm_clock_mhz, &card.sensors.memory_clock_mhz];
        put_u32(driver, out, clock(driver, domain, of)?)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxClockInfo(
    device: nvmlDevice_t,
    domain: sys::nvmlClockType_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetMaxClockInfo", device, |driver, card| {
        let of = [card.max_sm_clock_mhz, card.max_memory_clock_mhz];
        put(out, clock(driver, domain, of)?)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetApplicationsClock(
    device: nvmlDevice_t,
    domain: sys::nvmlClockType_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetApplicationsClock", device, |driver, card| {
        let clocks = card.application_clocks_mhz.as_ref().ok_or(NOT_SUPPORTED)?;
        put_u32(driver, out, clock(driver, domain, clocks.each_ref())?)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    device: nvmlDevice_t,
    out: *mut c_ulonglong,
) -> nvmlReturn_t {
    let symbol = "nvmlDeviceGetCurrentClocksThrottleReasons";
    ask_card(symbol, device, |driver, card| {
        put(out, card.sensors.throttle_reasons.at(driver.now_ms()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPcieThroughput(
    device: nvmlDevice_t,
    counter: sys::nvmlPcieUtilCounter_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetPcieThroughput", device, |driver, card| {
        let series = match counter {
            sys::nvmlPcieUtilCounter_enum_NVML_PCIE_UTIL_RX_BYTES => &card.sensors.pcie_rx_kbps,
            sys::nvmlPcieUtilCounter_enum_NVML_PCIE_UTIL_TX_BYTES => &card.sensors.pcie_tx_kbps,
            _ => return Err(INVALID),
        };
        put_u32(driver, out, series)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(
    device: nvmlDevice_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetEnforcedPowerLimit", device, |driver, card| {
        put_u32(driver, out, &card.power_limit_mw)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerManagementDefaultLimit(
    device: nvmlDevice_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    let symbol = "nvmlDeviceGetPowerManagementDefaultLimit";
    ask_card(symbol, device, |_, card| {
        put(out, card.power_limit_default_mw)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPersistenceMode(
    device: nvmlDevice_t,
    out: *mut sys::nvmlEnableState_t,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetPersistenceMode", device, |_, card| {
        put(out, c_uint::from(card.persistence))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEccMode(
    device: nvmlDevice_t,
    current: *mut sys::nvmlEnableState_t,
    pending: *mut sys::nvmlEnableState_t,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetEccMode", device, |driver, card| {
        let ecc = card.ecc.as_ref().ok_or(NOT_SUPPORTED)?;
        put_u32(driver, current, ecc)?;
        put_u32(driver, pending, ecc)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: nvmlDevice_t,
    _kind: sys::nvmlMemoryErrorType_t,
    _counter: sys::nvmlEccCounterType_t,
    out: *mut c_ulonglong,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetTotalEccErrors", device, |driver, card| {
        card.ecc.as_ref().ok_or(NOT_SUPPORTED)?;
        put(out, card.sensors.ecc_uncorrected.at(driver.now_ms()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: nvmlDevice_t,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetMigMode", device, |driver, card| {
        let mig = card.mig.as_ref().ok_or(NOT_SUPPORTED)?;
        put_u32(driver, current, mig)?;
        put_u32(driver, pending, mig)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceIsMigDeviceHandle(
    device: nvmlDevice_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_device("nvmlDeviceIsMigDeviceHandle", device, |_, target| {
        put(out, c_uint::from(target.slice.is_some()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(
    device: nvmlDevice_t,
    out: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let symbol = "nvmlDeviceGetDeviceHandleFromMigDeviceHandle";
    ask_device(symbol, device, |_, target| {
        target.slice.ok_or(INVALID)?;
        put(out, Driver::handle(target.index, None))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(
    device: nvmlDevice_t,
    out: *mut c_uint,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetMaxMigDeviceCount", device, |_, card| {
        put(out, if card.mig.is_some() { 7 } else { 0 })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    out: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let symbol = "nvmlDeviceGetMigDeviceHandleByIndex";
    ask_device(symbol, device, |_, target| {
        if index as usize >= target.card.slices.len() {
            return Err(NOT_FOUND);
        }
        put(out, Driver::handle(target.index, Some(index as usize)))
    })
}
