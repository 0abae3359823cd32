//! Processes with a compute context.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings as sys;
use sys::{nvmlDevice_t, nvmlReturn_t};

use super::{INVALID, NO_INSTANCE, TOO_SMALL, ask_device, put};
use crate::script::{Owner, Process};

/// Ids of the children of this process, all threads.
pub(super) fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

fn listed(processes: &[Process], now_ms: u64) -> Vec<sys::nvmlProcessInfo_t> {
    let present = processes.iter().filter(|process| {
        process.from_ms <= now_ms && process.to_ms.is_none_or(|end| now_ms < end)
    });
    let mut list = Vec::new();
    for process in present {
        let pids = match process.owner {
            Owner::Pid(pid) => vec![pid],
            Owner::Children => children(),
        };
        list.extend(pids.into_iter().map(|pid| sys::nvmlProcessInfo_t {
            pid,
            usedGpuMemory: process.memory_bytes.unwrap_or(c_ulonglong::MAX),
            gpuInstanceId: NO_INSTANCE,
            computeInstanceId: NO_INSTANCE,
        }));
    }
    list
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    infos: *mut sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    let symbol = "nvmlDeviceGetComputeRunningProcesses_v3";
    ask_device(symbol, device, |driver, target| {
        if count.is_null() {
            return Err(INVALID);
        }
        let list = listed(&target.card.processes, driver.now_ms());
        // SAFETY: not null, and by the caller's contract an initialized number.
        let room = unsafe { count.read() } as usize;
        put(count, list.len() as c_uint)?;
        if list.len() > room || (infos.is_null() && !list.is_empty()) {
            return Err(TOO_SMALL);
        }
        if !list.is_empty() {
            // SAFETY: `infos` is not null and has room for `room` entries, at least as many.
            unsafe { infos.copy_from_nonoverlapping(list.as_ptr(), list.len()) };
        }
        Ok(())
    })
}
