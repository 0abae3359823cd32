//! Which card: matched by identity under CUDA's rules of visibility, never by NVML's index.

use crate::record::machine::Device;

/// What identifies a card or a slice of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardIdentity {
    /// `GPU-…` or `MIG-…`.
    pub uuid: Option<String>,
    /// PCI bus id in any form.
    pub pci_bus_id: Option<String>,
}

impl CardIdentity {
    /// The identity that an engine's device carries; `None` when it has none.
    pub fn of(device: &Device) -> Option<Self> {
        let identity = Self {
            uuid: device.uuid.clone(),
            pci_bus_id: device.pci_bus_id.clone(),
        };
        (identity.uuid.is_some() || identity.pci_bus_id.is_some()).then_some(identity)
    }
}

/// The order in which CUDA counts cards (`CUDA_DEVICE_ORDER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceOrder {
    /// By a rule that CUDA does not publish; its default.
    #[default]
    FastestFirst,
    /// By PCI bus id.
    PciBusId,
}

/// What the environment says of the cards that CUDA shows a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visibility {
    /// `CUDA_VISIBLE_DEVICES`, when it is set.
    pub devices: Option<String>,
    /// `CUDA_DEVICE_ORDER`.
    pub order: DeviceOrder,
}

/// How a card is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The card that an engine says it runs on.
    Identity(CardIdentity),
    /// The card that CUDA would call by this number, before an engine has said.
    Ordinal {
        /// CUDA's number.
        ordinal: usize,
        /// What it counts.
        visibility: Visibility,
    },
}

/// A card that the driver lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// `GPU-…`
    pub uuid: Option<String>,
    /// PCI bus id in NVML's form.
    pub pci_bus_id: Option<String>,
    /// Identities of its MIG slices.
    pub slices: Vec<String>,
}

/// The place of a card in a list, and of a slice in that card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index into the list.
    pub card: usize,
    /// Index into its slices, when one is meant.
    pub slice: Option<usize>,
}

/// Why no card was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmatched {
    /// The driver lists none.
    #[error("the driver lists no card")]
    NoCards,
    /// `CUDA_VISIBLE_DEVICES` hides all or fewer are visible than asked for.
    #[error("CUDA device {ordinal} is not visible (CUDA_VISIBLE_DEVICES={visible:?})")]
    NotVisible {
        /// CUDA's number.
        ordinal: usize,
        /// What is set; empty when nothing is.
        visible: String,
    },
    /// Numbers do not tell which card is meant.
    #[error("{cards} cards: which one CUDA calls {number} is not known")]
    Ambiguous {
        /// How many the driver lists.
        cards: usize,
        /// CUDA's number.
        number: usize,
    },
    /// No card of that identity.
    #[error("the driver lists no card {identity}")]
    NotFound {
        /// What was looked for.
        identity: String,
    },
}

impl Unmatched {
    /// What helps.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoCards => "give this container or machine a card",
            Self::NotVisible { .. } => "set CUDA_VISIBLE_DEVICES to the card's UUID",
            Self::Ambiguous { .. } => {
                "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or CUDA_VISIBLE_DEVICES to the card's UUID"
            }
            Self::NotFound { .. } => "give this container the same card for CUDA and for NVML",
        }
    }
}

/// Finds the chosen card among those that the driver lists.
pub fn place(choice: &Choice, cards: &[Listed]) -> Result<Place, Unmatched> {
    if cards.is_empty() {
        return Err(Unmatched::NoCards);
    }
    match choice {
        Choice::Identity(identity) => by_identity(identity, cards),
        Choice::Ordinal {
            ordinal,
            visibility,
        } => {
            let mut counted = counted(visibility, cards).into_iter();
            counted.nth(*ordinal).unwrap_or_else(|| {
                Err(Unmatched::NotVisible {
                    ordinal: *ordinal,
                    visible: printable(visibility.devices.as_deref().unwrap_or_default()),
                })
            })
        }
    }
}

/// The cards that CUDA shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// In CUDA's order, or all cards where that order is not known.
    pub places: Vec<Place>,
    /// Why it is not known which of them CUDA shows, where it shows only some.
    pub doubt: Option<Unmatched>,
}

