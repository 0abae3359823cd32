//! The loaded driver: its script, its time and what was asked of it so far.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nvml_wrapper_sys::bindings as sys;

use crate::SCRIPT_VARIABLE;
use crate::script::{Card, Script, Slice};

/// Handles of MIG slices start here; those of cards are their index plus one.
const FIRST_SLICE: usize = 0x1000;

static DRIVER: OnceLock<Driver> = OnceLock::new();

/// A child that was seen for as long is one that works.
const WORKING_MS: u64 = 1_000;

/// An NVML return code other than success.
pub(crate) type Code = sys::nvmlReturn_t;

/// The loaded driver.
pub(crate) struct Driver {
    pub(crate) script: Script,
    started: Instant,
    ticks: AtomicU64,
    calls: Mutex<BTreeMap<String, u64>>,
    /// Children and when they were first seen.
    children: Mutex<BTreeMap<u32, u64>>,
}

/// What a device handle stands for.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) index: usize,
    pub(crate) card: &'a Card,
    pub(crate) slice: Option<&'a Slice>,
}

impl Driver {
    /// The driver, loaded on first use.
    pub(crate) fn load() -> Result<&'static Self, Code> {
        if let Some(driver) = DRIVER.get() {
            return Ok(driver);
        }
        let script = read_script().map_err(|reason| {
            eprintln!("fake-nvml: {reason}");
            sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN
        })?;
        Ok(DRIVER.get_or_init(|| Self {
            script,
            started: Instant::now(),
            ticks: AtomicU64::new(0),
            calls: Mutex::default(),
            children: Mutex::default(),
        }))
    }

    /// The driver, if `nvmlInit` was called.
    pub(crate) fn loaded() -> Result<&'static Self, Code> {
        DRIVER
            .get()
            .ok_or(sys::nvmlReturn_enum_NVML_ERROR_UNINITIALIZED)
    }

    /// Milliseconds since `nvmlInit`, or the scripted time.
    pub(crate) fn now_ms(&self) -> u64 {
        match self.script.tick_ms {
            Some(step) => step * self.ticks.load(Ordering::Relaxed).saturating_sub(1),
            None => self.started.elapsed().as_millis() as u64,
        }
    }

    /// Counts the first question of a reading.
    pub(crate) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the scripted faults happen to one call.
    pub(crate) fn suffer(&self, symbol: &str, card: Option<usize>) -> Result<(), Code> {
        let calls = {
            let mut counts = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let key = match card {
                Some(card) => format!("{symbol}#{card}"),
                None => symbol.to_owned(),
            };
            let count = counts.entry(key).or_default();
            *count += 1;
            *count
        };
        for fault in &self.script.faults {
            let named = fault.symbol == symbol || (fault.symbol == "*" && card.is_some());
            let here = fault.card.is_none_or(|index| card == Some(index));
            let first = fault.after_calls + 1;
            let now = calls >= first && fault.calls.is_none_or(|n| calls < first + n);
            if named && here && now {
                std::thread::sleep(Duration::from_millis(fault.hang_ms));
                if let Some(code) = fault.code {
                    return Err(code);
                }
            }
        }
        Ok(())
    }

    /// Whether a child that worked is among these no more, since this was asked last.
    pub(crate) fn lost_child(&self, children: &[u32]) -> bool {
        let now = self.now_ms();
        let mut known = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |child: &u32, since: &u64| !children.contains(child) && now - since > WORKING_MS;
        let lost = known.iter().any(|(child, since)| gone(child, since));
        known.retain(|child, _| children.contains(child));
        for child in children {
            known.entry(*child).or_insert(now);
        }
        lost
    }

    /// What a handle stands for.
    pub(crate) fn target(&self, device: sys::nvmlDevice_t) -> Result<Target<'_>, Code> {
        let handle = device as usize;
        let (index, slice) = if handle >= FIRST_SLICE {
            (handle / FIRST_SLICE - 1, Some(handle % FIRST_SLICE))
        } else {
            let index = handle.checked_sub(1);
            (
                index.ok_or(sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT)?,
                None,
            )
        };
        let card = self
            .script
            .cards
            .get(index)
            .ok_or(sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT)?;
        let slice = slice.map(|i| &card.slices[i]);
        Ok(Target { index, card, slice })
    }

    /// The handle of a card or of one of its slices.
    pub(crate) fn handle(index: usize, slice: Option<usize>) -> sys::nvmlDevice_t {
        let handle = match slice {
            Some(slice) => (index + 1) * FIRST_SLICE + slice,
            None => index + 1,
        };
        handle as sys::nvmlDevice_t
    }
}

fn read_script() -> Result<Script, String> {
    let path = match std::env::var_os(SCRIPT_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => beside_the_library()?,
    };
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The library's own path with `.json` appended, found by the mapping that holds this function.
fn beside_the_library() -> Result<PathBuf, String> {
    let here = beside_the_library as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    maps.lines()
        .find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let start = usize::from_str_radix(start, 16).ok()?;
            let end = usize::from_str_radix(end, 16).ok()?;
            let path = &rest[rest.find('/')?..];
            (start..end)
                .contains(&here)
                .then(|| PathBuf::from(format!("{path}.json")))
        })
        .ok_or_else(|| "the library is not in its own memory map".to_owned())
}
