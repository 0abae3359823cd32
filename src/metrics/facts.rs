//! The records of one study, sorted by what they are about.

use std::collections::BTreeMap;

use crate::record::card::CardFacts;
use crate::record::card::Sensors;
use crate::record::machine::{Device, Peak};
use crate::record::observation::{
    Block, End, EndStatus, Failure, Load, Purpose, Record, Session, Skip,
};
use crate::record::scoring::{Scoring, Unscored, Window};
use crate::study::workload::PointId;

/// The records of one study, sorted by what they are about; those of one kind stay in file order.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The newest session.
    pub session: &'a Session,
    /// The newest description of the device.
    pub device: Option<&'a Device>,
    /// Measured limits of the device.
    pub peaks: Vec<&'a Peak>,
    /// Loads by their number.
    pub loads: BTreeMap<u32, &'a Load>,
    /// Blocks of every purpose, by point.
    pub blocks: BTreeMap<PointId, Vec<&'a Block>>,
    /// The newest failure of a point.
    pub failures: BTreeMap<PointId, &'a Failure>,
    /// Loads that failed for all points of their variant.
    pub failed_loads: Vec<&'a Failure>,
    /// The newest skip of a point.
    pub skips: BTreeMap<PointId, &'a Skip>,
    /// Comparisons of quality by their number, with their windows in file order.
    pub scorings: BTreeMap<u32, (&'a Scoring, Vec<&'a Window>)>,
    /// Variants that could not be compared.
    pub unscored: Vec<&'a Unscored>,
    /// How the newest session ended; `None` when it was cut off.
    pub end: Option<EndStatus>,
    /// The ends of all sessions.
    pub ends: Vec<&'a End>,
    /// What each session saw of the card, in file order.
    pub sittings: Vec<Sitting<'a>>,
}

/// What one session saw of the card: before its first worker, in its blocks and after its last worker.
#[derive(Debug, Default)]
pub struct Sitting<'a> {
    /// The device, with what its card did before the first worker.
    pub device: Option<&'a Device>,
    /// Blocks of every purpose.
    pub blocks: Vec<&'a Block>,
    /// What the card did after the last worker.
    pub after: Option<&'a Sensors>,
}

impl<'a> Sitting<'a> {
    /// What the card did before the first worker.
    pub fn before(&self) -> Option<&'a Sensors> {
        self.device?.before.as_deref()
    }

    /// Everything that its sensors said, in the order of time.
    pub fn sensors(&self) -> impl Iterator<Item = &'a Sensors> {
        let during = self.blocks.iter().copied();
        let during = during.filter_map(|block| block.sensors.as_ref());
        self.before().into_iter().chain(during).chain(self.after)
    }
}

/// Records that belong to no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record holds no session; nothing was measured yet")]
pub struct NoSession;

impl<'a> Facts<'a> {
    /// Sorts the records of one file.
    ///
    /// The last word on a point counts: blocks after a failure (a resumed study) replace it, and a
    /// failure after blocks stands.
    pub fn new(records: &'a [Record]) -> Result<Self, NoSession> {
        let session = records
            .iter()
            .rev()
            .find_map(|record| {
                let Record::Session(session) = record else {
                    return None;
                };
                Some(session.as_ref())
            })
            .ok_or(NoSession)?;
        let mut facts = Self {
            session,
            device: None,
            peaks: Vec::new(),
            loads: BTreeMap::new(),
            blocks: BTreeMap::new(),
            failures: BTreeMap::new(),
            failed_loads: Vec::new(),
            skips: BTreeMap::new(),
            scorings: BTreeMap::new(),
            unscored: Vec::new(),
            end: None,
            ends: Vec::new(),
            sittings: Vec::new(),
        };
        for record in records {
            facts.take(record);
        }
        Ok(facts)
    }

    fn take(&mut self, record: &'a Record) {
        match record {
            Record::Session(_) => {
                self.end = None;
                self.sittings.push(Sitting::default());
            }
            Record::Device(device) => {
                self.device = Some(device);
                self.sitting().device = Some(device);
            }
            Record::Peak(peak) => self.peaks.push(peak),
            Record::Load(load) => {
                self.loads.insert(load.load, load);
            }
            Record::Block(block) => {
                self.failures.remove(&block.point);
                self.skips.remove(&block.point);
                self.blocks.entry(block.point).or_default().push(block);
                self.sitting().blocks.push(block);
            }
            Record::Failure(failure) => match failure.point {
                Some(point) => {
                    self.failures.insert(point, failure);
                }
                None => self.failed_loads.push(failure),
            },
            Record::Skip(skip) => {
                self.skips.insert(skip.point, skip);
            }
            Record::Scoring(scoring) => {
                self.scorings.insert(scoring.scoring, (scoring, Vec::new()));
            }
            Record::Window(window) => {
                if let Some((_, windows)) = self.scorings.get_mut(&window.scoring) {
                    windows.push(window);
                }
            }
            Record::Unscored(unscored) => self.unscored.push(unscored),
            Record::End(end) => {
                self.end = Some(end.status);
                self.ends.push(end);
                self.sitting().after = end.after.as_deref();
            }
        }
    }

    /// The newest session's; facts before a session are those of one that is missing.
    fn sitting(&mut self) -> &mut Sitting<'a> {
        if self.sittings.is_empty() {
            self.sittings.push(Sitting::default());
        }
        let newest = self.sittings.len() - 1;
        &mut self.sittings[newest]
    }

    /// The session in which a block was measured.
    pub fn sitting_of(&self, block: &Block) -> Option<&Sitting<'a>> {
        let same = |other: &&Block| std::ptr::eq(*other, block);
        let mut sittings = self.sittings.iter();
        sittings.find(|sitting| sitting.blocks.iter().any(same))
    }

    /// Blocks of one point that serve an estimate, in the order of time.
    pub fn measured(&self, point: PointId) -> impl Iterator<Item = &'a Block> + '_ {
        self.with_purpose(point, Purpose::Measure)
    }

    /// Blocks of one point that serve `purpose`, in the order of time.
    pub fn with_purpose(
        &self,
        point: PointId,
        purpose: Purpose,
    ) -> impl Iterator<Item = &'a Block> + '_ {
        self.blocks
            .get(&point)
            .into_iter()
            .flatten()
            .copied()
            .filter(move |block| block.purpose == purpose)
    }

    /// Blocks that show the energy or the drift of a point.
    pub fn beside(&self, point: PointId) -> impl Iterator<Item = &'a Block> + '_ {
        let all = self.blocks.values().flatten().copied();
        all.filter(move |block| match block.purpose {
            Purpose::Measure => false,
            Purpose::Drift => block.point == point,
            Purpose::Energy => block.serves == Some(point),
        })
    }

    /// The load in which the point was last measured, or else the newest of its variant.
    pub fn load_of(&self, point: PointId) -> Option<&'a Load> {
        let of_block = self
            .measured(point)
            .last()
            .and_then(|block| self.loads.get(&block.load).copied());
        of_block.or_else(|| {
            let of_variant = |load: &&&Load| load.variant() == point.variant();
            self.loads.values().rev().find(of_variant).copied()
        })
    }

    /// What the driver says of the card, where one was watched.
    pub fn card(&self) -> Option<&'a CardFacts> {
        self.device?.card.as_deref()
    }
}
