//! What the card does while a model runs: one probe, one sampling thread, columns of readings.
//!
//! [`Probe`] asks one question at a time, so that a driver that hangs on one of them is known by name
//! and costs only the sensors behind it. [`nvml`] asks the real driver, [`sim`] a script. The
//! [`sampler`] asks in the parent process, on the timeline of the traces, and cuts its readings to the
//! windows that the measurement names. No card, no driver and no permission are states with a reason
//! and a remedy ([`unavailable::Unavailable`]), never a zero.

mod asker;
pub mod card;
pub mod findings;
mod history;
pub mod nvml;
pub mod sampler;
pub mod sensor;
pub mod sim;
pub mod unavailable;

use crate::record::card::CardFacts;
use sensor::{Question, Reading};

/// Asks one card.
pub trait Probe: Send {
    /// What the card is and how it was set when the probe was opened.
    fn facts(&self) -> &CardFacts;

    /// Puts one question and enters what its sensors answer, or why they do not, into `reading`.
    /// `worker` is the process whose memory is wanted.
    fn ask(&mut self, question: Question, worker: Option<u32>, reading: &mut Reading);

    /// One reading of every sensor.
    fn read(&mut self, worker: Option<u32>) -> Reading {
        let mut reading = Reading::default();
        for question in Question::ALL {
            self.ask(question, worker, &mut reading);
        }
        reading
    }
}