/// Finds the cards that CUDA shows. Where its order is not known, as many numbers as there are cards still
/// mean all of them.
pub fn shown(visibility: &Visibility, cards: &[Listed]) -> Shown {
    let counted = counted(visibility, cards);
    let numbers = counted.len();
    match counted.into_iter().collect::<Result<_, _>>() {
        Ok(places) => Shown {
            places,
            doubt: None,
        },
        Err(ambiguous) => Shown {
            places: (0..cards.len())
                .map(|card| whole_or_only_slice(card, &cards[card]))
                .collect(),
            doubt: (numbers < cards.len()).then_some(ambiguous),
        },
    }
}

/// By UUID where there is one, else by bus; a slice shares the bus of its card.
fn by_identity(identity: &CardIdentity, cards: &[Listed]) -> Result<Place, Unmatched> {
    let by_uuid = identity.uuid.as_deref().and_then(|uuid| {
        let same = |listed: &str| bare(listed).eq_ignore_ascii_case(bare(uuid));
        cards.iter().enumerate().find_map(|(card, listed)| {
            if listed.uuid.as_deref().is_some_and(same) {
                return Some(whole_or_only_slice(card, listed));
            }
            let slice = listed.slices.iter().position(|slice| same(slice))?;
            let slice = Some(slice);
            Some(Place { card, slice })
        })
    });
    let by_bus = || {
        let bus = PciAddress::parse(identity.pci_bus_id.as_deref()?)?;
        let card = cards.iter().position(|listed| {
            listed.pci_bus_id.as_deref().and_then(PciAddress::parse) == Some(bus)
        })?;
        Some(whole_or_only_slice(card, &cards[card]))
    };
    by_uuid.or_else(by_bus).ok_or_else(|| Unmatched::NotFound {
        identity: [&identity.uuid, &identity.pci_bus_id]
            .into_iter()
            .flatten()
            .map(|text| printable(text))
            .collect::<Vec<_>>()
            .join(" at "),
    })
}

/// A card under MIG has no whole to run on: its only slice is meant.
fn whole_or_only_slice(card: usize, listed: &Listed) -> Place {
    let slice = (listed.slices.len() == 1).then_some(0);
    Place { card, slice }
}

fn by_number(number: usize, order: DeviceOrder, cards: &[Listed]) -> Result<Place, Unmatched> {
    if number >= cards.len() {
        return Err(Unmatched::NotVisible {
            ordinal: number,
            visible: String::new(),
        });
    }
    let card = match order {
        _ if cards.len() == 1 => 0,
        DeviceOrder::PciBusId => {
            let address = |card: &usize| {
                cards[*card]
                    .pci_bus_id
                    .as_deref()
                    .and_then(PciAddress::parse)
            };
            let mut places: Vec<usize> = (0..cards.len()).collect();
            places.sort_by_key(address);
            places[number]
        }
        DeviceOrder::FastestFirst => {
            let cards = cards.len();
            return Err(Unmatched::Ambiguous { cards, number });
        }
    };
    Ok(whole_or_only_slice(card, &cards[card]))
}

/// What CUDA counts. `CUDA_VISIBLE_DEVICES` holds numbers, starts of UUIDs or MIG UUIDs, and the first one
/// that names nothing ends the list; without it every card counts.
fn counted(visibility: &Visibility, cards: &[Listed]) -> Vec<Result<Place, Unmatched>> {
    let order = visibility.order;
    let Some(devices) = &visibility.devices else {
        let numbers = 0..cards.len();
        return numbers.map(|n| by_number(n, order, cards)).collect();
    };
    let mut places = Vec::new();
    for entry in devices.split(',').map(str::trim) {
        let place = match entry.parse::<usize>() {
            Ok(number) => by_number(number, order, cards),
            Err(_) => by_start_of_uuid(entry, cards).ok_or_else(|| Unmatched::NotFound {
                identity: printable(entry),
            }),
        };
        match place {
            Ok(place) => places.push(Ok(place)),
            Err(ambiguous @ Unmatched::Ambiguous { .. }) => places.push(Err(ambiguous)),
            Err(Unmatched::NoCards | Unmatched::NotVisible { .. } | Unmatched::NotFound { .. }) => {
                break;
            }
        }
    }
    places
}

