//! The cards that the driver lists, and those of them that a program may use here.

use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::facts::{self, Versions};
use super::{Access, LIBRARY, NvmlProbe, fault, within};
use crate::record::card::CardFacts;
use crate::telemetry::Probe as _;
use crate::telemetry::card::{Listed, Place, Unmatched, Visibility, printable, shown};
use crate::telemetry::sensor::Reading;
use crate::telemetry::unavailable::Unavailable;

/// What the driver shows of this machine before a run.
#[derive(Debug)]
pub struct Surroundings {
    /// Versions of the driver and what belongs to it.
    pub versions: Versions,
    /// How many cards the driver lists.
    pub listed: usize,
    /// The cards that CUDA shows.
    pub cards: Vec<Seen>,
    /// Why it is not known which of them CUDA shows, where it shows only some.
    pub doubt: Option<Unmatched>,
    /// Why cards are missing.
    pub silent: Vec<Unavailable>,
}

/// One card as it is before a run.
#[derive(Debug)]
pub struct Seen {
    /// What it is and how it is set.
    pub facts: CardFacts,
    /// One reading of its sensors.
    pub reading: Reading,
    /// Identities of all its MIG instances.
    pub instances: Vec<String>,
}

/// Reads every card that CUDA shows once, within the limit for all of them. `waiting` hears what
/// [`open`](super::open) tells.
pub fn look_around(
    access: &Access,
    visibility: &Visibility,
    waiting: &dyn Fn(Duration),
) -> Result<Surroundings, Unavailable> {
    let visibility = visibility.clone();
    within(access, waiting, move |nvml| {
        let mut list = Cards::of(nvml)?;
        let shown = shown(&visibility, &list.listed);
        let mut cards = Vec::new();
        for place in shown.places {
            match list.probe(place) {
                Ok(mut probe) => cards.push(Seen {
                    facts: probe.facts().clone(),
                    reading: probe.read(None),
                    instances: list.instances(place),
                }),
                Err(reason) => list.silent.push(reason),
            }
        }
        Ok(Surroundings {
            versions: facts::versions(nvml),
            listed: list.count,
            cards,
            doubt: shown.doubt,
            silent: list.silent,
        })
    })
}

/// The cards of the driver that answer, in its order.
pub(super) struct Cards {
    nvml: &'static Nvml,
    /// How many there are.
    count: usize,
    /// By what they can be told apart.
    pub(super) listed: Vec<Listed>,
    /// Why others do not answer.
    pub(super) silent: Vec<Unavailable>,
    /// The driver's numbers of cards, and of their slices.
    numbers: Vec<(u32, Vec<u32>)>,
}

impl Cards {
    pub(super) fn of(nvml: &'static Nvml) -> Result<Self, Unavailable> {
        let count = nvml.device_count().map_err(|error| failed(&error))?;
        let mut cards = Self {
            nvml,
            count: count as usize,
            listed: Vec::new(),
            silent: Vec::new(),
            numbers: Vec::new(),
        };
        for number in 0..count {
            match nvml.device_by_index(number) {
                Ok(card) => cards.add(number, &card),
                Err(error) => cards.silent.push(failed(&error)),
            }
        }
        Ok(cards)
    }

    fn add(&mut self, number: u32, card: &Device<'_>) {
        let (uuid, pci) = (card.uuid(), card.pci_info());
        // A card that is lost may still be handed out, and then does not even say which one it is.
        if let (Err(error), Err(_)) = (&uuid, &pci)
            && failed(error) == Unavailable::CardLost
        {
            self.silent.push(Unavailable::CardLost);
            return;
        }
        let (places, slices) = slices(card).into_iter().unzip();
        self.listed.push(Listed {
            uuid: uuid.ok(),
            pci_bus_id: pci.ok().map(|pci| pci.bus_id),
            slices,
        });
        self.numbers.push((number, places));
    }

    /// Opens the card, and the slice of it, that stand at this place.
    pub(super) fn probe(&self, place: Place) -> Result<NvmlProbe, Unavailable> {
        let (number, places) = &self.numbers[place.card];
        let card = self.nvml.device_by_index(*number);
        let card = card.map_err(|error| failed(&error))?;
        let slice = place.slice.and_then(|slice| places.get(slice));
        let slice = slice.map(|slice| card.mig_device_by_index(*slice));
        let slice = slice.transpose().map_err(|error| failed(&error))?;
        Ok(NvmlProbe::new(self.nvml, card, slice))
    }

    fn instances(&self, place: Place) -> Vec<String> {
        let slices = self.listed[place.card].slices.iter();
        slices.map(|uuid| printable(uuid)).collect()
    }
}

/// The slices of a card that MIG is on for, with their numbers; places without one answer `NotFound`.
fn slices(card: &Device<'_>) -> Vec<(u32, String)> {
    let divided = card.mig_mode().is_ok_and(|mode| mode.current != 0);
    let places = if divided {
        card.mig_device_count().unwrap_or(0)
    } else {
        0
    };
    (0..places)
        .filter_map(|place| Some((place, card.mig_device_by_index(place).ok()?.uuid().ok()?)))
        .collect()
}

fn failed(error: &NvmlError) -> Unavailable {
    fault::unavailable(error, LIBRARY)
}
