//! Event sets, which tell of XID errors.

use std::ffi::{c_uint, c_ulonglong};
use std::sync::Mutex;

use nvml_wrapper_sys::bindings as sys;
use sys::{nvmlDevice_t, nvmlReturn_t};

use super::processes::children;
use super::{INVALID, NO_INSTANCE, NOT_SUPPORTED, TIMEOUT, ask, ask_card, ask_device, put};
use crate::state::Driver;

/// The cards that an event set listens to and how many events it has given of each.
type Listening = Mutex<Vec<(usize, usize)>>;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(out: *mut sys::nvmlEventSet_t) -> nvmlReturn_t {
    ask("nvmlEventSetCreate", |_| {
        let set: Box<Listening> = Box::default();
        put(out, Box::into_raw(set).cast())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetFree(set: sys::nvmlEventSet_t) -> nvmlReturn_t {
    ask("nvmlEventSetFree", |_| {
        // SAFETY: made by `nvmlEventSetCreate` and freed once, by the caller's contract.
        drop(unsafe { Box::from_raw(set.cast::<Listening>()) });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(
    device: nvmlDevice_t,
    out: *mut c_ulonglong,
) -> nvmlReturn_t {
    ask_card("nvmlDeviceGetSupportedEventTypes", device, |_, card| {
        let xid = c_ulonglong::from(sys::nvmlEventTypeXidCriticalError);
        put(out, if card.event_support { xid } else { 0 })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    _kinds: c_ulonglong,
    set: sys::nvmlEventSet_t,
) -> nvmlReturn_t {
    ask_device("nvmlDeviceRegisterEvents", device, |_, target| {
        if !target.card.event_support || target.slice.is_some() {
            return Err(NOT_SUPPORTED);
        }
        // SAFETY: made by `nvmlEventSetCreate` and not yet freed, by the caller's contract.
        let set = unsafe { &*set.cast::<Listening>() };
        set.lock().map_err(|_| INVALID)?.push((target.index, 0));
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    set: sys::nvmlEventSet_t,
    out: *mut sys::nvmlEventData_t,
    _timeout_ms: c_uint,
) -> nvmlReturn_t {
    ask("nvmlEventSetWait_v2", |driver| {
        // SAFETY: made by `nvmlEventSetCreate` and not yet freed, by the caller's contract.
        let set = unsafe { &*set.cast::<Listening>() };
        let mut set = set.lock().map_err(|_| INVALID)?;
        for (index, given) in set.iter_mut() {
            let card = &driver.script.cards[*index];
            let event = card.events.get(*given);
            let scripted = event.filter(|event| event.at_ms <= driver.now_ms());
            *given += usize::from(scripted.is_some());
            let of_child = card.xid_of_child;
            let of_child = || of_child.filter(|_| driver.lost_child(&children()));
            if let Some(xid) = scripted.map(|event| event.xid).or_else(of_child) {
                return put(out, xid_event(*index, xid));
            }
        }
        Err(TIMEOUT)
    })
}

fn xid_event(card: usize, xid: u64) -> sys::nvmlEventData_t {
    sys::nvmlEventData_t {
        device: Driver::handle(card, None),
        eventType: c_ulonglong::from(sys::nvmlEventTypeXidCriticalError),
        eventData: xid,
        gpuInstanceId: NO_INSTANCE,
        computeInstanceId: NO_INSTANCE,
    }
}
