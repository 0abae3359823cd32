//! The records of one study, sorted by what they are about.

use std::collections::BTreeMap;

use crate::record::card::CardFacts;
use crate::record::observation::{
    Block, Device, EndStatus, Failure, Load, Peak, Purpose, Record, Sensors, Session, Skip,
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
    /// What the card did after the last worker of that session.
    pub after: Option<&'a Sensors>,
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
            after: None,
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
                self.after = None;
            }
            Record::Device(device) => self.device = Some(device),
            Record::Peak(peak) => self.peaks.push(peak),
            Record::Load(load) => {
                self.loads.insert(load.load, load);
            }
            Record::Block(block) => {
                self.failures.remove(&block.point);
                self.skips.remove(&block.point);
                self.blocks.entry(block.point).or_default().push(block);
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
                self.after = end.after.as_deref();
            }
        }
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

    /// The load in which the point was last measured, or else the newest of its variant.
    pub fn load_of(&self, point: PointId) -> Option<&'a Load> {
        let of_block = self
            .blocks
            .get(&point)
            .and_then(|blocks| blocks.last())
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

    /// The launch that a load belongs to.
    pub fn launch_of(&self, load: u32) -> u32 {
        self.loads.get(&load).map_or(load, |load| load.launch)
    }
}
