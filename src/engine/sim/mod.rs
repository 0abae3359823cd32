//! The scripted engine: times, memory and faults as a TOML file says, on a clock of its own.
//!
//! It stands in for a model and a card wherever the rest of the tool is tried out, and its results
//! carry no price. Its time passes only on its own timeline, so a study of hours takes a moment,
//! unless the script wants the machine's.
//!
//! # The script
//!
//! Every key may be left out; these are the defaults:
//!
//! ```toml
//! [device]
//! name = "simulated device"
//! pci_bus_id = "00000000:01:00.0"
//! # uuid = "GPU-…"                  # or "MIG-…"; absent: the bus id tells which card it is
//! memory_bytes = 85_899_345_920
//!
//! [model]
//! parameters = 1_000_000_000        # weight bytes follow from the precision
//! vocab = 32_000
//! kv_bytes_per_token = 65_536
//! activation_bytes_per_token = 0    # of a prefill, on top of weights and cache
//! flop_per_token_and_context = 0
//! load_ms = 100.0
//!
//! [time]                            # in microseconds
//! prefill_us = 1_000.0              # + prefill_us_per_token × batch × isl
//! prefill_us_per_token = 1.0
//! step_us = 1_000.0                 # + step_us_per_sequence × batch
//! step_us_per_sequence = 0.0        # + step_us_per_token × batch × context
//! step_us_per_token = 0.0
//! noise = 0.0                       # standard deviation of a generation's speed, relative
//! seed = 1                          # of that noise
//! clock = "script"                  # or "machine": the engine waits, so that sensors can be read
//!
//! [time.factor]                     # by precision; 1 where nothing is said
//! # q8_0 = 0.5
//!
//! [accuracy]                        # what the check of logits finds
//! relative_error = 1e-6
//! bound = 1e-4
//!
//! [peaks]                           # what the limits of the device are
//! read_bytes_per_second = 3.0e12
//! copy_bytes_per_second = 2.8e12
//! flop_per_second = 8.0e14
//!
//! # [[fault]]                       # any number of them; the first that applies strikes
//! # kind = "oom"                    # oom | panic | abort | segfault | hang | exit | not_a_number
//! #                                 # | slow_tail | wrong_count | inaccurate | unsupported
//! # at = "generate"                 # load | reserve | check | score | generate
//! # batch_from = 1                  # from this batch size on (a load has none and always applies)
//! # precision = "q4_k"              # only at this precision; absent: at each
//! # after = 0                       # only after this many generations of one worker
//! ```

mod bounds;
mod engine;
mod script;
mod timeline;

pub use bounds::ScriptError;
pub use engine::Sim;
pub use script::{
    AccuracySection, DeviceSection, Fault, FaultKind, ModelSection, PeaksSection, Script, Stage,
    TimeSection,
};
pub use timeline::{TimeKind, Timeline};
