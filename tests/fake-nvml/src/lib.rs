//! A scripted stand-in for the driver's `libnvidia-ml.so.1`, for tests only.
//!
//! The library exports the C functions of NVML that mtok calls, with the layouts of
//! `nvml-wrapper-sys`, and answers them from a [`script::Script`]: what each sensor shows over time,
//! which calls fail, hang or lose the card. The script is a JSON file named by the environment
//! variable [`SCRIPT_VARIABLE`] or, without it, the file beside the library with `.json` appended, so
//! that tests of one process can each load their own copy.
//!
//! [`install::install`] makes such a copy. Functions that an older driver lacks are taken out of the
//! copy's symbol table by name, which is what the wrapper's `dlsym` then sees.

// Every exported function follows the calling contract of NVML: pointers are valid or null where NVML
// allows it. The wrapper under test is what upholds it.
mod abi;
pub mod install;
pub mod script;
mod state;

/// Environment variable that names the script.
pub const SCRIPT_VARIABLE: &str = "FAKE_NVML_SCRIPT";
