//! libFuzzer around the target that `MTOK_FUZZ_TARGET` names; `scripts/fuzz` starts it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mtok_fuzz::{Target, find, timed};

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("MTOK_FUZZ_TARGET").unwrap_or_default();
        find(&name).unwrap_or_else(|| panic!("MTOK_FUZZ_TARGET={name:?} names no target"))
    });
    timed(target, bytes);
});
