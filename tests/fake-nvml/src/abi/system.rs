//! Start, versions, and finding cards.

use std::ffi::{c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings as sys;
use sys::{nvmlDevice_t, nvmlReturn_t};

use super::{INVALID, NOT_FOUND, answer, ask, ask_device, put, put_text, text_of};
use crate::state::Driver;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    answer(|| Driver::load()?.suffer("nvmlInit_v2", None))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    answer(|| Driver::load()?.suffer("nvmlInitWithFlags", None))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    ask("nvmlShutdown", |_| Ok(()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlErrorString(_code: nvmlReturn_t) -> *const c_char {
    c"an error of the fake driver".as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(
    out: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    ask("nvmlSystemGetDriverVersion", |driver| {
        put_text(out, length, driver.script.driver.as_bytes())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(
    out: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    ask("nvmlSystemGetNVMLVersion", |driver| {
        put_text(out, length, driver.script.nvml.as_bytes())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(out: *mut c_int) -> nvmlReturn_t {
    ask("nvmlSystemGetCudaDriverVersion_v2", |driver| {
        put(out, driver.script.cuda)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(out: *mut c_uint) -> nvmlReturn_t {
    ask("nvmlDeviceGetCount_v2", |driver| {
        put(out, driver.script.cards.len() as c_uint)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    out: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    ask("nvmlDeviceGetHandleByIndex_v2", |driver| {
        let index = index as usize;
        if index >= driver.script.cards.len() {
            return Err(INVALID);
        }
        put(out, Driver::handle(index, None))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    out: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    ask("nvmlDeviceGetHandleByUUID", |driver| {
        let uuid = text_of(uuid)?;
        let cards = driver.script.cards.iter().enumerate();
        let found = cards.into_iter().find_map(|(index, card)| {
            if card.uuid == uuid {
                return Some(Driver::handle(index, None));
            }
            let slice = card.slices.iter().position(|slice| slice.uuid == uuid)?;
            Some(Driver::handle(index, Some(slice)))
        });
        put(out, found.ok_or(NOT_FOUND)?)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus_id: *const c_char,
    out: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    ask("nvmlDeviceGetHandleByPciBusId_v2", |driver| {
        let bus_id = text_of(bus_id)?;
        let found = driver
            .script
            .cards
            .iter()
            .position(|card| card.pci_bus_id == bus_id);
        put(out, Driver::handle(found.ok_or(NOT_FOUND)?, None))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(
    device: nvmlDevice_t,
    out: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    ask_device("nvmlDeviceGetName", device, |_, target| {
        put_text(out, length, &target.card.name)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(
    device: nvmlDevice_t,
    out: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    ask_device("nvmlDeviceGetUUID", device, |_, target| {
        let uuid = target.slice.map_or(&target.card.uuid, |slice| &slice.uuid);
        put_text(out, length, uuid.as_bytes())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(
    device: nvmlDevice_t,
    out: *mut sys::nvmlPciInfo_t,
) -> nvmlReturn_t {
    ask_device("nvmlDeviceGetPciInfo_v3", device, |_, target| {
        // SAFETY: integers and arrays of integers, for which all zeros is a value.
        let mut info: sys::nvmlPciInfo_t = unsafe { std::mem::zeroed() };
        let length = info.busId.len() as c_uint;
        put_text(
            info.busId.as_mut_ptr(),
            length,
            target.card.pci_bus_id.as_bytes(),
        )?;
        put(out, info)
    })
}
