//! The exported C functions: what they share.
//!
//! SAFETY of all `unsafe` here: the caller keeps NVML's contract, so that every pointer is null or
//! points to memory of the declared type and length that nobody else touches during the call; null is
//! refused. Handles are numbers in the clothes of pointers and never followed, except those of event
//! sets and GPM samples, which are boxes that this library made and that the caller frees once.
//! `#[unsafe(no_mangle)]` is sound because no other library in a test process defines these names.
#![expect(unreachable_pub, reason = "exported by symbol, not by path")]

mod events;
mod gpm;
mod processes;
mod sensors;
mod system;

use std::ffi::{CStr, c_char, c_uint};

use nvml_wrapper_sys::bindings as sys;
use sys::{nvmlDevice_t, nvmlReturn_t};

use crate::script::{Card, Series};
use crate::state::{Code, Driver, Target};

const INVALID: Code = sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
const NOT_SUPPORTED: Code = sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED;
const NOT_FOUND: Code = sys::nvmlReturn_enum_NVML_ERROR_NOT_FOUND;
const TOO_SMALL: Code = sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;
const TIMEOUT: Code = sys::nvmlReturn_enum_NVML_ERROR_TIMEOUT;

/// What NVML writes for an instance id without MIG.
const NO_INSTANCE: c_uint = c_uint::MAX;

fn answer(body: impl FnOnce() -> Result<(), Code>) -> nvmlReturn_t {
    body().err().unwrap_or(sys::nvmlReturn_enum_NVML_SUCCESS)
}

/// A question about the whole driver.
fn ask(symbol: &str, body: impl FnOnce(&Driver) -> Result<(), Code>) -> nvmlReturn_t {
    answer(|| {
        let driver = Driver::loaded()?;
        driver.suffer(symbol, None)?;
        body(driver)
    })
}

/// A question about a card or a slice of it.
fn ask_device(
    symbol: &str,
    device: nvmlDevice_t,
    body: impl FnOnce(&'static Driver, Target<'static>) -> Result<(), Code>,
) -> nvmlReturn_t {
    answer(|| {
        let driver = Driver::loaded()?;
        let target = driver.target(device)?;
        driver.suffer(symbol, Some(target.index))?;
        body(driver, target)
    })
}

/// A question that only a whole card answers.
fn ask_card(
    symbol: &str,
    device: nvmlDevice_t,
    body: impl FnOnce(&'static Driver, &'static Card) -> Result<(), Code>,
) -> nvmlReturn_t {
    ask_device(symbol, device, |driver, target| match target.slice {
        Some(_) => Err(NOT_SUPPORTED),
        None => body(driver, target.card),
    })
}

fn put<T>(out: *mut T, value: T) -> Result<(), Code> {
    if out.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and by the caller's contract a place for one `T`.
    unsafe { out.write(value) };
    Ok(())
}

fn put_text(out: *mut c_char, length: c_uint, text: &[u8]) -> Result<(), Code> {
    if out.is_null() {
        return Err(INVALID);
    }
    if text.len() >= length as usize {
        return Err(TOO_SMALL);
    }
    // SAFETY: `out` holds `length` bytes by the caller's contract, more than the text and its end.
    unsafe {
        out.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        out.add(text.len()).write(0);
    }
    Ok(())
}

fn text_of(text: *const c_char) -> Result<String, Code> {
    if text.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and by the caller's contract a terminated string.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(str::to_owned).map_err(|_| INVALID)
}

fn put_u32(driver: &Driver, out: *mut c_uint, series: &Series) -> Result<(), Code> {
    put(out, series.at(driver.now_ms()) as c_uint)
}