fn by_start_of_uuid(start: &str, cards: &[Listed]) -> Option<Place> {
    if !start.starts_with("GPU-") && !start.starts_with("MIG-") {
        return None;
    }
    let mut found = Vec::new();
    for (card, listed) in cards.iter().enumerate() {
        if listed
            .uuid
            .as_deref()
            .is_some_and(|uuid| uuid.starts_with(start))
        {
            found.push(whole_or_only_slice(card, listed));
        }
        let slices = listed.slices.iter().enumerate();
        found.extend(
            slices
                .filter(|(_, uuid)| uuid.starts_with(start))
                .map(|(slice, _)| Place {
                    card,
                    slice: Some(slice),
                }),
        );
    }
    let [only] = found[..] else { return None };
    Some(only)
}

/// An identity without its kind: CUDA gives the bytes of a slice's UUID without saying that it is one.
fn bare(uuid: &str) -> &str {
    uuid.strip_prefix("GPU-")
        .or_else(|| uuid.strip_prefix("MIG-"))
        .unwrap_or(uuid)
}

/// Text from outside without what would move a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// Where a card sits. NVML writes eight digits for the domain, CUDA four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PciAddress {
    domain: u32,
    bus: u32,
    device: u32,
    function: u32,
}

impl PciAddress {
    fn parse(text: &str) -> Option<Self> {
        let number = |text| u32::from_str_radix(text, 16).ok();
        let (rest, function) = text.trim().rsplit_once('.').unwrap_or((text, "0"));
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        Some(Self {
            domain: number(domain)?,
            bus: number(bus)?,
            device: number(device)?,
            function: number(function)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(uuid: &str, bus: &str, slices: &[&str]) -> Listed {
        Listed {
            uuid: Some(uuid.to_owned()),
            pci_bus_id: Some(bus.to_owned()),
            slices: slices.iter().map(|&slice| slice.to_owned()).collect(),
        }
    }

    /// NVML's order is not that of the bus here.
    fn machine() -> Vec<Listed> {
        vec![
            listed("GPU-bbbb", "00000000:41:00.0", &[]),
            listed("GPU-aaaa", "00000000:01:00.0", &[]),
            listed("GPU-cccc", "00000000:81:00.0", &["MIG-c1", "MIG-c2"]),
        ]
    }

    fn identity(uuid: Option<&str>, bus: Option<&str>) -> Choice {
        Choice::Identity(CardIdentity {
            uuid: uuid.map(str::to_owned),
            pci_bus_id: bus.map(str::to_owned),
        })
    }

    fn ordinal(ordinal: usize, visible: Option<&str>, order: DeviceOrder) -> Choice {
        Choice::Ordinal {
            ordinal,
            visibility: visibility(visible, order),
        }
    }

    fn visibility(devices: Option<&str>, order: DeviceOrder) -> Visibility {
        Visibility {
            devices: devices.map(str::to_owned),
            order,
        }
    }

    #[track_caller]
    fn finds(choice: &Choice, card: usize, slice: Option<usize>) {
        assert_eq!(place(choice, &machine()), Ok(Place { card, slice }));
    }

    #[track_caller]
    fn refuses(choice: &Choice, message: &str) {
        let error = place(choice, &machine()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn an_engine_names_its_card_by_uuid_or_bus() {
        finds(&identity(Some("GPU-aaaa"), None), 1, None);
        finds(
            &identity(Some("gpu-unknown"), Some("0000:41:00.0")),
            0,
            None,
        );
        finds(&identity(None, Some("01:00.0")), 1, None);
        finds(&identity(None, Some("00000000:01:00")), 1, None);
        refuses(
            &identity(Some("GPU-x\u{1b}[2J"), Some("0000:99:00.0")),
            "the driver lists no card GPU-x\u{fffd}[2J at 0000:99:00.0",
        );
    }

    #[test]
    fn a_slice_is_found_even_under_the_name_of_a_card() {
        finds(&identity(Some("MIG-c2"), Some("0000:81:00.0")), 2, Some(1));
        finds(&identity(Some("GPU-c2"), Some("0000:81:00.0")), 2, Some(1));
    }

    #[test]
    fn numbers_count_along_the_bus_when_cuda_does() {
        finds(&ordinal(0, None, DeviceOrder::PciBusId), 1, None);
        finds(&ordinal(1, None, DeviceOrder::PciBusId), 0, None);
        finds(&ordinal(0, Some("1"), DeviceOrder::PciBusId), 0, None);
        refuses(
            &ordinal(0, None, DeviceOrder::FastestFirst),
            "3 cards: which one CUDA calls 0 is not known",
        );
    }

    #[test]
    fn uuids_in_the_environment_need_no_order() {
        let order = DeviceOrder::FastestFirst;
        finds(&ordinal(0, Some("GPU-bb"), order), 0, None);
        finds(&ordinal(1, Some("GPU-bb,GPU-aa"), order), 1, None);
        finds(&ordinal(0, Some("MIG-c1"), order), 2, Some(0));
    }

    #[test]
    fn the_first_entry_that_names_nothing_ends_the_list() {
        let order = DeviceOrder::PciBusId;
        finds(&ordinal(0, Some("0,9,1"), order), 1, None);
        refuses(
            &ordinal(1, Some("0,9,1"), order),
            "CUDA device 1 is not visible (CUDA_VISIBLE_DEVICES=\"0,9,1\")",
        );
        for hidden in ["", "-1", "NoDevFiles", "GPU-"] {
            assert!(
                place(&ordinal(0, Some(hidden), order), &machine()).is_err(),
                "{hidden}"
            );
        }
    }

    #[track_caller]
    fn shows(devices: Option<&str>, order: DeviceOrder, expected: &[(usize, Option<usize>)]) {
        let Shown { places, doubt } = shown(&visibility(devices, order), &machine());
        let places: Vec<_> = places.iter().map(|at| (at.card, at.slice)).collect();
        assert_eq!((places.as_slice(), doubt), (expected, None));
    }

    #[test]
    fn all_cards_are_shown_where_nothing_hides_one_whatever_the_order() {
        let unordered = [(0, None), (1, None), (2, None)];
        shows(None, DeviceOrder::FastestFirst, &unordered);
        shows(Some("2,0,1"), DeviceOrder::FastestFirst, &unordered);
        let along_the_bus = [(1, None), (0, None), (2, None)];
        shows(None, DeviceOrder::PciBusId, &along_the_bus);
    }

    #[test]
    fn what_the_environment_hides_is_not_shown() {
        let order = DeviceOrder::FastestFirst;
        shows(Some("GPU-aa"), order, &[(1, None)]);
        shows(Some("MIG-c2,GPU-bb"), order, &[(2, Some(1)), (0, None)]);
        shows(Some("1"), DeviceOrder::PciBusId, &[(0, None)]);
        shows(Some(""), order, &[]);
    }

    #[test]
    fn some_numbers_in_an_unknown_order_may_mean_any_card() {
        let some = visibility(Some("0"), DeviceOrder::FastestFirst);
        let Shown { places, doubt } = shown(&some, &machine());
        assert_eq!(places.len(), 3);
        let (cards, number) = (3, 0);
        assert_eq!(doubt, Some(Unmatched::Ambiguous { cards, number }));
    }

    #[test]
    fn one_card_is_known_without_an_order() {
        let only = [listed("GPU-aaaa", "00000000:01:00.0", &["MIG-a1"])];
        assert_eq!(
            place(&ordinal(0, None, DeviceOrder::FastestFirst), &only),
            Ok(Place {
                card: 0,
                slice: Some(0)
            })
        );
        assert_eq!(
            place(&ordinal(0, None, DeviceOrder::FastestFirst), &[]),
            Err(Unmatched::NoCards)
        );
    }
}
